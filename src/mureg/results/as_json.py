"""An assessment as JSON: the decision, the pose given out, the pose found, and what made them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mureg import RESEARCH_USE_ONLY
from mureg.assessment.move import Move
from mureg.assessment.result import Assessment, Confidence, Perfusion

LEVEL_90 = "interval_90"


def as_json(assessment: Assessment) -> dict[str, Any]:
    """The decision, the pose given out, the pose found and everything needed to make them again, ready for JSON."""
    registration, provenance = assessment.registration, assessment.provenance
    shift_mm, angles_deg = assessment.ct_from_spect.six(registration.centre_mm)
    return {
        **conclusion(assessment),
        "ct_from_spect": assessment.ct_from_spect.matrix.tolist(),
        "space": "LPS, mm; maps a point in SPECT space to the place in CT space where that anatomy lies",
        "shift_mm": list(shift_mm),
        "angles_deg": list(angles_deg),
        "centre_mm": list(registration.centre_mm),
        "found": {
            "ct_from_spect": registration.ct_from_spect.matrix.tolist(),
            "move_at_heart": move_as_json(assessment.move_found),
            "covariance": None if registration.covariance is None else registration.covariance.tolist(),
            "covariance_of": "translation (mm) and angles (degrees) of this pose about centre_mm",
            "evidence": dict(registration.evidence),
        },
        "registrar": registration.registrar,
        "uncorrected_scale": assessment.uncorrected_scale,
        "seconds": round(registration.seconds, 3),
        "notes": list(registration.notes),
        "provenance": {
            "versions": provenance.versions,
            "settings": provenance.settings,
            "sources": [vars(source) for source in provenance.sources],
            "seconds": provenance.seconds,
            "weights_sha256": provenance.weights_sha256,
            "phantom": provenance.phantom,
        },
        "use": RESEARCH_USE_ONLY,
    }


def conclusion(assessment: Assessment) -> dict[str, Any]:
    """What is concluded from a run, ready for JSON."""
    return {
        "decision": assessment.decision,
        "reason": assessment.reason,
        "reasons": list(assessment.reasons),
        "move_at_heart": move_as_json(assessment.move),
        "pose_found_given_out": assessment.released,
        "heart_mm": [_rounded(value) for value in assessment.heart.centre_mm],
        LEVEL_90: None if assessment.confidence is None else _interval(assessment.confidence),
        "mismatch_percent": {name: _rounded(value) for name, value in assessment.mismatch_percent.items()},
        "perfusion": None if assessment.perfusion is None else _perfusion(assessment.perfusion),
        "figures": {name: _rounded(value) for name, value in assessment.figures.items()},
        "warnings": [{"rank": note.rank.words, "text": str(note)} for note in assessment.warnings],
        "limits": asdict(assessment.limits),
        "limits_changed": list(assessment.limits.changed_from_shipped()),
        **({} if assessment.review is None else {"review": asdict(assessment.review)}),
    }


def move_as_json(move: Move) -> dict[str, Any]:
    """The one number, its components in direction words, and the turn."""
    x, y, z = move.mean_mm
    return {
        "rms_mm": _rounded(move.rms_mm),
        "mean_mm": {"left": _rounded(x), "back": _rounded(y), "head": _rounded(z)},
        "turn_deg": _rounded(move.turn_deg),
        "words": move.components(),
    }


def _interval(confidence: Confidence) -> dict[str, Any]:
    return {
        "of": "the pose found, at the heart",
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
        "segments_percent": {name: [_rounded(value) for value in polar.relative] for name, polar in maps.items()},
        "change_points": [_rounded(value) for value in change],
        "territories_percent": {
            name: {artery: _rounded(value) for artery, value in polar.territories.items()}
            for name, polar in maps.items()
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
    return round(float(value), 2) + 0.0
