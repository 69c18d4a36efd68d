"""What a parallel-hole gamma camera sees of a breathing patient: the photons that come straight from the tracer.

Each view follows its rays plane by plane of the voxel grid, along whichever axis they run most nearly, and gives every
voxel to the fine columns on which its shadow falls (distance-driven projection: De Man and Basu, Phys Med Biol 2004).
Photons are conserved to rounding at any angle, and the same weights carry the attenuation along a ray. The blur of the
collimator, the sum along the depth and the binning onto the detector's pixels are one product of matrices. The width
of the collimator's blur is all that is shared with the system model that reconstructs.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from scipy.special import ndtr
from torch import Tensor

from mureg.errors import GeometryError
from mureg.geometry import Grid
from mureg.simulate.collimators import GE_LEHR
from mureg.spect.collimator import FWHM_PER_SIGMA, Collimator

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_REACH_SIGMAS = 3.5
"""How far the widest blur reaches: 99.95 % of a Gaussian."""
_NODE_RATIO = 1.3
"""Of the variances for which blur matrices are kept: 14 % in width; what lies between is shared. Chosen."""
_SLANTS = np.linspace(0.5, 1.0, 11)
"""Squared cosines between rays and the planes' normal for which blur matrices are kept: 45 to 0 degrees."""


@dataclass(frozen=True, eq=False)
class GammaCamera:
    """A camera that goes round a patient, each view at a distance of its own.

    Attributes:
        grid: of activity and attenuation: cubic voxels along the patient axes, as many along each as wanted. It may
            reach beyond what the detector sees.
        angles_deg: per view, in the DICOM sense (0 back, 90 patient's left, 180 front): the detector stands at
            (sin, cos) in (x, y) and its columns run along (-cos, sin).
        radii_mm: per view, axis of rotation to collimator face.
        axis_mm: x, y of the axis of rotation, seen in the middle of the columns.
        n_rows, n_columns, pixel_mm: of the detector, row 0 nearest the head.
        middle_z_mm: z of the middle of the rows.
        collimator: None for perfect resolution.
        centre_mm: column coordinate at which the axis of rotation is seen, from the middle of the columns.

    Raises `GeometryError` for voxels that are not cubes along the patient axes, and where radii and angles are not as
    many.
    """

    grid: Grid
    angles_deg: Array
    radii_mm: Array
    axis_mm: tuple[float, float] = (0.0, 0.0)
    n_rows: int = 64
    n_columns: int = 64
    pixel_mm: float = 6.8
    middle_z_mm: float = 0.0
    collimator: Collimator | None = GE_LEHR
    centre_mm: float = 0.0

    def __post_init__(self) -> None:
        x, y, z = self.grid.spacing_mm
        if max(abs(x - y), abs(x - z)) > 1e-4 * x or not self.grid.along_patient_axes:
            raise GeometryError(
                f"a simulation grid of spacing {self.grid.spacing_mm} mm",
                "cubic voxels along the patient axes",
                "make it with Grid.centred",
            )
        if np.shape(self.angles_deg) != np.shape(self.radii_mm) or np.ndim(self.angles_deg) != 1:
            raise GeometryError(
                f"angles of shape {np.shape(self.angles_deg)} and radii of shape {np.shape(self.radii_mm)}",
                "one of each for every view",
                "repeat the radius of a circular orbit",
            )

    @property
    def towards(self) -> Array:
        """Unit vectors (x, y) [view, 2] from the axis of rotation to the detector."""
        angle = np.radians(self.angles_deg)
        return np.stack([np.sin(angle), np.cos(angle)], axis=-1)

    @property
    def rightwards(self) -> Array:
        """Unit vectors (x, y) [view, 2] along which the columns run: to the right when viewed from there."""
        angle = np.radians(self.angles_deg)
        return np.stack([-np.cos(angle), np.sin(angle)], axis=-1)

    def variance_mm2(self, distance_mm: npt.ArrayLike) -> Array:
        """Variance of the point spread at a distance from the collimator face; 0 without a collimator."""
        if self.collimator is None:
            return np.zeros(np.shape(distance_mm))
        return np.asarray((self.collimator.fwhm_mm(distance_mm) / FWHM_PER_SIGMA) ** 2)

    def primary(
        self,
        activity: Float[Tensor, "phase x y z"],
        mu_per_cm: Float[Tensor, "phase x y z"],
        shares: Float[Tensor, "view phase"],
    ) -> Float[Tensor, "view row column"]:
        """Expected counts of photons that have not scattered.

        Args:
            activity: in each state of breathing, photons per voxel sent towards each view.
            mu_per_cm: attenuation in each state, on the same grid.
            shares: what part of each view's time was spent in each state, adding up to 1.

        Without attenuation and blur a view adds up to the activity in front of the detector.
        """
        blur = _blur_of(self)
        first, last = blur.slices
        sources = _innermost(activity[..., first:last])
        # halved and negative: what plane to plane adds to the exponent on the way into and out of each voxel
        losses = _innermost(mu_per_cm[..., first:last]).mul_(-0.05 * self.grid.spacing_mm[0])
        places = _places(self, _support(sources, losses), blur)
        slants = np.rint(np.interp((self.towards**2).max(1), _SLANTS, np.arange(len(_SLANTS)))).astype(int)
        views = []
        for view in range(len(self.angles_deg)):
            rays = places.view(view)
            if not len(rays.starts):
                views.append(torch.zeros(self.n_rows, self.n_columns, dtype=sources.dtype))
                continue
            emission = rays.gather(sources.view(-1, sources.shape[-1]))
            _attenuate(emission, rays.gather(losses.view(-1, losses.shape[-1])), rays)
            views.append(blur.view(int(slants[view]), emission, rays, shares[view].to(sources.dtype)))
        return torch.stack(views)


@dataclass(frozen=True, eq=False)
class Rays:
    """Places of one view in which its rays cross the planes of the grid: plane by plane, nearest the detector first.

    Attributes:
        cells, weights: which voxels fall on a place and what part of each, place after place.
        starts: where each place begins in `cells`.
        planes: first column and number of columns of every plane that is crossed.
        columns: fine column of each place.
        nodes: the lower of the two widths of the blur between which each place lies.
        upper_share: part of the upper one, so that the variance is right.
    """

    cells: Int[Tensor, " entry"]
    weights: Float[Tensor, " entry"]
    starts: Int[Tensor, " place"]
    planes: list[tuple[int, int]]
    columns: Indices
    nodes: Indices
    upper_share: Array

    def gather(self, volume: Float[Tensor, "cell inner"]) -> Float[Tensor, "place inner"]:
        """Sum of what is projected onto each bin."""
        return torch.nn.functional.embedding_bag(
            self.cells, volume, self.starts, mode="sum", per_sample_weights=self.weights.to(volume.dtype)
        )


@dataclass(frozen=True, eq=False)
class VoxelPlaces:
    """`Rays` of every view, one after another."""

    cells: Int[Tensor, " entry"]
    weights: Float[Tensor, " entry"]
    starts: Indices
    first_of_view: Indices
    n_columns: Indices
    first_column: Indices
    columns: Indices
    nodes: Indices
    upper_share: Array

    def view(self, index: int) -> Rays:
        """The weights of one view."""
        first, last = int(self.first_of_view[index]), int(self.first_of_view[index + 1])
        entry, end = int(self.starts[first]), int(self.starts[last])
        counts = self.n_columns[index]
        crossed = np.flatnonzero(counts)
        planes = np.stack([self.first_column[index], counts])[:, crossed].T.tolist()
        return Rays(
            self.cells[entry:end],
            self.weights[entry:end],
            torch.from_numpy((self.starts[first:last] - entry).astype(np.int32)),
            [(first_column, count) for first_column, count in planes],
            self.columns[first:last],
            self.nodes[first:last],
            self.upper_share[first:last],
        )


def _innermost(values: Float[Tensor, "phase x y z"]) -> Float[Tensor, "x y phase_z"]:
    """Every state of breathing side by side along the innermost dimension: one product serves them all."""
    phases, nx, ny, nz = values.shape
    return values.permute(1, 2, 0, 3).clone(memory_format=torch.contiguous_format).view(nx, ny, phases * nz)


def _support(
    sources: Float[Tensor, "x y inner"], losses: Float[Tensor, "x y inner"]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Where [x, y] there is activity in any slice, and where activity or matter."""
    emitting = sources.amax(-1) > 0
    return emitting.numpy(), (emitting | (losses.amin(-1) < 0)).numpy()


def _attenuate(emission: Float[Tensor, "place inner"], losses: Float[Tensor, "place inner"], rays: Rays) -> None:
    """Weaken what is seen, in place, by ``exp(-integral of mu)`` along the ray to the detector.

    `losses` are half the exponent of each place, and are used up: it is crossed by half on the way out of itself. What
    remains is multiplied up half a plane at a time.
    """
    transmission = losses.new_ones(max((first + count for first, count in rays.planes), default=0), losses.shape[1])
    counts = [count for _, count in rays.planes]
    for (first, count), shining, half in zip(
        rays.planes, torch.split(emission, counts), torch.split(losses.exp_(), counts), strict=True
    ):
        along = transmission[first : first + count]
        along.mul_(half)
        shining.mul_(along)
        along.mul_(half)


def _places(
    camera: GammaCamera, support: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]], blur: DetectorResponse
) -> VoxelPlaces:
    """Find where the rays of every view cross the planes of the grid inside the patient, and what falls there."""
    spacing, (nx, ny, _) = camera.grid.spacing_mm[0], camera.grid.shape
    towards, right, n_fine = camera.towards, camera.rightwards, blur.n_fine
    n_views, n_planes = len(towards), max(nx, ny)
    # the axis that the rays run along most nearly numbers the planes, the other one lies across
    main = (np.abs(towards[:, 1]) >= np.abs(towards[:, 0])).astype(np.int64)
    view = np.arange(n_views)
    size = np.array([nx, ny])
    origin = camera.grid.affine[:2, 3] - np.asarray(camera.axis_mm)
    order = np.arange(n_planes)[None, :]
    plane = np.where(towards[view, main][:, None] > 0, size[main][:, None] - 1 - order, order)
    # column coordinate, in fine columns from the left edge of column 0, of cross index u: offset + u * slope
    slope = right[view, 1 - main]
    along_plane = origin[main][:, None] + plane * spacing
    offset = (along_plane * right[view, main][:, None] + (origin[1 - main] * slope)[:, None]) / spacing + n_fine / 2
    low, high, deepest = _extent(support, main, plane)
    ends = np.sort(offset + slope[:, None] * np.stack([low - 0.5, high + 0.5]), axis=0)
    first = np.clip(np.floor(ends[0] + 1e-9), 0, n_fine).astype(np.int64)
    count = np.clip(np.ceil(ends[1] - 1e-9), 0, n_fine).astype(np.int64) - first
    count = np.where((high >= low) & (order <= deepest[:, None]), np.maximum(count, 0), 0)

    flat = count.ravel()
    n_places = int(flat.sum())
    column = np.repeat(first.ravel() - (np.cumsum(flat) - flat), flat) + np.arange(n_places)
    crossing = np.repeat(np.arange(flat.size), flat)
    of_view = crossing // n_planes
    # the stretch [u, u + width] of the plane that falls on the column
    width = 1.0 / np.abs(slope)
    edge = column + (slope < 0)[of_view]
    start = (edge - offset.ravel()[crossing]) / slope[of_view]
    cells, weights, starts = _overlaps(start, width[of_view], plane.ravel()[crossing], main[of_view], (nx, ny))
    across_mm = origin[1 - main][of_view] + (start + 0.5 * width[of_view]) * spacing
    depth_mm = along_plane.ravel()[crossing] * towards[view, main][of_view]
    depth_mm += across_mm * towards[view, 1 - main][of_view]
    variances = camera.variance_mm2(camera.radii_mm[of_view] - depth_mm)
    nodes, upper_share = blur.between(variances)
    per_view = count.sum(1)
    return VoxelPlaces(
        torch.from_numpy(cells),
        torch.from_numpy(weights.astype(np.float32)),
        starts,
        np.concatenate([[0], np.cumsum(per_view)]),
        count,
        first,
        column,
        nodes,
        upper_share,
    )


def _extent(
    support: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]], main: Indices, plane: Indices
) -> tuple[Indices, Indices, Indices]:
    """First and last cross index of what is in each plane [view, plane], and the last plane with activity [view]."""
    emitting, present = support
    n_planes = plane.shape[1]
    low = np.full((2, n_planes), 1)
    high = np.full((2, n_planes), 0)
    active = np.zeros((2, n_planes), dtype=bool)
    for axis in (0, 1):
        rows = present if axis == 0 else present.T
        n, size = rows.shape
        some = rows.any(1)
        low[axis, :n] = np.where(some, rows.argmax(1), 1)
        high[axis, :n] = np.where(some, size - 1 - rows[:, ::-1].argmax(1), 0)
        active[axis, :n] = (emitting if axis == 0 else emitting.T).any(1)
    valid = (plane >= 0) & (plane < np.array(present.shape)[main][:, None])
    which = np.clip(plane, 0, n_planes - 1)
    across = main[:, None]
    deepest = np.where(active[across, which] & valid, np.arange(n_planes), -1).max(1)
    return np.where(valid, low[across, which], 1), np.where(valid, high[across, which], 0), deepest


def _overlaps(
    start: Array, width: Array, plane: Indices, main: Indices, size: tuple[int, int]
) -> tuple[npt.NDArray[np.int32], Array, Indices]:
    """Voxels under stretches of planes, and what part of each voxel.

    Args:
        start, width: of each stretch, in voxels; at most sqrt(2) wide, so that three voxels hold it.
        plane: index of its plane.
        main: 1 for a plane of constant y, 0 of constant x.
        size: number of voxels along x and y.

    Returns:
        Voxels as ``x * ny + y``, their overlaps, and where each stretch begins, with the end of the last.
    """
    nx, ny = size
    first = np.floor(start + 0.5)
    end, face = start + width, first + 0.5
    reach = np.empty((len(start), 3))
    np.subtract(np.minimum(end, face), start, out=reach[:, 0])
    np.subtract(np.minimum(end, face + 1.0), face, out=reach[:, 1])
    np.subtract(end, face + 1.0, out=reach[:, 2])
    cell = first.astype(np.int32)[:, None] + np.arange(3, dtype=np.int32)
    along_x = main == 1
    inside = (reach > 1e-6) & (cell >= 0) & (cell < np.where(along_x, nx, ny).astype(np.int32)[:, None])
    stride = np.where(along_x, ny, 1).astype(np.int32)
    index = cell * stride[:, None] + (plane * np.where(along_x, 1, ny)).astype(np.int32)[:, None]
    starts = np.concatenate([[0], np.cumsum(inside.sum(1))])
    return np.asarray(index[inside], dtype=np.int32), reach[inside], starts


@dataclass(frozen=True, eq=False)
class DetectorResponse:
    """Resolution and binning: from fine columns and slices to the pixels of the detector.

    A place is shared between the two nearest of a few widths so that its variance is right; what belongs to one width
    is added up first and blurred once.

    Attributes:
        nodes_mm2: increasing variances; a single 0 without a collimator.
        rows: [node, slice, row] what part of a slice each detector row gets.
        columns: [slant, column, node * fine column] what part of a fine column each detector column gets.
        n_fine: number of fine columns, as wide as voxels, around the axis of rotation.
        slices: the first and, exclusively, the last slice that can be seen.
    """

    nodes_mm2: Array
    rows: Float[Tensor, "node slice row"]
    columns: Float[Tensor, "slant column node_fine"]
    n_fine: int
    slices: tuple[int, int]

    def between(self, variances_mm2: Array) -> tuple[Indices, Array]:
        """The node below each variance, and how much of the one above to take."""
        if len(self.nodes_mm2) == 1:
            return np.zeros(len(variances_mm2), dtype=np.int64), np.zeros(len(variances_mm2))
        lower = np.clip(np.searchsorted(self.nodes_mm2, variances_mm2) - 1, 0, len(self.nodes_mm2) - 2)
        step = np.diff(self.nodes_mm2)
        return lower, np.clip((variances_mm2 - self.nodes_mm2[lower]) / step[lower], 0.0, 1.0)

    def view(
        self, slant: int, emission: Float[Tensor, "place phase_z"], rays: Rays, shares: Float[Tensor, " phase"]
    ) -> Float[Tensor, "row column"]:
        """Add up the states of breathing and the depths of one view, blur and bin."""
        n_slices, n_rows = self.rows.shape[1:]
        n_phases = len(shares)
        node, last = int(rays.nodes.min()), min(int(rays.nodes.max()) + 2, len(self.rows))
        bag = np.concatenate([rays.nodes, rays.nodes + 1]) - node
        bag = bag * self.n_fine + np.tile(rays.columns, 2)
        weight = np.concatenate([1.0 - rays.upper_share, rays.upper_share])
        used = np.flatnonzero(weight > 1e-7)
        # 16 bits sort by radix
        order = np.argsort(bag[used].astype(np.int16), kind="stable")
        place = (used % len(rays.columns))[order]
        entries = torch.from_numpy((place[:, None] * n_phases + np.arange(n_phases)).ravel().astype(np.int32))
        weights = torch.from_numpy(weight[used][order]).to(emission.dtype)[:, None] * shares
        starts = np.cumsum(np.bincount(bag[used] + 1, minlength=(last - node) * self.n_fine + 1))[:-1] * n_phases
        collected = torch.nn.functional.embedding_bag(
            entries,
            emission.view(-1, n_slices),
            torch.from_numpy(starts.astype(np.int32)),
            mode="sum",
            per_sample_weights=weights.view(-1),
        )
        rows = torch.bmm(collected.view(-1, self.n_fine, n_slices), self.rows[node:last].to(emission.dtype))
        columns = self.columns[slant, :, node * self.n_fine : last * self.n_fine].to(emission.dtype)
        return (columns @ rows.view(-1, n_rows)).T


def _blur_of(camera: GammaCamera) -> DetectorResponse:
    grid = camera.grid
    return _blur(
        camera.collimator,
        # in steps, so that patients on different orbits share the matrices
        100.0 * math.ceil((np.max(camera.radii_mm) + math.hypot(*grid.extent_mm[:2]) / 2) / 100.0),
        (grid.spacing_mm[2], float(grid.affine[2, 3]) - camera.middle_z_mm, grid.shape[2]),
        (camera.n_rows, camera.n_columns, camera.pixel_mm, camera.centre_mm),
    )


@functools.lru_cache(maxsize=8)
def _blur(
    collimator: Collimator | None,
    reach_mm: float,
    slices: tuple[float, float, int],
    detector: tuple[int, int, float, float],
) -> DetectorResponse:
    """Matrices for sources up to `reach_mm` away; `slices` are spacing, z of the first from the middle, number.

    `detector` is rows, columns, pixel, and where the axis of rotation is seen from the middle of the columns.
    """
    spacing, first_z, n_slices = slices
    n_rows, n_columns, pixel, centre = detector
    nodes = np.zeros(1)
    if collimator is not None:
        nearest, farthest = (collimator.fwhm_mm([0.0, reach_mm]) / FWHM_PER_SIGMA) ** 2
        n_nodes = 2 + math.ceil(math.log(farthest / nearest) / math.log(_NODE_RATIO))
        nodes = np.geomspace(nearest, farthest, n_nodes)
    margin = _REACH_SIGMAS * math.sqrt(nodes[-1]) + spacing
    n_fine = math.ceil((n_columns * pixel + 2 * (margin + abs(centre))) / spacing)
    z = first_z + (np.arange(n_slices + 1) - 0.5) * spacing
    half = n_rows * pixel / 2 + margin
    in_reach = np.flatnonzero((z[1:] > -half) & (z[:-1] < half))
    first, last = (int(in_reach[0]), int(in_reach[-1]) + 1) if len(in_reach) else (0, 1)
    row_edges = (n_rows / 2 - np.arange(n_rows + 1)) * pixel
    rows = np.stack([-_shared(z[first : last + 1], row_edges, variance) for variance in nodes])
    fine_edges = (np.arange(n_fine + 1) - n_fine / 2) * spacing
    column_edges = (np.arange(n_columns + 1) - n_columns / 2) * pixel - centre
    columns = []
    for cosine_squared in _SLANTS:
        # the fine columns spread a shadow as wide as cosine voxels twice by their own width; a voxel is one wide
        artefact = (1.0 + cosine_squared) * spacing**2 / 12.0
        parts = [_shared(fine_edges, column_edges, max(variance - artefact, 0.0)) for variance in nodes]
        columns.append(np.concatenate(parts).T)
    return DetectorResponse(
        nodes,
        torch.from_numpy(rows.astype(np.float32)),
        torch.from_numpy(np.stack(columns).astype(np.float32)),
        n_fine,
        (first, last),
    )


def _shared(source_edges: npt.NDArray[Any], pixel_edges: npt.NDArray[Any], variance: float) -> Array:
    """What part of each uniform source [source] lands in each pixel [pixel] after blur by a Gaussian, in closed form.

    Negative where the pixels' edges fall; the overlap of the intervals for a variance of 0.
    """
    distance = np.asarray(pixel_edges[None, :] - source_edges[:, None], dtype=np.float64)
    if variance > 0:
        sigma = math.sqrt(variance)
        scaled = distance / sigma
        distance = distance * ndtr(scaled) + sigma * np.exp(-0.5 * scaled**2) / math.sqrt(2.0 * math.pi)
    else:
        distance = np.maximum(distance, 0.0)
    return np.asarray(-np.diff(np.diff(distance, axis=1), axis=0) / np.diff(source_edges)[:, None])
