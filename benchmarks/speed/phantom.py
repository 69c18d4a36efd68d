"""An asymmetric chest of ellipsoids: no flip or turn of it looks like itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

# centre and semi-axes x, y, z (mm, LPS+), activity (counts per voxel and view), mu (1/cm); later ones win
CHEST = np.array([
    [5, 8, 0, 165, 112, 900, 0.05, 0.15],  # body, leaves the field at head and feet
    [-72, -8, 38, 50, 66, 112, 0.03, 0.04],  # right lung
    [77, 2, 46, 46, 60, 104, 0.03, 0.04],  # left lung
    [4, 82, 0, 19, 21, 900, 0.05, 0.25],  # spine
    [-52, -18, -96, 78, 66, 52, 0.60, 0.15],  # liver
    [46, -46, 4, 39, 34, 44, 1.00, 0.15],  # left ventricle, wall
    [50, -49, 10, 27, 22, 33, 0.10, 0.15],  # left ventricle, cavity
])  # fmt: skip


def paint(ellipsoids: Array, n: int, voxel_mm: float) -> tuple[Array, Array]:
    """Activity and attenuation [x, y, z] of ellipsoids on a cube of n^3 voxels centred on the origin."""
    axis = (np.arange(n) - 0.5 * (n - 1)) * voxel_mm
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    activity, mu = np.zeros((n, n, n), np.float32), np.zeros((n, n, n), np.float32)
    for row in ellipsoids:
        inside = (((points - row[0:3]) / row[3:6]) ** 2).sum(axis=-1) < 1.0
        activity[inside], mu[inside] = row[6], row[7]
    return activity, mu
