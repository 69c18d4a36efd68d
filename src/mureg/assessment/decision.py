"""The decision: from figures of a run to one word and its reasons."""

from __future__ import annotations

from dataclasses import dataclass, field

from mureg.assessment.result import Confidence, Decision
from mureg.assessment.thresholds import Thresholds


@dataclass(frozen=True)
class Grounds:
    """What the decision rests on.

    Attributes:
        moved_mm: how far the pose that was found moves the heart against the headers.
        turned_deg: by which angle it turns.
        gain: of the log-likelihood of the projections over the headers' pose; None where nobody knows.
        disagreement_mm: of a second method at the heart, or how far the starts ended apart; None where there is none.
        confidence: None where the registrar states none.
        largest_change: of relative uptake in a segment between the corrected images, points; None without both.
        changed: number of segments that changed by more than the threshold.
        mismatch: index in percent by "header" and "registered"; empty where unknown.
        doubts: whatever else speaks against the pose, one sentence each.
    """

    moved_mm: float
    turned_deg: float
    gain: float | None = None
    disagreement_mm: float | None = None
    confidence: Confidence | None = None
    largest_change: float | None = None
    changed: int = 0
    mismatch: dict[str, float] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


def decide(grounds: Grounds, limits: Thresholds) -> tuple[Decision, tuple[str, ...]]:
    """The decision ("aligned", "corrected" or "review") and its reasons, the weightiest first.

    A move too small to matter is none, whatever else there is: the headers' pose stays. A move that matters is reviewed
    where it is not believable, not certain to a pixel, contradicted, or makes the fit of heart and map worse.
    """
    against_moving = _why_none(grounds, limits)
    doubts = _doubts(grounds, limits)
    if against_moving and not (doubts and grounds.moved_mm > limits.action_limit_mm):
        return "aligned", (against_moving, *_facts(grounds, limits, aligned=True))
    moved = f"The map was moved by {grounds.moved_mm:.1f} mm at the heart{_gained(grounds)}{_effect(grounds, limits)}."
    if doubts:
        return "review", (*doubts, moved, *_facts(grounds, limits, aligned=False))
    return "corrected", (moved, *_facts(grounds, limits, aligned=False))


def _why_none(grounds: Grounds, limits: Thresholds) -> str:
    """Why the map need not move; "" where it has to."""
    moved = grounds.moved_mm
    if moved == 0.0:
        return "No pose was better than that of the headers."
    if moved <= limits.aligned_mm:
        return (
            f"The best pose lies {moved:.1f} mm at the heart from that of the headers, within the "
            f"{limits.aligned_mm:g} mm that registration cannot tell from none."
        )
    if moved > limits.action_limit_mm:
        return ""
    if grounds.largest_change is not None and grounds.changed == 0:
        return (
            f"The best pose, {moved:.1f} mm away at the heart, less than a pixel, changes no segment by more than "
            f"{limits.changed_percent:g} points."
        )
    if grounds.gain is not None and grounds.gain < limits.least_gain:
        return (
            f"The best pose, {moved:.1f} mm away at the heart, explains the projections hardly better than the headers "
            f"(log-likelihood {grounds.gain:+.0f}, {limits.least_gain:g} asked for)."
        )
    sure = grounds.confidence
    if sure is not None and sure.calibrated and moved <= sure.heart_mm <= limits.action_limit_mm:
        return (
            f"The best pose lies {moved:.1f} mm at the heart from that of the headers, within its own 90 % interval of "
            f"{sure.heart_mm:.1f} mm."
        )
    return ""


def _doubts(grounds: Grounds, limits: Thresholds) -> tuple[str, ...]:
    found = []
    if grounds.moved_mm > limits.implausible_mm or grounds.turned_deg > limits.implausible_deg:
        found.append(
            f"A move of {grounds.moved_mm:.0f} mm at the heart and {grounds.turned_deg:.0f} degrees is more than "
            f"patients usually move ({limits.implausible_mm:g} mm, {limits.implausible_deg:g} degrees)."
        )
    if grounds.gain is not None and grounds.gain < limits.least_gain:
        found.append(
            f"The projections are explained hardly better than by the headers (log-likelihood {grounds.gain:+.0f}, "
            f"{limits.least_gain:g} asked for)."
        )
    sure = grounds.confidence
    if sure is not None and sure.heart_mm > limits.action_limit_mm:
        found.append(
            f"The pose is only known to within {sure.heart_mm:.1f} mm at the heart (90 %), more than a pixel of "
            f"{limits.action_limit_mm:g} mm."
        )
    apart = grounds.disagreement_mm
    if apart is not None and apart > limits.disagreement_mm:
        found.append(f"Two ways to find the pose ended {apart:.0f} mm apart at the heart.")
    before, after = (grounds.mismatch.get(name) for name in ("header", "registered"))
    if before is not None and after is not None and after > limits.mismatch_percent and after > before:
        found.append(
            f"More of the myocardium lies outside the mediastinum of the registered map ({after:.1f} %) than by the "
            f"headers ({before:.1f} %)."
        )
    return (*found, *grounds.doubts)


def _facts(grounds: Grounds, limits: Thresholds, *, aligned: bool) -> tuple[str, ...]:
    """What else a reader wants to know, for any decision."""
    said = []
    shown = ("header",) if aligned else ("header", "registered")
    if all(name in grounds.mismatch for name in shown):
        values = " before and ".join(f"{grounds.mismatch[name]:.1f} %" for name in shown)
        said.append(
            f"Mismatch of myocardium and mediastinum: {values}{'' if aligned else ' after'} "
            f"(acceptable up to {limits.mismatch_percent:g} %)."
        )
    sure = grounds.confidence
    if sure is not None and not aligned:
        kind = "" if sure.calibrated else ", noise of the counts alone, not checked on patients"
        said.append(f"The heart is placed to within {sure.heart_mm:.1f} mm (90 %{kind}).")
    if aligned and grounds.largest_change is not None and grounds.changed:
        said.append(
            f"The pose that was not taken would have changed {_segments(grounds.changed)} by up to "
            f"{grounds.largest_change:.0f} points."
        )
    return tuple(said)


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
