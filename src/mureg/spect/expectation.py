"""Expectation maximisation of an activity at a fixed attenuation: the steps that reconstruction and registration share.

Shepp and Vardi, IEEE Trans Med Imaging 1982; in subsets Hudson and Larkin, IEEE Trans Med Imaging 1994. All work in the
layout of `mureg.spect.stages`: activity [x, y, z], projections [view, column, z]; several studies of one orbit may lie
one after another along z (`mureg.spect.batch`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from mureg.geometry import Array, Grid, Quantity, Volume
from mureg.spect.acquisition import Acquisition
from mureg.spect.system import SystemModel
from mureg.spect.views import ViewModel, backprojected_ratio

_FULL = 0.3
"""Share of the usual counts of a row above which the row is inside the patient; chosen."""
_LEAST_SEEN = 0.1
"""Share of its sensitivity that a voxel must keep when detector rows are masked, or else it stays empty; chosen."""
_NEVER_BELOW = 1e-6
"""Of the mean counts, as expected counts: only keeps ratios finite, and single precision holds it; a round value."""


def start_image(acquisition: Acquisition, grid: Grid) -> Volume:
    """A uniform cylinder, as wide as every view sees; any level will do, the first update sets the scale."""
    values = _field_of_view(grid, acquisition).astype(acquisition.counts.dtype)
    return Volume(values, grid, Quantity.ACTIVITY)


def ordered_subsets(n_views: int, subsets: int) -> list[list[int]]:
    """The views of each subset: every n-th view into one."""
    return [list(range(k, n_views, subsets)) for k in range(subsets)]


def expectation_floor(counts: Array) -> float:
    """Expected counts below which nothing is divided: keeps the ratio finite where nothing is expected."""
    return max(float(counts.mean()), 1e-20) * _NEVER_BELOW


def update_by_subsets(
    activity: Float[Array, "x y z"],
    blocks: Sequence[ViewModel],
    measured: Sequence[Float[Array, "_ column z"]],
    weights: Sequence[Float[Array, "x y z"]],
    scatter: Sequence[Float[Array, "_ column z"]] | None,
    floor: float,
) -> None:
    """One pass, in place: every subset corrects the image by what it measured over what it expects.

    Args:
        activity: changed.
        blocks: the model of each subset's views.
        measured: counts of each subset.
        weights: of each subset, see `inverse_sensitivity`.
        scatter: expected scattered counts of each subset, or None for none.
        floor: see `expectation_floor`.
    """
    for k, (block, y, weight) in enumerate(zip(blocks, measured, weights, strict=True)):
        activity *= backprojected_ratio(block, activity, y, None if scatter is None else scatter[k], floor)
        activity *= weight


def inverse_sensitivity(
    block: ViewModel, like: Array, slice_mask: Float[Array, " z"], seen: Float[Array, "x y z"] | None = None
) -> Float[Array, "x y z"]:
    """1 / sensitivity of a subset, and 0 where a voxel is hardly seen by it.

    Args:
        block: the model of the subset's views.
        like: projections of that shape.
        slice_mask: 1 for slices whose detector rows count, else 0; see `measured_slices`.
        seen: the sensitivity to all rows is added onto it, where it is given.
    """
    full = block.backproject(np.ones_like(like))
    if seen is not None:
        seen += full
    # rounding of single precision
    usable = full > 1e-6 * full.max()
    if bool((slice_mask == 0).any()):
        measured = block.backproject(np.ones_like(like) * slice_mask)
        usable &= measured > _LEAST_SEEN * full
        full = measured
    np.maximum(full, 1e-30, out=full)
    np.divide(1.0, full, out=full)
    full[~usable] = 0.0
    return full


def measured_slices(acquisition: Acquisition) -> Float[Array, " z"]:
    """1 for slices whose detector rows took all their counts, 0 for those at the mask of the camera's useful field.

    At an end where rows that hold nothing in any view meet rows full of counts, with at most one partly masked row
    between, the empty ones say nothing. Taken for measured zeros they would draw bright edges once resolution is
    modelled. Rows that fade to nothing are kept.
    """
    counts = acquisition.photopeak_counts
    rows = counts.sum((0, 2), dtype=np.float64)[::-1]  # row 0 is at the head, slice 0 at the feet
    slice_mask = np.ones(len(rows), dtype=counts.dtype)
    filled_rows = np.flatnonzero(rows)
    if len(filled_rows) == 0:
        return slice_mask
    full = np.flatnonzero(rows > _FULL * np.quantile(rows[filled_rows], 0.5, method="lower"))
    if filled_rows[0] > 0 and full[0] - filled_rows[0] <= 1:
        slice_mask[: full[0]] = 0.0
    if filled_rows[-1] < len(rows) - 1 and filled_rows[-1] - full[-1] <= 1:
        slice_mask[full[-1] + 1 :] = 0.0
    return slice_mask


def expected_scatter(
    acquisition: Acquisition, system: SystemModel, activity: Volume, seen: Float[Array, "x y z"] | None = None
) -> Float[Array, "view row column"]:
    """The scatter that the model of a system expects from an activity, in balance with the counts where it asks so.

    `seen`, the sensitivity of all views together, spares projecting the activity: its product with the activity is the
    counts expected in all views.
    """
    assert system.scatter is not None
    scatter = system.scatter.estimate(system, activity)
    if not system.scatter.balanced:
        return scatter
    if seen is None:
        blocks = system.blocks(activity.values)
        primary = sum(float(block.project(activity.values).sum(dtype=np.float64)) for block in blocks)
    else:
        primary = float((activity.values * seen).sum(dtype=np.float64))
    expected = primary + float(scatter.sum(dtype=np.float64))
    measured = float(acquisition.photopeak_counts.sum(dtype=np.float64))
    return scatter * (measured / max(expected, 1e-20))


def _field_of_view(grid: Grid, acquisition: Acquisition) -> Bool[Array, "x y z"]:
    """Voxels inside the cylinder around the axis of rotation that every view sees."""
    nx, ny, nz = grid.shape
    spacing = grid.spacing_mm[0]
    x = grid.affine[0, 3] + np.arange(nx) * spacing - acquisition.centre_mm[0]
    y = grid.affine[1, 3] + np.arange(ny) * spacing - acquisition.centre_mm[1]
    inside = np.hypot(x[:, None], y[None, :]) <= acquisition.counts.shape[3] * spacing / 2
    return np.repeat(inside[:, :, None], nz, axis=2)
