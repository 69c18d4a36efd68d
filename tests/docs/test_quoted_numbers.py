"""Figures in README and on the pages are those of evidence/summary.json, which follows from the stored rows.

    python benchmarks/evidence/summary.py

writes the summary and prints the table of docs/evidence.md.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUMMARY = json.loads((ROOT / "evidence" / "summary.json").read_text("utf-8"))
COHORTS = (  # words of a row, and the cohort; the first that fits counts
    ("second simulator", "real-same-breath, second camera"),
    ("another breath", "real-other-breath"),
    ("mean breath", "real-same-breath"),
    ("unlike their header", "population"),
    ("drawn torsos", "clinical"),
)
METHODS = {
    "default registrar": "combination",
    "mureg": "combination",
    "likelihood alone": "projection",
    "networks alone": "near-heart",
    "gradient fields": "gradient-fields",
    "mutual information": "mutual-information",
    "unregistered": "unregistered",
}
"""Columns of README, and the method whose figures they hold."""


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("evidence_summary", ROOT / "benchmarks" / "evidence" / "summary.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(line: str) -> list[str]:
    return [cell.strip().replace("**", "") for cell in line.strip().strip("|").split("|")]


def rows(page: str, first: str) -> Iterator[dict[str, str]]:
    """Rows of every table of a page whose header begins with the word."""
    names: list[str] = []
    for line in (ROOT / page).read_text("utf-8").splitlines():
        if not line.startswith("|"):
            names = []
        elif not names:
            names = cells(line)
        elif names[0] == first and not set(line) <= set("|- "):
            yield dict(zip(names, cells(line), strict=True))


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def test_the_summary_follows_from_the_rows(program) -> None:
    assert json.loads(json.dumps(program.whole())) == SUMMARY, "run benchmarks/evidence/summary.py"


def test_readme() -> None:
    """Mean, its interval where there is one, and the 95th percentile where a third or fourth number stands."""
    compared = 0
    for row in rows("README.md", "studies"):
        cohort = next((name for words, name in COHORTS if words in row["studies"]), None)
        if cohort is None:
            assert "sample study" in row["studies"], f"a row of README that no figure is known for: {row['studies']}"
            continue
        for column, text in row.items():
            if column not in METHODS or not text:
                continue
            want, said = SUMMARY["combination"][cohort][METHODS[column]], numbers(text)
            whole = [*want["mean_mm"], want["p95_mm"]] if "[" in text else [want["mean_mm"][0], want["p95_mm"]]
            assert said == whole[: len(said)], f"README, {row['studies']}, {column}"
            compared += 1
        assert int(row["cases"]) == SUMMARY["combination"][cohort]["combination"]["n"]
    assert compared > 8


def test_readme_bounds() -> None:
    """The sentence under the table states how often the bound of the first two rows holds, and its median."""
    text = (ROOT / "README.md").read_text("utf-8").replace("\n", " ")
    said = re.search(r"in (\d+) % and (\d+) % of the first two rows; its median is ([\d.]+) and ([\d.]+) mm", text)
    assert said, "README states no bounds"
    same, other = (SUMMARY["combination"][name]["combination"] for name in ("real-same-breath", "real-other-breath"))
    want = [one[name] for name in ("within_bound_percent", "bound_median_mm") for one in (same, other)]
    assert [float(number) for number in said.groups()] == want


def test_the_page_of_the_default_registrar() -> None:
    seen = set()
    for row in rows("docs/concepts/combination.md", "cohort"):
        if "method" not in row:
            continue
        cohort, method, cases, anatomies, error, p95, above, bound, within = row.values()
        want = SUMMARY["combination"][cohort][method]
        figures = [want["n"], want["anatomies"], *want["mean_mm"], want["p95_mm"], want["above_a_pixel"]]
        figures += [value for value in (want["bound_median_mm"], want["within_bound_percent"]) if value is not None]
        said = numbers(" ".join((cases, anatomies, error, p95, above, bound, within)))
        assert said == figures, f"{cohort}, {method}"
        seen.add((cohort, method))
    assert seen, "no table of cohorts and methods"
    assert {cohort for cohort, _ in seen} == set(SUMMARY["combination"])


def test_the_first_table_of_the_evidence() -> None:
    columns = {
        "unregistered": "unregistered",
        "mutual information": "mutual-information",
        "elastix": "elastix",
        "ANTs": "ants",
    }
    levels = {}
    for row in rows("docs/evidence.md", "level"):
        if "estimated" not in row or "share of the best classical error" not in row:
            continue
        level = row["level"].strip("`")
        want = levels[level] = SUMMARY[level]
        for column, name in columns.items():
            rounded(row[column], want["peers"][name]["mean_mm"])
        rounded(row["estimated"], want["mean_mm"])
        rounded(row["95th percentile"], want["p95_mm"])
        rounded(row["reported"], want["given_out_mean_mm"])
        rounded(row["largest"], [want["largest_mm"]])
        rounded(row["share of the best classical error"], [want["share_of_best_peer"]], digits=2)
        assert int(row["n"]) == want["n"]
    assert set(levels) == {"easy", "clinical", "hard", "real-ct"}


def rounded(text: str, figures: list[float], digits: int = 1) -> None:
    """The numbers of a cell are the figures, to so many digits."""
    assert numbers(text) == pytest.approx(figures, abs=0.5001 * 10**-digits), text
