"""The model of single views: rotate, attenuate, blur, add up; and each step's exact transpose.

Layout of `mureg.spect.stages`: activity [x * y, z] with z innermost, projections [column, z]. Several studies of one
geometry may lie one after another along z.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from mureg.geometry import Array
from mureg.jobs.threads import in_threads
from mureg.spect.sparse import SparseMatrix, work_array

_LARGEST_PRODUCT = 64**3
"""Multiplications in one matrix product above which OpenBLAS would start threads of its own (4 x 65536)."""
_PARTS = 2
"""Sums that a back-projection is split into, whatever the number of threads, so that these do not change a digit."""


@dataclass(frozen=True, eq=False)
class Blur:
    """Depth-dependent resolution of one view.

    Attributes:
        along_columns: [depth * column, depth * column], symmetric; see `stages.column_blur`.
        shares: [node, depth]; see `stages.node_shares`.
        bands: [node, z, z], one symmetric band for each node. Studies that lie one after another along z are blurred
            each for itself.
    """

    along_columns: SparseMatrix
    shares: SparseMatrix
    bands: Float[Array, "node z z"]

    def project(self, frame: Float[Array, "depth column z"]) -> Float[Array, "column z"]:
        """Blur every plane by its distance to the detector and add them up."""
        depths, columns, slices = frame.shape
        with work_array(frame.shape, frame.dtype) as blurred:
            self.along_columns.apply(frame.reshape(-1, slices), blurred.reshape(-1, slices))
            nodes = self.shares @ blurred.reshape(depths, -1)
        added: Array = self._along_z(nodes.reshape(-1, columns, slices)).sum(0)
        return added

    def backproject(self, projection: Float[Array, "column z"], frame: Float[Array, "depth column z"]) -> None:
        """The transpose of `project`, written into `frame`."""
        depths, columns, slices = frame.shape
        nodes = self._along_z(np.broadcast_to(projection, (len(self.bands), columns, slices)))
        with work_array(frame.shape, frame.dtype) as spread:
            spread.fill(0.0)
            self.shares.add_transposed(nodes.reshape(len(self.bands), -1), spread.reshape(depths, -1))
            self.along_columns.apply(spread.reshape(-1, slices), frame.reshape(-1, slices))

    def _along_z(self, nodes: Float[Array, "node column slice"]) -> Float[Array, "node column slice"]:
        """Every node's planes through its band."""
        n_nodes, columns, slices = nodes.shape
        z = self.bands.shape[1]
        lines = columns * (slices // z)
        parts = nodes.reshape(n_nodes, -1, _lines_at_once(lines, z), z)
        result: Array = np.matmul(parts, self.bands[:, None]).reshape(nodes.shape)
        return result


@lru_cache
def _lines_at_once(lines: int, z: int) -> int:
    """How many lines of slices one product takes, so that it is small and all are alike."""
    return max((n for n in range(1, lines + 1) if lines % n == 0 and n * z * z <= _LARGEST_PRODUCT), default=1)


@dataclass(frozen=True, eq=False)
class View:
    """The model of one view.

    Attributes:
        rotation: into the view's frame, [depth * column, x * y].
        frame_shape: number of depths and columns.
        attenuation: share of photons that gets out from every place of the frame; None for all.
        blur: None for none.
        weight: share of the decays that the view counts.
    """

    rotation: SparseMatrix
    frame_shape: tuple[int, int]
    attenuation: Float[Array, "depth column z"] | None = None
    blur: Blur | None = None
    weight: float = 1.0

    def project(self, activity: Float[Array, "xy z"], out: Float[Array, "column z"]) -> None:
        """Write the expected counts into `out`."""
        with work_array((*self.frame_shape, activity.shape[1]), activity.dtype) as frame:
            self.rotation.apply(activity, frame.reshape(-1, activity.shape[1]))
            if self.attenuation is not None:
                frame *= self.attenuation
            if self.blur is None:
                np.add.reduce(frame, axis=0, out=out)
            else:
                out[...] = self.blur.project(frame)
        if self.weight != 1.0:
            out *= self.weight

    def backproject(self, projection: Float[Array, "column z"], onto: Float[Array, "xy z"]) -> None:
        """Add the transpose of `project` onto `onto`."""
        if self.weight != 1.0:
            projection = projection * projection.dtype.type(self.weight)
        with work_array((*self.frame_shape, onto.shape[1]), onto.dtype) as frame:
            if self.blur is not None:
                self.blur.backproject(projection, frame)
                if self.attenuation is not None:
                    frame *= self.attenuation
            elif self.attenuation is not None:
                np.multiply(projection, self.attenuation, out=frame)
            else:
                frame[...] = projection
            self.rotation.add_transposed(frame.reshape(-1, onto.shape[1]), onto)


@dataclass(frozen=True, eq=False)
class ViewBlock:
    """The model of a few views, ready to be applied many times, in threads.

    Attributes:
        views: their models.
        plane_shape: x and y of the activity.
    """

    views: tuple[View, ...]
    plane_shape: tuple[int, int]

    def with_attenuation(self, attenuation: Sequence[Float[Array, "depth column z"]]) -> ViewBlock:
        """The same views through another map."""
        views = (replace(view, attenuation=own) for view, own in zip(self.views, attenuation, strict=True))
        return replace(self, views=tuple(views))

    def project(self, activity: Float[Array, "x y z"]) -> Float[Array, "view column z"]:
        """Expected counts: rotate, attenuate, blur, add up along the depth."""
        slices = activity.shape[-1]
        flat = np.ascontiguousarray(activity).reshape(-1, slices)
        expected = np.empty((len(self.views), self.views[0].frame_shape[1], slices), dtype=activity.dtype)

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
