"""How alike the places of an image are to a ventricle: correlation with cups of several sizes and directions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from mureg.heart.ventricle import USUAL_WALL_MM
from mureg.jobs.threads import in_threads

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SPACING_MM = 6.8
"""Of the grid on which ventricles are searched: a voxel of a usual SPECT."""
SMOOTHING_MM = 6.0
"""Sigma, of the image and of the cups: 14 mm FWHM, about that of a camera at 25 cm; chosen."""
_FEW_VOXELS = 512
"""Up to so many voxels, one product over all neighbours takes less time than Fourier transforms."""
# 50 to 71 degrees to the left and 13 to 30 down: about what drawn torsos have (40 to 60, 10 to 40)
_LONG_AXES = ((0.70, -0.50, -0.20), (0.60, -0.50, -0.45), (0.85, -0.30, -0.40))
_RADII_MM = (24.0, 30.0)  # of the middle of the wall: 30 and 36 outside, drawn torsos have 28 to 38
_CAVITY, _AROUND = 0.30, 0.05  # relative to the wall, in an image that is not resolved; chosen, no measurement recorded
_AROUND_MM = 14.0  # of the surroundings: two voxels


@dataclass(frozen=True)
class Box:
    """A box of voxels: its first voxels, and where it ends."""

    first: tuple[int, ...]
    end: tuple[int, ...]

    @classmethod
    def around(cls, mask: Mask) -> Box:
        """The smallest box that holds every voxel of a mask."""
        spans = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        return cls(tuple(int(span[0]) for span in spans), tuple(int(span[-1]) + 1 for span in spans))

    @property
    def slices(self) -> tuple[slice, ...]:
        """For indexing."""
        return tuple(itertools.starmap(slice, zip(self.first, self.end, strict=True)))

    def with_margin(self, margin: int) -> tuple[slice, ...]:
        """For indexing an array that has half of a margin more at either end of every axis: the box with its margin."""
        return tuple(slice(part.start, part.stop + margin) for part in self.slices)

    def holds(self, other: Box) -> bool:
        """Whether another box lies in this one."""
        return all(a <= b for a, b in zip(self.first + other.end, other.first + self.end, strict=True))

    def wider(self, by: int, shape: tuple[int, ...]) -> Box:
        """With so many more voxels on every side, as far as there are any."""
        ends = (min(end + by, size) for end, size in zip(self.end, shape, strict=True))
        return Box(tuple(max(first - by, 0) for first in self.first), tuple(ends))


def share_within(mask: Mask, radius_mm: float, box: Box) -> Array:
    """Share of a ball around each voxel of a box that a mask fills, [x, y, z] of the box."""
    offsets_mm = np.linalg.norm(_offsets_mm(radius_mm), axis=-1)
    ball = (offsets_mm <= radius_mm).astype(np.float64)
    padded = np.pad(mask.astype(np.float64), len(ball) // 2)[box.with_margin(len(ball) - 1)]
    return _Transformed(padded, len(ball)).with_kernels([ball / ball.sum()])[0]


def _offsets_mm(reach_mm: float) -> Array:
    """Positions [x, y, z, 3] of a small cube of voxels about its middle."""
    n = int(np.ceil(reach_mm / SPACING_MM))
    steps = (np.indices((2 * n + 1,) * 3).transpose(1, 2, 3, 0) - n).astype(np.float64)
    offsets: Array = steps * SPACING_MM
    return offsets


def _cups(fade_per_mm: float) -> Iterator[tuple[Array, Array]]:
    """Templates of a ventricle and the voxels that each one uses."""
    offsets = _offsets_mm(45.0)  # the largest wall reaches 42 mm; "below" is within 53 degrees of straight down
    downward = offsets[..., 2] < -0.6 * np.linalg.norm(offsets, axis=-1)
    fade = np.exp(fade_per_mm * (0.75 * offsets[..., 0] - 0.65 * offsets[..., 1]))
    for direction in _LONG_AXES:
        axis = np.asarray(direction) / np.linalg.norm(direction)
        along = offsets @ axis
        across = np.sqrt(np.maximum((offsets**2).sum(-1) - along**2, 0.0))
        for radius in _RADII_MM:
            length = 2.2 * radius  # chosen; ventricles have about 3. The centroid of the wall lies near 0.45
            from_base = along + 0.45 * length

            def inside(
                margin: float,
                across: Array = across,
                from_base: Array = from_base,
                radius: float = radius,
                length: float = length,
            ) -> Mask:
                ellipse = (across / (radius + margin)) ** 2 + (from_base / (length + margin)) ** 2
                result: Mask = (from_base >= 0) & (ellipse <= 1.0)
                return result

            cavity, heart = inside(-USUAL_WALL_MM / 2), inside(USUAL_WALL_MM / 2)
            around = inside(USUAL_WALL_MM / 2 + _AROUND_MM) & ~heart & ~downward
            shape = ((heart & ~cavity) + _CAVITY * cavity) * fade + _AROUND * around
            yield (
                ndimage.gaussian_filter(shape, SMOOTHING_MM / SPACING_MM),
                (heart | around).astype(np.float64),
            )


def likeness_in(image: Array, box: Box, fade_per_mm: float) -> Array:
    """Best normalised correlation (-1 to 1) of the cups at the voxels of a box, [x, y, z] of the box."""
    floor = 1e-6 * float(image.max()) ** 2
    templates, windows = zip(*_cups(fade_per_mm), strict=True)
    n_voxels = [window.sum() for window in windows]
    contrasts = [
        (template - (template * window).sum() / n) * window
        for template, window, n in zip(templates, windows, n_voxels, strict=True)
    ]
    size, few = len(windows[0]), int(np.subtract(box.end, box.first).prod()) <= _FEW_VOXELS
    padded = np.pad(image, size // 2, mode="edge")[box.with_margin(size - 1)]
    values, squares = ((_Neighbours if few else _Transformed)(part, size) for part in (padded, padded**2))

    def correlation(cups: slice) -> Array:
        best: Array = np.full(np.subtract(box.end, box.first), -1.0)
        sums, squared = values.with_kernels(windows[cups]), squares.with_kernels(windows[cups])
        alike = values.with_kernels(contrasts[cups])
        for contrast, n, total, square, value in zip(
            contrasts[cups], n_voxels[cups], sums, squared, alike, strict=True
        ):
            spread = np.maximum(square - total**2 / n, 0.0) + floor * n
            np.maximum(best, value / np.sqrt((contrast**2).sum() * spread), out=best)
        return best

    one_each = [slice(k, k + 1) for k in range(len(windows))]
    return reduce(np.maximum, [correlation(slice(None))] if few else in_threads(correlation, one_each))


class _Transformed:
    """An image to be correlated with cubes of one odd size, where they lie in it as a whole. Its transform is kept."""

    def __init__(self, image: Array, size: int) -> None:
        # what is wrapped around the ends comes to places that are left out
        self._room = [fft.next_fast_len(n, real=True) for n in image.shape]
        self._inside = tuple(slice(size - 1, n) for n in image.shape)
        self._transform = fft.rfftn(image, self._room)

    def with_kernels(self, kernels: Sequence[Array]) -> list[Array]:
        """The correlation with each cube; smaller than the image by the size of a cube less one."""
        transforms = (fft.rfftn(kernel[::-1, ::-1, ::-1], self._room) for kernel in kernels)
        return [fft.irfftn(self._transform * transform, self._room)[self._inside] for transform in transforms]


class _Neighbours:
    """As `_Transformed`, by one matrix product over the neighbours of every voxel: for few voxels."""

    def __init__(self, image: Array, size: int) -> None:
        cubes = np.lib.stride_tricks.sliding_window_view(image, (size,) * 3)
        self._shape = cubes.shape[:3]
        self._neighbours = cubes.reshape(-1, size**3)

    def with_kernels(self, kernels: Sequence[Array]) -> list[Array]:
        """See `_Transformed.with_kernels`."""
        products = np.stack([kernel.ravel() for kernel in kernels]) @ self._neighbours.T
        return list(products.reshape(-1, *self._shape))
