"""Run stored virtual patients through the command line: are those who did not move left alone, and at what price?

    python benchmarks/evidence/do_no_harm.py --cohort runs/cohorts/clinical --still
    python benchmarks/evidence/do_no_harm.py --cohort runs/cohorts/hard --n 60
    python benchmarks/evidence/do_no_harm.py --cohort runs/cohorts/hard --only 000012 000026 --again
    python benchmarks/evidence/do_no_harm.py --table

Cohorts are those of `mureg simulate`. Every study is exported as DICOM and registered by `mureg register` in default
and in quick mode (`--fast`). `--still` takes the studies whose patient did not move. Rows: evidence/do-no-harm/NAME.csv
(NAME is the cohort's, or still-COHORT). The table, README.md beside them, also has the decisions that stand in
evidence/decisions/NAME.csv for the same cases. What is in the file already is not done again. The error that counts for
harm is that of the pose given out, whatever the decision.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from program import MODES, registered
from studies import Truth
from verdicts import Row, extract, read_rows, row_of, write_rows

from mureg.cohort.export import export_case
from mureg.cohort.store.cohort import CASES, open_case, read_case
from mureg.jobs.tasks import shared_out

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "evidence" / "do-no-harm"
DECISIONS = ROOT / "evidence" / "decisions"
WORSE_MM = 1.0
DRAWN = ("drawn_tx_mm", "drawn_ty_mm", "drawn_tz_mm", "drawn_rx_deg", "drawn_ry_deg", "drawn_rz_deg")
WORDS = ("aligned", "moved", "review", "refused")


@dataclass(frozen=True)
class Work:
    """A stored case and the modes that it lacks."""

    folder: Path
    modes: tuple[str, ...]


def rows_of(work: Work) -> list[Row]:
    """Export a case, register it in every mode, compare with the truth."""
    case = read_case(work.folder)
    points = case.truth.heart_points_mm
    truth = Truth(points, case.truth.ct_from_spect.apply(points))
    kind = "moved" if moved(work.folder) else "did not move"
    rows = []
    with tempfile.TemporaryDirectory(prefix="mureg-no-harm-") as scratch:
        study = export_case(case, Path(scratch) / "study")
        for mode in work.modes:
            started = time.process_time()
            answer = extract(*registered(study, Path(scratch) / mode, MODES[mode]))
            seconds = time.process_time() - started
            rows.append(row_of((case.name, kind, case.study.patient, ""), mode, truth, answer, seconds))
    return rows


def moved(folder: Path) -> bool:
    """Whether the patient moved between the scans; breathing aside."""
    facts = open_case(folder).header["facts"]
    return any(float(facts[name]) != 0.0 for name in DRAWN)


def harm_mm(row: Row) -> float:
    """By how much the pose that is given out is worse than the scanner position; a refusal changes nothing."""
    return 0.0 if np.isnan(row.given_mm) else row.given_mm - row.header_mm


def figures(rows: Sequence[Row]) -> list[str]:
    """Cells of the table for the studies of one cohort in one mode."""
    counts = [sum(row.decision == word for row in rows) for word in WORDS]
    given = [row.header_mm if np.isnan(row.given_mm) else row.given_mm for row in rows]
    bounds = [row.bound_mm for row in rows if not np.isnan(row.bound_mm)]
    stated = [row for row in rows if not np.isnan(row.bound_mm + row.found_mm)]
    return [
        str(len(rows)),
        *map(str, counts),
        f"{100 * counts[0] / len(rows):.0f} %",
        str(sum(harm_mm(row) > WORSE_MM for row in rows)),
        str(sum(harm_mm(row) > WORSE_MM for row in rows if row.decision == "review")),
        f"{np.mean(given):.2f}, {max(given):.1f}",
        f"{np.median(bounds):.2f}" if bounds else "",
        f"{sum(row.found_mm <= row.bound_mm for row in stated)} of {len(stated)}",
        str(sum(bool(row.wrong) for row in rows)),
        f"{np.median([row.seconds for row in rows]):.0f}",
    ]


def stored_figures(name: str, cases: set[str]) -> tuple[str, str]:
    """Share of review, and median bound, of the rows of evidence/decisions on the same cases; "" without them."""
    path = DECISIONS / f"{name}.csv"
    if not path.exists():
        return "", ""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["case"] in cases]
    if not rows:
        return "", ""
    bounds = [float(row["bound_mm"]) for row in rows]
    review = sum(row["decision"] == "review" for row in rows)
    return f"{review} of {len(rows)}", f"{np.nanmedian(bounds):.2f}"


def table() -> str:
    """Of everything that stands in evidence/do-no-harm."""
    head = [
        *("cohort", "mode", "n", *WORDS, "aligned, share", "worse by more than 1 mm", "of these review"),
        *("error given out: mean, largest", "median bound", "bound held", "confidently wrong", "seconds"),
        *("review before", "median bound before"),
    ]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for path in sorted(OUTPUT.glob("*.csv")):
        rows = read_rows(path)
        for mode in MODES:
            mine = [row for row in rows if row.mode == mode]
            if mine:
                before = stored_figures(path.stem, {row.case for row in mine}) if mode == "default" else ("", "")
                lines.append(f"| {' | '.join([path.stem, mode, *figures(mine), *before])} |")
    return "\n".join(lines)


def missing(options: argparse.Namespace, rows: Sequence[Row]) -> Iterator[Work]:
    """What is to be done, in the order of the cases."""
    done = set() if options.again else {(row.case, row.mode) for row in rows}
    modes = tuple(MODES) if options.mode == "both" else (options.mode,)
    chosen = 0
    for folder in sorted((options.cohort / CASES).iterdir()):
        if chosen == options.n:
            return
        if options.still and moved(folder):
            continue
        chosen += 1
        if not any(word in folder.name for word in options.only or [""]):
            continue
        wanted = tuple(mode for mode in modes if (folder.name, mode) not in done)
        if wanted:
            yield Work(folder, wanted)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, help="folder of a stored cohort")
    parser.add_argument("--still", action="store_true", help="only patients who did not move")
    parser.add_argument("--n", type=int, default=-1, help="the first so many cases (default: all)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="cases whose names hold one of these words")
    parser.add_argument("--mode", choices=("both", *MODES), default="both")
    parser.add_argument("--again", action="store_true", help="do cases again whose rows are there")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--table", action="store_true", help="only write and print the table")
    options = parser.parse_args(arguments)
    if options.cohort is None and not options.table:
        parser.error("--cohort or --table is needed")
    if not options.table:
        path = OUTPUT / f"{'still-' if options.still else ''}{options.cohort.name}.csv"
        rows = read_rows(path)
        for new in shared_out(rows_of, list(missing(options, rows)), options.jobs):
            latest = {(row.case, row.mode): row for row in (*rows, *new)}
            rows = [latest[key] for key in sorted(latest)]
            write_rows(path, rows)
            for row in new:
                print(
                    f"{row.case:18} {row.mode:8} {row.decision:8} {row.header_mm:6.1f} to {row.given_mm:6.1f} mm",
                    flush=True,
                )
    text = table()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "README.md").write_text(
        f"# Do no harm\n\nMade by `benchmarks/evidence/do_no_harm.py`.\n\n{text}\n", "utf-8"
    )
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
