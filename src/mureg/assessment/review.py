"""Who looked at a result, and what he decided."""

from __future__ import annotations

from dataclasses import dataclass

ACCEPTED = {
    "found": "accepted the pose that the program found",
    "own": "accepted a pose of his or her own",
    "scanner": "kept the map at its scanner position",
    "rejected": "rejected the study",
}
"""Decisions of a reader, in words that follow a name."""

DECISION_WORDS = {
    "found": "pose found accepted",
    "own": "own pose accepted",
    "scanner": "scanner position kept",
    "rejected": "rejected",
}
"""The same without a name."""


@dataclass(frozen=True)
class Review:
    """The decision of a reader that a result was written for.

    Attributes:
        reader: name or initials.
        at: time in UTC, ISO 8601.
        decision: one of `ACCEPTED`.
        change: how the accepted pose moves the map at the heart, from the pose found by the program.
        reasons: chosen from a list.
        comment: free text.
        trail_number, trail_sha256: of the row of the trail that holds the decision.
    """

    reader: str
    at: str
    decision: str
    change: str
    reasons: tuple[str, ...] = ()
    comment: str = ""
    trail_number: int = 0
    trail_sha256: str = ""

    @property
    def short(self) -> str:
        """What, who, when and the change, for headers of objects; some hold 64 letters, so that the change is last."""
        at = f"{self.at[:19].replace('T', ' ')} UTC"
        what = f"{DECISION_WORDS[self.decision]} by {self.reader}, {at}"
        return f"{what}; reviewed, change of the pose found, at the heart: {self.change}"

    def sentences(self) -> tuple[str, ...]:
        """The same for people."""
        chosen = f" Reasons: {', '.join(self.reasons)}." if self.reasons else ""
        said = f" Comment: {self.comment.rstrip('.')}." if self.comment else ""
        return (
            f"Reviewed by {self.reader} at {self.at} (UTC): {ACCEPTED[self.decision]}.{chosen}{said}",
            f"Change from the pose found by the program, at the heart: {self.change}.",
        )
