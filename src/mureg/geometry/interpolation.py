"""Values of an image between its voxels, on a lattice that any affine map lays into it."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float
from scipy import ndimage

from mureg.jobs.threads import in_threads

Array = npt.NDArray[Any]

_SLAB_POINTS = 250_000
"""Target voxels that one thread takes at a time: few enough that what is made of them (1 MB in single precision for
each array) stays in the cache; a round value."""
_FORGIVEN = 0.5 + 1e-6
"""Half a voxel, and 1e-6 for the rounding where two lattices share their edge."""


def interpolate(
    values: Float[Array, "x y z"],
    source_from_target: Float[Array, "4 4"],
    shape: tuple[int, int, int],
    *,
    nearest: bool = False,
) -> tuple[Float[Array, "u v w"], Bool[Array, "u v w"]]:
    """Sample an image once on another lattice.

    Args:
        values: the source, index order x, y, z.
        source_from_target: maps target voxel indices to source voxel indices (fractional).
        shape: the target lattice.
        nearest: take the nearest voxel (labels) instead of trilinear weights.

    Returns:
        The sampled values, 0 outside, and which target voxels lay outside the source. A voxel reaches half a spacing
        around its centre, so the source ends half a voxel beyond its outermost centres (as in ITK).
    """
    matrix = np.asarray(source_from_target, dtype=np.float64)
    linear, offset = matrix[:3, :3], matrix[:3, 3]
    if not np.any(linear - np.diag(np.diag(linear))) and not nearest:
        return _along_axes(values, np.diag(linear), offset, shape)
    sampled, outside = np.empty(shape, dtype=values.dtype), np.empty(shape, dtype=bool)
    source = np.ascontiguousarray(values)
    rows_at_once = max(1, _SLAB_POINTS // (shape[1] * shape[2]))

    def sample(start: int) -> None:
        rows = slice(start, min(start + rows_at_once, shape[0]))
        slab = sampled[rows]
        ndimage.affine_transform(
            source,
            linear,
            offset + linear[:, 0] * start,
            output_shape=slab.shape,
            output=slab,
            order=0 if nearest else 1,
            mode="nearest",
            prefilter=False,
        )
        outside[rows] = _beyond(matrix, rows, shape, values.shape)
        slab[outside[rows]] = 0.0

    in_threads(sample, range(0, shape[0], rows_at_once))
    return sampled, outside


def _along_axes(
    values: Float[Array, "x y z"], step: Array, offset: Array, shape: tuple[int, int, int]
) -> tuple[Float[Array, "u v w"], Bool[Array, "u v w"]]:
    """As `interpolate`, of lattices along the same axes: one axis after the other, each with two weights."""
    sampled, beyond = values, []
    for axis in sorted(range(3), key=lambda k: shape[k] / values.shape[k]):
        size = values.shape[axis]
        index = np.arange(shape[axis]) * step[axis] + offset[axis]
        clipped = np.clip(index, 0.0, size - 1)
        low = np.minimum(clipped.astype(np.intp), max(size - 2, 0))
        along = [1, 1, 1]
        along[axis] = -1
        share = (clipped - low).astype(values.dtype).reshape(along)
        below = sampled.take(low, axis)
        if np.any(share):
            below += share * (sampled.take(np.minimum(low + 1, size - 1), axis) - below)
        sampled = below
        beyond.append(((index < -_FORGIVEN) | (index > size - 1 + _FORGIVEN)).reshape(along))
    outside = np.ascontiguousarray(np.broadcast_to(reduce(np.logical_or, beyond), shape))
    sampled[outside] = 0.0
    return np.ascontiguousarray(sampled), outside


def lies_beyond(
    source_from_target: Float[Array, "4 4"], shape: tuple[int, int, int], source: tuple[int, ...]
) -> Bool[Array, "u v w"]:
    """Which voxels of a target lattice lie outside a source of so many voxels; see `interpolate`."""
    matrix = np.asarray(source_from_target, dtype=np.float64)
    return _beyond(matrix, slice(0, shape[0]), shape, source)


def _beyond(matrix: Array, rows: slice, shape: tuple[int, int, int], source: tuple[int, ...]) -> Bool[Array, "u v w"]:
    u = np.arange(rows.start, rows.stop, dtype=np.float64)
    v, w = (np.arange(n, dtype=np.float64) for n in shape[1:])
    beyond = np.zeros((len(u), *shape[1:]), dtype=bool)
    for (a, b, c, d), size in zip(matrix[:3], source, strict=True):
        index = (u * a)[:, None, None] + (v * b)[:, None] + w * c + d
        beyond |= (index < -_FORGIVEN) | (index > size - 1 + _FORGIVEN)
    return beyond
