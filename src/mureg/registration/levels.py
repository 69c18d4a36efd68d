"""One resolution level of an image for classical registration: voxels, smoothing, known part, gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float
from scipy import ndimage

from mureg.geometry import Grid, Volume

Array = npt.NDArray[np.float64]

_LEAST_KNOWN = 1e-3
"""Weight of known voxels below which a smoothed value means nothing; only keeps the ratio finite."""
_CUT_SIGMAS = 3.0
"""Where the Gaussian is cut off: three standard deviations hold 99.7 %."""


@dataclass(frozen=True, eq=False)
class Level:
    """An image at one resolution.

    Attributes:
        values: averaged to the voxel size of the level and smoothed, [x, y, z]; sharp: before smoothing.
        is_known: voxels about which something is known.
        grid: of both.
        sigma_mm: of the smoothing.
    """

    values: Array
    sharp: Array
    is_known: Bool[np.ndarray, "x y z"]
    grid: Grid
    sigma_mm: float

    @classmethod
    def of(cls, volume: Volume, sigma_mm: float) -> Level:
        """Smooth an image that has the voxels of the level already; unknown voxels have no weight."""
        sharp = np.asarray(volume).astype(np.float64)
        is_known = np.ones(sharp.shape, bool) if volume.outside is None else ~np.asarray(volume.outside, bool)
        return cls(_smoothed(sharp, is_known, volume.grid, sigma_mm), sharp, is_known, volume.grid, sigma_mm)

    def gradient(self) -> Float[np.ndarray, "3 x y z"]:
        """Central differences of the smoothed values along x, y, z of patient space, per mm."""
        along_indices = np.stack(
            [np.gradient(self.values, axis=k) if n > 1 else 0.0 * self.values for k, n in enumerate(self.grid.shape)]
        )
        index_from_mm = np.linalg.inv(self.grid.affine)[:3, :3]
        return np.asarray(np.einsum("ij,i...->j...", index_from_mm, along_indices))

    def sampled(self, channels: Float[np.ndarray, "channel x y z"], points_mm: Float[np.ndarray, "3 point"]) -> Array:
        """Trilinear samples of images on this grid, [channel, point]; the outermost voxels are repeated."""
        indices = self.grid.indices(points_mm.T).T
        return np.stack([ndimage.map_coordinates(c, indices, order=1, mode="nearest") for c in channels])


def _smoothed(values: Array, is_known: Bool[np.ndarray, "x y z"], grid: Grid, sigma_mm: float) -> Array:
    if sigma_mm == 0.0:
        return values
    sigmas = [sigma_mm / spacing for spacing in grid.spacing_mm]
    if is_known.all():
        return np.asarray(ndimage.gaussian_filter(values, sigmas, mode="nearest", truncate=_CUT_SIGMAS))
    weight = ndimage.gaussian_filter(is_known.astype(np.float64), sigmas, mode="nearest", truncate=_CUT_SIGMAS)
    total = ndimage.gaussian_filter(values * is_known, sigmas, mode="nearest", truncate=_CUT_SIGMAS)
    return np.asarray(total / np.maximum(weight, _LEAST_KNOWN))


def noise_of_differences(values: Array, region: Bool[np.ndarray, "x y z"]) -> float:
    """Standard deviation of white noise in an image, from its mixed third differences; 0 for an empty region.

    The difference along all three axes of eight neighbours hardly sees the object. Its median size is taken, so that
    single edges do not count (as Immerkaer, Comput Vis Image Underst 1996, in two dimensions).
    """
    mixed_difference = np.diff(np.diff(np.diff(values, axis=0), axis=1), axis=2) / np.sqrt(8.0)
    part = np.abs(mixed_difference)[region[:-1, :-1, :-1]]
    # 0.6745: median of the size of a standard normal number
    return float(np.median(part)) / 0.6745 if part.size else 0.0
