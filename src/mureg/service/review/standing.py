"""Whether the result in `REVIEWED` is that of the last decision on a study."""

from __future__ import annotations

from collections.abc import Iterable

from mureg.assessment.review import DECISION_WORDS
from mureg.service.review.studies import RESULT, REVIEWED, ReviewStudy
from mureg.service.trail_entry import TrailRow


def is_written(study: ReviewStudy, rows: Iterable[TrailRow]) -> bool:
    """Whether the last decision on a study has its result."""
    decision, written = _last(study, rows)
    return decision is not None and written is not None and written.number > decision.number


def superseded(study: ReviewStudy, rows: Iterable[TrailRow]) -> str:
    """What became of a reviewed result whose decision is no longer the last one; "" where it is, or there is no result.

    A rejection writes no result and removes none, so that an earlier one is left in `REVIEWED`. The same holds for an
    accepted pose whose result could not be written.
    """
    decision, written = _last(study, rows)
    if decision is None or written is None or written.number > decision.number:
        return ""
    if not (study.folder / REVIEWED / RESULT).exists():
        return ""
    earlier, later = written.entry, decision.entry
    return (
        f"{REVIEWED}/ holds an earlier result ({_words(earlier.decision)} by {earlier.reader}); "
        f"the decision that stands is: {_words(later.decision)} by {later.reader} at {later.utc}"
    )


def _words(decision: str) -> str:
    return DECISION_WORDS.get(decision, decision)


def _last(study: ReviewStudy, rows: Iterable[TrailRow]) -> tuple[TrailRow | None, TrailRow | None]:
    """The last decision on a study, and the last time that a result of it was written."""
    last = {row.entry.action: row for row in rows if row.entry.key == study.key}
    return last.get("decide"), last.get("write")
