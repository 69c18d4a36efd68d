"""Making a cohort: as many cases as were asked for, none of them twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mureg.cohort.card import write_card
from mureg.cohort.record import FOLDER, begin
from mureg.cohort.settings import CohortSettings
from mureg.cohort.simulation import simulate_case
from mureg.cohort.store.cohort import SHARES, check_shares
from mureg.cohort.work import CaseJob, Simulate
from mureg.errors import UsageError
from mureg.jobs.pool import JobResult, all_done

Progress = Callable[[int, int], None]
"""Receives how many of the missing cases are done, and how many were missing."""


@dataclass(frozen=True)
class CohortRun:
    """What a run did.

    Attributes:
        output: the cohort's folder.
        made_cases: names of the cases made now.
        already: names of those that were there.
        failed: those that could not be made, each with its sentence.
        seconds: of the whole run.
        card: the page that describes the cohort; None where there is no case to describe.
    """

    output: Path
    made_cases: tuple[str, ...]
    already: tuple[str, ...]
    failed: tuple[JobResult, ...]
    seconds: float
    card: Path | None


def simulate_cohort(
    settings: CohortSettings,
    n: int,
    output: Path,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    ct_folder: Path | None = None,
    progress: Progress | None = None,
    simulate: Simulate = simulate_case,
    first: int = 0,
    dicom: bool = False,
    shares: Mapping[str, float] = SHARES,
) -> CohortRun:
    """Make the cases `first` to `first + n - 1` that `output` does not hold yet, and describe the cohort.

    A run that was stopped, by whatever means, goes on when it is called again, and ends with the same bytes as one
    that was never stopped, on any number of processes; only a processor of another kind may round differently.

    Args:
        settings: what the cases are drawn from.
        n: how many.
        output: the cohort's folder, made where it is missing.
        jobs: processes on this machine. They begin by importing the calling script, which therefore must guard its
            own call with ``if __name__ == "__main__":``.
        scheduler: address of a Dask scheduler that does the work instead; its workers see `output` and `ct_folder`
            under the same paths.
        ct_folder: real CTs, where the settings ask for them.
        progress: called after each case.
        simulate: makes one case; importable by name.
        first: number of the first case.
        dicom: write each case as a hospital would have it, too.
        shares: of the patients in each set, for the card.

    Raises:
        UsageError: the folder holds another cohort or another run is at work in it; no scheduler answers.
    """
    _check(n, first, jobs, scheduler)
    check_shares(shares)
    start = time.perf_counter()
    output = output.resolve()
    with FOLDER.claimed(output, [ct_folder]):
        n_all = begin(settings, first + n, output, ct_folder)
        work = CaseJob(settings, output, None if ct_folder is None else ct_folder.resolve(), dicom, simulate)
        is_done = {index: work.is_done(index) for index in range(first, first + n)}
        indices = [index for index in is_done if not is_done[index]]
        try:
            results = all_done(work, indices, jobs, scheduler, progress or (lambda _n_done, _all: None))
        finally:
            FOLDER.clear(output)
        failures = tuple(sorted((result for result in results if result.problem), key=lambda result: result.index))
        card = write_card(settings, output, n_all, failures, shares)
    return CohortRun(
        output,
        tuple(sorted(result.name for result in results if not result.problem)),
        tuple(work.name(index) for index in is_done if is_done[index]),
        failures,
        time.perf_counter() - start,
        card,
    )


def _check(n: int, first: int, jobs: int, scheduler: str | None) -> None:
    for name, value, least in (("n", n, 1), ("first", first, 0), ("jobs", jobs, 1)):
        if value < least:
            raise UsageError(f"{name} = {value}", f"{least} or more", "correct it")
    if scheduler is not None and jobs != 1:
        raise UsageError("both jobs and a scheduler", "one of them", "leave jobs out: the cluster has its own workers")
