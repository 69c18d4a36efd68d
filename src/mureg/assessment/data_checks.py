"""Checks of the data that may contradict an answer: coverage, motion during the scan, positions that differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from mureg.assessment.motion_checks import motion_notes
from mureg.assessment.move import HEART_RADIUS_MM
from mureg.assessment.projection_checks import projection_evidence, projection_notes
from mureg.assessment.result import HeartPlace, MapAtPose
from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.maps import AttenuationMaps
from mureg.attenuation.vertebrae import VertebralSpacing, vertebral_spacing
from mureg.errors import RefusedError
from mureg.geometry import Array, Volume
from mureg.geometry.rigid import Triple
from mureg.notes import Note, Rank
from mureg.registration.likelihood.profile import air_inside
from mureg.spect import Acquisition
from mureg.study import PreparedStudy, Study


def data_notes(
    study: Study,
    prepared: PreparedStudy,
    at: MapAtPose,
    heart_mm: Triple,
    limits: Thresholds,
    *,
    registered: bool = True,
) -> Iterator[Note]:
    """Notes on a study with its map at one pose, each with its rank: for every path that uses a map.

    Args:
        study: as it was read.
        prepared: its uncorrected SPECT, attenuation maps and outline.
        at: the pose in question, and the map there on the grid of the uncorrected SPECT.
        heart_mm: where the heart is in SPECT space.
        limits: of the decision.
        registered: whether the pose comes from a registration, not from the headers alone.
    """
    given = study.attenuation_name
    vertebrae = vertebral_spacing(prepared.body)
    yield from vertebrae_notes(vertebrae, _slice_mm(study.attenuation_volume), limits, given)
    if isinstance(study.spect, Acquisition):
        yield from motion_notes(study.spect)
        evidence = projection_evidence(study.spect, prepared.maps, prepared.outline, at.ct_from_spect, heart_mm)
        confirmed = vertebrae is not None and is_plausible(vertebrae, limits)
        yield from projection_notes(evidence, limits, given, spacing_confirmed=confirmed)
    yield from frame_notes(prepared.uncorrected, prepared.body, given, registered=registered)
    yield from coverage_notes(prepared.uncorrected, at.mu, heart_mm, limits, given)


def is_plausible(vertebrae: VertebralSpacing, limits: Thresholds) -> bool:
    """Whether vertebrae are as far apart as those of adults."""
    return limits.least_vertebrae_mm <= vertebrae.mm <= limits.largest_vertebrae_mm


def vertebrae_notes(
    vertebrae: VertebralSpacing | None, slice_mm: float, limits: Thresholds, given: str
) -> Iterator[Note]:
    """A slice spacing that contradicts the vertebrae: of the first rank. Nothing where they cannot be distinguished.

    Args:
        vertebrae: as far apart as the slice spacing says.
        slice_mm: slice spacing of the CT or map by its header.
        limits: of the decision.
        given: CT or attenuation map, for the sentence.
    """
    if vertebrae is not None and not is_plausible(vertebrae, limits):
        yield Note(
            f"by the slice spacing of the {given} ({slice_mm:.2f} mm) its thoracic vertebrae are {vertebrae.mm:.1f} mm "
            f"apart, where those of adults are {limits.least_vertebrae_mm:g} to {limits.largest_vertebrae_mm:g} mm: "
            "check its slice spacing",
            Rank.CHANGES_ANSWER,
        )


def _slice_mm(volume: Volume) -> float:
    """The spacing along the axis that lies nearest to the patient's long axis."""
    cosines = np.abs(volume.grid.affine[2, :3]) / np.asarray(volume.grid.spacing_mm)
    return float(volume.grid.spacing_mm[int(cosines.argmax())])


def frame_notes(spect: Volume, body: Volume, given: str, *, registered: bool) -> Iterator[Note]:
    """Different frames of reference: of the first rank where nothing was registered; `given` is CT or map."""
    frames = (spect.grid.frame_of_reference, body.grid.frame_of_reference)
    if not all(frames) or frames[0] == frames[1]:
        return
    stated = f"SPECT and {given} name different frames of reference: their header positions need not agree"
    if registered:
        yield Note(f"{stated} before registration")
    else:
        yield Note(f"{stated}, and no registration is given", Rank.CHANGES_ANSWER)


def coverage_notes(spect: Volume, mu: Volume, heart_mm: Triple, limits: Thresholds, given: str) -> Iterator[Note]:
    """What of the SPECT the map does not reach: of the first rank above the limits.

    Photons of the heart cross its own slices alone, so the limits hold there.

    Args:
        spect: uncorrected SPECT.
        mu: attenuation map at the pose in question, on the grid of `spect`.
        heart_mm: centre of the heart in SPECT space.
        limits: of the decision.
        given: CT or attenuation map, for the sentence.
    """
    if mu.outside is None:
        return
    counts = _outside_percent(spect.values, mu.outside)
    near = _heart_slices(mu, heart_mm)
    counts_near = _outside_percent(spect.values[:, :, near], mu.outside[:, :, near])
    extension, extension_near = (
        _outside_percent(values, outside)
        for values, outside in ((mu.values, mu.outside), (mu.values[:, :, near], mu.outside[:, :, near]))
    )
    large = counts_near > limits.outside_counts_percent or extension_near > limits.extension_percent
    yield Note(
        f"the {given} does not reach {100 * (1 - mu.known_share):.0f} % of the SPECT field, from which {counts:.0f} % "
        f"of the counts come ({counts_near:.0f} % in the slices of the heart); {extension:.0f} % of the map's "
        f"attenuation is an extension of the {given} ({extension_near:.0f} % in the slices of the heart)",
        Rank.CHANGES_ANSWER if large else Rank.RECORD,
    )


def _outside_percent(values: Float[Array, "x y z"], outside: Bool[Array, "x y z"]) -> float:
    """Share of a sum that lies outside what the CT covers."""
    return 100.0 * float(values[outside].sum()) / max(float(values.sum()), 1e-30)


def _heart_slices(mu: Volume, heart_mm: Triple) -> slice:
    """The slices of a map, along the patient axes, that hold the heart; all of them where none does."""
    heights_mm = mu.grid.points(np.array([(0, 0, k) for k in range(mu.grid.shape[2])]))[:, 2]
    inside = np.flatnonzero(np.abs(heights_mm - heart_mm[2]) <= HEART_RADIUS_MM)
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(None)


def heart_notes(heart: HeartPlace, limits: Thresholds) -> Iterator[Note]:
    """Ways to locate the heart that differ."""
    if heart.apart_mm > limits.heart_apart_mm:
        yield Note(
            f"the ways to locate the heart differ by {heart.apart_mm:.0f} mm (limit {limits.heart_apart_mm:g} mm)",
            Rank.CHANGES_ANSWER,
        )


def refuse_without_lung(maps: AttenuationMaps, least_ml: float) -> None:
    """Refuse, before any registration, a map that is not of a chest."""
    dx, dy, dz = maps.body.grid.spacing_mm
    lung_ml = float((air_inside(maps.body).values > 0).sum()) * dx * dy * dz / 1000.0
    if lung_ml < least_ml:
        raise RefusedError(
            f"an attenuation map with {lung_ml:.0f} ml of lung",
            f"that of a chest, with {least_ml:g} ml at least",
            "check that the CT or map is of this patient's chest; for a test object give --phantom",
        )
