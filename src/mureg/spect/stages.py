"""The steps between activity and counts, each a function to read beside its equation.

Inside this module a projection is laid out as [view, column, z] and a view's rotated frame as [view, depth, column, z]:
depth 0 is the plane nearest the detector, columns run to the viewer's right, z runs to the head. z stays innermost, so
that one in-plane weight serves a whole contiguous line of slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mureg.geometry import Grid


def toward_detector(angle_deg: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Unit vectors (x, y) [..., 2] from the axis of rotation to the detector at a DICOM angle (0 back, 90 left)."""
    angle = np.radians(np.asarray(angle_deg, dtype=np.float64))
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1)


def to_viewers_right(angle_deg: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Unit vectors (x, y) [..., 2] along which detector columns run: the right hand of who looks from there."""
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


def rotation_matrix(
    grid: Grid, axis_mm: tuple[float, float], n_columns: int, n_depths: int, angle_deg: float
) -> scipy.sparse.csr_matrix:
    """Bilinear weights that turn a transaxial slice into one view's frame.

    Args:
        grid: of the volume, along the patient axes, in-plane spacing equal to the detector's column spacing.
        axis_mm: x, y of the axis of rotation.
        n_columns, n_depths: size of the rotated frame, centred on the axis.
        angle_deg: where the detector stands.

    Returns:
        Sparse [depth * column, x * y]; places outside the grid have no weight. Its transpose is the exact adjoint.
    """
    nx, ny, _ = grid.shape
    spacing = grid.spacing_mm[0]
    depth = ((n_depths - 1) / 2 - np.arange(n_depths)) * spacing
    column = (np.arange(n_columns) - (n_columns - 1) / 2) * spacing
    places = (
        np.asarray(axis_mm)
        + depth[:, None, None] * toward_detector(angle_deg)
        + column[None, :, None] * to_viewers_right(angle_deg)
    ).reshape(-1, 2)
    index = (places - grid.affine[:2, 3]) / spacing
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
    path = torch.cumsum(mu_per_cm, dim=1)
    return path.sub_(mu_per_cm, alpha=0.5).mul_(-step_cm).exp_()
