"""What a batch says about each study, the worst first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mureg.batch.folder import RESULT, STUDIES, failure_of, read_study_record
from mureg.errors import RefusedError, UnreadableInputError, UsageError
from mureg.files.settings import read_json
from mureg.io.worklist.entry import WorklistEntry

FAILED, REFUSED = "failed", "refused"
_WORST_FIRST = (FAILED, REFUSED, "review", "moved", "by-hand", "aligned")
_FORMER_WORDS = {"corrected": "moved"}
"""Decisions that version 0.1.0 wrote under another name."""
_PAGES = ("report.html", "qc.png", "failure.json")

Table = Mapping[str, Any]


@dataclass(frozen=True)
class StudyRow:
    """One study. None and "" where nothing is known.

    Attributes:
        study: its name.
        decision: failed, refused, review, moved, by-hand or aligned.
        reason: one sentence.
        move_mm: mean displacement of the map at the heart, to the left, back and head, mm.
        turn_deg: by how much the map was turned.
        heart_shift_mm: root mean square displacement of the map at the heart, the one number for a move.
        found_given_out: whether the pose found is the one that the map is written at.
        found_shift_mm: the same number for the pose found, to which the interval, the mismatch after, and the changed
            segments of a study under review belong.
        heart_interval_mm: the error over the heart stays below this, at 90 %.
        interval_calibrated: whether virtual patients have shown that it does.
        mismatch_header, mismatch_registered: mismatch index at the scanner position and at the pose shown, %.
        changed_segments: of 17, those whose uptake changed at the pose shown.
        warnings: one sentence each.
        registrar: that found the pose.
        exit_code: that `mureg register` would have ended with.
        folder: with the results, from the batch's.
        page: report of the study, in that folder; "" where there is none.
        spect_acquired, ct_acquired: date and time of the scans.
        processed: date and time of the run.
        seconds: that the study took; another run repeats neither this nor `processed`.
        patient: a number that studies of one patient share, "" for a patient with one study.
    """

    study: str
    decision: str
    reason: str = ""
    move_mm: tuple[float | None, ...] = (None, None, None)
    turn_deg: float | None = None
    heart_shift_mm: float | None = None
    found_given_out: bool | None = None
    found_shift_mm: float | None = None
    heart_interval_mm: float | None = None
    interval_calibrated: bool | None = None
    mismatch_header: float | None = None
    mismatch_registered: float | None = None
    changed_segments: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    registrar: str = ""
    exit_code: int = 0
    folder: str = ""
    page: str = ""
    spect_acquired: str = ""
    ct_acquired: str = ""
    processed: str = ""
    seconds: float | None = None
    patient: str = ""

    @property
    def is_failed(self) -> bool:
        """Whether there is no result, or none that is to be used."""
        return self.decision in (FAILED, REFUSED)

    @property
    def length_mm(self) -> float | None:
        """Move of the heart, mm; where it is unknown, that of the map."""
        if self.heart_shift_mm is not None:
            return self.heart_shift_mm
        lengths_mm = [mm for mm in self.move_mm if mm is not None]
        return math.hypot(*lengths_mm) if lengths_mm else None

    @property
    def withheld(self) -> bool:
        """Whether a pose was found that the page tells of, and the map is not written at it."""
        return self.decision == "review" and self.found_given_out is False

    @property
    def _order(self) -> tuple[int, float, str]:
        decision = self.decision if self.decision in _WORST_FIRST else "moved"
        largest = max(self.heart_interval_mm or 0.0, self.length_mm or 0.0, self.found_shift_mm or 0.0)
        return _WORST_FIRST.index(decision), -largest, self.study


@dataclass(frozen=True)
class Result:
    """What lies in the folder of a study that is done.

    Attributes:
        row: of the summary.
        record: ``study.json``.
    """

    row: StudyRow
    record: Table


def rows_of(pairs: Sequence[WorklistEntry], output: Path, changed_names: Collection[str] = ()) -> tuple[StudyRow, ...]:
    """What is known of each study: failed ones, those marked review, then by interval or shift, then by name.

    Studies of one patient stand beside each other, where the worst of them stands.

    Args:
        pairs: the studies.
        output: the batch's folder.
        changed_names: names of those whose files are others now.
    """
    rows = [
        (_changed(pair, output) if pair.name in changed_names else row_of(pair, output), pair.patient) for pair in pairs
    ]
    rows.sort(key=lambda pair: pair[0]._order)
    studies = Counter(patient for _, patient in rows if patient)
    groups: dict[str, list[StudyRow]] = {}
    for row, patient in rows:
        groups.setdefault(patient if studies[patient] > 1 else f"study {row.study}", []).append(row)
    numbers = iter(range(1, len(rows) + 1))
    labels = {key: str(next(numbers)) for key, group in groups.items() if len(group) > 1}
    return tuple(replace(row, patient=labels.get(key, "")) for key, group in groups.items() for row in group)


def row_of(pair: WorklistEntry, output: Path) -> StudyRow:
    """Read a study's ``registration.json``, or why there is none."""
    result = None if pair.problem else known_result(output, pair.name)
    if result is not None:
        return result.row
    failure = failure_of(output, pair)
    if failure is None:
        return StudyRow(pair.name, FAILED, "no result; give the same command again.", exit_code=1)
    decision = REFUSED if failure.exit_code == RefusedError.exit_code else FAILED
    page = _page(output, pair.name)
    folder = f"{STUDIES}/{pair.name}" if page else ""
    return StudyRow(pair.name, decision, failure.problem, exit_code=failure.exit_code, folder=folder, page=page)


def known_result(output: Path, name: str) -> Result | None:
    """The result of a study; None where there is none, or its records are damaged in any way."""
    study_path = f"{STUDIES}/{name}"
    try:
        record = read_study_record(output, name)
        result = read_json(output / study_path / RESULT)
        row = _registered(name, result, study_path, _page(output, name), _number(record.get("seconds")))
    except (UnreadableInputError, AttributeError, TypeError, ValueError, OverflowError, RecursionError):
        return None
    return Result(row, record)


def _changed(pair: WorklistEntry, output: Path) -> StudyRow:
    problem = UsageError(
        "files that are not those it was registered from", "the same contents", "give --retry to register it again"
    )
    page = _page(output, pair.name)
    folder = f"{STUDIES}/{pair.name}" if page else ""
    return StudyRow(pair.name, FAILED, str(problem), exit_code=problem.exit_code, folder=folder, page=page)


def _page(output: Path, name: str) -> str:
    return next((page for page in _PAGES if (output / STUDIES / name / page).exists()), "")


def _registered(name: str, result: Table, study_path: str, page: str, seconds: float | None) -> StudyRow:
    mismatch, interval = result.get("mismatch_percent") or {}, result.get("interval_90") or {}
    word, study = str(result.get("decision", "")), result.get("study") or {}
    decision = _FORMER_WORDS.get(word, word)
    move = result.get("move_at_heart") or {}
    mean = move.get("mean_mm") or {}
    return StudyRow(
        name,
        decision,
        str(result.get("reason") or ""),
        tuple(_number(mean.get(way)) for way in ("left", "back", "head")),
        _number(move.get("turn_deg")),
        _length(move.get("rms_mm", result.get("shift_at_heart_mm"))),
        _flag(result.get("pose_found_given_out")),
        _number(((result.get("found") or {}).get("move_at_heart") or {}).get("rms_mm")),
        _number(interval.get("heart_mm")),
        _flag(interval.get("calibrated")),
        _number(mismatch.get("header")),
        _number(mismatch.get("registered")),
        tuple(int(segment) for segment in (result.get("perfusion") or {}).get("changed") or ()),
        tuple(map(_warning, result.get("warnings") or ())),
        str(result.get("registrar") or ""),
        RefusedError.exit_code if decision == REFUSED else 0,
        study_path,
        page,
        str(study.get("spect_acquired") or ""),
        str(study.get("ct_acquired") or ""),
        str(study.get("processed") or ""),
        seconds,
    )


def _warning(warning: Any) -> str:
    """A warning with its rank; version 0.1.0 wrote the sentence alone."""
    return f"{warning['text']} ({warning['rank']})" if isinstance(warning, dict) else str(warning)


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    """Rounded to a thousandth, without a sign on zero."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), 3) + 0.0


def _length(value: Any) -> float | None:
    """Length of a vector; a number is returned unchanged."""
    return None if value is None else _number(float(np.linalg.norm(np.atleast_1d(np.asarray(value, dtype=float)))))
