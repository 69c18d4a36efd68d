"""Apply today's rules of the decision to the stored figures of earlier runs, without images.

    python benchmarks/evidence/redecide.py

The rows of evidence/decisions hold the move, the turn, the bound, the largest change of a segment, the mismatch and the
confidences of every study. What needs the projections or the CT (motion, coverage, checks of the projections, places of
the heart) is not in them and is not applied.
"""

from __future__ import annotations

import csv
import math
import sys
from collections import Counter
from pathlib import Path

from mureg.assessment.confidence import FLOOR_MM
from mureg.assessment.decision import Grounds, decide, is_released
from mureg.assessment.move import Move, heart_points_mm
from mureg.assessment.result import Confidence
from mureg.assessment.thresholds import Thresholds

ROWS = Path(__file__).parents[2] / "evidence" / "decisions"
LEVELS = ("still-clinical", "easy", "clinical", "hard", "real-ct")
LIMITS = Thresholds()


def grounds_of(row: dict[str, str]) -> Grounds:
    """What the decision of one stored study rests on; rows hold the move of the heart's centre."""

    def number(name: str) -> float | None:
        return float(row[name]) if row[name] not in ("", "nan") else None

    points = heart_points_mm((0.0, 0.0, 0.0))
    turn_deg, bound_mm, change = number("found_turn_deg"), number("bound_mm"), number("largest_change")
    by_turn = 2.0 * math.sin(math.radians(turn_deg or 0.0) / 2.0)
    rms_mm = math.sqrt((number("found_move_mm") or 0.0) ** 2 + by_turn**2 * 2 / 3 * float((points**2).sum(1).mean()))
    mismatch = {name: number(f"mismatch_{name}") for name in ("header", "registered")}
    objections = [
        sentence
        for name, least, sentence in (
            ("heart_confidence", LIMITS.least_heart_confidence, "The left ventricle was hard to find."),
            ("axis_confidence", LIMITS.least_axis_confidence, "The axis is uncertain."),
        )
        if (confidence := number(name)) is not None and confidence < least
    ]
    bound = Confidence((0.0,) * 3, (0.0,) * 3, max(bound_mm or 0.0, FLOOR_MM), True)
    return Grounds(
        Move(rms_mm, (0.0, 0.0, rms_mm), turn_deg or 0.0),
        disagreement_mm=number("disagreement_mm"),
        confidence=bound,
        largest_change=change,
        changed=int(change is not None and change > LIMITS.changed_percent),
        mismatch={name: value for name, value in mismatch.items() if value is not None},
        objections=tuple(objections),
    )


def main() -> int:
    print("| studies | n | aligned | moved | review | review, pose found given out | error above 6.8 mm, not review |")
    print("|---|---|---|---|---|---|---|")
    for level in LEVELS:
        with (ROWS / f"{level}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        words, released, wrong = Counter[str](), 0, 0
        for row in rows:
            if row["decision"] == "refused":
                words["refused"] += 1
                continue
            grounds = grounds_of(row)
            word, _ = decide(grounds, LIMITS)
            out = is_released(word, grounds, LIMITS)
            words[word] += 1
            released += word == "review" and out
            error_mm = float(row["found_rms_mm"] if out else row["unregistered_mm"])
            wrong += word != "review" and error_mm > LIMITS.action_limit_mm
        counts = " | ".join(str(words[word]) for word in ("aligned", "moved", "review"))
        print(f"| `{level}` | {len(rows)} | {counts} | {released} | {wrong} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
