"""Depth-dependent resolution of one view, as products of small dense matrices.

A plane's blur is a sum over shifts: by ``i`` columns either way with a weight ``k[i]``, and by ``j`` slices either way
with a weight ``m[j]``. The shifts are the same for every depth; only the weights differ. So all depths are first mixed
into one plane for each pair of shifts, and only those planes are shifted: the mixing is one matrix product for each
column of the detector, and the processor's fastest operation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from mureg.geometry import Array
from mureg.spect import stages
from mureg.spect.sparse import work_array

_BLURS_KEPT = 64
"""Views of a usual study whose orbit is no circle: each then has a blur of its own."""
_LARGEST_PRODUCT = 64**3
"""Multiplications in one matrix product above which OpenBLAS would start threads of its own (4 x 65536)."""


@dataclass(frozen=True, eq=False)
class Blur:
    """Blur of every plane of a view's frame by its distance to the detector, and the sum of the planes.

    Attributes:
        weights: [shift, depth], of ``i`` columns and ``j`` slices in the row ``i * (reach_slices + 1) + j``.
        weights_transposed: the same [depth, shift].
        reach_columns, reach_slices: the largest shifts.
        slices: of one study; studies that lie one after another along z are blurred each for itself.
    """

    weights: Float[Array, "shift depth"]
    weights_transposed: Float[Array, "depth shift"]
    reach_columns: int
    reach_slices: int
    slices: int

    def shape_of_sums(self, columns: int, slices: int) -> tuple[int, int, int]:
        """Shape of what `add_up` adds onto, and `spread` takes: with room for the shifts beyond both edges."""
        return columns + 2 * self.reach_columns, self.reach_slices + 1, slices

    def add_up(
        self, planes: Float[Array, "column depth z"], first: int, sums: Float[Array, "wide_column step z"]
    ) -> None:
        """Mix the depths and shift along the columns, of some columns of a frame from `first` on."""
        columns, _, slices = planes.shape
        with work_array((columns, len(self.weights), slices), planes.dtype) as mixtures:
            _multiply(self.weights, planes, mixtures)
            by_shift = mixtures.reshape(columns, self.reach_columns + 1, self.reach_slices + 1, slices)
            for shift in range(-self.reach_columns, self.reach_columns + 1):
                start = first + self.reach_columns + shift
                sums[start : start + columns] += by_shift[:, abs(shift)]

    def spread(
        self, sums: Float[Array, "wide_column step z"], first: int, planes: Float[Array, "column depth z"]
    ) -> None:
        """The transpose of `add_up`, written into `planes`."""
        columns, _, slices = planes.shape
        middle = first + self.reach_columns
        with work_array((columns, len(self.weights), slices), planes.dtype) as mixtures:
            by_shift = mixtures.reshape(columns, self.reach_columns + 1, self.reach_slices + 1, slices)
            by_shift[:, 0] = sums[middle : middle + columns]
            for shift in range(1, self.reach_columns + 1):
                right, left = middle + shift, middle - shift
                np.add(sums[right : right + columns], sums[left : left + columns], out=by_shift[:, shift])
            _multiply(self.weights_transposed, mixtures, planes)

    def along_z(self, sums: Float[Array, "wide_column step z"], out: Float[Array, "column z"]) -> None:
        """Shift along the slices and add up, written into `out`."""
        shifted, target = self._studies(sums), self._studies(out)
        target[...] = shifted[:, 0]
        for step in range(1, min(self.reach_slices + 1, self.slices)):
            target[..., step:] += shifted[:, step, :, :-step]
            target[..., :-step] += shifted[:, step, :, step:]

    def along_z_transposed(
        self, projection: Float[Array, "column z"], sums: Float[Array, "wide_column step z"]
    ) -> None:
        """The transpose of `along_z`, written into `sums`."""
        source = self._studies(projection)
        sums.fill(0.0)
        shifted = self._studies(sums)
        shifted[:, 0] = source
        for step in range(1, min(self.reach_slices + 1, self.slices)):
            shifted[:, step, :, :-step] += source[..., step:]
            shifted[:, step, :, step:] += source[..., :-step]

    def _studies(self, lines: Array) -> Array:
        """The last axis split into studies and their slices, and the margins beyond the columns left out."""
        inner = lines[self.reach_columns : len(lines) - self.reach_columns] if lines.ndim == 3 else lines
        return inner.reshape(*inner.shape[:-1], -1, self.slices)


@lru_cache(maxsize=_BLURS_KEPT)
def blur_of_view(
    along_columns: tuple[float, ...],
    along_z: tuple[float, ...],
    nodes: tuple[float, ...],
    reach_columns: int,
    slices: int,
    dtype: str,
) -> Blur:
    """The blur of a view from the variances of its Gaussians at each depth.

    It is exact along the columns. Along z the kernel of each depth is a mix of those of two nodes.

    Args:
        along_columns: variances in columns squared.
        along_z: variances in slices squared.
        nodes: see `stages.mixed_half_kernels`.
        reach_columns: of the widest Gaussian of the orbit.
        slices: of one study.
        dtype: precision of the weights.

    Returns:
        The blur; it is kept for the next view or study like it, and not to be changed.
    """
    columns = stages.half_kernels(np.asarray(along_columns), reach_columns)
    steps = stages.mixed_half_kernels(np.asarray(along_z), np.asarray(nodes))
    weights = (columns[:, :, None] * steps[:, None, :]).reshape(len(columns), -1).astype(dtype)
    return Blur(np.ascontiguousarray(weights.T), weights, columns.shape[1] - 1, steps.shape[1] - 1, slices)


def _multiply(
    matrix: Float[Array, "row inner"], planes: Float[Array, "column inner z"], out: Float[Array, "column row z"]
) -> None:
    """One product for each column, some rows at a time, so that each product is small."""
    at_once = max(1, _LARGEST_PRODUCT // (planes.shape[1] * planes.shape[2]))
    for start in range(0, len(matrix), at_once):
        np.matmul(matrix[start : start + at_once], planes, out=out[:, start : start + at_once])
