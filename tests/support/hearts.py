"""A left ventricle painted from directions of the patient, without the package's own idea of its walls."""

from __future__ import annotations

import numpy as np

from mureg.geometry import Grid, Quantity, Volume
from mureg.heart.ventricle import LeftVentricle
from support.phantoms import voxel_points

APEX = np.array([0.70, -0.50, -0.45]) / np.linalg.norm([0.70, -0.50, -0.45])
CENTRE_MM = (40.0, -30.0, 12.0)
LENGTH_MM, RADIUS_MM, WALL_MM = 92.0, 32.0, 11.0
VENTRICLE = LeftVentricle(CENTRE_MM, tuple(APEX.tolist()), LENGTH_MM, RADIUS_MM, WALL_MM)
GRID = Grid.centred((48, 48, 48), (3.4, 3.4, 3.4), (38.0, -26.0, 10.0))

TOWARD = {
    "anterior": np.array([0.0, 0.0, 1.0]),  # the head
    "inferior": np.array([0.0, 0.0, -1.0]),  # the feet
    "lateral": np.array([1.0, 1.6, 0.0]),  # left and back
    "septal": np.array([-1.0, -1.6, 0.0]),  # right and front, where the right ventricle lies
}
"""Where in the patient the four walls look, from the long axis."""


def wall_share(grid: Grid = GRID, apex: np.ndarray = APEX) -> np.ndarray:
    """1 in the wall, soft over a voxel: half an ellipsoid towards the apex, a tube behind it, cut at the base."""
    offset = voxel_points(grid) - np.asarray(CENTRE_MM)
    along = offset @ apex + LENGTH_MM / 2
    across = np.sqrt(np.maximum((offset**2).sum(-1) - (offset @ apex) ** 2, 0.0))

    def inside(radius: float, length: float) -> np.ndarray:
        cap = length - 0.3 * LENGTH_MM
        ahead = np.maximum(along - 0.3 * LENGTH_MM, 0.0) / cap
        size = np.hypot(across / radius, ahead)
        depth_mm = (1.0 - size) * size / np.maximum(np.hypot(across / radius**2, ahead / cap), 0.2 / radius)
        return 1.0 / (1.0 + np.exp(-np.clip(depth_mm, -30, 30)))

    base = 1.0 / (1.0 + np.exp(-np.clip(along, -30, 30)))
    return inside(RADIUS_MM, LENGTH_MM) * (1.0 - inside(RADIUS_MM - WALL_MM, LENGTH_MM - WALL_MM)) * base


def wall_volume(grid: Grid = GRID, apex: np.ndarray = APEX) -> Volume:
    return Volume.from_numpy(wall_share(grid, apex), grid, Quantity.ACTIVITY)


def with_defect(wall: str, uptake: float = 0.3) -> Volume:
    """The wall at full uptake, except for the half quarter around the direction in which one wall looks."""
    offset = voxel_points(GRID) - np.asarray(CENTRE_MM)
    across = offset - (offset @ APEX)[..., None] * APEX
    direction = TOWARD[wall] - (TOWARD[wall] @ APEX) * APEX
    cosine = across @ direction / np.linalg.norm(direction) / np.maximum(np.linalg.norm(across, axis=-1), 1e-9)
    values = wall_share() * np.where(cosine > np.cos(np.radians(35.0)), uptake, 1.0)
    return Volume.from_numpy(values, GRID, Quantity.ACTIVITY)
