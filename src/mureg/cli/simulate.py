"""``mureg simulate``: a cohort of virtual patients with known truth."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mureg.cli.algorithms import Changes
from mureg.cli.common import Output, parse
from mureg.cli.help import Flat
from mureg.cli.messages import Messages
from mureg.cli.progress import counting
from mureg.cohort.store.shares import SHARES
from mureg.errors import SOME_FAILED, STOPPED_BY_HAND, UsageError
from mureg.files.validation import validated, with_changes
from mureg.jobs.pool import JobResult

if TYPE_CHECKING:  # they need PyTorch
    from mureg.cohort.run import CohortRun
    from mureg.cohort.settings import CohortSettings

_MOST_LINES = 10
"""Reasons of failed cases that are listed: a round value, half a terminal."""


@dataclass(frozen=True)
class Simulate:
    """Simulate a cohort of virtual patients with known truth. The same command continues a run that was stopped.

    Attributes:
        cohort: difficulty level (easy, clinical, hard, real-ct) or a TOML file of cohort settings.
        output: folder of the cohort.
        n: number of cases.
        first: number of the first case.
        jobs: number of processes on this machine.
        scheduler: address of a Dask scheduler to use instead, such as tcp://host:8786 (default: none).
        ct_folder: folder of real CTs, for cohorts made from them.
        dicom: also write each case as DICOM files.
        shares: shares of the patients for training, validation and test.
        changes: change one cohort setting, such as orbit.arc_deg=360; repeatable. A changed cohort needs a name.

    Example:
        mureg simulate --cohort clinical --n 100 -o clinical --jobs 4
    """

    cohort: str
    output: Output
    n: int = 10
    first: int = 0
    jobs: int = 1
    scheduler: str | None = None
    ct_folder: Path | None = None
    dicom: bool = False
    shares: Annotated[tuple[float, float, float], tyro.conf.arg(metavar="TRAIN VALIDATION TEST")] = (
        SHARES["train"],
        SHARES["validation"],
        SHARES["test"],
    )
    changes: Changes = ()
    messages: Annotated[Messages, Flat] = field(default_factory=Messages)


OPTIONS = Simulate


def main(arguments: Sequence[str]) -> int:
    """Parse, simulate what is missing, report. Exit code 5 where some cases failed."""
    options = parse("simulate", arguments, Simulate)
    from mureg.cohort.run import simulate_cohort
    from mureg.cohort.settings import load_settings

    settings = changed_cohort(load_settings(options.cohort), options.changes)
    try:
        with counting(options.messages, "simulating", with_rate=True) as report:
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
        print("mureg: stopped; finished cases are kept, and the same command continues the run.", file=sys.stderr)
        return STOPPED_BY_HAND
    options.messages.emit(_answer(run, settings.name), list(_lines(run)))
    return SOME_FAILED if run.failed else 0


def changed_cohort(settings: CohortSettings, changes: Sequence[str]) -> CohortSettings:
    """Settings of a cohort with the changes of ``--set``. Raises `UsageError`, also where the name stays the same."""
    if not changes:
        return settings
    from mureg.cohort.settings import CohortSettings, as_table

    new_settings = validated(CohortSettings, with_changes(as_table(settings), changes), "--set")
    if new_settings.name == settings.name:
        raise UsageError(
            f"a changed cohort with the name {settings.name}", "a name of its own", "add --set name=my-cohort"
        )
    return new_settings


def _answer(run: CohortRun, cohort: str) -> dict[str, Any]:
    return {
        "cohort": cohort,
        "output": str(run.output),
        "made": len(run.made_cases),
        "already": len(run.already),
        "failed": [{"case": case.name, "problem": case.problem} for case in run.failed],
        "seconds": round(run.seconds, 3),
        "card": None if run.card is None else str(run.card),
    }


def _lines(run: CohortRun) -> Iterator[str]:
    yield f"made       {len(run.made_cases)} cases, {len(run.already)} done before, {len(run.failed)} failed"
    if run.made_cases:
        yield f"time       {run.seconds:.1f} s, {run.seconds / len(run.made_cases):.2f} s a case"
    yield from _failures(run.failed)
    yield f"cohort in  {run.output}"
    if run.card is not None:
        yield f"card       {run.card}"


def _failures(failures: Sequence[JobResult]) -> Iterator[str]:
    """Each different sentence once, with the cases that it is about."""
    about = defaultdict(list)
    for case in failures:
        about[case.problem].append(case.name)
    for problem, names in list(about.items())[:_MOST_LINES]:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"failed     {names[0]}{more}: {problem}"
    if len(about) > _MOST_LINES:
        yield f"failed     {len(about) - _MOST_LINES} other reasons; see the card"
