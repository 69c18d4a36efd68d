"""Whether trail and results belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from mureg.errors import UnreadableInputError
from mureg.files.settings import read_json
from mureg.service.review.standing import superseded
from mureg.service.review.studies import RESULT, REVIEWED, ReviewStudy
from mureg.service.trail import Trail


def problems_of(studies: Sequence[ReviewStudy], trail: Trail) -> tuple[str, ...]:
    """What is wrong with a trail and with the results that were written for it; nothing where all is whole.

    A reviewed result states the row of its decision. So rows that were cut off at the end are noticed as well, which
    the chain alone cannot tell.
    """
    problems = list(trail.problems())
    if problems:
        return tuple(problems)
    rows = {row.number: row for row in trail.rows()}
    last_written = {row.entry.key: row for row in rows.values() if row.entry.action == "write"}
    for study in studies:
        path = study.folder / REVIEWED / RESULT
        if not path.exists():
            if study.key in last_written:
                problems.append(f"the reviewed result of {study.name} is missing")
            continue
        try:
            review = read_json(path).get("review") or {}
        except UnreadableInputError:
            problems.append(f"the reviewed result of {study.name} is damaged")
            continue
        row = rows.get(int(review.get("trail_number") or 0))
        if row is None or row.sha256 != review.get("trail_sha256"):
            problems.append(f"the reviewed result of {study.name} was written for a row that is not in the trail")
            continue
        written = last_written.get(study.key)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if written is not None and written.number > row.number and written.entry.result != sha256:
            problems.append(f"registration.json of the reviewed result of {study.name} was changed")
    return tuple(problems)


def notes_of(studies: Sequence[ReviewStudy], trail: Trail) -> tuple[str, ...]:
    """What a user of the reviewed results must know though all is whole: results that a later decision replaced."""
    rows = trail.rows()
    words = ((study.name, superseded(study, rows)) for study in studies)
    return tuple(f"{name}: {note}" for name, note in words if note)
