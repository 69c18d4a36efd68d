"""The views of a block as one sparse product: for small images, where calling for each view takes longer than its work.

There is no blur in it, and it starts no threads; several such models may run side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from mureg.errors import UsageError
from mureg.geometry import Array
from mureg.spect.sparse import SparseMatrix, stacked_rows
from mureg.spect.views import ViewBlock


@dataclass(frozen=True, eq=False)
class StackedViews:
    """The model of a few views without resolution; see `ViewBlock`, whose views it holds.

    Attributes:
        rotation: into the frames of all views, one after another: [view * column * depth, x * y].
        factors: share of photons that gets out from every place of each frame, times the view's share of the decays.
        numbers: place of each frame's view in the block.
        opposite: whether the columns of a frame run against those of its view.
        plane_shape: x and y of the activity.
    """

    rotation: SparseMatrix
    factors: Float[Array, "frame column depth z"]
    numbers: Int[Array, " frame"]
    opposite: Bool[Array, " frame"]
    plane_shape: tuple[int, int]

    @classmethod
    def of(cls, block: ViewBlock, slices: int, dtype: str) -> StackedViews:
        """Stack the views of a block, for images of so many slices. Raises `UsageError` for views with a blur."""
        views, first = block.views, block.turns[0]
        if any(view.blur is not None for view in views):
            raise UsageError("stacked views with resolution", "views without", "use the block itself")
        shape = first.n_columns, first.rotation.shape[0] // first.n_columns, slices
        factors = np.empty((len(views), *shape), dtype=dtype)
        for factor, view in zip(factors, views, strict=True):
            factor[...] = view.weight if view.attenuation is None else view.weight * view.attenuation
        rotations = [turn.rotation for turn in block.turns for _ in turn.views]
        numbers, opposite = (np.array([getattr(view, name) for view in views]) for name in ("number", "opposite"))
        return cls(stacked_rows(rotations), factors, numbers, opposite, block.plane_shape)

    def project(self, activity: Float[Array, "x y z"]) -> Float[Array, "view column z"]:
        """See `ViewBlock.project`."""
        planes = self.rotation @ activity.reshape(-1, activity.shape[-1])
        sums: Array = np.einsum("vcdz,vcdz->vcz", planes.reshape(self.factors.shape), self.factors)
        sums[self.opposite] = sums[self.opposite, ::-1]
        expected = np.empty_like(sums)
        expected[self.numbers] = sums
        return np.asarray(expected)

    def backproject(self, projections: Float[Array, "view column z"]) -> Float[Array, "x y z"]:
        """The transpose of `project`."""
        own = projections[self.numbers]
        own[self.opposite] = own[self.opposite, ::-1]
        planes = own[:, :, None] * self.factors
        slices = planes.shape[-1]
        image = np.zeros((self.plane_shape[0] * self.plane_shape[1], slices), dtype=planes.dtype)
        self.rotation.add_transposed(planes.reshape(-1, slices), image)
        result: Array = image.reshape(*self.plane_shape, slices)
        return result
