"""The objects in which scatter is compared with a Monte Carlo, and the numbers stored for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mureg.geometry import Grid, Quantity, Volume
from mureg.spect import EnergyWindow
from support.phantoms import chest, ellipsoid, voxel_points

REFERENCE = Path(__file__).parents[1] / "referees" / "data" / "scatter_monte_carlo.npz"
ANGLES = (0.0, 90.0, 180.0, 270.0)
WINDOWS = (EnergyWindow(126.5, 154.5, "photopeak"), EnergyWindow(114.0, 126.0, "lower"))
PIXEL_MM, N, BINNED = 6.8, 64, 4
GRID = Grid.centred((N, N, N), (PIXEL_MM,) * 3)


@dataclass(frozen=True)
class Case:
    """Activity, normalised to 1 in all, and attenuation on `GRID`."""

    activity: Volume
    mu: Volume


def cases() -> dict[str, Case]:
    points = voxel_points(GRID)
    radius = np.hypot(points[..., 0], points[..., 1])
    cylinder = 0.154 * ((radius < 110) & (np.abs(points[..., 2]) < 120))
    ball = ellipsoid(points, (55.0, 20.0, 10.0), (16.0, 16.0, 16.0))
    body, mu = chest(points)
    heart = ellipsoid(points, (38, -32, 12), (50, 42, 46), 5.0) - ellipsoid(points, (32, -24, 14), (32, 28, 30), 5.0)
    large_body, large_mu = chest(points * 0.8)
    return {
        "ball in a cylinder": _case(ball, cylinder),
        "chest": _case(body, mu),
        "heart alone in the chest": _case(np.clip(heart, 0, None), mu),
        "large chest": _case(large_body, large_mu),
    }


def _case(activity: np.ndarray, mu: np.ndarray) -> Case:
    return Case(
        Volume.from_numpy(activity / activity.sum(), GRID, Quantity.ACTIVITY),
        Volume.from_numpy(mu, GRID, Quantity.MU_PER_CM),
    )


def binned(views: np.ndarray, by: int = BINNED) -> np.ndarray:
    """Sum blocks of detector pixels [..., row, column]."""
    *rest, rows, columns = views.shape
    return views.reshape(*rest, rows // by, by, columns // by, by).sum((-3, -1))
