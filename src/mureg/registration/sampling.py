"""Trilinear samples of images, with slopes, at many points and for several poses at once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from mureg.geometry import Grid

Array = npt.NDArray[np.float64]

_GOLDEN = 1.2207440846057594759753616853491088
"""Root of x^4 = x + 1: its powers give the low-discrepancy sequence in three dimensions (Roberts 2018)."""


@dataclass(frozen=True, eq=False)
class Sampler:
    """Channels on one lattice, ready to be sampled.

    Within a cell of eight neighbours a trilinear function is a polynomial with eight coefficients. They are computed
    once, side by side in memory, so that a sample is one look-up.

    Attributes:
        coefficients: [cell, channel, 8], of 1, x, y, z, xy, xz, yz, xyz.
        shape: number of voxels with the border of two voxels.
        index_from_mm: 4x4, from LPS+ mm to indices of the voxels with the border.
    """

    coefficients: npt.NDArray[np.float32]
    shape: tuple[int, int, int]
    index_from_mm: Array

    @classmethod
    def of(cls, channels: Float[np.ndarray, "channel x y z"], grid: Grid, beyond: tuple[float | None, ...]) -> Sampler:
        """Prepare images.

        Args:
            channels: on the same lattice.
            grid: of them.
            beyond: value of each channel outside, reached one voxel beyond the outermost centres; None repeats the
                outermost voxels.
        """
        # two voxels: the outermost cells are constant, so that points farther out have no slope
        padded = np.stack(
            [
                np.pad(c, 2, "edge") if filler is None else np.pad(c, 2, constant_values=filler)
                for c, filler in zip(channels, beyond, strict=True)
            ],
            axis=-1,
        ).astype(np.float32)
        corners = np.empty((2, 2, 2, *(n - 1 for n in padded.shape[:3]), padded.shape[3]), np.float32)
        for i, j, k in itertools.product((0, 1), repeat=3):
            corners[i, j, k] = padded[
                i : padded.shape[0] - 1 + i, j : padded.shape[1] - 1 + j, k : padded.shape[2] - 1 + k
            ]
        corners[1] -= corners[0]
        corners[:, 1] -= corners[:, 0]
        corners[:, :, 1] -= corners[:, :, 0]
        order = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1))
        cells = np.stack([corners[o] for o in order], axis=-1)
        matrix = np.asarray(np.linalg.inv(grid.affine), dtype=np.float64)
        matrix[:3, 3] += 2.0
        x, y, z = padded.shape[:3]
        return cls(cells.reshape(-1, *cells.shape[3:]), (x, y, z), matrix)

    def __call__(
        self, points_mm: Float[np.ndarray, "3 ..."]
    ) -> tuple[Float[np.ndarray, "c ..."], Float[np.ndarray, "c 3 ..."]]:
        """Values and their slopes along x, y, z of patient space (1/mm) at points."""
        cell, (x, y, z) = self._cells(points_mm)
        channels = self.coefficients.shape[1]
        flat = self.coefficients.reshape(len(self.coefficients), -1).take(cell.ravel(), axis=0)
        # each coefficient side by side for all points, so that the products below run through memory in order
        by_point = np.ascontiguousarray(flat.T).reshape(channels, 8, *cell.shape)
        c, cx, cy, cz, cxy, cxz, cyz, cxyz = (by_point[:, k] for k in range(8))
        z_part, z_slope = cyz * y + cz, cxyz * y + cxz
        dx = z_slope * z + cxy * y + cx
        dy = (cxyz * z + cxy) * x + cyz * z + cy
        dz = z_slope * x + z_part
        value = dx * x + z_part * z + cy * y + c
        m = self.index_from_mm.astype(np.float32)
        slopes = np.empty((channels, 3, *cell.shape), np.float32)
        for k in range(3):
            slopes[:, k] = dx * m[0, k] + dy * m[1, k] + dz * m[2, k]
        return value, slopes

    def _cells(
        self, points_mm: Float[np.ndarray, "3 ..."]
    ) -> tuple[npt.NDArray[np.int32], list[npt.NDArray[np.float32]]]:
        """The cell of each point, and where the point lies in it along each axis (0 to 1)."""
        m = self.index_from_mm.astype(np.float32)
        x_mm, y_mm, z_mm = points_mm.astype(np.float32, copy=False)
        cell, parts = np.zeros(points_mm.shape[1:], np.int32), []
        for row, n in zip(m[:3], self.shape, strict=True):
            index = row[0] * x_mm + row[1] * y_mm + row[2] * z_mm + row[3]
            # inside the last cell, with rounding in single precision
            np.clip(index, 0.0, n - 1.001, out=index)
            whole = index.astype(np.int32)
            cell *= n - 1
            cell += whole
            parts.append(index - whole.astype(np.float32))
        return cell, parts


def spread_points(grid: Grid, n: int, seed: int = 1) -> Float[np.ndarray, "3 point"]:
    """Points (mm) spread evenly over a lattice, off its voxel centres: a low-discrepancy sequence without chance.

    Args:
        grid: of the lattice.
        n: number of points.
        seed: where the sequence begins; another number gives other points.
    """
    steps = np.arange((seed - 1) * n + 1, seed * n + 1)[:, None] * np.array([_GOLDEN**-1, _GOLDEN**-2, _GOLDEN**-3])
    shares = (0.5 + steps) % 1.0
    return np.ascontiguousarray(grid.points(shares * (np.asarray(grid.shape) - 1)).T)
