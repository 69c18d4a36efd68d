"""The decision as JSON and as lines for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mureg.assessment.move import Move
from mureg.assessment.result import Assessment, Confidence, Perfusion
from mureg.geometry import Grid

LEVEL_90 = "interval_90"


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
    }


def conclusion_lines(assessment: Assessment) -> list[str]:
    """The same for people: the decision first, then the one number for the move."""
    first, *rest = assessment.reasons
    grid = assessment.spect_uncorrected.grid
    lines = [
        f"decision   {assessment.decision.upper()}: {first}",
        *(f"           {reason}" for reason in rest),
        f"move       {move_words(assessment.move, grid)}",
    ]
    if not assessment.released and assessment.move_found.rms_mm > 0.0:
        lines.append(f"found      {move_words(assessment.move_found, grid)}; not given out")
    if assessment.limits.changed_from_shipped():
        lines.append(f"limits     not the shipped ones: {'; '.join(assessment.limits.changed_from_shipped())}")
    return lines


def move_words(move: Move, spect_grid: Grid) -> str:
    """A move in one sentence: "9.6 mm (1.4 pixels) at the heart: 8.7 mm to the feet; turned by 2.1 degrees"."""
    if move.rms_mm == 0.0:
        return "none: the map stays at its scanner position"
    return f"{move.rms_mm:.1f} mm ({pixels(move, spect_grid):.1f} pixels) at the heart: {move.components()}"


def pixels(move: Move, spect_grid: Grid) -> float:
    """A move in pixels of the SPECT, the smallest side of its voxels."""
    return move.rms_mm / min(spect_grid.spacing_mm)


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
    return round(float(value), 2) + 0.0
