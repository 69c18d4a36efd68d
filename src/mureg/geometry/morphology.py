"""Which voxels lie near a mask: unions of shifted copies, over a few voxels ten times faster than distances."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def within(mask: Mask, reach_mm: float, spacing_mm: npt.NDArray[np.float64]) -> Mask:
    """The voxels at most `reach_mm` from a mask [x, y, z].

    The ball is applied one row along x at a time, from a copy already spread that far along x. The copies are flat, and
    padded so that no shift leaves its row.
    """
    shape = ball(reach_mm, spacing_mm)
    reach = np.asarray(shape.shape) // 2
    padded = np.pad(mask, [(int(n), int(n)) for n in reach])
    per_x, per_y = padded.shape[1] * padded.shape[2], padded.shape[2]
    flat = padded.ravel()
    spread, result = flat.copy(), np.zeros_like(flat)
    for x in range(reach[0] + 1):
        _add_shifted(spread, flat, x * per_x)
        rows = np.argwhere(shape.sum(0) == 2 * x + 1) - reach[1:]
        for shift in (rows @ (per_y, 1)).tolist():
            if shift >= 0:
                _add_shifted(result, spread, shift)
    middle = tuple(slice(n, n + size) for n, size in zip(reach, mask.shape, strict=True))
    return np.asarray(result.reshape(padded.shape)[middle])


def eroded(mask: Mask, depth_mm: float, spacing_mm: npt.NDArray[np.float64]) -> Mask:
    """Erosion of a mask by a ball of radius `depth_mm`; voxels beyond the array count as inside the mask."""
    return np.asarray(~within(~mask, depth_mm, spacing_mm))


def dilated(mask: Mask) -> Mask:
    """Dilation of a mask by one voxel in each slice (four neighbours)."""
    return within(mask, 1.0, in_slices(np.ones(3)))


def in_slices(spacing_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A spacing with slices so far apart that none is near another."""
    return np.asarray((*spacing_mm[:2], 1e6))  # a kilometre


def ball(radius_mm: float, spacing_mm: npt.ArrayLike) -> Mask:
    """The voxels within a distance of the middle one."""
    axes = np.ogrid[tuple(slice(-int(radius_mm / s), int(radius_mm / s) + 1) for s in np.asarray(spacing_mm))]
    squares = [(axis * s) ** 2 for axis, s in zip(axes, np.asarray(spacing_mm), strict=True)]
    return np.asarray(sum(squares) <= radius_mm**2 + 1e-6)  # with rounding


def _add_shifted(onto: Mask, flat: Mask, shift: int) -> None:
    onto[shift:] |= flat[: len(flat) - shift]
    onto[: len(flat) - shift] |= flat[shift:]
