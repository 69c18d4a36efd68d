"""What the program said of a study, beside the truth: the row of one case in one mode, and whether it is wrong."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from studies import Truth

ACTION_LIMIT_MM = 6.8
NAN = float("nan")
FOUND_KEYS = ("found_ct_from_spect", "ct_from_spect_found", "registered_ct_from_spect", "found")
FIRST_RANKS = ("first", "changes the answer", "changes-the-answer", "changes-answer", "1")
OTHER_NAMES = {"corrected": "moved"}


@dataclass(frozen=True)
class Answer:
    """What ``mureg register --json`` said, in the words of this benchmark.

    Attributes:
        decision: aligned, moved, review, refused, or "exit N".
        given: matrix of the pose that is given out; None for no result.
        found: of the pose that was found; None where the answer does not have it.
        bound_mm: stated 90 % bound over the heart.
        calibrated: whether the bound is said to be.
        first_rank: warnings of the first rank; None where the answer ranks none.
        warnings: number of all.
        reason: the weightiest.
    """

    decision: str
    given: Any = None
    found: Any = None
    bound_mm: float = NAN
    calibrated: bool = False
    first_rank: tuple[str, ...] | None = None
    warnings: int = 0
    reason: str = ""


def extract(code: int, said: Mapping[str, Any], refusal: str = "") -> Answer:
    """An answer from exit code, JSON and standard error; keys that a version of the program lacks are left out."""
    if code == 3 or said.get("decision") == "refused":
        return Answer("refused", reason=str(said.get("reason", refusal)))
    if code != 0:
        return Answer(f"exit {code}", reason=refusal)
    decision = OTHER_NAMES.get(said["decision"], said["decision"])
    interval = said.get("interval_90") or {}
    warnings = said.get("warnings", [])
    bound = interval.get("heart_mm")
    return Answer(
        decision,
        said["ct_from_spect"],
        _found(said, decision),
        NAN if bound is None else float(bound),
        bool(interval.get("calibrated", False)),
        _first_rank(said, warnings),
        len(warnings),
        str(said.get("reason", "")),
    )


def _found(said: Mapping[str, Any], decision: str) -> Any:
    """Matrix of the pose that was found; versions that keep it nowhere give it out unless they left the map alone."""
    for key in FOUND_KEYS:
        value = said.get(key)
        if isinstance(value, Mapping):
            value = value.get("ct_from_spect")
        if value is not None:
            return value
    return said["ct_from_spect"] if decision != "aligned" else None


def _first_rank(said: Mapping[str, Any], warnings: Sequence[Any]) -> tuple[str, ...] | None:
    if any(isinstance(warning, Mapping) for warning in warnings):
        return tuple(
            str(warning.get("text", warning.get("message", "")))
            for warning in warnings
            if isinstance(warning, Mapping) and str(warning.get("rank", "")).lower() in FIRST_RANKS
        )
    listed = said.get("first_rank_warnings")
    return None if listed is None else tuple(map(str, listed))


@dataclass(frozen=True)
class Row:
    """One case in one mode; mm are root mean squares over the heart's points.

    Attributes:
        header_mm: error of the scanner position.
        given_mm: of the pose that is given out.
        found_mm: of the pose that was found; NaN where the program does not say it.
        bound_mm: stated 90 % bound.
        first_rank: number of warnings of the first rank; -1 where the program ranks none.
        warnings: number of all.
        wrong: what is confidently wrong, "" for nothing.
        seconds: of a processor, without start-up.
    """

    case: str
    kind: str
    body: str
    known: str
    mode: str
    decision: str
    header_mm: float
    given_mm: float
    found_mm: float
    bound_mm: float
    first_rank: int
    warnings: int
    wrong: str
    reason: str
    seconds: float


def row_of(names: Sequence[str], mode: str, truth: Truth, answer: Answer, seconds: float) -> Row:
    """Names: case, kind, body and what is known of the body."""
    identity = [[float(i == j) for j in range(4)] for i in range(4)]
    given = NAN if answer.given is None else truth.error_mm(answer.given)
    return Row(
        *names,
        mode,
        answer.decision,
        round(truth.error_mm(identity), 2),
        round(given, 2),
        NAN if answer.found is None else round(truth.error_mm(answer.found), 2),
        answer.bound_mm,
        -1 if answer.first_rank is None else len(answer.first_rank),
        answer.warnings,
        wrong(names[1], answer.decision, given, answer.bound_mm),
        answer.reason,
        round(seconds, 1),
    )


def wrong(kind: str, decision: str, given_mm: float, bound_mm: float) -> str:
    """What is confidently wrong in a decision; "" for nothing."""
    if kind == "another patient, named" and decision != "refused":
        return f"{decision}, not refused"
    if decision not in ("aligned", "moved"):
        return ""
    if kind.startswith("another patient"):
        return f"{decision} another patient's CT"
    if given_mm > ACTION_LIMIT_MM:
        return f"{decision} with an error of {given_mm:.1f} mm"
    if decision == "moved" and not bound_mm <= ACTION_LIMIT_MM:
        return f"moved with a bound of {bound_mm:.1f} mm"
    return ""


def read_rows(path: Path) -> list[Row]:
    """Rows that stand in a file, none where there is none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [Row(**{f.name: _typed(f.type, line[f.name]) for f in fields(Row)}) for line in csv.DictReader(file)]


def _typed(kind: Any, text: str) -> Any:
    return {"str": str, "float": float, "int": int}[kind](text)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """All rows, in place of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    partial.replace(path)
