"""Whether the projections agree with the map, its axial scale, its sides and the centre of rotation.

For each alternative an activity is reconstructed from the coarse projections with the same number of passes, and the
Poisson log-likelihood that it reaches is compared, per thousand counts. Alternatives: the CT's map at the pose found;
water inside the outline of the emission, which knows nothing of this patient's CT; the map stretched axially;
the map with left and right exchanged; the projections shifted against the axis of rotation. Only rows that see the
heart and that the CT covers are used. Resolution and scatter are left out: they are alike in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.maps import AttenuationMaps
from mureg.geometry import Array, Grid, Quantity, RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.jobs.threads import beside, in_threads
from mureg.notes import Note, Rank
from mureg.registration.likelihood.profile import rebinned, rows_to_trust, with_rows
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

_PIXEL_MM = 13.6
"""Pixels of the averaged projections (docs/concepts/decision.md)."""
_PASSES, _SUBSETS = 4, 6
"""Of each reconstruction; few, for fourteen are made. The limits of the likelihood were set with them."""
_WATER_PER_CM = 0.12
"""Of the map that knows no CT: water of 0.154 1/cm with a fifth of lung."""
_STRETCHES = (0.67, 1.5)
"""Factors of the axial stretch that is tested (docs/concepts/decision.md)."""
_REACH_MM = 70.0
"""Only rows within this distance of the heart are used (docs/concepts/decision.md)."""
_FEWEST_ROWS = 4
"""Rows of 13.6 mm: together more than half of a heart of 90 mm; chosen."""
_OFFSET_MM = 10.0
"""Shift of the projections to both sides (docs/concepts/decision.md)."""
_USUAL_OFFSET_MM = -1.0
"""Offset that fits best without any error of the centre of rotation, the mean of 27 virtual patients (-3.7 to -0.3):
photons are lost to one side more than to the other, which the model without resolution and scatter does not know."""


@dataclass(frozen=True)
class ProjectionEvidence:
    """What the projections say; gains are differences of log-likelihood per thousand counts.

    Attributes:
        map_gain: of the map at the pose found over water inside the outline of the emission.
        stretch_gains: of the map stretched axially about the heart, by factor, over the map as it is; empty
            where the CT covers too little above and below the heart.
        mirror_gain: of the map with left and right exchanged, about the middle of the body, over the map as it is.
        rotation_offset_mm: distance between the axis of rotation and where it fits best, beyond the usual one.
        rotation_offsets_mm: the same of the upper and of the lower half of the rows, each alone. A wrong centre of
            rotation moves all rows alike; arms beside the field of the CT or a pose that is a little off do not.
    """

    map_gain: float
    stretch_gains: dict[float, float]
    mirror_gain: float
    rotation_offset_mm: float
    rotation_offsets_mm: tuple[float, float]

    @property
    def agreed_rotation_offset_mm(self) -> float:
        """The offset that all rows, the upper and the lower half confirm: the smallest; 0 where their sides differ."""
        offsets = np.array((self.rotation_offset_mm, *self.rotation_offsets_mm))
        return float(np.sign(offsets[0]) * np.abs(offsets).min()) if len(set(np.sign(offsets))) == 1 else 0.0


def projection_evidence(
    acquisition: Acquisition, maps: AttenuationMaps, outline: Volume, ct_from_spect: RigidTransform, heart_mm: Triple
) -> ProjectionEvidence:
    """Compare the alternatives.

    Args:
        acquisition: the projections.
        maps: of the CT, body and table apart.
        outline: label of where the emission comes from.
        ct_from_spect: the pose found.
        heart_mm: centre of the heart in SPECT space.
    """
    coarse = rebinned(acquisition, max(1, round(_PIXEL_MM / acquisition.pixel_mm[0])), 1)
    body = AttenuationMaps(maps.body, None, maps.settings)
    stretched = {factor: _stretched(body, ct_from_spect, heart_mm, factor) for factor in _STRETCHES}
    near = _near_heart(coarse, [maps.body.grid], ct_from_spect, heart_mm)
    nearer = _near_heart(coarse, [one.body.grid for one in stretched.values()], ct_from_spect, heart_mm)
    chosen = coarse if near is None else near
    grid = body.attenuation_grid(chosen.grid(), ct_from_spect)
    mu = maps.on_spect(grid, ct_from_spect, outline)
    water = Volume(outline.resampled(onto=grid).values * _WATER_PER_CM, grid, Quantity.MU_PER_CM)
    mirrored = _mirrored(body).on_spect(grid, ct_from_spect, outline)
    stretch_gains = beside(lambda: {} if nearer is None else _stretch_gains(nearer, body, stretched, ct_from_spect))
    before, (with_map, with_water, with_mirrored), after = in_threads(
        lambda alternative: log_likelihoods(*alternative),
        [
            (_offset(chosen, -_OFFSET_MM), [mu]),
            (chosen, [mu, water, mirrored]),
            (_offset(chosen, _OFFSET_MM), [mu]),
        ],
    )
    middle = (chosen.counts.shape[2] + 1) // 2  # slice 0 is at the feet
    whole, upper, lower = (
        _vertex_mm(*(float(one[part].sum()) for one in (before[0], with_map, after[0]))) - _USUAL_OFFSET_MM
        for part in (slice(None), slice(middle, None), slice(middle))
    )
    return ProjectionEvidence(
        float((with_map - with_water).sum()) / _thousands(chosen),
        stretch_gains(),
        float((with_mirrored - with_map).sum()) / _thousands(chosen),
        whole,
        (upper, lower),
    )


def _near_heart(
    acquisition: Acquisition, covered_by: Sequence[Grid], ct_from_spect: RigidTransform, heart_mm: Triple
) -> Acquisition | None:
    """The rows that see the heart and that all these grids cover; None where they are too few."""
    spans = [rows_to_trust(acquisition, grid, ct_from_spect, heart_mm, _REACH_MM, 0.0) for grid in covered_by]
    first, end = max(span[0] for span in spans), min(span[1] for span in spans)
    return with_rows(acquisition, first, end) if end - first >= _FEWEST_ROWS else None


def _stretch_gains(
    acquisition: Acquisition,
    body: AttenuationMaps,
    stretched: Mapping[float, AttenuationMaps],
    ct_from_spect: RigidTransform,
) -> dict[float, float]:
    grid = body.attenuation_grid(acquisition.grid(), ct_from_spect)
    alternatives = [maps.on_spect(grid, ct_from_spect) for maps in (body, *stretched.values())]
    unstretched, *others = log_likelihoods(acquisition, alternatives)
    return {
        factor: float((other - unstretched).sum()) / _thousands(acquisition)
        for factor, other in zip(stretched, others, strict=True)
    }


def _thousands(acquisition: Acquisition) -> float:
    return max(float(acquisition.photopeak_counts.sum()) / 1000.0, 1e-9)


def projection_notes(
    evidence: ProjectionEvidence, limits: Thresholds, given: str = "CT", *, spacing_confirmed: bool = False
) -> Iterator[Note]:
    """Notes of the first rank on what the projections contradict.

    Args:
        evidence: of the projections.
        limits: of the decision.
        given: CT or attenuation map, for the sentences.
        spacing_confirmed: the vertebrae are as far apart as they must be. Then a gain of the stretched map is that of
            another depth of breath, which stretches the chest alone, and is only recorded.
    """
    if evidence.map_gain < limits.least_map_gain:
        yield Note(
            f"the {given} explains the projections no better than water in the outline of the emission (log-likelihood "
            f"{evidence.map_gain:+.2f} per thousand counts): it may be of another patient, or wrongly placed",
            Rank.CHANGES_ANSWER,
        )
    factor, gain = max(evidence.stretch_gains.items(), key=lambda item: item[1], default=(1.0, -np.inf))
    if gain > limits.largest_stretch_gain:
        advice = (
            "the distance of its vertebrae confirms its slice spacing, so its depth of breath may differ"
            if spacing_confirmed
            else "check its slice spacing"
        )
        yield Note(
            f"the {given} would explain the projections better if it were stretched axially by {factor:g} "
            f"(log-likelihood {gain:+.2f} per thousand counts): {advice}",
            Rank.RECORD if spacing_confirmed else Rank.CHANGES_ANSWER,
        )
    if evidence.mirror_gain > limits.largest_mirror_gain:
        yield Note(
            f"the {given} would explain the projections better with left and right exchanged (log-likelihood "
            f"{evidence.mirror_gain:+.2f} per thousand counts): it may be mirrored, or of another patient",
            Rank.CHANGES_ANSWER,
        )
    if abs(evidence.agreed_rotation_offset_mm) > limits.rotation_centre_mm:
        yield Note(
            f"the projections fit best {abs(evidence.rotation_offset_mm):.0f} mm off the stated centre of rotation "
            f"(limit {limits.rotation_centre_mm:g} mm): the centre of rotation is wrong, or the patient moved sideways",
            Rank.CHANGES_ANSWER,
        )


def log_likelihoods(acquisition: Acquisition, maps: Sequence[Volume]) -> Float[Array, "map slice"]:
    """Poisson log-likelihood, without its constant, that a short reconstruction with each map reaches, slice by slice.

    Without resolution and scatter no slice knows of another: what some rows reach is the sum over their slices. The
    maps lie on one grid and are reconstructed together, one after another along z.

    Args:
        acquisition: the projections; slice 0 is their last row.
        maps: attenuation in 1/cm, all on one grid.
    """
    n, rows = len(maps), acquisition.counts.shape[2]
    grid = acquisition.grid()
    emission, through = SystemModel(acquisition, grid), SystemModel(acquisition, grid, maps[0])
    counts, seen = inner_order(acquisition.photopeak_counts), np.tile(measured_slices(acquisition), n)
    mu = np.concatenate([one.values for one in maps], axis=-1).astype(counts.dtype, copy=False)
    subsets = ordered_subsets(acquisition.n_views, min(_SUBSETS, acquisition.n_views))
    blocks = [
        StackedViews.of(
            emission.block(views, counts).with_attenuation(through.attenuation_of(mu, views)),
            n * rows,
            counts.dtype.name,
        )
        for views in subsets
    ]
    measured = [np.tile(counts[views], n) * seen for views in subsets]
    weights = [inverse_sensitivity(block, y, seen) for block, y in zip(blocks, measured, strict=True)]
    activity = np.tile(start_image(acquisition, grid).values, n)
    floor = expectation_floor(counts)
    for _ in range(_PASSES):
        update_by_subsets(activity, blocks, measured, weights, None, floor)
    expected = [np.maximum(block.project(activity), floor) for block in blocks]
    reached = [(y * np.log(e) - e).sum((0, 1), dtype=np.float64) for y, e in zip(measured, expected, strict=True)]
    by_slice: Array = np.sum(reached, axis=0).reshape(n, rows)
    return by_slice


def _stretched(
    maps: AttenuationMaps, ct_from_spect: RigidTransform, heart_mm: Triple, factor: float
) -> AttenuationMaps:
    """The maps scaled axially about the heart."""
    height_mm = float(ct_from_spect.apply(heart_mm)[2])
    return _scaled(maps, 2, factor, height_mm)


def _mirrored(maps: AttenuationMaps) -> AttenuationMaps:
    """The body with left and right exchanged about the middle of what attenuates."""
    values = maps.body.values
    inside = np.argwhere(values > _WATER_PER_CM / 2)
    middle_mm = float(maps.body.grid.points(inside)[:, 0].mean()) if len(inside) else maps.body.grid.centre_mm[0]
    return _scaled(maps, 0, -1.0, middle_mm)


def _scaled(maps: AttenuationMaps, axis: int, factor: float, about_mm: float) -> AttenuationMaps:
    """The body scaled along one patient axis about a place on it."""
    scale = np.eye(4)
    scale[axis, axis], scale[axis, 3] = factor, about_mm * (1.0 - factor)
    body = maps.body
    grid = Grid(body.grid.shape, scale @ body.grid.affine, body.grid.frame_of_reference)
    return AttenuationMaps(Volume(body.values, grid, body.quantity, body.outside), None, maps.settings)


def _offset(acquisition: Acquisition, mm: float) -> Acquisition:
    """The same counts with the axis of rotation seen `mm` farther along the columns."""
    offsets = acquisition.column_offsets_mm
    shifted = (np.zeros(acquisition.n_views) if offsets is None else np.asarray(offsets)) + mm
    return replace(acquisition, column_offsets_mm=shifted)


def _vertex_mm(before: float, middle: float, after: float) -> float:
    """Where a parabola through three log-likelihoods, at -10, 0 and 10 mm, has its top; at most 15 mm away."""
    bend = 2.0 * middle - before - after
    if bend <= 0.0:
        return 1.5 * _OFFSET_MM * float(np.sign(after - before))
    return float(np.clip(_OFFSET_MM * (after - before) / (2.0 * bend), -1.5 * _OFFSET_MM, 1.5 * _OFFSET_MM))
