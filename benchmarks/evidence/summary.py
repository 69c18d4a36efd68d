"""Sum up the rows of the default registrar: evidence/summary.json, and the tables of docs/evidence.md on the screen.

    python benchmarks/evidence/summary.py

It reads evidence/decisions/*.csv (decisions.py) and evidence/difficulty-levels/*.csv (difficulty_levels.py), and
compares on the same cases. `mean_mm` and what follows are of the pose that was found, `given_out` of the one that was
taken: where the decision is "aligned", the scanner position. Intervals are 95 %, by resampling cases, seed 1.
`combination` holds the first table of evidence/combination/table.md, which `combination.py fit` writes.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mureg.comparison import ACTION_LIMIT_MM, share_above
from mureg.comparison.statistics import bootstrap, mean, percentile_95, wilcoxon_test
from mureg.files.atomic import writing

EVIDENCE = Path(__file__).resolve().parents[2] / "evidence"
LEVELS = ("easy", "clinical", "hard", "real-ct")
STILL = ("still-clinical", "still-real-ct")
PEERS = ("mutual-information", "elastix", "ants")
TOLD = ("review", "refused")
WORSE_MM = 1.0

Table = list[dict[str, str]]


def read(path: Path) -> Table:
    if not path.exists():
        return []
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def numbers(rows: Table, name: str) -> np.ndarray:
    values = np.array([float(row[name]) for row in rows])
    return values[np.isfinite(values)]


def estimate(values: np.ndarray, statistic: Callable[..., Any] = mean) -> list[float]:
    """The figure and its interval."""
    if len(values) == 0:
        return []
    said = bootstrap(values, statistic, np.random.default_rng(1))
    return [round(float(x), 3) for x in (said.value, said.low, said.high)]


def moved(level: str, rows: Table) -> dict[str, Any]:
    """Studies whose patients moved, beside the peers on the same cases."""
    cases = {row["case"] for row in rows}
    others = [row for row in read(EVIDENCE / "difficulty-levels" / f"{level}.csv") if row["case"] in cases]
    errors, given = numbers(rows, "found_mm"), numbers(rows, "taken_mm")
    peers = {}
    for name in ("unregistered", *PEERS):
        theirs = np.array([float(row["heart_error_mm"]) for row in others if row["method"] == name])
        if len(theirs):
            peers[name] = {"n": len(theirs), "mean_mm": estimate(theirs), "p95_mm": estimate(theirs, percentile_95)}
    best = min((name for name in PEERS if name in peers), key=lambda name: peers[name]["mean_mm"][0], default="")
    found = [row for row in rows if row["decision"] != "refused"]
    bad = [row for row in found if float(row["found_mm"]) > ACTION_LIMIT_MM]
    worst = [row for row in found if max(float(row["found_mm"]), float(row["taken_mm"])) > 10.0]
    far = [row for row in rows if float(row["unregistered_mm"]) > ACTION_LIMIT_MM]
    held = np.array([float(row["found_rms_mm"]) <= float(row["bound_mm"]) for row in found])
    six = np.array([[float(row[name]) for name in row if name.startswith("residual_")] for row in found])
    said: dict[str, Any] = {
        "n": len(rows),
        "mean_mm": estimate(errors),
        "p95_mm": estimate(errors, percentile_95),
        "largest_mm": round(float(errors.max()), 2),
        "share_above_a_pixel": round(share_above(errors), 3),
        "given_out_mean_mm": estimate(given),
        "given_out_p95_mm": estimate(given, percentile_95),
        "given_out_largest_mm": round(float(given.max()), 2),
        "six_mean": np.round(six.mean(0), 2).tolist(),
        "six_rms": np.round(np.sqrt((six**2).mean(0)), 2).tolist(),
        "peers": peers,
        "best_peer": best,
        "bound_held": [int(held.sum()), len(held)],
        "bound_10_to_90_mm": np.round(np.percentile(numbers(found, "bound_mm"), (10, 90)), 2).tolist(),
        "bound_median_mm": round(float(np.median(numbers(found, "bound_mm"))), 2),
        "decisions": counted(rows),
        "above_a_pixel_and_told": [sum(row["decision"] in TOLD for row in bad), len(bad)],
        "above_10_mm_untold": sum(row["decision"] not in TOLD for row in worst),
        "moved_above_a_pixel_and_caught": [sum(row["decision"] != "aligned" for row in far), len(far)],
        "made_worse_by_more_than_1_mm": made_worse(rows),
        "seconds_median": round(float(np.median(numbers(rows, "seconds"))), 1),
    }
    if best:
        theirs = {row["case"]: float(row["heart_error_mm"]) for row in others if row["method"] == best}
        both = [(float(row["found_mm"]), theirs[row["case"]]) for row in found if row["case"] in theirs]
        said["share_of_best_peer"] = round(float(np.mean([a for a, _ in both]) / np.mean([b for _, b in both])), 3)
        said["wilcoxon_p"] = float(f"{wilcoxon_test(*zip(*both, strict=True)).p:.2g}")
    at_truth = read(EVIDENCE / "decisions" / f"true-pose-{level}.csv")
    images = (("unregistered", rows, "unregistered"), ("taken", rows, "taken"), ("true_pose", at_truth, "taken"))
    for figure, (name, table, column) in itertools.product(("nmse", "segments"), images):
        values = numbers(table, f"{figure}_{column}")
        if len(values):
            said[f"{figure}_{name}"] = {"n": len(values), "mean_percent": estimate(values)}
    return said


def still(rows: Table) -> dict[str, Any]:
    """Studies whose patients did not move: breathing alone may shift the heart."""
    return {
        "n": len(rows),
        "unregistered_mm": estimate(numbers(rows, "unregistered_mm")),
        "unregistered_largest_mm": round(float(numbers(rows, "unregistered_mm").max()), 2),
        "taken_mm": estimate(numbers(rows, "taken_mm")),
        "decisions": counted(rows),
        "aligned": [sum(row["decision"] == "aligned" for row in rows), len(rows)],
        "made_worse_by_more_than_1_mm": made_worse(rows),
    }


def counted(rows: Table) -> dict[str, int]:
    words = ("aligned", "corrected", *TOLD)
    return {word: sum(row["decision"] == word for row in rows) for word in words}


def made_worse(rows: Table) -> int:
    return sum(float(row["taken_mm"]) > float(row["unregistered_mm"]) + WORSE_MM for row in rows)


def combination(text: str) -> dict[str, dict[str, Any]]:
    """The table of the registrars on left-out anatomies, by cohort and method."""
    table: dict[str, dict[str, Any]] = {}
    for line in text.split("\n\n")[0].splitlines()[2:]:
        cohort, method, cases, anatomies, error, p95, above, bound, within = cells(line)
        table.setdefault(cohort, {})[method] = {
            "n": int(cases),
            "anatomies": int(anatomies),
            "mean_mm": [float(number) for number in re.findall(r"[\d.]+", error)],
            "p95_mm": float(p95),
            "above_a_pixel": int(above),
            "bound_median_mm": float(bound) if bound else None,
            "within_bound_percent": int(within.rstrip(" %")) if within else None,
        }
    return table


def cells(line: str) -> list[str]:
    """Of one line of a Markdown table, without bold."""
    return [cell.strip().replace("**", "") for cell in line.strip().strip("|").split("|")]


def whole() -> dict[str, Any]:
    """Everything that evidence/summary.json holds, from the stored rows."""
    rows = {name: read(EVIDENCE / "decisions" / f"{name}.csv") for name in (*LEVELS, *STILL)}
    summary = {name: moved(name, rows[name]) for name in LEVELS if rows[name]}
    summary |= {name: still(rows[name]) for name in STILL if rows[name]}
    table = (EVIDENCE / "combination" / "table.md").read_text("utf-8")
    return {**summary, "combination": combination(table)}


def main() -> int:
    summary = whole()
    with writing(EVIDENCE / "summary.json") as scratch:
        scratch.write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    columns = (
        "level",
        "n",
        "unregistered",
        "MI",
        "elastix",
        "ANTs",
        "estimated",
        "p95",
        "largest",
        "reported",
        "of best peer",
    )
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in (name for name in LEVELS if name in summary):
        one = summary[name]
        peers = [said(one["peers"].get(peer, {}).get("mean_mm", [])) for peer in ("unregistered", *PEERS)]
        given = said(one["given_out_mean_mm"])
        own = f"**{said(one['mean_mm'])}** | {said(one['p95_mm'])} | {one['largest_mm']} | {given}"
        print(f"| `{name}` | {one['n']} | {' | '.join(peers)} | {own} | {one.get('share_of_best_peer', '')} |")
    return 0


def said(figure: list[float]) -> str:
    return f"{figure[0]:.1f} [{figure[1]:.1f}, {figure[2]:.1f}]" if figure else ""


if __name__ == "__main__":
    sys.exit(main())
