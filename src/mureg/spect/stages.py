"""The steps between activity and counts, each a function to read beside its equation.

Inside this module a projection is laid out as [view, column, z] and a view's rotated frame as [view, depth, column, z]:
depth 0 is the plane nearest the detector, columns run to the viewer's right, z runs to the head. z stays innermost, so
that one in-plane weight serves a whole contiguous line of slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse
import scipy.special
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mureg.geometry import Grid

_REACH_SIGMAS = 3.5
_VIEWS_KEPT, _BLURS_KEPT, _ORBITS_KEPT = 128, 64, 8


def toward_detector(angle_deg: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Unit vectors (x, y) [..., 2] from the axis of rotation to the detector at a DICOM angle (0 back, 90 left)."""
    angle = np.radians(np.asarray(angle_deg, dtype=np.float64))
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1)


def to_viewers_right(angle_deg: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Unit vectors (x, y) [..., 2] along which detector columns run: to the right when viewed from there."""
    angle = np.radians(np.asarray(angle_deg, dtype=np.float64))
    return np.stack([-np.cos(angle), np.sin(angle)], axis=-1)


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A sparse matrix in compressed rows that is applied to every slice at once.

    Attributes:
        columns: column of each stored weight, row after row.
        starts: where each row begins in `columns`.
        weights: the stored weights.
        n_rows, n_columns: size of the matrix.
    """

    columns: Int[Tensor, " entry"]
    starts: Int[Tensor, " row"]
    weights: Float[Tensor, " entry"]
    n_rows: int
    n_columns: int

    @classmethod
    def from_scipy(cls, matrix: scipy.sparse.csr_matrix, like: Tensor) -> SparseMatrix:
        """Take over a scipy matrix, in the precision and on the device of `like`."""
        return cls(
            torch.from_numpy(matrix.indices.astype(np.int32)).to(like.device),
            torch.from_numpy(matrix.indptr[:-1].astype(np.int32)).to(like.device),
            torch.from_numpy(matrix.data).to(device=like.device, dtype=like.dtype),
            *matrix.shape,
        )

    def __matmul__(self, dense: Float[Tensor, "column z"]) -> Float[Tensor, "row z"]:
        # a weighted sum of rows is what an embedding bag computes: on a CPU many times faster than torch's CSR product
        return torch.nn.functional.embedding_bag(
            self.columns, dense, self.starts, mode="sum", per_sample_weights=self.weights
        )


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
    grid: Grid, frame: Frame, angle_deg: float, column_offset_mm: float = 0.0
) -> scipy.sparse.csr_matrix:
    """Bilinear weights that turn a transaxial slice into one view's frame.

    Args:
        grid: of the volume, along the patient axes, with the same spacing along x and y.
        frame: where the frame samples.
        angle_deg: where the detector stands.
        column_offset_mm: how far to the right of the middle column the axis is seen.

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
    rows = np.arange(len(places))
    entries: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
    for step_x, weight_x in ((0, 1 - high_share[:, 0]), (1, high_share[:, 0])):
        for step_y, weight_y in ((0, 1 - high_share[:, 1]), (1, high_share[:, 1])):
            x, y, weight = low[:, 0] + step_x, low[:, 1] + step_y, weight_x * weight_y
            inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny) & (weight > 0)
            entries.append((rows[inside], (x * ny + y)[inside], weight[inside]))
    row, cell, weight = (np.concatenate(part) for part in zip(*entries, strict=True))
    return scipy.sparse.csr_matrix((weight, (row, cell)), shape=(len(places), nx * ny))


def attenuation_factors(
    mu_per_cm: Float[Tensor, "view depth column z"], step_cm: float
) -> Float[Tensor, "view depth column z"]:
    """Share of photons that reach the detector from each voxel: ``exp(-integral of mu)`` along the ray.

    Every voxel is crossed by half on the way out of itself. `mu_per_cm` is in the rotated frame, depth 0 nearest the
    detector; `step_cm` is the distance between depths.
    """
    # plane by plane: a cumulative sum across strided planes takes several times as long
    path, paths = torch.zeros_like(mu_per_cm[:, 0]), []
    for plane in mu_per_cm.unbind(1):
        paths.append(path + 0.5 * plane)
        path = path + plane
    return torch.stack(paths, dim=1).mul_(-step_cm).exp_()


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
def gaussian_bands(variances: tuple[float, ...], size: int) -> npt.NDArray[np.float64]:
    """A `band_matrix` [variance * size, size] for each Gaussian of a variance in samples squared, stacked.

    Kept for the next block of the same camera: not to be changed.
    """
    return np.concatenate([band_matrix(gaussian_kernel(variance), size) for variance in variances])


def variance_nodes(variances: npt.NDArray[np.float64], ratio: float = 1.25) -> npt.NDArray[np.float64]:
    """Variances, each at most `ratio` times the one before, that span those given."""
    low, high = float(variances.min()), float(variances.max())
    n_nodes = 2 + int(np.ceil(np.log(max(high / low, 1.0)) / np.log(ratio)))
    return np.geomspace(low, high * (1 + 1e-9), n_nodes)


@lru_cache(maxsize=_BLURS_KEPT)
def blur_of_view(
    frame: Frame, variances_mm2: tuple[float, ...], nodes_mm2: tuple[float, ...]
) -> scipy.sparse.csr_matrix:
    """Blur along the columns and sum along the depth, for one view.

    The blur along columns is exact at every depth. The blur along z is shared between depths: each depth's kernel is
    taken as a mix of the kernels of two neighbouring nodes, with weights that keep its variance, so that planes are
    summed first and only one band per node remains to be applied along z.

    Args:
        frame: of the view; only its planes with activity take part.
        variances_mm2: of the Gaussian at each depth [depth].
        nodes_mm2: increasing, spanning `variances_mm2`.

    Returns:
        Sparse [column * node, depth * column]. It is kept for the next view or study like it: not to be changed.
    """
    n_columns, n_nodes = frame.n_columns, len(nodes_mm2)
    variances, nodes = np.asarray(variances_mm2), np.asarray(nodes_mm2)
    upper = np.clip(np.searchsorted(nodes, variances), 1, n_nodes - 1)
    share = (variances - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1])
    row, column, weight = [], [], []
    here = np.arange(n_columns)
    for depth, variance in enumerate(variances / frame.spacing_mm**2):
        kernel = gaussian_kernel(variance)
        for step, tap in enumerate(kernel, start=-(len(kernel) // 2)):
            source = here + step
            inside = (source >= 0) & (source < n_columns)
            for node, part in ((upper[depth] - 1, 1.0 - share[depth]), (upper[depth], share[depth])):
                row.append(here[inside] * n_nodes + node)
                column.append(depth * n_columns + source[inside])
                weight.append(np.full(int(inside.sum()), tap * part))
    shape = (n_columns * n_nodes, frame.n_depths * n_columns)
    entries = (np.concatenate(weight), (np.concatenate(row), np.concatenate(column)))
    return scipy.sparse.csr_matrix(entries, shape=shape)
