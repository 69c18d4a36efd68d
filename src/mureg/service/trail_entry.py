"""One row of the trail of a review: what was done, and its place in the chain."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from mureg.errors import UnreadableInputError


def utc_now() -> str:
    """ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


StudyKey = tuple[str, str]
"""Name and fingerprint of a study."""


@dataclass(frozen=True)
class TrailEntry:
    """One action of a reader.

    Attributes:
        action: "decide", or "write" where the result of a decision was written.
        study: name of the study.
        fingerprint: of its SPECT and CT.
        reader: who acted.
        decision: "found", "own", "scanner" or "rejected": which pose was accepted, or none.
        pose_before, pose_after: ``ct_from_spect``, 16 numbers row by row: what stood before the action, and after it.
        pose_found: by the program.
        words: what the reader changed, at the heart: "3.0 mm to the head; turned by 0.0 degrees".
        reasons: chosen from a list.
        comment: free text.
        blinded: whether pose and decision of the program were hidden.
        seconds: from opening the study to the action; None where not measured.
        versions: of mureg and its libraries.
        weights: SHA-256 of the networks that made the pose found, "" for none.
        result: SHA-256 of ``registration.json`` of a result that was written, "" otherwise.
        utc: when, ISO 8601.
    """

    action: str
    study: str
    fingerprint: str
    reader: str
    decision: str
    pose_before: tuple[float, ...]
    pose_after: tuple[float, ...]
    pose_found: tuple[float, ...]
    words: str = ""
    reasons: tuple[str, ...] = ()
    comment: str = ""
    blinded: bool = False
    seconds: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    weights: str = ""
    result: str = ""
    utc: str = field(default_factory=utc_now)

    @property
    def key(self) -> StudyKey:
        """Which study it is about."""
        return self.study, self.fingerprint


@dataclass(frozen=True)
class TrailRow:
    """An entry in its place in the chain.

    Attributes:
        number: from 1, without gaps.
        entry: what was done.
        previous: hash of the row before it.
        sha256: over `previous` and the entry, see `chained`.
    """

    number: int
    entry: TrailEntry
    previous: str
    sha256: str


COLUMNS = tuple(column.name for column in fields(TrailEntry))


def chained(previous: str, number: int, cells: dict[str, str]) -> str:
    """SHA-256 over a JSON list in UTF-8, without spaces: previous hash, number, then the cells in their order."""
    words = json.dumps(
        [previous, number, *(cells[name] for name in COLUMNS)], ensure_ascii=False, separators=(",", ":")
    )
    return hashlib.sha256(words.encode("utf-8")).hexdigest()


def cells_of(entry: TrailEntry) -> dict[str, str]:
    """Each value as JSON."""
    return {
        name: json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        for name, value in asdict(entry).items()
    }


def entry_of(cells: dict[str, str]) -> TrailEntry:
    """The entry of a row; raise `UnreadableInputError` for what mureg did not write."""
    try:
        values: dict[str, Any] = {name: json.loads(cells[name]) for name in COLUMNS}
    except (ValueError, TypeError) as problem:
        raise UnreadableInputError(
            "a row of the trail that holds no JSON", "rows that mureg wrote", "check it with mureg review --verify"
        ) from problem
    arguments: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return TrailEntry(**arguments)
