"""The model of a few views: rotate, attenuate, blur, add up; and each step's exact transpose.

Layout of `mureg.spect.stages`: activity [x * y, z] with z innermost, projections [column, z]. Several studies of one
geometry may lie one after another along z.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from mureg.geometry import Array
from mureg.jobs.threads import in_threads
from mureg.spect.blur import Blur
from mureg.spect.sparse import SparseMatrix, work_array

_PARTS = 2
"""Parts that the detector columns are split into, for two threads. It does not depend on the number of threads, so that
this does not change a digit."""
_SLAB_VALUES = 1 << 17
"""Values of a view's frame that are worked on at a time: half a megabyte stays in the processor's cache."""


@runtime_checkable
class ViewModel(Protocol):
    """The model of a few views: `ViewBlock`, or another with the same products."""

    def project(self, activity: Float[Array, "x y z"]) -> Float[Array, "view column z"]:
        """Expected counts."""
        ...

    def backproject(self, projections: Float[Array, "view column z"]) -> Float[Array, "x y z"]:
        """The transpose of `project`."""
        ...


@dataclass(frozen=True, eq=False)
class View:
    """What one view adds to the rotated frame.

    Attributes:
        number: its place in the block.
        attenuation: share of photons that gets out from every place of the frame; None for all.
        blur: None for none.
        weight: share of the decays that the view counts.
        opposite: whether the frame is that of the view from the other side: its depths and columns run the other way.
    """

    number: int
    attenuation: Float[Array, "column depth z"] | None = None
    blur: Blur | None = None
    weight: float = 1.0
    opposite: bool = False

    def as_seen(self, projections: Float[Array, "view column z"]) -> Float[Array, "column z"]:
        """This view's part of an array of projections, its columns as those of the frame."""
        return projections[self.number, ::-1] if self.opposite else projections[self.number]


@dataclass(frozen=True, eq=False)
class Turn:
    """A rotated frame and the views that share it: one, or two from opposite sides.

    Attributes:
        rotation: into the frame, [column * depth, x * y].
        n_columns: of the detector.
        views: one or two.
    """

    rotation: SparseMatrix
    n_columns: int
    views: tuple[View, ...]

    def slabs(self, columns: slice, slices: int) -> Iterator[tuple[slice, SparseMatrix, tuple[int, int, int]]]:
        """Some columns at a time, with their rows of the rotation and the shape of their planes."""
        depths = self.rotation.shape[0] // self.n_columns
        at_once = max(1, _SLAB_VALUES // (depths * slices))
        for start in range(columns.start, columns.stop, at_once):
            end = min(start + at_once, columns.stop)
            yield slice(start, end), self.rotation.rows(start * depths, end * depths), (end - start, depths, slices)

    def add_up(self, activity: Float[Array, "xy z"], columns: slice, sums: Sequence[Array]) -> None:
        """Rotate, attenuate, blur along some columns, and add up the depths, for every view.

        `sums` holds for each view in its frame's order: without blur the columns [column, z], which are written; with
        blur an array that is added onto, see `Blur.add_up`.
        """
        for slab, rows, shape in self.slabs(columns, activity.shape[1]):
            with work_array(shape, activity.dtype) as planes, work_array(shape, activity.dtype) as attenuated:
                rows.apply(activity, _lines(planes))
                for view, total in zip(self.views, sums, strict=True):
                    leaving = planes
                    if view.attenuation is not None:
                        leaving = np.multiply(planes, view.attenuation[slab], out=attenuated)
                    if view.blur is None:
                        np.matmul(np.ones((1, shape[1]), dtype=leaving.dtype), leaving, out=total[slab, None])
                    else:
                        view.blur.add_up(leaving, slab.start, total)

    def spread(self, sums: Sequence[Array], columns: slice, onto: Float[Array, "xy z"]) -> None:
        """The transpose of `add_up`, added onto an image."""
        for slab, rows, shape in self.slabs(columns, onto.shape[1]):
            with work_array(shape, onto.dtype) as planes, work_array(shape, onto.dtype) as further:
                for k, (view, total) in enumerate(zip(self.views, sums, strict=True)):
                    target = further if k else planes
                    if view.blur is not None:
                        view.blur.spread(total, slab.start, target)
                        if view.attenuation is not None:
                            target *= view.attenuation[slab]
                    elif view.attenuation is not None:
                        np.multiply(total[slab, None], view.attenuation[slab], out=target)
                    else:
                        target[...] = total[slab, None]
                    if k:
                        planes += further
                rows.add_transposed(_lines(planes), onto)


def _lines(planes: Float[Array, "column depth z"]) -> Float[Array, "column_depth z"]:
    return planes.reshape(-1, planes.shape[-1])


@dataclass(frozen=True, eq=False)
class ViewBlock:
    """The model of a few views, ready to be applied many times, in threads.

    Attributes:
        turns: the frames and their views.
        plane_shape: x and y of the activity.
    """

    turns: tuple[Turn, ...]
    plane_shape: tuple[int, int]

    @property
    def views(self) -> list[View]:
        """All views, in the order of the turns."""
        return [view for turn in self.turns for view in turn.views]

    def with_attenuation(self, attenuation: Sequence[Float[Array, "column depth z"]]) -> ViewBlock:
        """The same views through another map; see `SystemModel.attenuation_of`."""
        turns = (
            replace(turn, views=tuple(replace(view, attenuation=attenuation[view.number]) for view in turn.views))
            for turn in self.turns
        )
        return replace(self, turns=tuple(turns))

    def singly(self) -> list[ViewBlock]:
        """Every view in a block of its own, for activities that differ from view to view."""
        blocks = {
            view.number: replace(self, turns=(replace(turn, views=(replace(view, number=0),)),))
            for turn in self.turns
            for view in turn.views
        }
        return [blocks[number] for number in range(len(blocks))]

    def project(self, activity: Float[Array, "x y z"]) -> Float[Array, "view column z"]:
        """Expected counts: rotate, attenuate, blur, add up along the depth."""
        slices, n_views = activity.shape[-1], len(self.views)
        flat = np.ascontiguousarray(activity).reshape(-1, slices)
        expected = np.empty((n_views, self._n_columns, slices), dtype=activity.dtype)
        blur = self.views[0].blur
        if blur is None:
            in_threads(lambda part: self._add_up(flat, part, expected), self._parts())
        else:
            with work_array((_PARTS, n_views, *blur.shape_of_sums(*expected.shape[1:])), activity.dtype) as sums:
                sums.fill(0.0)
                in_threads(lambda part: self._add_up(flat, part, sums), self._parts())
                in_threads(lambda view: self._along_z(view, sums, expected), self.views)
        for view in self.views:
            if view.weight != 1.0:
                expected[view.number] *= view.weight
        return expected

    def backproject(self, projections: Float[Array, "view column z"]) -> Float[Array, "x y z"]:
        """The transpose of `project`, step by step in reverse order."""
        slices = projections.shape[-1]
        weights = np.empty((len(self.views), 1, 1), dtype=projections.dtype)
        for view in self.views:
            weights[view.number] = view.weight
        weighted = projections if (weights == 1.0).all() else projections * weights
        blur = self.views[0].blur
        if blur is None:
            images = in_threads(lambda part: self._spread(part, weighted, slices), self._parts())
        else:
            with work_array((len(self.views), *blur.shape_of_sums(*projections.shape[1:])), projections.dtype) as sums:
                in_threads(lambda view: self._along_z_transposed(view, weighted, sums), self.views)
                images = in_threads(lambda part: self._spread(part, sums, slices), self._parts())
        total = images[0]
        for image in images[1:]:
            total += image
        return total.reshape(*self.plane_shape, slices)

    @property
    def _n_columns(self) -> int:
        return self.turns[0].n_columns

    def _parts(self) -> list[tuple[int, slice]]:
        """The parts of the columns, by their numbers."""
        ends = [self._n_columns * k // _PARTS for k in range(_PARTS + 1)]
        return list(enumerate(itertools.starmap(slice, itertools.pairwise(ends))))

    def _add_up(self, activity: Float[Array, "xy z"], part: tuple[int, slice], sums: Array) -> None:
        number, columns = part
        for turn in self.turns:
            own = [view.as_seen(sums) if view.blur is None else sums[number, view.number] for view in turn.views]
            turn.add_up(activity, columns, own)

    def _along_z(self, view: View, sums: Array, expected: Float[Array, "view column z"]) -> None:
        assert view.blur is not None
        total = sums[0, view.number]
        for part in range(1, _PARTS):
            total += sums[part, view.number]
        view.blur.along_z(total, view.as_seen(expected))

    def _along_z_transposed(self, view: View, projections: Float[Array, "view column z"], sums: Array) -> None:
        assert view.blur is not None
        view.blur.along_z_transposed(view.as_seen(projections), sums[view.number])

    def _spread(self, part: tuple[int, slice], sums: Array, slices: int) -> Float[Array, "xy z"]:
        image = np.zeros((self.plane_shape[0] * self.plane_shape[1], slices), dtype=sums.dtype)
        for turn in self.turns:
            own = [view.as_seen(sums) if view.blur is None else sums[view.number] for view in turn.views]
            turn.spread(own, part[1], image)
        return image


def backprojected_ratio(
    model: ViewModel,
    activity: Float[Array, "x y z"],
    measured: Float[Array, "view column z"],
    scatter: Float[Array, "view column z"] | None,
    floor: float,
) -> Float[Array, "x y z"]:
    """The back-projection of what was measured over what an activity lets expect.

    Args:
        model: of some views.
        activity: see `ViewModel.project`.
        measured: counts of these views.
        scatter: expected scattered counts, or None for none.
        floor: least expected counts.
    """
    expected = model.project(activity)
    if scatter is not None:
        expected += scatter
    np.maximum(expected, floor, out=expected)
    return model.backproject(np.divide(measured, expected, out=expected))
