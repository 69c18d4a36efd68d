"""A patient on a table in closed form: an elliptic trunk with lungs, heart and spine, in HU."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mureg.geometry import Grid, Quantity, Volume
from support.phantoms import voxel_points

Array = npt.NDArray[np.float64]

TRUNK_MM = (160.0, 105.0)
TABLE_HU, TABLE_MM, TABLE_HALF_WIDTH_MM = 150.0, 4.0, 200.0
SPINE_MM = (0.0, 62.0)
HEART_MM, HEART_SEMI_MM = (30.0, -30.0, 0.0), (45.0, 40.0, 40.0)


def ct_grid(shape=(140, 120, 24), spacing_mm=(3.0, 3.0, 5.0)) -> Grid:
    return Grid.centred(shape, spacing_mm)


def trunk_ml(grid: Grid) -> float:
    return np.pi * TRUNK_MM[0] * TRUNK_MM[1] * grid.extent_mm[2] / 1000.0


def inside_trunk(points: Array) -> npt.NDArray[np.bool_]:
    return (points[..., 0] / TRUNK_MM[0]) ** 2 + (points[..., 1] / TRUNK_MM[1]) ** 2 <= 1.0


def spine(points: Array) -> npt.NDArray[np.bool_]:
    """Vertebral body ahead of a canal of 17 mm, and the arch around it."""
    x, y = points[..., 0] - SPINE_MM[0], points[..., 1] - SPINE_MM[1]
    canal = np.hypot(x, y) < 8.5
    arch = np.hypot(x, y) < 15.0
    body = (x / 18.0) ** 2 + ((y + 23.0) / 16.0) ** 2 < 1.0
    return (arch | body) & ~canal


def heart(points: Array) -> npt.NDArray[np.bool_]:
    return (((points - np.asarray(HEART_MM)) / HEART_SEMI_MM) ** 2).sum(-1) < 1.0


def patient_hu(points: Array, blood_hu: float = 50.0) -> Array:
    """HU at points; air outside the trunk. Ribs stand around the lungs as a shell of bone, 8 mm thick."""
    x, y, _ = np.moveaxis(points, -1, 0)
    hu = np.full(points.shape[:-1], -1000.0)
    hu[inside_trunk(points)] = 40.0
    lungs = (((np.abs(x) - 70.0) / 55.0) ** 2 + ((y + 5.0) / 75.0) ** 2) < 1.0
    cage = (((np.abs(x) - 70.0) / 72.0) ** 2 + ((y + 5.0) / 92.0) ** 2) < 1.0
    shell = cage & ~((((np.abs(x) - 70.0) / 64.0) ** 2 + ((y + 5.0) / 84.0) ** 2) < 1.0)
    hu[shell & inside_trunk(points) & (np.abs(x) > 60.0)] = 500.0
    hu[lungs] = -800.0
    hu[spine(points)] = 350.0
    hu[heart(points)] = blood_hu
    return hu


def table(points: Array, gap_mm: float = 0.0, prone: bool = False) -> npt.NDArray[np.bool_]:
    """Two flat shells 4 mm thick and 40 mm apart, the nearer one `gap_mm` from the trunk."""
    x, y, _ = np.moveaxis(points, -1, 0)
    below = (-y if prone else y) - TRUNK_MM[1] - gap_mm
    upper = (below > 0.0) & (below <= TABLE_MM)
    lower = (below > 40.0) & (below <= 40.0 + TABLE_MM)
    return (upper | lower) & (np.abs(x) < TABLE_HALF_WIDTH_MM)


def ct(grid: Grid, blood_hu: float = 50.0, gap_mm: float = 3.0, prone: bool = False) -> Volume:
    points = voxel_points(grid)
    hu = patient_hu(points, blood_hu)
    hu[table(points, gap_mm, prone)] = TABLE_HU
    return Volume.from_numpy(hu, grid, Quantity.HU)
