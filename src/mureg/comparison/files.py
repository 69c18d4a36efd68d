"""What a comparison leaves in its folder beside cases.csv."""

from __future__ import annotations

import json
from pathlib import Path

from mureg import RESEARCH_USE_ONLY
from mureg.comparison.markdown import tables
from mureg.comparison.protocol import Comparison
from mureg.comparison.settings import Settings
from mureg.comparison.summary import MethodSummary, as_csv, as_json, on_common_cases, summarise
from mureg.files.atomic import rewriting
from mureg.pipeline import versions


def write_summaries(comparison: Comparison, output: Path, settings: Settings) -> list[MethodSummary]:
    """Write summary.csv, summary.json and tables.md, each whole or not at all; return what they say of all cases.

    Where some methods have fewer cases than others, a second set says the same over the cases that all have.
    """
    against, settings_sha256 = comparison.against, comparison.settings_sha256
    of_all, of_common = (
        summarise(rows, comparison.methods, against, settings.resampling)
        for rows in (comparison.rows, on_common_cases(comparison.rows))
    )
    summaries = [*of_all, *of_common]
    _write(output / "summary.csv", as_csv(summaries))
    whole = {
        "settings_sha256": settings_sha256,
        "measured_with": settings.measured_with,
        "against": against,
        "versions": versions(),
        "summaries": as_json(summaries),
        "use": RESEARCH_USE_ONLY,
    }
    _write(output / "summary.json", json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    _write(output / "tables.md", tables(summaries, against, settings_sha256, settings.resampling.level))
    return of_all


def _write(path: Path, text: str) -> None:
    with rewriting(path) as scratch:
        scratch.write_text(text, "utf-8")
