"""A batch: registers every study without a result, in one or several processes; one failure does not stop it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mureg import __version__
from mureg.batch.folder import (
    KIND,
    RUN,
    STATE,
    STUDIES,
    Failure,
    begin,
    check,
    failure_of,
    is_study,
    settings_sha256,
    write_failure,
    write_study,
)
from mureg.batch.page import write_summary
from mureg.batch.rows import StudyRow, rows_of
from mureg.batch.states import State, state_of
from mureg.errors import MuregError, UnreadableInputError, UsageError
from mureg.files.atomic import writing_folder
from mureg.files.places import refuse_overlap
from mureg.files.settings import Table
from mureg.io.worklist.entry import WorklistEntry
from mureg.io.worklist.folder import BATCH
from mureg.jobs.cases import require_fit_worker
from mureg.jobs.pool import JobResult, all_done

Progress = Callable[[int, int], None]
"""Receives how many of the missing studies are done, and how many were missing."""

RegisterOne = Callable[[WorklistEntry, Path], None]
"""Registers a study and writes the results into a folder that is there and empty; importable by name."""


@dataclass(frozen=True)
class Plan:
    """What a batch would do.

    Attributes:
        pairs: every study.
        stamps: of their files.
        output: the batch's folder, which need not be there.
        settings: everything that decides what a result is, ready for JSON.
        inputs: what was given beside the studies themselves: their folder, or the list of them.
    """

    pairs: tuple[WorklistEntry, ...]
    stamps: tuple[str, ...]
    output: Path
    settings: Table
    inputs: tuple[Path, ...] = ()

    def states(self) -> tuple[State, ...]:
        """How far each study has come.

        Raises:
            UsageError: the folder overlaps an input, or holds another batch or other things.
        """
        self.refuse()
        check(self.output, self.settings, self.pairs)
        return tuple(state_of(self.output, pair, stamp) for pair, stamp in zip(self.pairs, self.stamps, strict=True))

    def refuse(self) -> None:
        """Refuse an output that overlaps an input, or holds other things; nothing is written."""
        for pair in self.pairs:
            refuse_overlap(self.output, (pair.spect, pair.ct, pair.mu))
        RUN.refuse(self.output, self.inputs)


def plan(pairs: Sequence[WorklistEntry], output: Path, settings: Table, inputs: Sequence[Path] = ()) -> Plan:
    """Look at the files of every study; nothing is written.

    Args:
        pairs: the studies; see `mureg.io.worklist.find.find_pairs`.
        output: the batch's folder.
        settings: of every algorithm, as `as_settings` gives them.
        inputs: see `Plan`.

    Raises:
        UsageError: a list that gives a transform, which is for training.
    """
    place = next((pair.where for pair in pairs if pair.transform is not None), "")
    if place:
        raise UsageError(f"{place} gives a transform", "studies whose pose is to be found", "leave the column out")
    stamped = [_stamped(pair) for pair in pairs]
    return Plan(
        tuple(pair for pair, _ in stamped),
        tuple(stamp for _, stamp in stamped),
        output.resolve(),
        settings,
        tuple(inputs),
    )


@dataclass(frozen=True)
class BatchRun:
    """What a batch did.

    Attributes:
        rows: of the summary, the worst first.
        n_registered: how many studies were registered now.
        already: how many were there.
        seconds: of the whole run.
        files: the summary as CSV and HTML.
    """

    rows: tuple[StudyRow, ...]
    n_registered: int
    already: int
    seconds: float
    files: tuple[Path, ...]

    @property
    def failed(self) -> tuple[StudyRow, ...]:
        """Studies without a result that could be used."""
        return tuple(row for row in self.rows if row.is_failed)


def run_batch(
    batch_plan: Plan,
    register: RegisterOne,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    retry: bool = False,
    progress: Progress | None = None,
) -> BatchRun:
    """Register every study that the folder has no result of, and write ``summary.csv`` and ``summary.html``.

    A batch that was stopped, by whatever means, goes on when it is called again; a study's folder is there whole or
    not at all. Each process has one thread; one that dies takes down no more than the study that killed it.

    Args:
        batch_plan: the studies, the folder and the settings, which are kept in it.
        register: does one study.
        jobs: processes on this machine, which import the calling script: guard it by ``__name__``.
        scheduler: address of a Dask scheduler whose workers do it instead; they see all files under the same paths.
        retry: do again what failed before, and what was registered from other files than those that are there now.
        progress: called after each study.

    Raises:
        UsageError: the folder holds another batch, or another run is at work in it; no scheduler answers.
    """
    _check(jobs, scheduler)
    start = time.perf_counter()
    output = batch_plan.output
    batch_plan.refuse()
    with RUN.claimed(output):
        states = batch_plan.states()
        begin(output, batch_plan.settings)
        work = StudyJob(batch_plan.pairs, batch_plan.stamps, output, register, settings_sha256(batch_plan.settings))
        wanted_states = ("missing", "failed", "changed") if retry else ("missing",)
        indices = [index for index, state in enumerate(states) if state in wanted_states]
        results = all_done(work, indices, jobs, scheduler, progress or (lambda _n_done, _all: None), work.remember)
        changed_names = {pair.name for pair, state in zip(batch_plan.pairs, states, strict=True) if state == "changed"}
        rows = rows_of(batch_plan.pairs, output, () if retry else changed_names)
        files = write_summary(rows, output)
    n_registered = sum(not result.problem for result in results)
    return BatchRun(rows, n_registered, states.count("done"), time.perf_counter() - start, files)


@dataclass(frozen=True)
class StudyJob:
    """Everything a worker must know; called with the number of a study.

    Attributes:
        stamps: of the files of each study when the batch was begun.
        settings: SHA-256 of the batch's settings.
        version: of the mureg that the batch was begun with.
    """

    pairs: tuple[WorklistEntry, ...]
    stamps: tuple[str, ...]
    output: Path
    register: RegisterOne
    settings: str
    version: str = __version__

    def name(self, index: int) -> str:
        """Name of the study with that number."""
        return self.pairs[index].name

    def __call__(self, index: int) -> JobResult:
        """Register the study and write its folder, or remember why that failed."""
        start = time.perf_counter()
        require_fit_worker(self.version, self.output / BATCH, self.output.name)
        pair, stamp, fingerprint = self.pairs[index], self.stamps[index], ""
        folder = self.output / STUDIES / pair.name
        try:
            with writing_folder(folder, kind=KIND, overwrite=True, state=STATE, recognise=is_study) as scratch:
                stamp, fingerprint = pair.stamp(), pair.fingerprint()
                self.register(pair, scratch)
                seconds = round(time.perf_counter() - start, 3)
                table = {"fingerprint": fingerprint, "stamp": stamp, "settings_sha256": self.settings}
                write_study(scratch, pair, {**table, "mureg": self.version, "seconds": seconds})
        except Exception as problem:
            failure = _failure(problem, stamp, fingerprint)
            write_failure(self.output, pair.name, failure)
            return JobResult(index, pair.name, time.perf_counter() - start, failure.problem)
        return JobResult(index, pair.name, time.perf_counter() - start)

    def remember(self, outcome: JobResult) -> None:
        """Write down a failure that the worker could not, for its process died."""
        if outcome.problem and failure_of(self.output, self.pairs[outcome.index]) is None:
            fingerprint = ""
            with suppress(MuregError, OSError):
                fingerprint = self.pairs[outcome.index].fingerprint()
            write_failure(
                self.output, outcome.name, Failure(outcome.problem, 1, self.stamps[outcome.index], fingerprint)
            )


def as_settings(table: Table) -> Table:
    """Settings as JSON holds them; a path by its file's name alone."""
    plain: Table = json.loads(json.dumps(table, default=lambda value: getattr(value, "name", str(value))))
    return plain


def _failure(problem: Exception, stamp: str, fingerprint: str) -> Failure:
    if isinstance(problem, MuregError):
        return Failure(str(problem), problem.exit_code, stamp, fingerprint)
    return Failure(" ".join(f"{type(problem).__name__}: {problem}".split()), 1, stamp, fingerprint)


def _stamped(pair: WorklistEntry) -> tuple[WorklistEntry, str]:
    """The pair and the stamp of its files, or what keeps them from being listed."""
    if pair.problem:
        return pair, ""
    try:
        return pair, pair.stamp()
    except (MuregError, OSError) as problem:
        refusal = problem if isinstance(problem, MuregError) else _unreadable_study(pair, problem)
        return WorklistEntry(pair.name, pair.where, pair.base, problem=str(refusal), exit_code=refusal.exit_code), ""


def _unreadable_study(pair: WorklistEntry, problem: OSError) -> UnreadableInputError:
    return UnreadableInputError(
        f"the files of {pair.name!r} cannot be listed ({problem.strerror})",
        "files that can be listed",
        "check the path",
    )


def _check(jobs: int, scheduler: str | None) -> None:
    if jobs < 1:
        raise UsageError(f"jobs = {jobs}", "1 or more", "correct it")
    if scheduler is not None and jobs != 1:
        raise UsageError("both jobs and a scheduler", "one of them", "leave jobs out: the cluster has its own workers")
