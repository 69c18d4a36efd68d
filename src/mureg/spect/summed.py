"""The views of a block without attenuation and blur: one sparse product from the image to the detector.

Nothing distinguishes the depths of a frame then, so that the weights of all depths of a column are added up beforehand;
a third of them remains.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Float

from mureg.errors import UsageError
from mureg.geometry import Array
from mureg.jobs.threads import in_threads
from mureg.spect.sparse import SparseMatrix
from mureg.spect.views import ViewBlock

_PARTS = 2
"""Parts that the rows of a product are divided into, for two threads; each writes its own rows of the result."""


@dataclass(frozen=True, eq=False)
class SummedViews:
    """The model of a few views that see every decay alike; see `ViewBlock`, whose views it holds.

    Attributes:
        matrix: [view * column, x * y].
        transposed: the same [x * y, view * column], so that either product is written row by row.
        n_columns: of the detector.
        plane_shape: x and y of the activity.
    """

    matrix: SparseMatrix
    transposed: SparseMatrix
    n_columns: int
    plane_shape: tuple[int, int]

    @classmethod
    def of(cls, block: ViewBlock) -> SummedViews:
        """Add up the depths of a block. Raises `UsageError` for views with attenuation or a blur."""
        if any(view.blur is not None or view.attenuation is not None for view in block.views):
            raise UsageError("summed views with attenuation or resolution", "views without", "use the block itself")
        of_views: dict[int, scipy.sparse.csr_array] = {}
        for turn in block.turns:
            rows, columns = turn.rotation.shape[0], turn.n_columns
            ends = np.arange(0, rows + 1, rows // columns)
            ones = np.ones(rows, dtype=turn.rotation.weights.dtype)
            over_depths = scipy.sparse.csr_array((ones, np.arange(rows), ends), shape=(columns, rows))
            summed = over_depths @ turn.rotation.scipy
            for view in turn.views:
                own = summed[::-1] if view.opposite else summed
                of_views[view.number] = own if view.weight == 1.0 else own * own.dtype.type(view.weight)
        matrix = scipy.sparse.vstack([of_views[number] for number in sorted(of_views)], format="csr")
        matrix.sort_indices()
        transposed = matrix.T.tocsr()
        return cls(_own(matrix), _own(transposed), block.turns[0].n_columns, block.plane_shape)

    def project(self, activity: Float[Array, "x y z"]) -> Float[Array, "view column z"]:
        """See `ViewBlock.project`."""
        return _product(self.matrix, activity).reshape(-1, self.n_columns, activity.shape[-1])

    def backproject(self, projections: Float[Array, "view column z"]) -> Float[Array, "x y z"]:
        """The transpose of `project`."""
        return _product(self.transposed, projections).reshape(*self.plane_shape, projections.shape[-1])


def _own(matrix: scipy.sparse.csr_array) -> SparseMatrix:
    starts, columns = (part.astype(np.int32, copy=False) for part in (matrix.indptr, matrix.indices))
    return SparseMatrix(starts, columns, matrix.data, matrix.shape[1])


def _product(matrix: SparseMatrix, dense: Float[Array, "a b z"]) -> Float[Array, "row z"]:
    flat = np.ascontiguousarray(dense).reshape(-1, dense.shape[-1])
    result = np.empty((matrix.shape[0], flat.shape[1]), dtype=flat.dtype)
    ends = [matrix.shape[0] * k // _PARTS for k in range(_PARTS + 1)]
    in_threads(
        lambda part: matrix.rows(*part).apply(flat, result[slice(*part)]),
        itertools.pairwise(ends),
    )
    return result
