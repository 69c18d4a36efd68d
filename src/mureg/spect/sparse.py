"""Sparse matrices that are applied to every slice at once, into arrays that are already there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from mureg.geometry import Array

try:  # what `matrix @ dense` calls; called directly they add onto an array instead of requesting a new one each time
    from scipy.sparse._sparsetools import csc_matvecs, csr_matvecs
except ImportError:  # they are not a public interface
    csc_matvecs = csr_matvecs = None

_SPARE_KINDS = 8
"""Shapes of work arrays that are kept; a reconstruction needs a few at a time. A round value."""
_spare: dict[tuple[tuple[int, ...], str], list[Array]] = {}


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A sparse matrix in compressed rows.

    Its products release the interpreter, so that threads over views or columns run side by side.

    Attributes:
        starts: where each row begins in `columns`, and the number of entries.
        columns: column of each stored weight, row after row.
        weights: the stored weights.
        n_columns: of the matrix.
    """

    starts: Int[Array, " row_and_end"]
    columns: Int[Array, " entry"]
    weights: Float[Array, " entry"]
    n_columns: int

    @classmethod
    def from_rows(
        cls,
        columns: Int[Array, "row most"],
        weights: Float[Array, "row most"],
        is_used: Any,
        n_columns: int,
        dtype: Any,
    ) -> SparseMatrix:
        """From the entries of each row, of which those count that `is_used` marks."""
        starts = np.zeros(len(columns) + 1, dtype=np.int32)
        np.cumsum(is_used.sum(1), out=starts[1:])
        return cls(starts, columns[is_used].astype(np.int32), weights[is_used].astype(dtype), n_columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return len(self.starts) - 1, self.n_columns

    @property
    def nbytes(self) -> int:
        """Memory of the three arrays."""
        return int(self.starts.nbytes + self.columns.nbytes + self.weights.nbytes)

    @property
    def scipy(self) -> Any:
        """The same matrix as SciPy's ``csr_array``."""
        own_range = slice(self.starts[0], self.starts[-1])
        parts = self.weights[own_range], self.columns[own_range], self.starts - self.starts[0]
        return scipy.sparse.csr_array(parts, shape=self.shape)

    def rows(self, first: int, end: int) -> SparseMatrix:
        """The rows from `first` up to `end`; they share the memory of all."""
        return SparseMatrix(self.starts[first : end + 1], self.columns, self.weights, self.n_columns)

    def apply(self, dense: Float[Array, "column z"], out: Float[Array, "row z"]) -> None:
        """Write the product into `out`; both arrays hold their rows one after another in memory."""
        out.fill(0.0)
        self.add(dense, out)

    def add(self, dense: Float[Array, "column z"], onto: Float[Array, "row z"]) -> None:
        """Add the product onto an array."""
        if csr_matvecs is None:
            onto += self.scipy @ dense
            return
        csr_matvecs(*self._of(self.shape, dense, onto), dense.ravel(), _flat(onto))

    def add_transposed(self, dense: Float[Array, "row z"], onto: Float[Array, "column z"]) -> None:
        """Add the product of the transpose onto an array."""
        if csc_matvecs is None:
            onto += self.scipy.T @ dense
            return
        csc_matvecs(*self._of(self.shape[::-1], dense, onto), dense.ravel(), _flat(onto))

    def __matmul__(self, dense: Float[Array, "column z"]) -> Float[Array, "row z"]:
        out = np.empty((self.shape[0], dense.shape[1]), dtype=dense.dtype)
        self.apply(np.ascontiguousarray(dense), out)
        return out

    def _of(self, shape: tuple[int, int], dense: Array, out: Array) -> tuple[Any, ...]:
        rows, columns = shape
        if dense.shape[0] != columns or out.shape != (rows, dense.shape[1]):
            raise ValueError(f"a product of {shape} with {dense.shape} into {out.shape}")
        return rows, columns, dense.shape[1], self.starts, self.columns, self.weights


def stacked_rows(matrices: Sequence[SparseMatrix]) -> SparseMatrix:
    """Matrices with the same columns one below the other; each holds all of its rows."""
    ends = np.cumsum([0] + [len(matrix.weights) for matrix in matrices], dtype=np.int32)
    starts = [matrix.starts[:-1] + before for matrix, before in zip(matrices, ends, strict=False)]
    columns, weights = (
        np.concatenate(parts) for parts in zip(*((m.columns, m.weights) for m in matrices), strict=True)
    )
    return SparseMatrix(np.concatenate([*starts, ends[-1:]]), columns, weights, matrices[0].n_columns)


def _flat(array: Array) -> Array:
    if not array.flags.c_contiguous:
        raise ValueError("an array with gaps cannot be written as one line")
    return array.reshape(-1)


class work_array:  # noqa: N801 (called like a function)
    """An array to work in while the block lasts; its values are arbitrary.

    The next block that asks for the same shape gets the same memory. A fresh array of a megabyte costs as much as the
    product that is written into it: the system hands it out page by page.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype

    def __enter__(self) -> Array:
        self._spare = _spare.setdefault((self._shape, self._dtype.str), [])
        try:
            self._array = self._spare.pop()
        except IndexError:
            self._array = np.empty(self._shape, self._dtype)
        return self._array

    def __exit__(self, *_: object) -> None:
        self._spare.append(self._array)
        while len(_spare) > _SPARE_KINDS:
            _spare.pop(list(_spare)[0], None)  # noqa: RUF015 (in one step, whatever other threads do)
