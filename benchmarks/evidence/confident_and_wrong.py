"""Run the studies in which something is wrong, and write down whether the program was sure of itself all the same.

    python benchmarks/evidence/confident_and_wrong.py
    python benchmarks/evidence/confident_and_wrong.py --only turned --mode quick --again
    python benchmarks/evidence/confident_and_wrong.py --table

Another patient's CT, a CT turned about the heart, motion during the scan, a wrong centre of rotation, wrong slice
spacing, a mirrored or turned CT, wrong slice positions, and controls without any fault, on seven bodies, by
`mureg register` in default and in quick mode (`--fast`), one process. Rows: evidence/confident-and-wrong/LABEL.csv; the
table beside them. What is in the file already is not done again; emissions are simulated once, into runs/ (ignored by
git). Real CTs are read from ../shared/data/ct. Not `review` and not `refused`, though the pose that is given out is
more than 6.8 mm off at the heart, is what this searches for; also `moved` with a stated bound above 6.8 mm.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mureg.jobs.tasks import shared_out

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bodies import BODIES, SAMPLE_KNOWN, Emission
from cases import WrongCase, all_cases
from program import MODES, registered
from studies import source, write_study
from table import summary, table
from verdicts import Row, extract, read_rows, row_of, write_rows

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "evidence" / "confident-and-wrong"
RUNS = ROOT / "runs" / "confident-and-wrong"


@dataclasses.dataclass(frozen=True)
class Work:
    """One case and the modes that it lacks."""

    case: WrongCase
    modes: tuple[str, ...]


def rows_of(work: Work) -> list[Row]:
    """Write a study, register it in every mode, compare with the truth."""
    case = work.case
    with tempfile.TemporaryDirectory(prefix="study-", dir=RUNS) as scratch:
        folder = Path(scratch)
        truth = write_study(case, RUNS / "emissions", folder)
        known = BODIES[case.body].known if case.body in BODIES else SAMPLE_KNOWN
        rows = []
        for mode in work.modes:
            started = time.process_time()
            answer = extract(*registered(folder, folder / mode, MODES[mode]))
            seconds = time.process_time() - started
            rows.append(row_of((case.name, case.kind, case.body, known), mode, truth, answer, seconds))
    return rows


def missing(options: argparse.Namespace, rows: list[Row]) -> Iterator[Work]:
    """What is to be done."""
    done = set() if options.again else {(row.case, row.mode) for row in rows}
    modes = MODES if options.mode == "both" else (options.mode,)
    for case in in_turn(all_cases()):
        wanted = tuple(mode for mode in modes if (case.name, mode) not in done)
        if wanted and any(word in case.name for word in options.only or [""]):
            yield Work(case, wanted)


def line_of(row: Row) -> str:
    """For the screen."""
    errors = f"{row.given_mm:6.1f} mm given out, {row.header_mm:5.1f} unregistered, bound {row.bound_mm:5.1f}"
    return f"{row.case:34} {row.mode:8} {row.decision:8} {errors}  {row.wrong}"


def in_turn(cases: list[WrongCase]) -> list[WrongCase]:
    """One of every kind after another, the gravest first, so that a run that was stopped has met every fault."""
    met: Counter[str] = Counter()
    rank = {}
    for case in reversed(cases):
        rank[case.name] = met[case.kind]
        met[case.kind] += 1
    return sorted(cases, key=lambda case: rank[case.name])


def ordered(rows: list[Row]) -> list[Row]:
    """In the order of the cases; the later of two rows of one case and mode."""
    latest = {(row.case, row.mode): row for row in rows}
    return [latest[key] for case in all_cases() for mode in MODES if (key := (case.name, mode)) in latest]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="cases whose names hold one of these words")
    parser.add_argument("--mode", choices=("both", *MODES), default="both")
    parser.add_argument("--again", action="store_true", help="do cases again whose rows are there")
    parser.add_argument("--label", default="now", help="name of the rows' file (default: now)")
    parser.add_argument("--beside", default="before", metavar="LABEL", help="earlier rows to show in the table")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--table", action="store_true", help="only write and print the table")
    parser.add_argument("--emissions", action="store_true", help="only simulate the emissions")
    options = parser.parse_args(arguments)
    RUNS.mkdir(parents=True, exist_ok=True)
    path = OUTPUT / f"{options.label}.csv"
    rows = read_rows(path)
    work = [] if options.table else list(missing(options, rows))
    for item in work if options.jobs > 1 or options.emissions else ():  # two processes must not make the same one
        others = [Emission(item.case.other)] if item.case.other in BODIES else []
        for emission in (item.case.emission, *others):
            source(emission, RUNS / "emissions")
    if options.emissions:
        return 0
    for new in shared_out(rows_of, work, options.jobs):
        rows = ordered([*rows, *new])
        write_rows(path, rows)
        for row in new:
            print(line_of(row), flush=True)
    before = read_rows(OUTPUT / f"{options.beside}.csv") if options.beside != options.label else []
    text = table(rows, before)
    (OUTPUT / f"{options.label}.md").write_text(text, "utf-8")
    print(summary(rows, before))
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
