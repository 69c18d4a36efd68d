"""The model of single views: rotate, attenuate, blur, add up; and each step's exact transpose.

Layout of `mureg.spect.stages`: activity [x * y, z] with z innermost, projections [column, z]. Several studies of one
geometry may lie one after another along z.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from mureg.geometry import Array
from mureg.jobs.threads import in_threads
from mureg.spect.blur import Blur
from mureg.spect.sparse import SparseMatrix, work_array

_PARTS = 2
"""Sums that a back-projection is split into, whatever the number of threads, so that these do not change a digit."""
_SLAB_VALUES = 1 << 17
"""Values of a view's frame that are worked on at a time: half a megabyte stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class View:
    """The model of one view.

    Attributes:
        rotation: into its frame, [column * depth, x * y].
        n_columns: of the detector.
        attenuation: share of photons that gets out from every place of the frame; None for all.
        blur: None for none.
        weight: share of the decays that the view counts.
    """

    rotation: SparseMatrix
    n_columns: int
    attenuation: Float[Array, "column depth z"] | None = None
    blur: Blur | None = None
    weight: float = 1.0

    def project(self, activity: Float[Array, "xy z"], out: Float[Array, "column z"]) -> None:
        """Write the expected counts into `out`."""
        if self.blur is None:
            one = np.ones((1, self._depths), dtype=out.dtype)
            for columns in self._slabs(out):
                with work_array(self._shape(columns, out), out.dtype) as planes:
                    self._rotated(activity, columns, planes)
                    np.matmul(one, planes, out=out[columns, None])
        else:
            with work_array(self.blur.new_sums(*out.shape), out.dtype) as sums:
                sums.fill(0.0)
                for columns in self._slabs(out):
                    with work_array(self._shape(columns, out), out.dtype) as planes:
                        self._rotated(activity, columns, planes)
                        self.blur.add_up(planes, columns.start, sums)
                self.blur.along_z(sums, out)
        if self.weight != 1.0:
            out *= self.weight

    def backproject(self, projection: Float[Array, "column z"], onto: Float[Array, "xy z"]) -> None:
        """Add the transpose of `project` onto `onto`."""
        if self.weight != 1.0:
            projection = projection * projection.dtype.type(self.weight)
        if self.blur is None:
            for columns in self._slabs(projection):
                with work_array(self._shape(columns, projection), onto.dtype) as planes:
                    if self.attenuation is None:
                        planes[...] = projection[columns, None]
                    else:
                        np.multiply(projection[columns, None], self.attenuation[columns], out=planes)
                    self._rows(columns).add_transposed(_lines(planes), onto)
            return
        with work_array(self.blur.new_sums(*projection.shape), onto.dtype) as sums:
            self.blur.along_z_transposed(projection, sums)
            for columns in self._slabs(projection):
                with work_array(self._shape(columns, projection), onto.dtype) as planes:
                    self.blur.spread(sums, columns.start, planes)
                    if self.attenuation is not None:
                        planes *= self.attenuation[columns]
                    self._rows(columns).add_transposed(_lines(planes), onto)

    @property
    def _depths(self) -> int:
        return self.rotation.shape[0] // self.n_columns

    def _slabs(self, projection: Float[Array, "column z"]) -> list[slice]:
        """The columns of the frame, some at a time."""
        n, at_once = self.n_columns, max(1, _SLAB_VALUES // (self._depths * projection.shape[1]))
        return [slice(k, min(k + at_once, n)) for k in range(0, n, at_once)]

    def _shape(self, columns: slice, projection: Array) -> tuple[int, int, int]:
        return columns.stop - columns.start, self._depths, projection.shape[1]

    def _rows(self, columns: slice) -> SparseMatrix:
        return self.rotation.rows(columns.start * self._depths, columns.stop * self._depths)

    def _rotated(self, activity: Array, columns: slice, planes: Float[Array, "column depth z"]) -> None:
        """Write some columns of the frame into `planes`: what gets out from every place."""
        self._rows(columns).apply(activity, _lines(planes))
        if self.attenuation is not None:
            planes *= self.attenuation[columns]


def _lines(planes: Float[Array, "column depth z"]) -> Float[Array, "column_depth z"]:
    return planes.reshape(-1, planes.shape[-1])


@dataclass(frozen=True, eq=False)
class ViewBlock:
    """The model of a few views, ready to be applied many times, in threads.

    Attributes:
        views: their models.
        plane_shape: x and y of the activity.
    """

    views: tuple[View, ...]
    plane_shape: tuple[int, int]

    def with_attenuation(self, attenuation: Sequence[Float[Array, "column depth z"]]) -> ViewBlock:
        """The same views through another map."""
        views = (replace(view, attenuation=own) for view, own in zip(self.views, attenuation, strict=True))
        return replace(self, views=tuple(views))

    def project(self, activity: Float[Array, "x y z"]) -> Float[Array, "view column z"]:
        """Expected counts: rotate, attenuate, blur, add up along the depth."""
        slices = activity.shape[-1]
        flat = np.ascontiguousarray(activity).reshape(-1, slices)
        expected = np.empty((len(self.views), self.views[0].n_columns, slices), dtype=activity.dtype)

        def project_some(part: range) -> None:
            for k in part:
                self.views[k].project(flat, expected[k])

        in_threads(project_some, self._parts())
        return expected

    def backproject(self, projections: Float[Array, "view column z"]) -> Float[Array, "x y z"]:
        """The transpose of `project`, step by step in reverse order."""
        slices = projections.shape[-1]

        def backproject_some(part: range) -> Array:
            image = np.zeros((self.plane_shape[0] * self.plane_shape[1], slices), dtype=projections.dtype)
            for k in part:
                self.views[k].backproject(projections[k], image)
            return image

        return self._summed(in_threads(backproject_some, self._parts()), slices)

    def backprojected_ratio(
        self,
        activity: Float[Array, "x y z"],
        measured: Float[Array, "view column z"],
        scatter: Float[Array, "view column z"] | None,
        floor: float,
    ) -> Float[Array, "x y z"]:
        """The back-projection of what was measured over what the activity lets expect.

        Args:
            activity: see `project`.
            measured: counts of these views.
            scatter: expected scattered counts, or None for none.
            floor: least expected counts.
        """
        slices = activity.shape[-1]
        flat = activity.reshape(-1, slices)

        def correct_some(part: range) -> Array:
            image = np.zeros_like(flat)
            expected = np.empty(measured.shape[1:], dtype=flat.dtype)
            for k in part:
                self.views[k].project(flat, expected)
                if scatter is not None:
                    expected += scatter[k]
                np.maximum(expected, floor, out=expected)
                np.divide(measured[k], expected, out=expected)
                self.views[k].backproject(expected, image)
            return image

        return self._summed(in_threads(correct_some, self._parts()), slices)

    def _parts(self) -> list[range]:
        n = len(self.views)
        ends = [n * k // _PARTS for k in range(_PARTS + 1)]
        return [range(a, b) for a, b in itertools.pairwise(ends) if b > a]

    def _summed(self, images: list[Array], slices: int) -> Float[Array, "x y z"]:
        total = images[0]
        for image in images[1:]:
            total += image
        return total.reshape(*self.plane_shape, slices)
