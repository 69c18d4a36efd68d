"""Attenuation maps lengthened along their slices, where the scan is shorter than the field of the SPECT."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from mureg.geometry import Array, Grid, RigidTransform, Volume

AIR_PER_CM = np.float32(0.0)
"""Air does not attenuate."""
_OFTEN_KNOWN = 0.25  # share of the slices of a column: less is the rim of a field that lies at a slant; chosen


def with_repeated_slices(mu: Volume, onto: Grid, ct_from_spect: RigidTransform | None) -> Volume:
    """Lengthened along its slices until it covers a grid: each column repeats its first and last known voxel.

    Columns that the scan hardly knows (the rim of a field that lies at a slant) stay unknown.
    """
    return with_more_slices(mu, *missing_slices(mu, onto, ct_from_spect))


def missing_slices(mu: Volume, onto: Grid, ct_from_spect: RigidTransform | None) -> tuple[int, int]:
    """How many slices are missing at the first and at the last end of a map until it covers a grid."""
    corners = (ct_from_spect or RigidTransform.identity()).apply(onto.corners_mm())
    along = mu.grid.indices(corners)[:, 2]
    return max(0, int(np.ceil(-along.min())) + 1), max(0, int(np.ceil(along.max())) + 2 - mu.grid.shape[2])


def with_more_slices(mu: Volume, before: int, after: int) -> Volume:
    """Lengthened by so many slices at its ends; see `with_repeated_slices`."""
    n_slices = mu.grid.shape[2]
    affine = mu.grid.affine.copy()
    affine[:3, 3] = mu.grid.points((0, 0, -before))
    grid = Grid((*mu.grid.shape[:2], n_slices + before + after), affine, mu.grid.frame_of_reference)
    slices = np.arange(-before, n_slices + after)
    if mu.outside is None:
        return Volume(mu.values.take(slices.clip(0, n_slices - 1), 2), grid, mu.quantity)
    source, is_known = _nearest_known(~mu.outside, slices)
    unknown = ~is_known
    values = _of_columns(mu.values, source)
    values[unknown] = AIR_PER_CM
    return Volume(values, grid, mu.quantity, unknown if bool(unknown.any()) else None)


def _nearest_known(
    is_known: Bool[Array, "x y z"], slices: Int[Array, " wide"]
) -> tuple[Int[Array, "x y wide"], Bool[Array, "x y wide"]]:
    """For each wanted slice the slice to take it from in each column, and whether that voxel is known."""
    n_slices = is_known.shape[2]
    first = is_known.argmax(2, keepdims=True)
    last = n_slices - 1 - is_known[:, :, ::-1].argmax(2, keepdims=True)
    source = np.clip(slices, first, last)
    often = is_known.sum(2, keepdims=True) >= _OFTEN_KNOWN * n_slices
    return source, _of_columns(is_known, source) & often


def _of_columns(values: Array, source: Int[Array, "x y wide"]) -> Array:
    """Voxels of each column by their slices: ``np.take_along_axis`` in half of the time."""
    n_slices = values.shape[2]
    starts = np.arange(source.shape[0] * source.shape[1]).reshape(*source.shape[:2], 1) * n_slices
    return np.asarray(np.ascontiguousarray(values).reshape(-1).take(source + starts))
