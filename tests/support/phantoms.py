"""Objects whose truth is known in closed form, painted on any lattice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.spect import Acquisition, EnergyWindow, SystemModel

Array = npt.NDArray[np.float64]

PHOTOPEAK = EnergyWindow(126.5, 154.5, "photopeak")


def voxel_points(grid: Grid) -> Array:
    """Centres of all voxels [x, y, z, 3] in mm."""
    return grid.points(np.moveaxis(np.indices(grid.shape), 0, -1))


def oblique_grid(
    shape=(20, 22, 18), spacing_mm=(3.0, 2.5, 4.0), angles_deg=(12.0, -20.0, 35.0), centre_mm=(5.0, -8.0, 11.0)
) -> Grid:
    """A lattice in general position, its middle at a stated place."""
    axes = RigidTransform.from_six((0, 0, 0), angles_deg, (0, 0, 0)).matrix[:3, :3] * np.asarray(spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = np.asarray(centre_mm) - axes @ ((np.asarray(shape) - 1) / 2)
    return Grid(shape, affine)


def blobs(points: Array, sigma_mm: float = 12.0) -> Array:
    """A smooth object without any symmetry: three Gaussians of different brightness."""
    centres = np.array([[0.0, 0.0, 0.0], [22.0, 5.0, -8.0], [-6.0, 18.0, 14.0]])
    weights = (1.0, 0.6, 0.35)
    return sum(
        w * np.exp(-((points - c) ** 2).sum(-1) / (2 * sigma_mm**2)) for w, c in zip(weights, centres, strict=True)
    )


def ellipsoid(points: Array, centre_mm, semi_axes_mm, edge_mm: float = 0.0) -> Array:
    """1 inside, 0 outside; with `edge_mm` a smooth edge of about that width."""
    semi = np.asarray(semi_axes_mm, dtype=np.float64)
    radius = np.sqrt((((points - np.asarray(centre_mm)) / semi) ** 2).sum(-1))
    if edge_mm == 0.0:
        return (radius <= 1.0).astype(np.float64)
    depth_mm = (1.0 - radius) * semi.min()
    return 1.0 / (1.0 + np.exp(-np.clip(4.0 * depth_mm / edge_mm, -60, 60)))


def chest(points: Array, edge_mm: float = 5.0) -> tuple[Array, Array]:
    """Activity and attenuation (1/cm) of a chest about the origin: x to its left, y to its back, z to its head.

    Torso, two lungs of different size, spine, liver on the right below, and a heart on the left whose wall is a shell
    open towards the base (back and right).
    """
    torso = ellipsoid(points, (0, 0, 0), (165, 105, 260), edge_mm)
    right_lung = ellipsoid(points, (-75, 0, 45), (52, 72, 105), edge_mm)
    left_lung = ellipsoid(points, (82, 10, 50), (42, 66, 95), edge_mm)
    heart = ellipsoid(points, (38, -32, 12), (50, 42, 46), edge_mm)
    cavity = ellipsoid(points, (32, -24, 14), (32, 28, 30), edge_mm)
    liver = ellipsoid(points, (-58, -12, -72), (78, 68, 52), edge_mm)
    spine = ellipsoid(points, (0, 78, 0), (18, 18, 400), edge_mm)
    lungs = np.clip(right_lung + left_lung, 0, 1) * (1 - heart) * (1 - liver)
    mu = torso * (0.15 - 0.115 * lungs) + 0.06 * spine * torso
    wall = heart * (1 - cavity)
    activity = torso * (0.05 - 0.02 * lungs) + wall * 0.95 + 0.05 * cavity + liver * (1 - heart) * 0.45
    return activity, mu


def mu_volume(grid: Grid, ct_from_spect: RigidTransform | None = None) -> Volume:
    """The attenuation map of a chest that lies, in the CT, at ``ct_from_spect`` of its place in SPECT."""
    spect_from_ct = (ct_from_spect or RigidTransform.identity()).inverse()
    mu = chest(spect_from_ct.apply(voxel_points(grid)))[1]
    return Volume.from_numpy(mu, grid, Quantity.MU_PER_CM)


def centroid_mm(values: npt.ArrayLike, grid: Grid) -> Array:
    """Centre of mass in mm."""
    weights = np.asarray(values, dtype=np.float64)
    return np.einsum("xyz,xyzc->c", weights, voxel_points(grid)) / weights.sum()


def camera(
    angles_deg: npt.ArrayLike,
    rows: int = 16,
    columns: int = 16,
    pixel_mm: tuple[float, float] = (6.8, 6.8),
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    counts: npt.NDArray[Any] | None = None,
    dtype: npt.DTypeLike = np.float64,
) -> Acquisition:
    """A single-window acquisition, empty unless counts [view, row, column] are given."""
    angles = np.asarray(angles_deg, dtype=np.float64)
    if counts is None:
        counts = np.zeros((len(angles), rows, columns), dtype=dtype)
    return Acquisition(counts[None], (PHOTOPEAK,), 0, angles, pixel_mm, centre_mm)


def orbit(n_views: int, arc_deg: float, start_deg: float = 135.0, clockwise: bool = False) -> Array:
    """Equally spaced DICOM angles; counter-clockwise is increasing."""
    steps = np.arange(n_views) * arc_deg / n_views
    return (start_deg - steps if clockwise else start_deg + steps) % 360.0


def measured(activity: npt.NDArray[Any], acquisition: Acquisition, mu: Volume | None = None) -> Acquisition:
    """The noise-free acquisition of an activity on `acquisition.grid()`."""
    counts = SystemModel(acquisition, acquisition.grid(), mu).project(activity)
    return camera(
        acquisition.angles_deg,
        pixel_mm=acquisition.pixel_mm,
        centre_mm=acquisition.centre_mm,
        counts=counts,
    )
