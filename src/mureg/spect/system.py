"""The model of one acquisition: from activity to expected counts, and its exact transpose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.errors import GeometryError, UnitsError, UsageError
from mureg.geometry import Grid, Quantity, Volume
from mureg.spect import stages
from mureg.spect.acquisition import Acquisition
from mureg.spect.collimator import Collimator

_VIEWS_AT_ONCE = 6
_BLURS_KEPT = 3


@dataclass(frozen=True, eq=False)
class BlurBlock:
    """Depth-dependent resolution of a few views; see `stages.blur_of_view`.

    Attributes:
        collect: [view * column * node, view * depth * column] and its transpose.
        bands: [node * z, z], one symmetric band for each node, stacked. Several studies may lie one after another
            along z; each is blurred for itself.
    """

    collect: stages.SparseMatrix
    collect_transposed: stages.SparseMatrix
    bands: Float[Tensor, "node_z z"]

    def project(self, frames: Float[Tensor, "view depth column z"]) -> Float[Tensor, "view column z"]:
        """Blur every plane by its distance to the detector and add them up."""
        views, _, columns, slices = frames.shape
        nodes, z = self.bands.shape[0] // self.bands.shape[1], self.bands.shape[1]
        collected = (self.collect @ frames.view(-1, slices)).view(views * columns, nodes, -1, z)
        return (collected.transpose(1, 2).reshape(-1, nodes * z) @ self.bands).view(views, columns, slices)

    def backproject(
        self, projections: Float[Tensor, "view column z"], depths: int
    ) -> Float[Tensor, "view depth column z"]:
        """The transpose of `project`."""
        views, columns, slices = projections.shape
        nodes, z = self.bands.shape[0] // self.bands.shape[1], self.bands.shape[1]
        spread = (projections.reshape(-1, z) @ self.bands.T).view(views * columns, -1, nodes, z)
        rows = spread.transpose(1, 2).reshape(-1, slices)
        return (self.collect_transposed @ rows).view(views, depths, columns, slices)


@dataclass(frozen=True, eq=False)
class ViewBlock:
    """The model of a few views, ready to be applied many times.

    Works in the layout of `mureg.spect.stages`: activity [x, y, z], projections [view, column, z]. Several studies of
    one geometry may lie one after another along z; see `mureg.spect.batch`.
    """

    rotation: stages.SparseMatrix
    rotation_transposed: stages.SparseMatrix
    attenuation: Float[Tensor, "view depth column z"] | None
    blur: BlurBlock | None
    plane_shape: tuple[int, int]
    frame_shape: tuple[int, int, int]

    def project(self, activity: Float[Tensor, "x y z"]) -> Float[Tensor, "view column z"]:
        """Expected counts: rotate, attenuate, blur, add up along the depth."""
        frames = (self.rotation @ activity.reshape(-1, activity.shape[-1])).view(*self.frame_shape, -1)
        if self.attenuation is not None:
            frames = frames.mul_(self.attenuation)
        return frames.sum(1) if self.blur is None else self.blur.project(frames)

    def backproject(self, projections: Float[Tensor, "view column z"]) -> Float[Tensor, "x y z"]:
        """The transpose of `project`, step by step in reverse order."""
        depths = self.frame_shape[1]
        if self.blur is not None:
            frames = self.blur.backproject(projections, depths)
            if self.attenuation is not None:
                frames = frames.mul_(self.attenuation)
        elif self.attenuation is not None:
            frames = projections[:, None] * self.attenuation
        else:
            frames = projections[:, None].expand(-1, depths, -1, -1).contiguous()
        return (self.rotation_transposed @ frames.view(-1, frames.shape[-1])).view(*self.plane_shape, -1)


@runtime_checkable
class ScatterModel(Protocol):
    """A way to expect scattered counts; the object is its frozen settings."""

    @property
    def kind(self) -> str:
        """The name under which it is chosen."""
        ...

    @property
    def refresh_after(self) -> tuple[int, ...]:
        """Iterations of a reconstruction after which the estimate is made anew; 0 is before the first."""
        ...

    @property
    def balanced(self) -> bool:
        """Whether a reconstruction should scale the estimate so that primary and scatter make up what was measured.

        An activity found before scatter was known stands for the scattered counts as well, so that the scatter expected
        from it is too much; in proportion it is right.
        """
        ...

    def estimate(self, system: SystemModel, activity: Volume) -> Float[Tensor, "view row column"]:
        """Expected scattered counts in the photopeak window of every view; always added, never subtracted."""
        ...


@dataclass(frozen=True, eq=False)
class SystemModel:
    """How activity on a grid becomes the counts of an acquisition.

    Attributes:
        acquisition: gives angles, radii, pixel size, axis of rotation and rows; its counts are not used.
        grid: of the activity, along the patient axes, spacing and slices equal to the detector's pixels and rows.
        mu: attenuation map in 1/cm, or None for no attenuation. Its grid may be wider than that of the activity, with
            the same slices: what lies outside the emission field still absorbs.
        collimator: depth-dependent resolution, or None for none; needs `acquisition.radii_mm`.
        scatter: how scattered counts are expected, or None for none; `project` does not include them.

    Activity is in counts per voxel and view: a voxel of 1 adds 1 count to a view when nothing attenuates.
    Raises `GeometryError` where grid, map and detector do not fit, `UnitsError` where mu is not in 1/cm, `UsageError`
    for a collimator without radii.
    """

    acquisition: Acquisition
    grid: Grid
    mu: Volume | None = None
    collimator: Collimator | None = None
    scatter: ScatterModel | None = None

    def __post_init__(self) -> None:
        rows = self.acquisition.counts.shape[2]
        row_mm, column_mm = self.acquisition.pixel_mm
        expected = (column_mm, column_mm, row_mm)
        if not self.grid.along_patient_axes or not np.allclose(self.grid.spacing_mm, expected, rtol=1e-4):
            raise GeometryError(
                f"a reconstruction grid with spacing {np.round(self.grid.spacing_mm, 3).tolist()} mm",
                f"spacing {np.round(expected, 3).tolist()} mm along the patient axes, as the detector's pixels",
                "use acquisition.grid()",
            )
        middle_offset = abs(self.grid.centre_mm[2] - self.acquisition.centre_mm[2])
        if self.grid.shape[2] != rows or middle_offset > 1e-3 * row_mm:
            raise GeometryError(
                f"{self.grid.shape[2]} slices, {middle_offset:.3f} mm off the middle of the detector rows",
                f"the {rows} slices that the detector rows see",
                "use acquisition.grid()",
            )
        if self.mu is not None:
            _require_map(self.mu, self.grid)
        if self.collimator is not None and self.acquisition.radii_mm is None:
            raise UsageError(
                "resolution recovery without a known detector radius", "a radius for each view", "state the radius"
            )

    @property
    def frame(self) -> stages.Frame:
        """The rotated frame of every view."""
        spacing = self.grid.spacing_mm[0]
        n_depths, axis_mm = max(self.grid.shape[:2]), self.acquisition.centre_mm[:2]
        n_beyond = 0
        if self.mu is not None and self.mu.grid != self.grid:
            reach_mm = np.linalg.norm(self.mu.grid.corners_mm()[:, :2] - axis_mm, axis=1).max()
            n_beyond = max(0, int(np.ceil((reach_mm - n_depths / 2 * spacing) / spacing)))
        return stages.Frame(axis_mm, self.acquisition.counts.shape[3], n_depths, spacing, n_beyond)

    def block(self, views: list[int], like: Tensor) -> ViewBlock:
        """Prepare some views, in the precision and on the device of `like`."""
        frame = self.frame
        with_activity = stages.Frame(frame.axis_mm, frame.n_columns, frame.n_depths, frame.spacing_mm)
        rotation = self._rotation(self.grid, with_activity, views)
        forward = stages.SparseMatrix.from_scipy(rotation, like)
        attenuation = self.attenuation(views, like, forward)
        if self.acquisition.view_weights is not None:
            # each view counts its own share of the decays
            per_row = np.repeat(self.acquisition.view_weights[views], frame.n_depths * frame.n_columns)
            rotation = scipy.sparse.csr_matrix(scipy.sparse.diags(per_row) @ rotation)
            forward = stages.SparseMatrix.from_scipy(rotation, like)
        return ViewBlock(
            forward,
            stages.SparseMatrix.from_scipy(rotation.T.tocsr(), like),
            attenuation,
            None if self.collimator is None else self._blur(self.collimator, with_activity, views, like),
            self.grid.shape[:2],
            (len(views), frame.n_depths, frame.n_columns),
        )

    def attenuation(
        self, views: list[int], like: Tensor, rotation: stages.SparseMatrix | None = None
    ) -> Float[Tensor, "view depth column z"] | None:
        """Share of photons that gets out from every place of some views' frames; None without a map.

        `rotation`, of these views on the grid of the activity, spares making it again where the map lies on that grid.
        """
        if self.mu is None:
            return None
        if rotation is None or self.mu.grid != self.grid:
            rotation = self.map_rotation(views, like)
        return self.attenuation_of(self.mu.values.to(device=like.device, dtype=like.dtype), views, rotation)

    def map_rotation(self, views: list[int], like: Tensor) -> stages.SparseMatrix:
        """Into some views' frames from the grid of the map; made once, it serves every map on that grid."""
        grid = self.grid if self.mu is None else self.mu.grid
        return stages.SparseMatrix.from_scipy(self._rotation(grid, self.frame, views), like)

    def attenuation_of(
        self, mu: Float[Tensor, "x y z"], views: list[int], rotation: stages.SparseMatrix
    ) -> Float[Tensor, "view depth column z"]:
        """As `attenuation`, of other values on the grid of the map; several maps may lie one after another along z."""
        frame = self.frame
        shape = (len(views), frame.n_depths + frame.n_beyond, frame.n_columns)
        frames = (rotation @ mu.reshape(-1, mu.shape[-1])).view(*shape, -1)
        return stages.attenuation_factors(frames, frame.spacing_mm / 10.0)[:, frame.n_beyond :].contiguous()

    def project(self, activity: Float[Tensor, "x y z"]) -> Float[Tensor, "view row column"]:
        """Expected counts of every view."""
        parts = [self.block(views, activity).project(activity) for views in self.view_chunks()]
        return detector_order(torch.cat(parts))

    def backproject(self, projections: Float[Tensor, "view row column"]) -> Float[Tensor, "x y z"]:
        """The exact transpose of `project`."""
        inner = inner_order(projections)
        parts = [self.block(views, inner).backproject(inner[views]) for views in self.view_chunks()]
        return torch.stack(parts).sum(0)

    def _rotation(self, grid: Grid, frame: stages.Frame, views: list[int]) -> scipy.sparse.csr_matrix:
        offsets = self.acquisition.column_offsets_mm
        matrices = [
            stages.rotation_matrix(
                grid, frame, float(self.acquisition.angles_deg[view]), 0.0 if offsets is None else float(offsets[view])
            )
            for view in views
        ]
        return scipy.sparse.vstack(matrices, format="csr")

    def _blur(self, collimator: Collimator, frame: stages.Frame, views: list[int], like: Tensor) -> BlurBlock:
        radii = self.acquisition.radii_mm
        assert radii is not None
        all_variances = collimator.sigma_mm(np.asarray(radii)[:, None] - frame.depths_mm()) ** 2
        nodes = stages.variance_nodes(all_variances)
        variances = tuple(tuple(all_variances[view]) for view in views)
        # on a circular orbit every view has the same matrix, and so has every block of so many views
        make = _blur_block if len(set(variances)) == 1 else _blur_block.__wrapped__
        grid = self.grid.shape[2], self.grid.spacing_mm[2]
        block: BlurBlock = make(frame, variances, tuple(nodes), grid, like.device, like.dtype)
        return block

    def view_chunks(self) -> list[list[int]]:
        """All views, a few at a time."""
        n_views = self.acquisition.n_views
        return [list(range(k, min(k + _VIEWS_AT_ONCE, n_views))) for k in range(0, n_views, _VIEWS_AT_ONCE)]


@lru_cache(maxsize=_BLURS_KEPT)
def _blur_block(
    frame: stages.Frame,
    variances_mm2: tuple[tuple[float, ...], ...],
    nodes_mm2: tuple[float, ...],
    slices: tuple[int, float],
    device: torch.device,
    dtype: torch.dtype,
) -> BlurBlock:
    """The blur of views with these variances at each depth; `slices` are their number and spacing in mm."""
    n_slices, spacing_mm = slices
    like = torch.empty(0, device=device, dtype=dtype)
    collect = scipy.sparse.block_diag(
        [stages.blur_of_view(frame, of_view, nodes_mm2) for of_view in variances_mm2], format="csr"
    )
    bands = stages.gaussian_bands(tuple(np.asarray(nodes_mm2) / spacing_mm**2), n_slices)
    return BlurBlock(
        stages.SparseMatrix.from_scipy(collect, like),
        stages.SparseMatrix.from_scipy(collect.T.tocsr(), like),
        torch.tensor(bands).to(like),
    )


def _require_map(mu: Volume, grid: Grid) -> None:
    """Refuse a map in another unit or on slices other than those of the activity."""
    if mu.quantity is not Quantity.MU_PER_CM:
        raise UnitsError(f"an attenuation map in {mu.quantity.unit}", "1/cm", "convert it first")
    same_slices = mu.grid.shape[2] == grid.shape[2] and abs(mu.grid.centre_mm[2] - grid.centre_mm[2]) < 1e-3
    if not same_slices or not mu.grid.along_patient_axes or not np.allclose(mu.grid.spacing_mm, grid.spacing_mm):
        raise GeometryError(
            "an attenuation map whose voxels or slices are not those of the activity",
            "the same spacing and slices, as wide as you like",
            "use mu.resampled(onto=grid)",
        )


def detector_order(projections: Float[Tensor, "view column z"]) -> Float[Tensor, "view row column"]:
    """Reorder from the internal layout to the detector's: row 0 nearest the head."""
    return projections.transpose(1, 2).flip(1)


def inner_order(projections: Float[Tensor, "view row column"]) -> Float[Tensor, "view column z"]:
    """From the detector's layout to the inner one: z innermost, running to the head."""
    return projections.flip(1).transpose(1, 2).contiguous()
