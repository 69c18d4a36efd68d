"""The decision as JSON and as lines for people."""

from __future__ import annotations

from typing import Any

import numpy as np

from mureg.assessment.result import Assessment, Confidence, Perfusion

LEVEL_90 = "interval_90"


def conclusion(assessment: Assessment) -> dict[str, Any]:
    """What is concluded from a run, ready for JSON."""
    return {
        "decision": assessment.decision,
        "reason": assessment.reason,
        "reasons": list(assessment.reasons),
        "shift_at_heart_mm": _moved_mm(assessment),
        LEVEL_90: None if assessment.confidence is None else _interval(assessment.confidence),
        "mismatch_percent": {name: _rounded(value) for name, value in assessment.mismatch_percent.items()},
        "perfusion": None if assessment.perfusion is None else _perfusion(assessment.perfusion),
        "figures": {name: _rounded(value) for name, value in assessment.figures.items()},
    }


def conclusion_lines(assessment: Assessment) -> list[str]:
    """The same for people: the decision first."""
    first, *rest = assessment.reasons or (assessment.reason,)
    return [f"decision   {assessment.decision.upper()}: {first}", *(f"           {reason}" for reason in rest)]


def _moved_mm(assessment: Assessment) -> float | None:
    """How far the pose that is given out moves the heart; None where nobody knows where the heart is."""
    figures = assessment.figures
    try:
        heart_mm = [figures[f"heart_{axis}_mm"] for axis in "xyz"]
    except KeyError:
        return None
    moved = assessment.outcome.registration.ct_from_spect.apply(heart_mm)
    return _rounded(float(np.linalg.norm(moved - np.asarray(heart_mm))))


def _interval(confidence: Confidence) -> dict[str, Any]:
    return {
        "shift_mm": [_rounded(value) for value in confidence.shift_mm],
        "angles_deg": [_rounded(value) for value in confidence.angles_deg],
        "heart_mm": _rounded(confidence.heart_mm),
        "calibrated": confidence.calibrated,
    }


def _perfusion(perfusion: Perfusion) -> dict[str, Any]:
    maps = {"uncorrected": perfusion.uncorrected, "header": perfusion.header, "registered": perfusion.registered}
    change = perfusion.registered.relative - perfusion.header.relative
    ventricle = perfusion.ventricle
    return {
        "segments_percent": {name: [_rounded(value) for value in one.relative] for name, one in maps.items()},
        "change_points": [_rounded(value) for value in change],
        "territories_percent": {
            name: {artery: _rounded(value) for artery, value in one.territories.items()} for name, one in maps.items()
        },
        "changed": list(perfusion.changed),
        "axis": {
            "centre_mm": [_rounded(value) for value in ventricle.centre_mm],
            "direction": [round(float(value), 4) for value in ventricle.apex_direction],
            "length_mm": _rounded(ventricle.length_mm),
            "radius_mm": _rounded(ventricle.radius_mm),
            "wall_mm": _rounded(ventricle.wall_mm),
            "confidence": _rounded(perfusion.axis_confidence),
            "by_hand": perfusion.axis_by_hand,
        },
    }


def _rounded(value: float) -> float:
    return round(float(value), 2)
