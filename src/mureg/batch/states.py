"""State of each study of a batch, from the files in its folder, which may be damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mureg.batch.folder import failure_of
from mureg.batch.rows import known_result
from mureg.errors import MuregError
from mureg.io.worklist.entry import WorklistEntry

State = Literal["done", "failed", "missing", "changed", "impossible"]
"""Registered; failed before; yet to be done, also since its records are damaged; registered from other files than those
that are there now; not even begun, for its SPECT and CT are not known."""


def state_of(output: Path, pair: WorklistEntry, stamp: str) -> State:
    """How far a study has come; one that failed with other files than those that are there now is missing.

    Files whose names, sizes and times are the same are taken for the same; else their contents decide.

    Args:
        output: the batch's folder.
        pair: the study.
        stamp: of its files as they are now.
    """
    if pair.problem:
        return "impossible"
    result = known_result(output, pair.name)
    if result is not None:
        record = result.record
        return "done" if _same(pair, stamp, record.get("stamp"), record.get("fingerprint")) else "changed"
    failure = failure_of(output, pair)
    if failure is None:
        return "missing"
    return "failed" if _same(pair, stamp, failure.stamp, failure.fingerprint) else "missing"


def _same(pair: WorklistEntry, stamp: str, stamp_then: object, fingerprint_then: object) -> bool:
    if stamp == stamp_then:
        return True
    try:
        return pair.fingerprint() == fingerprint_then
    except (MuregError, OSError):
        return False
