"""The card of a cohort: what was drawn, what failed, who is in which set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from mureg import __version__
from mureg.cohort.histograms import are_numbers, as_word, draw_histograms
from mureg.cohort.settings import CohortSettings
from mureg.cohort.simulation import case_name
from mureg.cohort.store.cohort import SHARES, Cohort
from mureg.errors import UnreadableInputError
from mureg.files.atomic import rewriting
from mureg.jobs.pool import JobResult

CARD_TOML, CARD_MD, CARD_PNG = "card.toml", "card.md", "card.png"

Facts = Mapping[str, Sequence[float | int | str | bool]]

_QUANTILES = {"min": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}
"""Columns of the card: range, middle, and what nine of ten cases lie within."""
_MOST_WORDS = 20
"""Words of a fact that are counted one by one, so that the card stays short; chosen."""


@dataclass(frozen=True)
class CohortSummary:
    """What the card says.

    Attributes:
        tables: as in ``card.toml``.
        facts: every fact of every case that has it, by name.
    """

    tables: dict[str, Any]
    facts: Facts


def write_card(
    settings: CohortSettings,
    output: Path,
    n_cases: int,
    failures: Sequence[JobResult] = (),
    shares: Mapping[str, float] = SHARES,
) -> Path | None:
    """Describe a cohort from its cases on disk in ``card.toml``, ``card.md`` and ``card.png``.

    Args:
        settings: it was made with.
        output: its folder.
        n_cases: that it has when it is whole.
        failures: cases that could not be made.
        shares: of the patients in each set.

    Returns:
        The page for people; None, and no card, where there is no case. The same cases give the same bytes.
    """
    try:
        cohort = Cohort.open(output)
    except UnreadableInputError:
        return None
    summary = _summary(settings, cohort, n_cases, failures, shares)
    draw_histograms(summary.facts, f"{settings.name}: {len(cohort)} cases", output / CARD_PNG)
    for name, text in ((CARD_TOML, tomli_w.dumps(summary.tables)), (CARD_MD, _page(summary.tables))):
        with rewriting(output / name) as scratch:
            scratch.write_text(text, "utf-8")
    return output / CARD_MD


def _summary(
    settings: CohortSettings, cohort: Cohort, n_cases: int, failures: Sequence[JobResult], shares: Mapping[str, float]
) -> CohortSummary:
    facts = _facts(cohort)
    numbers = {name: values for name, values in facts.items() if are_numbers(values)}
    made_names, did_fail = set(cohort.names), {case.name for case in failures}
    names = (case_name(settings, index) for index in range(n_cases))
    sets = cohort.split(shares)
    tables = {
        "cohort": settings.name,
        "mureg": __version__,
        "seed": settings.seed,
        "cases": len(cohort),
        "patients": len(set(cohort.patients)),
        "cases_asked": n_cases,
        "not_made_yet": [name for name in names if name not in made_names and name not in did_fail],
        "failed": [{"case": case.name, "problem": case.problem} for case in failures],
        "sets": {
            name: {
                "share": float(shares[name]),
                "cases": len(part),
                "patients": list(dict.fromkeys(part.patients)),
            }
            for name, part in sets.items()
        },
        "numbers": {name: _quantiles(values) for name, values in numbers.items()},
        "words": {name: _counts(values) for name, values in facts.items() if name not in numbers},
    }
    return CohortSummary(tables, facts)


def _facts(cohort: Cohort) -> Facts:
    values_by_name: dict[str, list[float | int | str | bool]] = {}
    for case in cohort:
        for name, value in case.facts.items():
            values_by_name.setdefault(name, []).append(value)
    return {name: values_by_name[name] for name in sorted(values_by_name)}


def _quantiles(values: Sequence[Any]) -> dict[str, float]:
    """To six digits: more would be the noise of summing."""
    quantiles = np.quantile(np.asarray(values, dtype=np.float64), list(_QUANTILES.values()))
    return {name: float(f"{value:.6g}") for name, value in zip(_QUANTILES, quantiles, strict=True)}


def _counts(values: Sequence[Any]) -> dict[str, int]:
    """How often each word occurs, the most frequent first; words beyond a number together."""
    word_counts = sorted(Counter(map(as_word, values)).items(), key=lambda item: (-item[1], item[0]))
    counts = dict(word_counts[:_MOST_WORDS])
    n_others = sum(number for _, number in word_counts[_MOST_WORDS:])
    return {**counts, f"{len(word_counts) - _MOST_WORDS} others": n_others} if n_others else counts


def _page(tables: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    lines = [
        f"# Cohort {tables['cohort']}",
        "",
        f"{tables['cases']} simulated cases of {tables['patients']} patients, seed {tables['seed']}, "
        f"mureg {tables['mureg']}; {tables['cases_asked']} were asked for, {len(tables['failed'])} failed, "
        f"{len(tables['not_made_yet'])} are not made yet. Settings: `cohort.toml`.",
        "",
        "![What was drawn](card.png)",
        "",
        *_table(["set", "share", "patients", "cases"], _set_rows(tables["sets"])),
        "A patient is in one set only, chosen by the pseudonym: `Cohort.open(folder).split()`.",
        "",
    ]
    if tables["numbers"]:
        rows = [
            [name, *(f"{value:g}" for value in quantiles.values())] for name, quantiles in tables["numbers"].items()
        ]
        lines += ["## Numbers", "", *_table(["fact", "min", "5 %", "median", "95 %", "max"], rows)]
    if tables["words"]:
        words = [
            [name, ", ".join(f"{word} {number}" for word, number in counts.items())]
            for name, counts in tables["words"].items()
        ]
        lines += ["## Words", "", *_table(["fact", "cases"], words)]
    if tables["failed"]:
        failure_rows = [[case["case"], case["problem"]] for case in tables["failed"]]
        lines += ["## Failed", "", *_table(["case", "problem"], failure_rows)]
    return "\n".join(lines).rstrip() + "\n"


def _set_rows(sets: Mapping[str, Any]) -> list[list[str]]:
    return [
        [name, f"{case_set['share']:g}", str(len(case_set["patients"])), str(case_set["cases"])]
        for name, case_set in sets.items()
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    line = "| " + " | ".join("---" for _ in head) + " |"
    cells = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in (head, *rows))
    first, *lines = (f"| {row} |" for row in cells)
    return [first, line, *lines, ""]
