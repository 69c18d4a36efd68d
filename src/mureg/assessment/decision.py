"""The decision: from the figures of a run to one word and its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mureg.assessment.move import Move
from mureg.assessment.result import Confidence, Decision
from mureg.assessment.thresholds import Thresholds
from mureg.notes import Note, Rank

_ALONG = 0.66
"""Part of a bound along one direction: 95 % of normal errors lie below 1.64 standard deviations along it, and 90 % of
their lengths below 2.5 in three equal directions."""


@dataclass(frozen=True)
class Grounds:
    """What the decision rests on.

    Attributes:
        move: of the pose found, at the heart, against the scanner position.
        gain: of the log-likelihood of the projections over the scanner position; None where it is not known.
        disagreement_mm: of a second method at the heart, or how far the starts ended apart; None where there is none.
        confidence: None where the registrar states none.
        largest_change: of relative uptake in a segment between the corrected images, points; None without both.
        changed: number of segments that changed by more than the limit.
        mismatch: index in percent by "header" and "registered"; empty where unknown.
        warnings: notes on the study with their rank.
        objections: whatever else speaks against the pose found, one sentence each.
        by_hand: whether a reader set the pose; it is given out whatever speaks against it.
    """

    move: Move
    gain: float | None = None
    disagreement_mm: float | None = None
    confidence: Confidence | None = None
    largest_change: float | None = None
    changed: int = 0
    mismatch: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[Note, ...] = ()
    objections: tuple[str, ...] = ()
    by_hand: bool = False

    @property
    def first_rank(self) -> tuple[str, ...]:
        """Warnings that change the answer."""
        return tuple(str(note) for note in self.warnings if note.rank is Rank.CHANGES_ANSWER)


def decide(grounds: Grounds, limits: Thresholds) -> tuple[Decision, tuple[str, ...]]:
    """The decision ("aligned", "moved", "review" or "by-hand") and its reasons, the weightiest first.

    A warning of the first rank means review, however small the move. A move too small to matter is "aligned", unless it
    changes segments or turns the heart implausibly; doubts about the pose found are among its reasons. A move that
    matters is reviewed where it is implausible, not known to a pixel, contradicted, or worsens the fit of heart and
    map.
    """
    if grounds.by_hand:
        return "by-hand", _reasons_by_hand(grounds, limits)
    none_needed = _reason_against_moving(grounds, limits)
    objections = _objections(grounds, limits)
    moved = (
        f"The pose found moves the map by {grounds.move.rms_mm:.1f} mm at the heart{_gained(grounds)}"
        f"{_effect(grounds, limits)}."
    )
    if grounds.first_rank:
        return "review", (*_sentences(grounds.first_rank), *objections, moved, *_facts(grounds, limits, aligned=False))
    if none_needed:
        contradiction = _contradiction(grounds, limits)
        if contradiction:
            return "review", (contradiction, *objections, moved, *_facts(grounds, limits, aligned=False))
        if not (objections and grounds.move.rms_mm > limits.action_limit_mm):
            doubts = (*_doubts(grounds, limits), *grounds.objections)
            return "aligned", (none_needed, *doubts, *_facts(grounds, limits, aligned=True))
    if objections:
        return "review", (*objections, moved, *_facts(grounds, limits, aligned=False))
    return "moved", (moved, *_facts(grounds, limits, aligned=False))


def is_released(decision: Decision, grounds: Grounds, limits: Thresholds) -> bool:
    """Whether the pose found is given out.

    Under review it is only where it is known to two pixels, by an interval that was calibrated for the settings of the
    run, and no warning is of the first rank, two ways to find the pose do not contradict each other, and the heart
    does not fit the map worse than before.
    """
    if decision != "review":
        return decision in ("moved", "by-hand")
    bound = grounds.confidence
    is_bounded = bound is not None and bound.calibrated and bound.heart_mm < limits.release_limit_mm
    contradicted = (grounds.disagreement_mm or 0.0) > limits.disagreement_mm or _fits_worse(grounds, limits)
    return is_bounded and not grounds.first_rank and not contradicted


def _fits_worse(grounds: Grounds, limits: Thresholds) -> bool:
    """Whether more of the myocardium than before, and than is acceptable, lies outside the mediastinum of the map."""
    before, after = (grounds.mismatch.get(name) for name in ("header", "registered"))
    return before is not None and after is not None and after > max(limits.mismatch_percent, before)


def _reasons_by_hand(grounds: Grounds, limits: Thresholds) -> tuple[str, ...]:
    """That a reader set the pose and what it does, then whatever speaks against it."""
    moved = grounds.move.rms_mm
    what = f"it moves the map by {moved:.1f} mm at the heart" if moved else "the map stays at its scanner position"
    bound = () if grounds.confidence is not None else _doubts(grounds, limits)
    against = [sentence for sentence in _objections(grounds, limits) if sentence not in bound]
    return (
        f"A reader set the pose: {what}{_effect(grounds, limits)}.",
        *_sentences(grounds.first_rank),
        *against,
        *_facts(grounds, limits, aligned=False),
    )


def _reason_against_moving(grounds: Grounds, limits: Thresholds) -> str:
    """Why the map need not move; "" where it has to.

    A bound is the error of the pose found. What the scanner position may be off by is the move and the part of that
    error along it; a move below a pixel is "too small" only where their sum is below a pixel too.
    """
    moved = grounds.move.rms_mm
    if moved == 0.0:
        return "No pose was better than the scanner position."
    if moved <= limits.aligned_mm:
        return (
            f"The best pose lies {moved:.1f} mm at the heart from the scanner position, within the "
            f"{limits.aligned_mm:g} mm that registration cannot tell from no move."
        )
    if moved > limits.action_limit_mm:
        return ""
    bound = grounds.confidence
    may_be_more = bound is not None and moved + _ALONG * bound.heart_mm > limits.action_limit_mm
    if grounds.largest_change is not None and grounds.changed == 0 and not may_be_more:
        return (
            f"The best pose, {moved:.1f} mm away at the heart, less than a pixel, changes no segment by more than "
            f"{limits.changed_percent:g} points."
        )
    if grounds.gain is not None and grounds.gain < limits.least_gain:
        return (
            f"The best pose, {moved:.1f} mm away at the heart, explains the projections hardly better than the scanner "
            f"position (log-likelihood {grounds.gain:+.0f}, at least {limits.least_gain:g} asked for)."
        )
    if bound is not None and bound.calibrated and moved <= bound.heart_mm and not may_be_more:
        return (
            f"The best pose lies {moved:.1f} mm at the heart from the scanner position, within its own 90 % bound of "
            f"{bound.heart_mm:.1f} mm."
        )
    return ""


def _contradiction(grounds: Grounds, limits: Thresholds) -> str:
    """Why a small move is not simply "aligned"; "" where nothing speaks against that."""
    move, bound = grounds.move, grounds.confidence
    if move.turn_deg > limits.implausible_deg:
        return f"The pose found turns the map by {move.turn_deg:.0f} degrees, more than patients usually turn."
    if grounds.changed:
        return (
            f"The pose found lies only {move.rms_mm:.1f} mm at the heart from the scanner position, and yet changes "
            f"{_segments(grounds.changed)} by up to {grounds.largest_change or 0.0:.0f} points."
        )
    if bound is not None and bound.heart_mm > limits.release_limit_mm:
        return (
            f"The pose found lies near the scanner position, but is known only to within {bound.heart_mm:.1f} mm at "
            "the heart (90 %), more than two pixels."
        )
    return ""


def _objections(grounds: Grounds, limits: Thresholds) -> tuple[str, ...]:
    """What speaks against moving the map to the pose found."""
    objections = []
    move = grounds.move
    if move.rms_mm > limits.implausible_mm or move.turn_deg > limits.implausible_deg:
        objections.append(
            f"A move of {move.rms_mm:.0f} mm at the heart and {move.turn_deg:.0f} degrees is more than patients "
            f"usually move ({limits.implausible_mm:g} mm, {limits.implausible_deg:g} degrees)."
        )
    if grounds.gain is not None and grounds.gain < limits.least_gain:
        objections.append(
            f"The projections are explained hardly better than at the scanner position (log-likelihood "
            f"{grounds.gain:+.0f}, at least {limits.least_gain:g} asked for)."
        )
    objections += _doubts(grounds, limits)
    if _fits_worse(grounds, limits):
        objections.append(
            "More of the myocardium lies outside the mediastinum of the map at the pose found "
            f"({grounds.mismatch['registered']:.1f} %) than at the scanner position "
            f"({grounds.mismatch['header']:.1f} %)."
        )
    return (*objections, *grounds.objections)


def _doubts(grounds: Grounds, limits: Thresholds) -> tuple[str, ...]:
    """Why the pose found may be wrong, whether the map has to move or not."""
    sentences = []
    bound = grounds.confidence
    if bound is None:
        sentences.append("How far the pose may be off is not known: this registrar states no covariance.")
    elif bound.heart_mm > limits.action_limit_mm:
        sentences.append(
            f"The pose is only known to within {bound.heart_mm:.1f} mm at the heart (90 %), more than the limit of "
            f"{limits.action_limit_mm:g} mm."
        )
    apart = grounds.disagreement_mm
    if apart is not None and apart > limits.disagreement_mm:
        sentences.append(f"Two ways to find the pose ended {apart:.0f} mm apart at the heart.")
    return tuple(sentences)


def _facts(grounds: Grounds, limits: Thresholds, *, aligned: bool) -> tuple[str, ...]:
    """What else a reader wants to know, for any decision."""
    facts = []
    names = ("header",) if aligned else ("header", "registered")
    if all(name in grounds.mismatch for name in names):
        values = " before and ".join(f"{grounds.mismatch[name]:.1f} %" for name in names)
        facts.append(
            f"Mismatch of myocardium and mediastinum: {values}{'' if aligned else ' after'} "
            f"(acceptable up to {limits.mismatch_percent:g} %)."
        )
    bound = grounds.confidence
    if bound is not None:
        kind = "" if bound.calibrated else ", not calibrated for these settings"
        facts.append(f"The pose found is known to within {bound.heart_mm:.1f} mm at the heart (90 %{kind}).")
    return tuple(facts)


def _sentences(notes: tuple[str, ...]) -> tuple[str, ...]:
    """Notes as sentences: a capital at the beginning, a full stop at the end."""
    return tuple(f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in notes)


def _gained(grounds: Grounds) -> str:
    return "" if grounds.gain is None else f", explains the projections better (log-likelihood {grounds.gain:+.0f})"


def _effect(grounds: Grounds, limits: Thresholds) -> str:
    if grounds.largest_change is None:
        return ""
    if grounds.changed == 0:
        return f" and changes no segment by more than {limits.changed_percent:g} points"
    return f" and changes {_segments(grounds.changed)} by up to {grounds.largest_change:.0f} points"


def _segments(number: int) -> str:
    return "1 segment" if number == 1 else f"{number} segments"
