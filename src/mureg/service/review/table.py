"""How far readers and program differ in where the map belongs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.assessment.move import Move
from mureg.geometry import RigidTransform
from mureg.service.review.studies import ReviewStudy
from mureg.service.trail import Trail
from mureg.service.trail_entry import StudyKey

PROGRAM = "program"
_LIMITS = 1.96
"""Standard deviations of the limits of agreement (Bland and Altman, Lancet 1986;1:307-10)."""
_AXES = ("left", "back", "head")


def differences(studies: Sequence[ReviewStudy], trail: Trail) -> dict[str, Any]:
    """Differences of every two readers, and of each reader and the program, at the heart.

    Each reader's last decision on a study counts; rejections do not. A difference is by how much the first one moves
    the map farther to the left, back and head than the second.
    """
    poses: dict[str, dict[StudyKey, RigidTransform]] = defaultdict(dict)
    known = {study.key: study for study in studies}
    blinded: dict[str, set[bool]] = defaultdict(set)
    for row in trail.rows():
        entry = row.entry
        if entry.action != "decide" or entry.key not in known:
            continue
        poses[entry.reader].pop(entry.key, None)
        if entry.decision != "rejected":
            poses[entry.reader][entry.key] = RigidTransform(np.asarray(entry.pose_after).reshape(4, 4))
            blinded[entry.reader].add(entry.blinded)
    poses[PROGRAM] = {key: study.found for key, study in known.items()}
    readers = sorted(name for name in poses if name != PROGRAM)
    pairs = [*combinations(readers, 2), *((reader, PROGRAM) for reader in readers)]
    return {
        "pairs": [_compared(first, second, poses[first], poses[second], known) for first, second in pairs],
        "not_blinded": [reader for reader in readers if blinded[reader] - {True}],
    }


def as_lines(table: dict[str, Any]) -> list[str]:
    """The same for people."""
    lines = []
    for pair in table["pairs"]:
        lines.append(f"{pair['first']} minus {pair['second']}: {pair['studies']} studies")
        for axis, figures in pair["axes"].items():
            lines.append(f"  to the {axis:5} {_words(figures)}")
        if pair["studies"]:
            heart = pair["heart_mm"]
            mean, sd, largest = (f"{heart[name]:.1f} mm" for name in ("mean", "sd", "max"))
            lines.append(f"  at the heart {mean} (mean), {sd} (SD), {largest} (largest)")
    lines += [f"{reader} knew the answer of the program in some studies" for reader in table["not_blinded"]]
    return lines or ["no decisions yet"]


def _compared(
    first: str,
    second: str,
    own: dict[StudyKey, RigidTransform],
    other: dict[StudyKey, RigidTransform],
    known: dict[StudyKey, ReviewStudy],
) -> dict[str, Any]:
    moves = []
    for key in own.keys() & other.keys():
        # the map's anatomy, from where the second puts it to where the first does
        change = other[key].inverse() @ own[key]
        moves.append(Move.of(change, known[key].heart_mm))
    shifts = np.array([move.mean_mm for move in moves]).reshape(-1, 3)
    heart = np.array([move.rms_mm for move in moves])
    return {
        "first": first,
        "second": second,
        "studies": len(moves),
        "axes": {axis: _agreement(shifts[:, number]) for number, axis in enumerate(_AXES)},
        "heart_mm": None if not moves else {"mean": float(heart.mean()), "sd": _sd(heart), "max": float(heart.max())},
    }


def _agreement(values: npt.NDArray[np.float64]) -> dict[str, float] | None:
    """Mean, standard deviation and limits of agreement, mm; None without values."""
    if not len(values):
        return None
    mean, sd = float(values.mean()), _sd(values)
    return {"mean_mm": mean, "sd_mm": sd, "low_mm": mean - _LIMITS * sd, "high_mm": mean + _LIMITS * sd}


def _sd(values: npt.NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _words(figures: dict[str, float] | None) -> str:
    if figures is None:
        return "none"
    return (
        f"mean {figures['mean_mm']:+.1f} mm, SD {figures['sd_mm']:.1f} mm, limits of agreement "
        f"{figures['low_mm']:+.1f} to {figures['high_mm']:+.1f} mm"
    )
