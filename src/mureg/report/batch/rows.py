"""What a batch says about each study, the worst first."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mureg.errors import RefusedError
from mureg.io.pair import Pair
from mureg.report.batch.folder import STUDIES, failure_of, read_study_record

FAILED, REFUSED = "failed", "refused"
_WORST_FIRST = (FAILED, REFUSED, "review", "corrected", "aligned")
_PAGES = ("report.html", "qc.png", "failure.json")

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One study. None and "" where nothing is known.

    Attributes:
        study: its name.
        decision: failed, refused, review, corrected or aligned; what the registrar said where nothing was concluded.
        reason: one sentence.
        shift_mm: translation about the centre of the SPECT grid, left, back, head, mm.
        angles_deg: angles about x, y, z.
        heart_shift_mm: how far the heart moved.
        heart_interval_mm: the error over the heart stays below this, at 90 %.
        interval_calibrated: whether virtual patients have shown that it does.
        mismatch_header, mismatch_registered: mismatch index before and after, %.
        changed_segments: of 17, those whose uptake changed.
        warnings: one sentence each.
        registrar: that found the pose.
        exit_code: that `mureg register` would have ended with.
        folder: with the results, from the batch's.
        page: to be looked at, in that folder; "" where there is none.
        seconds: that the study took, its only column that another run does not repeat.
        patient: a number that studies of one patient share, "" for a patient with one study.
    """

    study: str
    decision: str
    reason: str = ""
    shift_mm: tuple[float | None, ...] = (None, None, None)
    angles_deg: tuple[float | None, ...] = (None, None, None)
    heart_shift_mm: float | None = None
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
    seconds: float | None = None
    patient: str = ""

    @property
    def is_failed(self) -> bool:
        """Whether there is no result, or none that is to be used."""
        return self.decision in (FAILED, REFUSED)

    @property
    def length_mm(self) -> float | None:
        """How far the heart moved; where that is not told, the map."""
        if self.heart_shift_mm is not None:
            return self.heart_shift_mm
        known = [mm for mm in self.shift_mm if mm is not None]
        return math.hypot(*known) if known else None

    @property
    def _order(self) -> tuple[int, float, str]:
        decision = self.decision if self.decision in _WORST_FIRST else "corrected"
        largest = max(self.heart_interval_mm or 0.0, self.length_mm or 0.0)
        return _WORST_FIRST.index(decision), -largest, self.study


def rows_of(pairs: Sequence[Pair], output: Path) -> tuple[Row, ...]:
    """What is known of each study: failed ones, those to be looked at, then by interval or shift, then by name.

    Studies of one patient stand beside each other, where the worst of them stands.
    """
    rows = sorted(((row_of(pair, output), pair.patient) for pair in pairs), key=lambda both: both[0]._order)
    studies = Counter(patient for _, patient in rows if patient)
    groups: dict[str, list[Row]] = {}
    for row, patient in rows:
        groups.setdefault(patient if studies[patient] > 1 else f"study {row.study}", []).append(row)
    numbers = iter(range(1, len(rows) + 1))
    labels = {key: str(next(numbers)) for key, group in groups.items() if len(group) > 1}
    return tuple(replace(row, patient=labels.get(key, "")) for key, group in groups.items() for row in group)


def row_of(pair: Pair, output: Path) -> Row:
    """Read a study's ``registration.json``, or why there is none."""
    where = f"{STUDIES}/{pair.name}"
    page = next((name for name in _PAGES if (output / where / name).exists()), "")
    if not pair.problem and (output / where / "registration.json").exists():
        try:
            found = json.loads((output / where / "registration.json").read_text("utf-8"))
            seconds = _number(read_study_record(output, pair.name).get("seconds"))
            return _registered(pair.name, found, where, page, seconds)
        except Exception as problem:  # a file that somebody changed
            said = f"registration.json cannot be read ({type(problem).__name__}); choose another output."
            return Row(pair.name, FAILED, said, exit_code=4, folder=where, page=page)
    failure = failure_of(output, pair)
    if failure is None:
        return Row(pair.name, FAILED, "no result; give the same command again.", exit_code=1)
    decision = REFUSED if failure.exit_code == RefusedError.exit_code else FAILED
    folder = where if page else ""
    return Row(pair.name, decision, failure.problem, exit_code=failure.exit_code, folder=folder, page=page)


def _registered(name: str, found: Table, where: str, page: str, seconds: float | None) -> Row:
    mismatch, interval = found.get("mismatch_percent") or {}, found.get("interval_90") or {}
    decision = str(found.get("decision", ""))
    return Row(
        name,
        decision,
        str(found.get("reason") or ""),
        _triple(found.get("shift_mm")),
        _triple(found.get("angles_deg")),
        _length(found.get("shift_at_heart_mm")),
        _number(interval.get("heart_mm")),
        interval.get("calibrated"),
        _number(mismatch.get("header")),
        _number(mismatch.get("registered")),
        tuple(int(one) for one in (found.get("perfusion") or {}).get("changed") or ()),
        tuple(map(str, found.get("warnings") or ())),
        str(found.get("registrar") or ""),
        RefusedError.exit_code if decision == REFUSED else 0,
        where,
        page,
        seconds,
    )


def _number(value: Any) -> float | None:
    """Rounded to a thousandth, without a sign on zero."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), 3) + 0.0


def _triple(values: Any) -> tuple[float | None, ...]:
    x, y, z = values if values is not None else (None, None, None)
    return _number(x), _number(y), _number(z)


def _length(value: Any) -> float | None:
    """Of a vector, or the length itself."""
    return None if value is None else _number(float(np.linalg.norm(np.atleast_1d(np.asarray(value, dtype=float)))))
