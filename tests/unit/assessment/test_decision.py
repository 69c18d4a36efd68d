"""What the decision has to be where nobody would doubt it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mureg.assessment.decision import Grounds, decide
from mureg.assessment.result import Confidence
from mureg.assessment.thresholds import Thresholds

LIMITS = Thresholds()
SURE = Confidence((1.0, 1.0, 1.0), (0.5, 0.5, 0.5), 1.5, calibrated=True)
MOVED = Grounds(12.0, 3.0, gain=300.0, confidence=SURE, largest_change=9.0, changed=4)


def word(grounds: Grounds) -> str:
    return decide(grounds, LIMITS)[0]


def test_a_large_sure_move_is_made() -> None:
    decision, reasons = decide(MOVED, LIMITS)
    assert decision == "corrected"
    assert "12.0 mm" in reasons[0]
    assert "4 segments" in reasons[0]


@pytest.mark.parametrize("gain", [None, -5.0, 500.0])
def test_a_move_too_small_to_matter_is_none(gain) -> None:
    assert word(replace(MOVED, moved_mm=2.0, gain=gain)) == "aligned"
    assert word(Grounds(0.0, 0.0)) == "aligned"


def test_a_move_below_a_pixel_that_explains_nothing_is_none() -> None:
    assert word(replace(MOVED, moved_mm=6.0, gain=2.0)) == "aligned"
    assert word(replace(MOVED, moved_mm=6.0)) == "corrected"


def test_a_move_below_a_pixel_that_changes_no_segment_is_none() -> None:
    assert word(replace(MOVED, moved_mm=6.0, largest_change=2.0, changed=0)) == "aligned"
    assert word(replace(MOVED, moved_mm=7.5, largest_change=2.0, changed=0)) == "corrected"
    assert word(replace(MOVED, moved_mm=6.0, largest_change=None, changed=0)) == "corrected", "nobody knows"


def test_a_move_within_its_own_interval_is_none_only_where_the_interval_is_known_to_hold() -> None:
    wide = Confidence((3.0, 3.0, 3.0), (1.0, 1.0, 1.0), 6.5, calibrated=True)
    assert word(replace(MOVED, moved_mm=6.0, confidence=wide)) == "aligned"
    assert word(replace(MOVED, moved_mm=6.0, confidence=replace(wide, calibrated=False))) == "corrected"
    wider = replace(wide, heart_mm=10.0)
    assert word(replace(MOVED, moved_mm=6.0, confidence=wider)) == "review", "nobody knows whether it lies right"


@pytest.mark.parametrize(
    ("doubt", "words"),
    [
        ({"moved_mm": 80.0}, "80 mm"),
        ({"turned_deg": 35.0}, "35 degrees"),
        ({"gain": 1.0}, "hardly better"),
        ({"gain": -40.0}, "hardly better"),
        ({"confidence": Confidence((5.0,) * 3, (2.0,) * 3, 9.0, calibrated=True)}, "9.0 mm"),
        ({"disagreement_mm": 25.0}, "25 mm apart"),
        ({"mismatch": {"header": 1.0, "registered": 12.0}}, "12.0 %"),
        ({"doubts": ("No left ventricle was found in the SPECT.",)}, "No left ventricle"),
    ],
)
def test_whatever_speaks_against_a_large_move_has_it_reviewed_and_comes_first(doubt, words) -> None:
    decision, reasons = decide(replace(MOVED, **doubt), LIMITS)
    assert decision == "review"
    assert words in reasons[0]


def test_a_better_fit_of_heart_and_map_is_no_doubt() -> None:
    assert word(replace(MOVED, mismatch={"header": 12.0, "registered": 4.0})) == "corrected"


def test_no_clear_motion_of_more_than_a_pixel_is_called_aligned() -> None:
    rng = np.random.default_rng(3)
    for moved in rng.uniform(6.81, 60.0, 200):
        some = replace(MOVED, moved_mm=float(moved), gain=float(rng.choice([-50.0, 0.0, 50.0, 1000.0])))
        assert word(some) in ("corrected", "review")


def test_every_reason_is_one_sentence() -> None:
    for some in (MOVED, replace(MOVED, moved_mm=1.0), replace(MOVED, gain=0.0, disagreement_mm=30.0)):
        for reason in decide(some, LIMITS)[1]:
            assert reason[0].isupper()
            assert reason.endswith(".")
            assert "\n" not in reason
