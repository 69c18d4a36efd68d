"""What the decision has to be where it is plain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from mureg.assessment.decision import Grounds, decide, is_released
from mureg.assessment.move import Move
from mureg.assessment.result import Confidence
from mureg.assessment.thresholds import Thresholds
from mureg.notes import Note, Rank

LIMITS = Thresholds()
SURE = Confidence((1.0, 1.0, 1.0), (0.5, 0.5, 0.5), 2.5, calibrated=True)
WARNING = Note("the patient seems to have moved during the scan", Rank.CHANGES_ANSWER)


def move(rms_mm: float, turn_deg: float = 3.0) -> Move:
    return Move(rms_mm, (0.0, 0.0, rms_mm), turn_deg)


MOVED = Grounds(move(12.0), gain=300.0, confidence=SURE, largest_change=9.0, changed=4)
SMALL = replace(MOVED, move=move(2.0), largest_change=2.0, changed=0)


def word(grounds: Grounds, limits: Thresholds = LIMITS) -> str:
    return decide(grounds, limits)[0]


def test_a_large_sure_move_is_made() -> None:
    decision, reasons = decide(MOVED, LIMITS)
    assert decision == "moved"
    assert "12.0 mm" in reasons[0]
    assert "4 segments" in reasons[0]


@pytest.mark.parametrize("gain", [None, -5.0, 500.0])
def test_a_move_too_small_to_matter_is_none(gain) -> None:
    assert word(replace(SMALL, gain=gain)) == "aligned"
    assert word(Grounds(move(0.0, 0.0))) == "aligned"


def test_a_move_below_a_pixel_that_explains_nothing_is_none() -> None:
    assert word(replace(SMALL, move=move(6.0), gain=2.0, largest_change=None)) == "aligned"
    assert word(replace(MOVED, move=move(6.0))) == "moved"


def test_a_move_below_a_pixel_that_changes_no_segment_is_none() -> None:
    assert word(replace(SMALL, move=move(5.0))) == "aligned"
    assert word(replace(SMALL, move=move(7.5))) == "moved"
    assert word(replace(SMALL, move=move(6.0), largest_change=None)) == "moved", "no images to compare"


@pytest.mark.parametrize(
    ("rms_mm", "bound_mm", "expected"),
    [(5.2, 2.2, "aligned"), (5.2, 3.3, "moved"), (5.9, 4.4, "moved"), (6.4, 9.5, "review")],
)
def test_a_move_below_a_pixel_matters_where_the_scanner_position_may_be_off_by_more(rms_mm, bound_mm, expected) -> None:
    """The second and third patient drifted by 14 mm during the scan: 7.1 mm off, 5.2 and 5.9 found; the fourth CT was
    too long by half."""
    known = replace(SURE, heart_mm=bound_mm)
    assert word(replace(SMALL, move=move(rms_mm), confidence=known)) == expected


def test_a_move_within_its_own_bound_is_none_only_where_the_bound_is_calibrated() -> None:
    wide = Confidence((3.0, 3.0, 3.0), (1.0, 1.0, 1.0), 4.1, calibrated=True)
    within = replace(SMALL, move=move(4.0), largest_change=None, confidence=wide)
    near = replace(LIMITS, aligned_mm=3.0)
    assert word(within, near) == "aligned"
    assert word(replace(within, confidence=replace(wide, heart_mm=6.5)), near) == "moved"
    assert word(replace(within, confidence=replace(wide, calibrated=False)), near) == "moved"
    assert word(replace(within, confidence=replace(wide, heart_mm=10.0)), near) == "review"


class TestAlignedStandsAlone:
    """No study is "aligned" beside changed segments, an implausible turn or a warning of the first rank."""

    def test_changed_segments(self) -> None:
        decision, reasons = decide(replace(SMALL, largest_change=7.0, changed=6), LIMITS)
        assert decision == "review"
        assert "6 segments" in reasons[0]

    def test_a_turn_about_the_heart(self) -> None:
        assert word(replace(SMALL, move=move(3.0, turn_deg=25.0))) == "review"

    @pytest.mark.parametrize("rms_mm", [0.0, 2.0, 12.0])
    def test_a_warning_of_the_first_rank_whatever_the_move(self, rms_mm) -> None:
        decision, reasons = decide(replace(SMALL, move=move(rms_mm), warnings=(WARNING,)), LIMITS)
        assert decision == "review"
        assert reasons[0] == "The patient seems to have moved during the scan."

    def test_lower_ranks_change_nothing(self) -> None:
        notes = Note("kVp was guessed", Rank.GUESSED), Note("gates were summed", Rank.RECORD)
        assert word(replace(SMALL, warnings=notes)) == "aligned"
        assert word(replace(MOVED, warnings=notes)) == "moved"

    def test_a_pose_known_to_two_pixels_at_worst(self) -> None:
        wide = Confidence((9.0,) * 3, (3.0,) * 3, 14.0, calibrated=True)
        assert word(replace(SMALL, confidence=wide)) == "review"

    @pytest.mark.parametrize(
        ("doubt", "words"),
        [
            ({"disagreement_mm": 30.0}, "ended 30 mm apart"),
            ({"confidence": replace(SURE, heart_mm=9.0)}, "only known to within 9.0 mm"),
            ({"objections": ("No left ventricle was found.",)}, "No left ventricle"),
        ],
    )
    def test_doubts_are_told_though_the_move_is_small(self, doubt, words) -> None:
        decision, reasons = decide(replace(SMALL, **doubt), LIMITS)
        assert decision == "aligned"
        assert words in reasons[1]

    def test_random_grounds(self) -> None:
        chance = np.random.default_rng(5)
        for _ in range(500):
            some = Grounds(
                move(chance.uniform(0, 30), chance.uniform(0, 40)),
                confidence=replace(SURE, heart_mm=chance.uniform(2, 20)),
                largest_change=10.0,
                changed=int(chance.integers(0, 2)),
                warnings=(WARNING,) if chance.random() < 0.3 else (),
            )
            if word(some) == "aligned":
                assert not some.changed
                assert some.move.turn_deg <= LIMITS.implausible_deg
                assert not some.warnings


@pytest.mark.parametrize(
    ("objection", "words"),
    [
        ({"move": move(80.0)}, "80 mm"),
        ({"move": move(12.0, turn_deg=35.0)}, "35 degrees"),
        ({"gain": 1.0}, "hardly better"),
        ({"gain": -40.0}, "hardly better"),
        ({"confidence": Confidence((5.0,) * 3, (2.0,) * 3, 9.0, calibrated=True)}, "9.0 mm"),
        ({"confidence": None}, "states no covariance"),  # mutual information was 12 mm off on the sample study
        ({"disagreement_mm": 25.0}, "25 mm apart"),
        ({"mismatch": {"header": 1.0, "registered": 12.0}}, "12.0 %"),
        ({"objections": ("No left ventricle was found in the SPECT.",)}, "No left ventricle"),
    ],
)
def test_whatever_speaks_against_a_large_move_has_it_reviewed_and_comes_first(objection, words) -> None:
    decision, reasons = decide(replace(MOVED, **objection), LIMITS)
    assert decision == "review"
    assert words in reasons[0]


def test_a_better_fit_of_heart_and_map_is_no_objection() -> None:
    assert word(replace(MOVED, mismatch={"header": 12.0, "registered": 4.0})) == "moved"


def test_no_clear_motion_of_more_than_a_pixel_is_called_aligned() -> None:
    chance = np.random.default_rng(3)
    for moved in chance.uniform(6.81, 60.0, 200):
        some = replace(MOVED, move=move(float(moved)), gain=float(chance.choice([-50.0, 0.0, 50.0, 1000.0])))
        assert word(some) in ("moved", "review")


def test_every_reason_is_one_sentence() -> None:
    cases = (MOVED, SMALL, replace(MOVED, gain=0.0, disagreement_mm=30.0), replace(MOVED, warnings=(WARNING,)))
    for some in cases:
        for reason in decide(some, LIMITS)[1]:
            assert reason[0].isupper()
            assert reason.endswith(".")
            assert "\n" not in reason


class TestWhatIsGivenOut:
    """Under review the pose found is given out only where it is known to two pixels and nothing is of rank 1."""

    @pytest.mark.parametrize(
        ("bound_mm", "warnings", "expected"),
        [(9.0, (), True), (13.5, (), True), (13.7, (), False), (9.0, (WARNING,), False)],
    )
    def test_review(self, bound_mm, warnings, expected) -> None:
        grounds = replace(MOVED, confidence=replace(SURE, heart_mm=bound_mm), warnings=warnings)
        assert is_released("review", grounds, LIMITS) is expected

    def test_a_bound_that_was_not_calibrated_is_not_known(self) -> None:
        """Of 14 CTs of other bodies under a SPECT volume 4 had bounds of 12 to 13 mm, and moves of 22 to 31 mm."""
        wide = replace(SURE, heart_mm=9.0, calibrated=False)
        assert not is_released("review", replace(MOVED, confidence=wide), LIMITS)

    def test_a_review_without_any_bound_keeps_the_scanner_position(self) -> None:
        assert not is_released("review", replace(MOVED, confidence=None), LIMITS)

    def test_a_pose_that_a_second_way_contradicts(self) -> None:
        """The CT of another patient: 48 mm between networks and likelihood, a bound of 5 mm, 18 mm off."""
        assert is_released("review", replace(MOVED, disagreement_mm=5.0), LIMITS)
        assert not is_released("review", replace(MOVED, disagreement_mm=48.0), LIMITS)

    def test_a_pose_at_which_the_heart_fits_the_map_worse(self) -> None:
        """A CT with left and right exchanged: 42 % outside the mediastinum before, 57 % after."""
        assert is_released("review", replace(MOVED, mismatch={"header": 57.3, "registered": 42.0}), LIMITS)
        assert not is_released("review", replace(MOVED, mismatch={"header": 42.0, "registered": 57.3}), LIMITS)

    def test_other_decisions(self) -> None:
        assert is_released("moved", replace(MOVED, confidence=None), LIMITS)
        assert not is_released("aligned", SMALL, LIMITS)


class TestLimits:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0, 1e6])
    def test_limits_are_finite_and_bounded(self, value) -> None:
        for name in ("aligned_mm", "action_limit_mm", "changed_percent", "implausible_deg", "release_limit_mm"):
            with pytest.raises(ValidationError):
                Thresholds(**{name: value})

    def test_limits_that_differ_from_the_shipped_ones_are_named(self) -> None:
        assert Thresholds().changed_from_shipped() == ()
        assert Thresholds(aligned_mm=6.0).changed_from_shipped() == ("aligned_mm = 6 (shipped: 4.5)",)


def test_a_pose_by_hand_is_given_out_and_every_objection_is_stated() -> None:
    grounds = replace(
        MOVED,
        move=move(70.0),
        gain=-3.0,
        confidence=None,
        warnings=(WARNING,),
        mismatch={"header": 1.0, "registered": 9.0},
        by_hand=True,
    )
    decision, reasons = decide(grounds, LIMITS)
    assert decision == "by-hand"
    assert is_released(decision, grounds, LIMITS)
    assert reasons[0] == (
        "A reader set the pose: it moves the map by 70.0 mm at the heart and changes 4 segments by up to 9 points."
    )
    stated = " ".join(reasons[1:])
    for objection in ("The patient seems to have moved", "log-likelihood -3", "9.0 %", "70"):
        assert objection in stated
    assert "covariance" not in stated, "a reader states none"
    stays = decide(replace(grounds, move=move(0.0), largest_change=None), LIMITS)[1][0]
    assert stays == "A reader set the pose: the map stays at its scanner position."
