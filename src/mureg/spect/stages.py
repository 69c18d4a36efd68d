"""The steps between activity and counts, each a function to read beside its equation.

Inside this module a projection is laid out as [view, column, z] and a view's rotated frame as [depth, column, z]:
depth 0 is the plane nearest the detector, columns run to the viewer's right, z runs to the head. z stays innermost, so
that one in-plane weight serves a whole contiguous line of slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.special
from jaxtyping import Float

from mureg.geometry import Array, Grid
from mureg.spect.sparse import SparseMatrix

_REACH_SIGMAS = 3.5
_VIEWS_KEPT, _BLURS_KEPT, _ORBITS_KEPT = 256, 128, 8


def toward_detector(angle_deg: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Unit vectors (x, y) [..., 2] from the axis of rotation to the detector at a DICOM angle (0 back, 90 left)."""
    angle = np.radians(np.asarray(angle_deg, dtype=np.float64))
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1)


def to_viewers_right(angle_deg: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Unit vectors (x, y) [..., 2] along which detector columns run: to the right when viewed from there."""
    angle = np.radians(np.asarray(angle_deg, dtype=np.float64))
    return np.stack([-np.cos(angle), np.sin(angle)], axis=-1)


@dataclass(frozen=True)
class Frame:
    """The lattice of one view's rotated frame, centred on the axis of rotation.

    Attributes:
        axis_mm: x, y of the axis of rotation.
        n_columns: detector columns.
        n_depths: planes that hold activity.
        spacing_mm: between columns and between depths.
        n_beyond: further planes between those and the detector, where only attenuation matters.
    """

    axis_mm: tuple[float, float]
    n_columns: int
    n_depths: int
    spacing_mm: float
    n_beyond: int = 0

    def depths_mm(self) -> npt.NDArray[np.float64]:
        """Position of every plane along the direction to the detector, from the axis; nearest the detector first."""
        planes = np.arange(self.n_depths + self.n_beyond, dtype=np.float64)
        return ((self.n_depths - 1) / 2 + self.n_beyond - planes) * self.spacing_mm

    def columns_mm(self) -> npt.NDArray[np.float64]:
        """Position of every column to the viewer's right of the axis."""
        return (np.arange(self.n_columns, dtype=np.float64) - (self.n_columns - 1) / 2) * self.spacing_mm


@lru_cache(maxsize=_VIEWS_KEPT)
def rotation_matrix(
    grid: Grid, frame: Frame, angle_deg: float, column_offset_mm: float = 0.0, dtype: str = "float64"
) -> SparseMatrix:
    """Bilinear weights that turn a transaxial slice into one view's frame.

    Args:
        grid: of the volume, along the patient axes, with the same spacing along x and y.
        frame: where the frame samples.
        angle_deg: where the detector stands.
        column_offset_mm: how far to the right of the middle column the axis is seen.
        dtype: precision of the weights.

    Returns:
        Sparse [depth * column, x * y]; places outside the grid have no weight. Its transpose is the exact adjoint. It
        is kept for the next study of the same geometry: not to be changed.
    """
    nx, ny, _ = grid.shape
    places = (
        np.asarray(frame.axis_mm)
        + frame.depths_mm()[:, None, None] * toward_detector(angle_deg)
        + (frame.columns_mm() - column_offset_mm)[None, :, None] * to_viewers_right(angle_deg)
    ).reshape(-1, 2)
    index = (places - grid.affine[:2, 3]) / grid.spacing_mm[0]
    low = np.floor(index).astype(np.int64)
    high_share = index - low
    corners = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    x, y = (low[:, None, :] + corners).transpose(2, 0, 1)
    weights = np.where(corners == 1, high_share[:, None, :], 1.0 - high_share[:, None, :]).prod(2)
    inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny) & (weights > 0)
    return SparseMatrix.from_rows(x * ny + y, weights, inside, nx * ny, dtype)


def attenuation_factors(
    mu_per_cm: Float[Array, "*views depth column z"], step_cm: float, first: int = 0
) -> Float[Array, "*views kept column z"]:
    """Share of photons that reach the detector from each voxel: ``exp(-integral of mu)`` along the ray.

    Every voxel is crossed by half on the way out of itself.

    Args:
        mu_per_cm: in the rotated frame, depth 0 nearest the detector.
        step_cm: distance between depths.
        first: the first depth whose factors are needed; those before it still absorb.
    """
    factors = np.empty_like(mu_per_cm[..., first:, :, :])
    path = np.zeros_like(mu_per_cm[..., 0, :, :])
    for depth in range(mu_per_cm.shape[-3]):
        plane = mu_per_cm[..., depth, :, :]
        if depth >= first:
            here = factors[..., depth - first, :, :]
            np.multiply(plane, 0.5, out=here)
            here += path
        path += plane
    factors *= -step_cm
    return np.exp(factors, out=factors)


def gaussian_kernel(variance: float) -> npt.NDArray[np.float64]:
    """The Gaussian on a lattice with exactly this variance (in samples squared), odd in length, summing to 1.

    Lindeberg, IEEE Trans Pattern Anal Mach Intell 1990: ``exp(-t) I_n(t)``. Sampling the continuous curve instead would
    lose a third of the variance at the widths met near the detector.
    """
    reach = max(1, int(np.ceil(_REACH_SIGMAS * np.sqrt(variance))))
    kernel = scipy.special.ive(np.abs(np.arange(-reach, reach + 1)), variance)
    return np.asarray(kernel / kernel.sum(), dtype=np.float64)


def band_matrix(kernel: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """The symmetric banded matrix [size, size] that convolves with a kernel; what leaves the lattice is lost."""
    column = np.zeros(size)
    half = kernel[len(kernel) // 2 :][:size]
    column[: len(half)] = half
    return np.asarray(scipy.linalg.toeplitz(column), dtype=np.float64)


@lru_cache(maxsize=_ORBITS_KEPT)
def gaussian_bands(variances: tuple[float, ...], size: int, dtype: str = "float64") -> Float[Array, "variance z z"]:
    """A `band_matrix` for each Gaussian of a variance in samples squared.

    Kept for the next view of the same camera: not to be changed.
    """
    return np.stack([band_matrix(gaussian_kernel(variance), size) for variance in variances]).astype(dtype)


def variance_nodes(variances: npt.NDArray[np.float64], ratio: float = 1.25) -> npt.NDArray[np.float64]:
    """Variances, each at most `ratio` times the one before, that span those given."""
    low, high = float(variances.min()), float(variances.max())
    n_nodes = 2 + int(np.ceil(np.log(max(high / low, 1.0)) / np.log(ratio)))
    return np.geomspace(low, high * (1 + 1e-9), n_nodes)


@lru_cache(maxsize=_BLURS_KEPT)
def column_blur(frame: Frame, variances_mm2: tuple[float, ...], dtype: str = "float64") -> SparseMatrix:
    """Blur of every plane of a view along the detector columns, exact at every depth; symmetric.

    Args:
        frame: of the view; only its planes with activity take part.
        variances_mm2: of the Gaussian at each depth [depth].
        dtype: precision of the weights.

    Returns:
        Sparse [depth * column, depth * column]. It is kept for the next view or study like it: not to be changed.
    """
    n = frame.n_columns
    kernels = [gaussian_kernel(variance / frame.spacing_mm**2) for variance in variances_mm2]
    widest = max(len(kernel) for kernel in kernels)
    taps = np.stack([np.pad(kernel, (widest - len(kernel)) // 2) for kernel in kernels])[:, None, :]
    source = np.arange(n)[:, None] + np.arange(widest) - widest // 2
    first_of_plane = np.arange(len(kernels))[:, None, None] * n
    used = (source >= 0) & (source < n) & (taps > 0.0)
    columns, weights = np.broadcast_arrays(first_of_plane + source, taps)
    columns, weights, used = (part.reshape(-1, widest) for part in (columns, weights, used))
    return SparseMatrix.from_rows(columns, weights, used, len(kernels) * n, dtype)


@lru_cache(maxsize=_BLURS_KEPT)
def node_shares(variances_mm2: tuple[float, ...], nodes_mm2: tuple[float, ...], dtype: str = "float64") -> SparseMatrix:
    """Planes of a view added up by the width of their blur along z.

    The blur along z is shared between depths: each depth's kernel is taken as a mix of the kernels of two neighbouring
    nodes, with weights that keep its variance, so that planes are summed first and only one band per node remains to be
    applied along z.

    Args:
        variances_mm2: of the Gaussian at each depth [depth].
        nodes_mm2: increasing, spanning `variances_mm2`.
        dtype: precision of the weights.

    Returns:
        Sparse [node, depth]. It is kept for the next view or study like it: not to be changed.
    """
    variances, nodes = np.asarray(variances_mm2), np.asarray(nodes_mm2)
    upper = np.clip(np.searchsorted(nodes, variances), 1, len(nodes) - 1)
    share = (variances - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1])
    shares = np.zeros((len(nodes), len(variances)))
    depths = np.arange(len(variances))
    shares[upper - 1, depths], shares[upper, depths] = 1.0 - share, share
    columns = np.broadcast_to(depths, shares.shape)
    return SparseMatrix.from_rows(columns, shares, shares != 0.0, len(variances), dtype)
