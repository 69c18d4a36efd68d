"""How well short reconstructions with several maps explain coarse projections: their Poisson log-likelihoods."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float

from mureg.geometry import Array, Volume
from mureg.jobs.threads import in_threads
from mureg.spect import Acquisition, SystemModel
from mureg.spect.expectation import (
    expectation_floor,
    inverse_sensitivity,
    measured_slices,
    ordered_subsets,
    start_image,
    update_by_subsets,
)
from mureg.spect.stacked import StackedViews
from mureg.spect.system import inner_order

Rows = Float[Array, " row"]

_PASSES, _SUBSETS = 4, 6
"""Of each reconstruction; few, for eight are made. The limits of the likelihood were set with them."""


def log_likelihoods(alternatives: Sequence[tuple[Acquisition, Volume]]) -> list[Rows]:
    """Poisson log-likelihood, without its constant, that a short reconstruction with each map reaches.

    Alternatives of one orbit are reconstructed together, one after another along z: without resolution no slice depends
    on another, and a sparse product of few slices takes nearly as long as one of many.

    Returns:
        For each alternative the part of each row, row 0 at the head.
    """
    groups: dict[Hashable, list[int]] = {}
    for number, (acquisition, mu) in enumerate(alternatives):
        groups.setdefault(_geometry(acquisition, mu), []).append(number)
    results = in_threads(lambda numbers: _of_one_orbit([alternatives[k] for k in numbers]), groups.values())
    by_number = dict(zip(itertools.chain(*groups.values()), itertools.chain(*results), strict=True))
    return [by_number[number] for number in range(len(alternatives))]


def _geometry(acquisition: Acquisition, mu: Volume) -> Hashable:
    """What alternatives must have in common to be reconstructed together: all but rows, counts and map."""
    numbers = (
        b"" if values is None else np.asarray(values).tobytes()
        for values in (acquisition.angles_deg, acquisition.column_offsets_mm, acquisition.view_weights)
    )
    planes = ((grid.shape[:2], grid.affine[:2].tobytes()) for grid in (acquisition.grid(), mu.grid))
    return (*numbers, *planes, acquisition.pixel_mm, acquisition.counts.shape[3])


def _of_one_orbit(alternatives: Sequence[tuple[Acquisition, Volume]]) -> list[Rows]:
    """See `log_likelihoods`, of alternatives with the same `_geometry`."""
    acquisition, mu = alternatives[0]
    system = SystemModel(acquisition, acquisition.grid(), mu)
    bare = SystemModel(acquisition, system.grid)
    counts, seen, start, maps = (
        np.concatenate(parts, axis=-1)
        for parts in zip(
            *(
                (
                    inner_order(each.photopeak_counts),
                    measured_slices(each),
                    start_image(each, each.grid()).values,
                    own_mu.values.astype(each.counts.dtype, copy=False),
                )
                for each, own_mu in alternatives
            ),
            strict=True,
        )
    )
    subsets = ordered_subsets(acquisition.n_views, min(_SUBSETS, acquisition.n_views))
    blocks = [
        StackedViews.of(
            bare.block(views, counts).with_attenuation(system.attenuation_of(maps, views)),
            counts.shape[2],
            counts.dtype.name,
        )
        for views in subsets
    ]
    measured = [counts[views] * seen for views in subsets]
    weights = [inverse_sensitivity(block, y, seen) for block, y in zip(blocks, measured, strict=True)]
    activity, floor = np.ascontiguousarray(start), expectation_floor(counts)
    for _ in range(_PASSES):
        update_by_subsets(activity, blocks, measured, weights, None, floor)
    slices = np.zeros(counts.shape[2])
    for block, y in zip(blocks, measured, strict=True):
        expected = np.maximum(block.project(activity), floor)
        slices += (y * np.log(expected) - expected).sum((0, 1), dtype=np.float64)
    ends = np.cumsum([each.counts.shape[2] for each, _ in alternatives])
    return [part[::-1] for part in np.split(slices, ends[:-1])]
