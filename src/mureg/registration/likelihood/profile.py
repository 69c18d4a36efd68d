"""How well a pose of the attenuation map explains the projections, at the activity that explains them best with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float
from scipy import ndimage

from mureg.attenuation.body import filled
from mureg.attenuation.hu_to_mu import MU_WATER_PER_CM
from mureg.attenuation.maps import AttenuationMaps
from mureg.attenuation.slices import with_repeated_slices
from mureg.geometry import Array, Grid, Quantity, RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.jobs.threads import in_threads
from mureg.spect import Acquisition, SystemModel
from mureg.spect.collimator import Collimator
from mureg.spect.expectation import (
    expectation_floor,
    expected_scatter,
    inverse_sensitivity,
    measured_slices,
    ordered_subsets,
    start_image,
    update_by_subsets,
)
from mureg.spect.system import inner_order

_WIDER = 1.6
"""Of the emission grid: the lattice over which the CT is continued, with room for poses and for a wider map; chosen."""
_BESIDE_MM = 30.0
"""Room on each side for poses near the one that the grid is made for: a Newton step is at most 20 mm, and a turn."""
_TISSUE_PER_CM, _LUNG_BELOW_PER_CM = 0.06, 0.11
"""Tissue as in `mureg.attenuation.body`. Lung with the voxels that its vessels fill in part, below fat (0.14 1/cm) with
noise; chosen."""
_SCATTER_PASSES = 4
"""Before the last estimate of the scatter; the amount is balanced, and its shape is smooth. Chosen."""


@dataclass(frozen=True)
class Candidate:
    """A pose to be tried, and two numbers of the map that are not known well.

    Attributes:
        ct_from_spect: pose of the body.
        lung_per_cm: added to the attenuation of air inside the body, in proportion less to denser lung.
        table_share: by how much the table attenuates more than its map says, as a share.
    """

    ct_from_spect: RigidTransform
    lung_per_cm: float = 0.0
    table_share: float = 0.0


@dataclass(frozen=True, eq=False)
class AtRest:
    """What stays in its place whatever the pose, on one grid in SPECT space.

    Attributes:
        table: 1/cm; None where there is none.
        radiates: where water is taken beyond the CT; None for no such water.
    """

    table: Float[Array, "x y z"] | None
    radiates: Bool[Array, "x y z"] | None


@dataclass(frozen=True, eq=False)
class PosedMaps:
    """Body, lungs and table, averaged to the voxels of a level and lengthened, to be resampled at many poses.

    Attributes:
        body: 1/cm.
        lung: 1 where the body holds air, 0 at the density of water.
        table: 1/cm, at rest; None where there is none.
        radiates: label of where the emission comes from, for water beyond the CT; None for no such water.
    """

    body: Volume
    lung: Volume
    table: Volume | None
    radiates: Volume | None

    @classmethod
    def of(
        cls, maps: AttenuationMaps, outline: Volume | None, emission: Grid, ct_from_spect: RigidTransform
    ) -> PosedMaps:
        """Prepare the maps for poses near one, on grids with the voxels of `emission`."""
        voxel_mm, beyond = min(emission.spacing_mm), maps.settings.beyond
        nx, ny, nz = (int(np.ceil(n * _WIDER)) for n in emission.shape)
        room = Grid.centred((nx, ny, nz), emission.spacing_mm, emission.centre_mm)

        def prepared(volume: Volume, through: RigidTransform | None) -> Volume:
            smooth = volume.coarsened(voxel_mm / 2).averaged(voxel_mm)
            return with_repeated_slices(smooth, room, through) if beyond == "slices" else smooth

        return cls(
            prepared(maps.body, ct_from_spect),
            prepared(air_inside(maps.body), ct_from_spect),
            None if maps.table is None else prepared(maps.table, None),
            None if beyond == "none" else outline,
        )

    def at_rest(self, grid: Grid) -> AtRest:
        """What no pose changes, on a grid in SPECT space; made once, it serves every candidate."""
        return AtRest(
            None if self.table is None else self.table.resampled(grid).values,
            None if self.radiates is None else self.radiates.resampled(grid).values > 0.5,
        )

    def at(self, grid: Grid, candidate: Candidate, at_rest: AtRest | None = None) -> Volume:
        """The map of a candidate on a grid in SPECT space, 1/cm; `at_rest` of that grid spares making it again."""
        map_at_rest = at_rest or self.at_rest(grid)
        body = self.body.resampled(grid, candidate.ct_from_spect)
        values = body.values
        if body.outside is not None and map_at_rest.radiates is not None:
            values = np.where(body.outside & map_at_rest.radiates, values.dtype.type(MU_WATER_PER_CM), values)
        if candidate.lung_per_cm != 0.0:
            values = values + candidate.lung_per_cm * self.lung.resampled(grid, candidate.ct_from_spect).values
        if map_at_rest.table is not None:
            values = values + (1.0 + candidate.table_share) * map_at_rest.table
        return Volume(np.maximum(values, 0.0), grid, Quantity.MU_PER_CM)


def air_inside(body: Volume) -> Volume:
    """How much less than water lung attenuates, as a share: 1 for air, 0 outside the lungs."""
    mu = body.values
    tissue = mu > _TISSUE_PER_CM
    lung = ndimage.binary_erosion(filled(tissue), iterations=2) & (mu < _LUNG_BELOW_PER_CM)
    share = np.where(lung, 1.0 - mu / MU_WATER_PER_CM, 0.0).astype(mu.dtype)
    return body.with_values(share)


def rebinned(acquisition: Acquisition, factor: int, view_step: int) -> Acquisition:
    """Whole blocks of pixels added up, and every n-th view; a last row or column that fills no block is left out."""
    counts = acquisition.counts[:, ::view_step]
    rows, columns = (n // factor * factor for n in counts.shape[2:])
    over = counts.shape[2] - rows, counts.shape[3] - columns
    blocks = counts[:, :, :rows, :columns].reshape(*counts.shape[:2], rows // factor, factor, columns // factor, factor)
    counts = blocks.sum((3, 5))
    x, y, z = acquisition.centre_mm
    row_mm, column_mm = acquisition.pixel_mm
    offsets = _every(acquisition.column_offsets_mm, view_step)
    if over[1]:
        # the middle of the remaining pixels lies to the left of the old one: the axis is seen to its right
        offsets = (np.zeros(counts.shape[1]) if offsets is None else offsets) + over[1] * column_mm / 2
    return replace(
        acquisition,
        counts=counts,
        angles_deg=acquisition.angles_deg[::view_step],
        radii_mm=_every(acquisition.radii_mm, view_step),
        view_weights=_every(acquisition.view_weights, view_step),
        column_offsets_mm=offsets,
        pixel_mm=(row_mm * factor, column_mm * factor),
        centre_mm=(x, y, z + over[0] * row_mm / 2),  # the rows left out are those at the feet
    )


def rows_to_trust(
    acquisition: Acquisition,
    ct: Grid,
    ct_from_spect: RigidTransform,
    heart_mm: Triple,
    reach_mm: float,
    margin_mm: float,
) -> tuple[int, int]:
    """First row and the one past the last that lie near the heart, that the CT covers and that the camera measured.

    Rows that see slices the CT does not cover pull the pose by millimetres. (0, 0) where there are none.
    """
    grid = acquisition.grid()
    n = grid.shape[2]
    places = np.tile(np.asarray(heart_mm, dtype=np.float64), (n, 1))
    places[:, 2] = grid.points([(0.0, 0.0, float(k)) for k in range(n)])[:, 2]
    slices, thickness_mm = ct.indices(ct_from_spect.apply(places))[:, 2], ct.spacing_mm[2]
    is_trusted = (slices * thickness_mm > margin_mm) & ((ct.shape[2] - 1 - slices) * thickness_mm > margin_mm)
    is_trusted &= np.abs(places[:, 2] - heart_mm[2]) <= reach_mm
    is_trusted &= measured_slices(acquisition) > 0
    inside = np.flatnonzero(is_trusted)
    return (0, 0) if len(inside) == 0 else (n - 1 - int(inside[-1]), n - int(inside[0]))


def with_rows(acquisition: Acquisition, first: int, end: int) -> Acquisition:
    """The rows from `first` up to `end` alone; row 0 is at the head."""
    x, y, z = acquisition.centre_mm
    moved = (acquisition.counts.shape[2] - 1) / 2 - (first + end - 1) / 2
    centre_mm = (x, y, z + moved * acquisition.pixel_mm[0])
    return replace(acquisition, counts=acquisition.counts[:, :, first:end], centre_mm=centre_mm)


def wide_grid(maps: AttenuationMaps, emission: Grid, ct_from_spect: RigidTransform) -> Grid:
    """The emission grid, widened to hold all that absorbs at poses near one."""
    wide = maps.attenuation_grid(emission, ct_from_spect)
    n = int(np.ceil(_BESIDE_MM / wide.spacing_mm[0]))
    affine = wide.affine.copy()
    affine[:3, 3] = wide.points((-n, -n, 0))
    return Grid((wide.shape[0] + 2 * n, wide.shape[1] + 2 * n, wide.shape[2]), affine, wide.frame_of_reference)


def scatter_with(system: SystemModel, subsets: int) -> Float[Array, "view row column"] | None:
    """Scatter expected with the map of a system, from a short reconstruction; None where the system models none."""
    if system.scatter is None:
        return None
    acquisition = system.acquisition
    counts, slice_mask = inner_order(acquisition.photopeak_counts), measured_slices(acquisition)
    subset_views = ordered_subsets(acquisition.n_views, subsets)
    blocks = [system.block(views, counts) for views in subset_views]
    measured = [counts[views] * slice_mask for views in subset_views]
    activity = start_image(acquisition, system.grid).values
    seen = np.zeros_like(activity, dtype=counts.dtype)
    weights = [inverse_sensitivity(block, y, slice_mask, seen) for block, y in zip(blocks, measured, strict=True)]
    scatter: Array | None = None
    for n_passes in range(_SCATTER_PASSES + 1):
        if n_passes in (*system.scatter.refresh_after, _SCATTER_PASSES):
            scatter = expected_scatter(acquisition, system, Volume(activity, system.grid, Quantity.ACTIVITY), seen)
        if n_passes < _SCATTER_PASSES:
            scatter_counts = None if scatter is None else [inner_order(scatter)[views] for views in subset_views]
            update_by_subsets(activity, blocks, measured, weights, scatter_counts, expectation_floor(counts))
    return scatter


class LikelihoodProfile:
    """Log-likelihood of candidates, each with an activity of its own from the same number of passes.

    Poisson, without the term that depends on the counts alone. What does not hang on the pose is made once.
    """

    def __init__(
        self,
        acquisition: Acquisition,
        scatter: Float[Array, "view row column"] | None,
        maps: PosedMaps,
        grid: Grid,
        collimator: Collimator | None,
        *,
        passes: int,
        subsets: int,
        batch: int,
    ) -> None:
        """Prepare for the rows of `acquisition`, with maps to be resampled on `grid`; `batch` candidates at a time."""
        self._maps, self._grid, self._passes, self._batch = maps, grid, passes, batch
        self._at_rest = maps.at_rest(grid)
        empty = Volume(np.zeros(grid.shape, dtype=np.float32), grid, Quantity.MU_PER_CM)
        self._system = SystemModel(acquisition, acquisition.grid(), empty, collimator)
        counts = inner_order(acquisition.photopeak_counts)
        self._floor, self._start = expectation_floor(counts), start_image(acquisition, self._system.grid).values
        self._subset_views = ordered_subsets(acquisition.n_views, subsets)
        self._blocks = [self._system.block(views, counts) for views in self._subset_views]
        self._counts = [counts[views] for views in self._subset_views]
        self._scatter = None if scatter is None else [inner_order(scatter)[views] for views in self._subset_views]

    def log_likelihoods(self, candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
        """Log-likelihood of every candidate, in their order."""
        parts = [candidates[k : k + self._batch] for k in range(0, len(candidates), self._batch)]
        return np.concatenate(in_threads(self._of_some, parts))

    def _of_some(self, candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
        n, slices = len(candidates), self._start.shape[-1]
        mu = np.concatenate(
            [self._maps.at(self._grid, candidate, self._at_rest).values for candidate in candidates], axis=-1
        )
        mu = mu.astype(self._start.dtype, copy=False)
        blocks = [
            block.with_attenuation(self._system.attenuation_of(mu, views))
            for block, views in zip(self._blocks, self._subset_views, strict=True)
        ]
        counts = [np.tile(y, n) for y in self._counts]
        scatter = None if self._scatter is None else [np.tile(s, n) for s in self._scatter]
        slice_mask = np.ones(n * slices, dtype=self._start.dtype)
        weights = [inverse_sensitivity(block, y, slice_mask) for block, y in zip(blocks, counts, strict=True)]
        activity = np.tile(self._start, n)
        for _ in range(self._passes):
            update_by_subsets(activity, blocks, counts, weights, scatter, self._floor)
        log_likelihood = np.zeros(n)
        for k, block in enumerate(blocks):
            expected = block.project(activity)
            if scatter is not None:
                expected += scatter[k]
            np.maximum(expected, self._floor, out=expected)
            terms = counts[k] * np.log(expected) - expected
            log_likelihood += terms.sum((0, 1), dtype=np.float64).reshape(n, slices).sum(1)
        return log_likelihood


def _every(values: npt.NDArray[np.float64] | None, step: int) -> npt.NDArray[np.float64] | None:
    return None if values is None else np.asarray(values)[::step]
