"""A chest with a spine, its vertebrae a stated distance apart: 1/cm, x to the left, y to the back, z to the head."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mureg.geometry import Grid, Quantity, Volume

Array = npt.NDArray[np.float64]

WATER, LUNG, BONE = 0.154, 0.04, 0.20
LUNG_BASE_MM = -90.0
_CANAL_Y_MM = 52.0


def tiers(z: Array, lowest_mm: float, growth: float) -> Array:
    """Number of the vertebra at a height, 0 at the base of the lungs; each is lower than the one below by `growth`.

    The vertebra at number n is lowest_mm (1 - growth n) high, so its place is the integral of that over n.
    """
    numbers = np.linspace(-8.0, 18.0, 5201)
    places = LUNG_BASE_MM + lowest_mm * (numbers - growth * numbers**2 / 2)
    return np.interp(z, places, numbers)


def chest_with_spine(
    slice_mm: float, lowest_mm: float, growth: float = 0.03, *, length_mm: float = 330.0, noise: float = 0.0
) -> Volume:
    """Two lungs, a vertebral column with its canal, and rib heads beside every vertebra.

    Args:
        slice_mm: slice spacing; each slice is the mean over its thickness.
        lowest_mm: height of the vertebra at the base of the lungs; 0 for a column without rib heads.
        growth: see `tiers`.
        length_mm: of the scan, centred.
        noise: standard deviation, 1/cm.
    """
    fine = 5
    n = round(length_mm / slice_mm)
    grid = Grid.centred((80, 64, n), (4.0, 4.0, slice_mm))
    x, y = (grid.affine[k, 3] + np.arange(grid.shape[k]) * 4.0 for k in (0, 1))
    x, y = x[:, None, None], y[None, :, None]
    z = ((np.arange(n * fine) + 0.5) / fine - n / 2) * slice_mm
    mu = np.where((x / 150.0) ** 2 + (y / 105.0) ** 2 < 1.0, WATER, 0.0) * np.ones_like(z)
    for side in (-1.0, 1.0):
        lung = ((x - side * 72.0) / 52.0) ** 2 + (y / 80.0) ** 2 < 1.0
        mu[lung & (z > LUNG_BASE_MM) & (z < 150.0)] = LUNG
    behind = y - _CANAL_Y_MM
    ring = np.hypot(x, behind)
    column = ((ring > 8.0) & (ring < 16.0)) | ((x / 16.0) ** 2 + ((behind + 26.0) / 15.0) ** 2 < 1.0)
    mu[np.broadcast_to(column, mu.shape)] = BONE
    if lowest_mm > 0.0:
        number = tiers(z, lowest_mm, growth)
        rib_head = (np.abs(number - np.round(number)) < 0.22) & (np.abs(x) > 15.0) & (np.abs(x) < 38.0)
        mu[rib_head & (behind > -14.0) & (behind < 6.0)] = BONE
    values = mu.reshape(80, 64, n, fine).mean(-1)
    values += np.random.default_rng(5).normal(0.0, noise, values.shape) * (values > 0.0) if noise else 0.0
    return Volume.from_numpy(values.clip(0.0).astype(np.float32), grid, Quantity.MU_PER_CM)


def with_slices_of(volume: Volume, factor: float) -> Volume:
    """The same pixels under a header whose slice spacing is wrong by a factor."""
    affine = volume.grid.affine @ np.diag([1.0, 1.0, factor, 1.0])
    return Volume(volume.values, Grid(volume.grid.shape, affine), volume.quantity, volume.outside)
