"""The steps between activity and counts, each a function to read beside its equation.

Inside this package a projection is laid out as [view, column, z] and a view's rotated frame as [column, depth, z]:
depth 0 is the plane nearest the detector, columns run to the viewer's right, z runs to the head. z stays innermost, so
that one in-plane weight serves a whole contiguous line of slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.special
from jaxtyping import Float

from mureg.geometry import Array, Grid
from mureg.spect.kept import KeptByBytes
from mureg.spect.sparse import SparseMatrix

_REACH_SIGMAS = 3.5
"""Where a Gaussian is cut off: this many standard deviations hold 99.95 %."""
_BYTES_KEPT = 48 * 2**20
"""Memory of the rotations that are kept: all of a study of 64 x 64 pixels and of its checks."""
_DEPTHS_AT_ONCE = 16
"""Depths in one matrix product: few enough that the zeros of the triangle cost little; a round value."""
_rotations: KeptByBytes[SparseMatrix] = KeptByBytes(_BYTES_KEPT, lambda matrix: matrix.nbytes)


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
        Sparse [column * depth, x * y]; places outside the grid have no weight. Its transpose is the exact adjoint. It
        is kept for the next study of the same geometry: not to be changed.
    """
    first_mm = float(grid.affine[0, 3]), float(grid.affine[1, 3])
    plane = grid.shape[:2], first_mm, grid.spacing_mm[0]
    parts = plane, frame, angle_deg, column_offset_mm, dtype
    return _rotations.value(parts, lambda: _rotation_of_plane(*parts))


def _rotation_of_plane(
    plane: tuple[tuple[int, int], tuple[float, float], float],
    frame: Frame,
    angle_deg: float,
    column_offset_mm: float,
    dtype: str,
) -> SparseMatrix:
    """See `rotation_matrix`; the plane of a grid is its shape, its first voxel (mm) and its spacing (mm)."""
    (nx, ny), first_mm, spacing_mm = plane
    right, depth = to_viewers_right(angle_deg), toward_detector(angle_deg)
    columns_mm, depths_mm = (frame.columns_mm() - column_offset_mm)[:, None], frame.depths_mm()
    lows, shares, beyond = [], [], []
    for axis, size in enumerate((nx, ny)):
        places = (frame.axis_mm[axis] + depths_mm * depth[axis]) + columns_mm * right[axis]
        index = ((places - first_mm[axis]) / spacing_mm).ravel()
        low = np.floor(index)
        lows.append(low.astype(np.int32))
        share = index - low
        shares.append((1.0 - share, share))
        beyond.append(tuple((lows[axis] + k >= 0) & (lows[axis] + k < size) for k in (0, 1)))
    first = lows[0] * ny + lows[1]
    n_rows = len(first)
    entries, weights = np.empty((n_rows, 4), np.int32), np.empty((n_rows, 4))
    is_used = np.empty((n_rows, 4), dtype=bool)
    for k, (x, y) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        np.add(first, x * ny + y, out=entries[:, k])
        np.multiply(shares[0][x], shares[1][y], out=weights[:, k])
        np.logical_and(beyond[0][x], beyond[1][y], out=is_used[:, k])
    is_used &= weights > 0
    return SparseMatrix.from_rows(entries, weights, is_used, nx * ny, dtype)


def attenuation_factors(
    mu_per_cm: Float[Array, "column depth z"], step_cm: float, out: Float[Array, "column kept z"] | None = None
) -> Float[Array, "column kept z"]:
    """Share of photons that reach the detector from each voxel: ``exp(-integral of mu)`` along the ray.

    Every voxel is crossed by half on the way out of itself.

    Args:
        mu_per_cm: in the rotated frame, depth 0 nearest the detector.
        step_cm: distance between depths.
        out: where to write the factors. If it holds fewer depths, those nearest the detector only absorb.
    """
    factors = np.empty_like(mu_per_cm) if out is None else out
    n_depths, n_kept = mu_per_cm.shape[1], factors.shape[1]
    steps = (np.tri(n_depths) - 0.5 * np.eye(n_depths))[n_depths - n_kept :] * -step_cm
    steps = steps.astype(mu_per_cm.dtype)
    for start in range(0, n_kept, _DEPTHS_AT_ONCE):
        some = slice(start, min(start + _DEPTHS_AT_ONCE, n_kept))
        n_crossed = n_depths - n_kept + some.stop
        factors[:, some] = np.matmul(steps[some, :n_crossed], mu_per_cm[:, :n_crossed])
    return np.exp(factors, out=factors)


def gaussian_reach(variance: float) -> int:
    """Samples to either side of the middle after which a Gaussian of this variance (in samples squared) is cut off."""
    return max(1, int(np.ceil(_REACH_SIGMAS * np.sqrt(variance))))


def gaussian_kernel(variance: float) -> npt.NDArray[np.float64]:
    """The Gaussian on a lattice with exactly this variance (in samples squared), odd in length, summing to 1.

    Lindeberg, IEEE Trans Pattern Anal Mach Intell 1990: ``exp(-t) I_n(t)``. Sampling the continuous curve instead would
    lose a third of the variance at the widths met near the detector.
    """
    reach = gaussian_reach(variance)
    kernel = scipy.special.ive(np.abs(np.arange(-reach, reach + 1)), variance)
    return np.asarray(kernel / kernel.sum(), dtype=np.float64)


def band_matrix(kernel: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """The symmetric banded matrix [size, size] that convolves with a kernel; what leaves the lattice is lost."""
    column = np.zeros(size)
    half = kernel[len(kernel) // 2 :][:size]
    column[: len(half)] = half
    return np.asarray(scipy.linalg.toeplitz(column), dtype=np.float64)


def variance_nodes(variances: npt.NDArray[np.float64], ratio: float = 1.25) -> npt.NDArray[np.float64]:
    """Variances, each at most `ratio` times the one before, that span those given."""
    # with 1.25 about fifteen nodes, 0.03 % from the exact blur (docs/concepts/projector.md)
    low, high = float(variances.min()), float(variances.max())
    n_nodes = 2 + int(np.ceil(np.log(max(high / low, 1.0)) / np.log(ratio)))
    return np.geomspace(low, high * (1 + 1e-9), n_nodes)


def half_kernels(variances: npt.NDArray[np.float64], reach: int) -> Float[np.ndarray, "variance step"]:
    """The middle and one side of the Gaussian of each variance (in samples squared), up to a reach in samples."""
    steps = np.arange(reach + 1)
    own_reach = np.maximum(1, np.ceil(_REACH_SIGMAS * np.sqrt(variances)))
    halves = np.where(steps <= own_reach[:, None], scipy.special.ive(steps, variances[:, None]), 0.0)
    return np.asarray(halves / (2.0 * halves.sum(1) - halves[:, 0])[:, None])


def mixed_half_kernels(
    variances: npt.NDArray[np.float64], nodes: npt.NDArray[np.float64]
) -> Float[np.ndarray, "variance step"]:
    """As `half_kernels`, each a mix of those of the two neighbouring nodes with weights that keep the variance.

    Args:
        variances: in samples squared.
        nodes: increasing, spanning `variances`; see `variance_nodes`.
    """
    upper = np.clip(np.searchsorted(nodes, variances), 1, len(nodes) - 1)
    share = ((variances - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1]))[:, None]
    kernels = half_kernels(nodes, gaussian_reach(float(nodes.max())))
    return np.asarray((1.0 - share) * kernels[upper - 1] + share * kernels[upper])
