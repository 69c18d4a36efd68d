"""From an examination to its assessment (docs/concepts/decision.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np

from mureg.assessment.confidence import confidence_at
from mureg.assessment.data_checks import data_notes, heart_notes
from mureg.assessment.decision import Grounds, decide, is_released
from mureg.assessment.mismatch import mismatch_percent, myocardium
from mureg.assessment.move import Move
from mureg.assessment.perfusion import HandAxis, changes, find_axis, try_perfusion
from mureg.assessment.result import Assessment, Confidence, Examination, HeartPlace, Perfusion
from mureg.assessment.thresholds import Thresholds
from mureg.errors import MuregError
from mureg.geometry.rigid import Triple
from mureg.heart.axis import FoundAxis
from mureg.heart.find import HEART_MM, find_left_ventricle
from mureg.notes import by_rank
from mureg.registration.by_hand import BY_HAND

_FEWEST_STARTS = 2.0
"""Two starts are the fewest that can agree."""


def assess(
    examination: Examination,
    limits: Thresholds = Thresholds(),  # noqa: B008 (frozen settings)
    *,
    axis: HandAxis | None = None,
    seek_axis: bool = True,
) -> Assessment:
    """Decide whether a study needed the registration, and whether its result can be used.

    Args:
        examination: of the study.
        limits: of the decision.
        axis: the left-ventricular long axis by hand: a point near its middle (mm) and the direction from base to apex,
            both LPS+ in SPECT space.
        seek_axis: find the axis if it is not given; without an axis there are no polar maps and no mismatch index.

    Raises:
        RefusedError: no wall around an axis given by hand.
    """
    sought = seek_axis or axis is not None
    ventricle, objection = _ventricle(examination, axis, limits.least_axis_confidence) if sought else (None, "")
    heart = _heart_place(examination, ventricle)
    perfusion = _perfusion(examination, ventricle, limits)
    mismatch = _mismatch(examination, ventricle)
    confidence = confidence_at(examination, heart.centre_mm)
    evidence = examination.registration.evidence
    parts = examination.study, examination.prepared
    warnings = by_rank(
        (
            *examination.notes,
            *data_notes(*parts, examination.found, heart.centre_mm, limits),
            *heart_notes(heart, limits),
            *examination.registration.warnings,
        )
    )
    grounds = Grounds(
        Move.of(examination.registration.ct_from_spect, heart.centre_mm),
        evidence.get("gain_over_scanner_position"),
        evidence.get("disagreement_mm"),
        confidence,
        None if perfusion is None else float(np.abs(changes(perfusion.header, perfusion.registered)).max()),
        0 if perfusion is None else len(perfusion.changed),
        mismatch,
        warnings,
        (
            *_lonely_start(evidence),
            *_faint_heart(evidence, limits.least_heart_confidence),
            *([objection] if objection else []),
        ),
        examination.registration.registrar == BY_HAND,
    )
    decision, reasons = decide(grounds, limits)
    if decision == "aligned":  # the registered map is the one at the scanner position
        mismatch = dict.fromkeys(mismatch, mismatch.get("header", 0.0))
        if perfusion is not None:
            perfusion = replace(perfusion, registered=perfusion.header, changed=())
    return Assessment(
        _with_limits(examination, limits),
        decision,
        reasons,
        is_released(decision, grounds, limits),
        heart,
        grounds.move,
        limits,
        confidence,
        perfusion,
        mismatch,
        warnings,
        _figures(grounds),
    )


def _with_limits(examination: Examination, limits: Thresholds) -> Examination:
    """The limits belong to the settings that make the result again."""
    provenance = examination.provenance
    settings = {**provenance.settings, "decision": asdict(limits)}
    return replace(examination, provenance=replace(provenance, settings=settings))


def _ventricle(
    examination: Examination, axis: HandAxis | None, least_confidence: float
) -> tuple[FoundAxis | None, str]:
    """The long axis in the clearest image at the pose found, and an objection where it is uncertain."""
    image = examination.found.spect or examination.uncorrected
    try:
        ventricle = find_axis(image, examination.found.mu, axis)
    except MuregError as refusal:
        if axis is not None:
            raise
        return None, f"No left ventricle was found in the SPECT ({refusal.found})."
    if ventricle.confidence >= least_confidence:
        return ventricle, ""
    return ventricle, (
        f"The axis of the left ventricle is uncertain (confidence {ventricle.confidence:.2f}, {least_confidence:g} "
        "asked for): give it by --axis."
    )


def _heart_place(examination: Examination, ventricle: FoundAxis | None) -> HeartPlace:
    """The axis's place, else the registrar's, else that of the heart finder in the clearest image.

    The finder is asked where there would be one place alone, with nothing to compare it with.
    """
    evidence = examination.registration.evidence
    places: dict[str, Triple] = {}
    if ventricle is not None:
        places["axis"] = ventricle.ventricle.centre_mm
    if all(name in evidence for name in HEART_MM):
        x, y, z = (evidence[name] for name in HEART_MM)
        places["registrar"] = (x, y, z)
    if len(places) < 2:
        image = examination.found.spect or examination.uncorrected
        places["image"] = find_left_ventricle(image, examination.found.mu).centre_mm
    points = np.array(list(places.values()))
    apart_mm = float(np.linalg.norm(points[:, None] - points[None], axis=-1).max())
    method = next(iter(places))
    return HeartPlace(places[method], method, apart_mm)


def _perfusion(examination: Examination, ventricle: FoundAxis | None, limits: Thresholds) -> Perfusion | None:
    header, registered = examination.header.spect, examination.found.spect
    if header is None or registered is None:
        return None
    return try_perfusion(ventricle, examination.uncorrected, header, registered, limits.changed_percent)


def _mismatch(examination: Examination, ventricle: FoundAxis | None) -> dict[str, float]:
    """The index for both maps over the same myocardium; empty where one of them is not available."""
    if ventricle is None:
        return {}
    wall = myocardium(examination.found.spect or examination.uncorrected, ventricle.ventricle)
    values = {
        "header": mismatch_percent(wall, examination.header.mu),
        "registered": mismatch_percent(wall, examination.found.mu),
    }
    figures = {name: value for name, value in values.items() if value is not None}
    return figures if len(figures) == len(values) else {}


def _faint_heart(evidence: Mapping[str, float], least: float) -> tuple[str, ...]:
    """An objection where the registrar could hardly tell the ventricle from its surroundings."""
    confidence = evidence.get("heart_confidence", 1.0)
    if confidence >= least:
        return ()
    return (f"The left ventricle was hard to find in the SPECT (confidence {confidence:.2f}, {least:g} asked for).",)


def _lonely_start(evidence: Mapping[str, float]) -> tuple[str, ...]:
    """An objection where many starts were tried and no two of them met at the optimum."""
    starts, agree = evidence.get("starts", 0.0), evidence.get("starts_that_agree", _FEWEST_STARTS)
    if starts < _FEWEST_STARTS or agree >= _FEWEST_STARTS:
        return ()
    return (f"Of {starts:.0f} starts no two ended at the same pose.",)


def _figures(grounds: Grounds) -> dict[str, float]:
    """Further numbers that the decision rests on, by name; all of the pose found, given out or not."""
    confidence: Confidence | None = grounds.confidence
    optional = {
        "gain_over_scanner_position": grounds.gain,
        "disagreement_mm": grounds.disagreement_mm,
        "largest_segment_change": grounds.largest_change,
        "heart_mm_90": None if confidence is None else confidence.heart_mm,
    }
    return {name: value for name, value in optional.items() if value is not None}
