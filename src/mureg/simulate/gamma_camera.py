"""What a parallel-hole gamma camera sees of a breathing patient: the photons that come straight from the tracer.

Each view follows its rays plane by plane of the voxel grid, along whichever axis they run most nearly, and gives every
voxel to the fine columns on which its shadow falls (distance-driven projection: De Man and Basu, Phys Med Biol 2004).
Photons are conserved to rounding at any angle, and the same weights carry the attenuation along a ray. The blur of the
collimator, the sum along the depth and the binning onto the detector's pixels are one product of matrices. The width
of the collimator's blur is all that is shared with the system model that reconstructs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.errors import GeometryError
from mureg.geometry import Grid
from mureg.simulate.collimators import GE_LEHR
from mureg.simulate.detector_response import SLANTS, DetectorResponse, response_of
from mureg.simulate.rays import Array, Rays, VoxelPlaces, extent_of, overlaps
from mureg.spect.collimator import FWHM_PER_SIGMA, Collimator


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
        slants = np.rint(np.interp((self.towards**2).max(1), SLANTS, np.arange(len(SLANTS)))).astype(int)
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
    low, high, deepest = extent_of(support, main, plane)
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
    cells, weights, starts = overlaps(start, width[of_view], plane.ravel()[crossing], main[of_view], (nx, ny))
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


def _blur_of(camera: GammaCamera) -> DetectorResponse:
    grid = camera.grid
    return response_of(
        camera.collimator,
        # in steps, so that patients on different orbits share the matrices
        100.0 * math.ceil((np.max(camera.radii_mm) + math.hypot(*grid.extent_mm[:2]) / 2) / 100.0),
        (grid.spacing_mm[2], float(grid.affine[2, 3]) - camera.middle_z_mm, grid.shape[2]),
        (camera.n_rows, camera.n_columns, camera.pixel_mm, camera.centre_mm),
    )
