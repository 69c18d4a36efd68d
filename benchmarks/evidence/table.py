"""The tables of the confident-and-wrong benchmark, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from verdicts import Row

DECISIONS = ("aligned", "moved", "review", "refused")


def summary(rows: Sequence[Row], before: Sequence[Row] = ()) -> str:
    """Decisions of every kind of case, and how many are confidently wrong."""
    head = ("fault", "mode", "n", *DECISIONS, "other", "confidently wrong", "largest error given out, aligned or moved")
    lines = _head([*head, *(["confidently wrong before"] if before else [])])
    kinds = list(dict.fromkeys(row.kind for row in rows))
    for kind, mode in ((kind, mode) for kind in (*kinds, "all faults") for mode in ("default", "quick")):
        mine = [row for row in _of(rows, kind) if row.mode == mode]
        if not mine:
            continue
        counts = [sum(row.decision == word for row in mine) for word in DECISIONS]
        sure = [row.given_mm for row in mine if row.decision in ("aligned", "moved") and not math.isnan(row.given_mm)]
        cells = [kind, mode, len(mine), *counts, len(mine) - sum(counts), sum(bool(row.wrong) for row in mine)]
        cells.append(f"{max(sure):.1f}" if sure else "")
        if before:
            keys = {(row.case, row.mode) for row in mine}
            cells.append(sum(bool(row.wrong) for row in before if (row.case, row.mode) in keys))
        lines.append(_line(cells))
    return "\n".join(lines)


def table(rows: Sequence[Row], before: Sequence[Row] = ()) -> str:
    """Both tables, with words around them."""
    earlier = {(row.case, row.mode): row for row in before}
    names = ("case", "body", "mode", "decision", "unregistered", "given out", "found", "bound")
    head = [*names, "first-rank warnings", "confidently wrong", "seconds"]
    head += ["before: decision", "before: given out"] if before else []
    lines = _head(head)
    for row in rows:
        errors = map(_mm, (row.header_mm, row.given_mm, row.found_mm, row.bound_mm))
        ranked = "" if row.first_rank < 0 else row.first_rank
        cells = [row.case, row.body, row.mode, row.decision, *errors, ranked, row.wrong, f"{row.seconds:.0f}"]
        if before:
            old = earlier.get((row.case, row.mode))
            cells += ["", ""] if old is None else [old.decision, _mm(old.given_mm)]
        lines.append(_line(cells))
    bodies = {row.body: row.known for row in rows}
    times = {mode: [row.seconds for row in rows if row.mode == mode] for mode in ("default", "quick")}
    medians = ", ".join(f"{mode} {np.median(values):.0f}" for mode, values in times.items() if values)
    return "\n".join(
        [
            "# Confident and wrong",
            "",
            "For those who judge whether the program's decisions can be trusted. Made by "
            "`benchmarks/evidence/confident_and_wrong.py`; simulated emissions, research use only.",
            "",
            "Errors are root mean squares over the points of the heart, against the truth. Those of another patient's "
            "CT are the distance between two hearts placed by hand. *Unregistered*: the scanner position. "
            "Confidently wrong is: `aligned` or `moved` with an error given out above 6.8 mm; `moved` with a stated "
            "bound (90 %) above 6.8 mm; any `aligned` or `moved` with another patient's CT; a CT that names another "
            "patient and is not refused. An empty cell: the program does not state it.",
            "",
            summary(rows, before),
            "",
            f"Median seconds of one core: {medians}.",
            "",
            "| body | what the shipped networks had to do with it |",
            "|---|---|",
            *(_line([body, known]) for body, known in bodies.items()),
            "",
            *lines,
            "",
        ]
    )


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row.kind == kind or (kind == "all faults" and row.kind != "control")]


def _head(names: Sequence[str]) -> list[str]:
    return [_line(names), f"|{'---|' * len(names)}"]


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _mm(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"
