"""``mureg simulate``: a cohort of virtual patients with known truth."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from mureg.cli.common import Common, Output, emit, parse
from mureg.cohort.run import CohortRun, simulate_cohort
from mureg.cohort.run import Progress as Report
from mureg.cohort.settings import load_settings
from mureg.cohort.store.cohort import SHARES
from mureg.jobs.pool import Done

SOME_FAILED = 5
_MOST_LINES = 10


@dataclass(frozen=True)
class Simulate:
    """Simulate a cohort of patients with known truth; the same command goes on where an earlier run was stopped.

    Attributes:
        cohort: easy, clinical, hard, real-ct, or a TOML file with settings of your own.
        output: folder of the cohort.
        n: how many cases.
        first: number of the first case.
        jobs: processes on this machine.
        scheduler: address of a Dask scheduler whose workers do it instead, such as tcp://host:8786.
        ct_folder: real CTs, for cohorts made from them.
        dicom: write each case as DICOM files too.
        shares: of the patients for training, validation and test, for the card.
        json: print one JSON object on standard output and nothing else there.
    """

    cohort: str
    output: Output
    n: int = 10
    first: int = 0
    jobs: int = 1
    scheduler: str | None = None
    ct_folder: Path | None = None
    dicom: bool = False
    shares: tuple[float, float, float] = (SHARES["train"], SHARES["validation"], SHARES["test"])
    json: bool = False


def main(arguments: Sequence[str]) -> int:
    """Parse, simulate what is missing, say. Exit code 5 where some cases failed."""
    options = parse("simulate", arguments, Simulate)
    settings = load_settings(options.cohort)
    try:
        with _progress(options.json) as report:
            run = simulate_cohort(
                settings,
                options.n,
                options.output,
                jobs=options.jobs,
                scheduler=options.scheduler,
                ct_folder=options.ct_folder,
                progress=report,
                first=options.first,
                dicom=options.dicom,
                shares=dict(zip(SHARES, options.shares, strict=True)),
            )
    except KeyboardInterrupt:
        print("mureg: stopped; finished cases are kept, and the same command goes on from there.", file=sys.stderr)
        return 130
    emit(Common(json=options.json), _answer(run, settings.name), list(_lines(run)))
    return SOME_FAILED if run.failed else 0


def _answer(run: CohortRun, cohort: str) -> dict[str, Any]:
    return {
        "cohort": cohort,
        "output": str(run.output),
        "made": len(run.made),
        "already": len(run.already),
        "failed": [{"case": one.name, "problem": one.problem} for one in run.failed],
        "seconds": round(run.seconds, 3),
        "card": None if run.card is None else str(run.card),
    }


def _lines(run: CohortRun) -> Iterator[str]:
    yield f"made       {len(run.made)} cases, {len(run.already)} were there, {len(run.failed)} failed"
    if run.made:
        yield f"time       {run.seconds:.1f} s, {run.seconds / len(run.made):.2f} s a case"
    yield from _failures(run.failed)
    yield f"cohort in  {run.output}"
    if run.card is not None:
        yield f"card       {run.card}"


def _failures(failed: Sequence[Done]) -> Iterator[str]:
    """Each different sentence once, with the cases that it is about."""
    about = defaultdict(list)
    for one in failed:
        about[one.problem].append(one.name)
    for problem, names in list(about.items())[:_MOST_LINES]:
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"failed     {names[0]}{others}: {problem}"
    if len(about) > _MOST_LINES:
        yield f"failed     {len(about) - _MOST_LINES} other reasons; see the card"


class _Rate(ProgressColumn):
    """Cases a second, or seconds a case where that is the larger number."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f} cases/s" if speed >= 1 else f"{speed:.2f} cases/s ({1 / speed:.1f} s a case)")


@contextmanager
def _progress(quiet: bool) -> Iterator[Report]:
    """A bar on standard error, on a terminal only."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _done, _missing: None
        return
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, speed_estimate_period=300) as bar:
        task = bar.add_task("simulating", total=None)
        yield lambda done, missing: bar.update(task, completed=done, total=missing)
