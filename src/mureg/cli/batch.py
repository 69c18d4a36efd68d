"""``mureg batch``: the main job on many studies."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from mureg import RESEARCH_USE_ONLY
from mureg.batch.run import BatchRun, Plan, as_settings, plan, run_batch
from mureg.batch.states import State
from mureg.cli.algorithms import Algorithms
from mureg.cli.common import Common, Output, parse
from mureg.cli.help import Flat
from mureg.cli.messages import Messages
from mureg.cli.progress import counting
from mureg.cli.register import Manner, Register, quick, register_study
from mureg.errors import SOME_FAILED, STOPPED_BY_HAND, UsageError, printable
from mureg.files.places import refuse_overlap
from mureg.io.worklist.entry import WorklistEntry
from mureg.io.worklist.find import find_pairs
from mureg.registration import PoseByHand

_MOST_LINES = 20
"""Failed studies that are listed: a round value that fits a terminal of 24 lines."""
_SAYS: dict[State, str] = {
    "done": "done",
    "failed": "failed before",
    "missing": "to do",
    "changed": "changed",
    "impossible": "impossible",
}


@dataclass(frozen=True)
class BatchOptions:
    """Register many studies. The same command continues a run that was stopped. Research use only.

    Attributes:
        studies: CSV list (columns name, spect, ct or mu, optional spect_series, ct_series), or folder of study folders.
        output: folder for the results, summary.html and summary.csv.
        dry_run: show the studies and how far each is, then stop.
        retry: repeat studies that failed or whose input files changed.
        jobs: number of processes on this machine, each with one thread.
        scheduler: address of a Dask scheduler to use instead, such as tcp://host:8786 (default: none).

    Example:
        mureg batch studies/ -o results --jobs 4
    """

    studies: tyro.conf.Positional[Path]
    output: Output
    dry_run: bool = False
    retry: bool = False
    jobs: int = 1
    scheduler: str | None = None
    messages: Annotated[Messages, Flat] = field(default_factory=Messages)
    manner: Annotated[Manner, Flat] = field(default_factory=Manner)


@dataclass(frozen=True)
class RegisterPair:
    """`mureg register` for one study of a batch or a service, in any process or machine.

    Attributes:
        threads: of a study.
        fast: quick mode.
    """

    manner: Manner
    algorithms: Algorithms
    fast: bool = False
    threads: int = 1

    def check(self) -> None:
        """Refuse what holds for one study alone, and options that quick mode has not."""
        refuse_pose(self.algorithms)
        self._algorithms(self._options(Path("spect"), Path("output")))

    def __call__(self, pair: WorklistEntry, folder: Path) -> None:
        """Read, run, write into `folder`."""
        assert pair.spect is not None
        options = replace(
            self._options(pair.spect, folder),
            ct=pair.ct,
            mu=pair.mu,
            spect_series=pair.spect_series,
            ct_series=pair.ct_series,
            label=pair.name,
        )
        options.common.prepare()
        register_study(options, self._algorithms(options), lambda _step: None)

    def _options(self, spect: Path, folder: Path) -> Register:
        return Register(spect, folder, fast=self.fast, common=Common(threads=self.threads), manner=self.manner)

    def _algorithms(self, options: Register) -> Algorithms:
        return quick(options, self.algorithms) if self.fast else self.algorithms


OPTIONS = BatchOptions


def main(arguments: Sequence[str]) -> int:
    """Parse, find, show, register what is missing, sum up. Exit code 5 where some studies failed."""
    options = parse("batch", arguments, BatchOptions)
    messages, algorithms = options.messages, options.manner.algorithms()
    refuse_pose(algorithms)
    weights, _ = options.manner.weights_used(algorithms)
    inputs = [
        options.studies,
        *([] if weights is None else [weights]),
        *(options.studies.iterdir() if options.studies.is_dir() else ()),
    ]
    refuse_overlap(options.output, inputs)  # folders of studies may be links
    pairs = find_pairs(options.studies)
    batch_plan = plan(pairs, options.output, as_settings(settings_table(options.manner, algorithms)), inputs)
    states = batch_plan.states()
    if options.dry_run:
        answer = {"studies": _study_tables(batch_plan, states), "use": RESEARCH_USE_ONLY}
        messages.emit(answer, [*_study_lines(batch_plan, states), RESEARCH_USE_ONLY])
        return SOME_FAILED if "impossible" in states else 0
    if messages.for_people:
        print("\n".join(map(printable, _study_lines(batch_plan, states))), flush=True)
    try:
        with counting(messages, "registering") as report:
            batch = run_batch(
                batch_plan,
                RegisterPair(options.manner, algorithms),
                jobs=options.jobs,
                scheduler=options.scheduler,
                retry=options.retry,
                progress=report,
            )
    except KeyboardInterrupt:
        print("mureg: stopped; finished studies are kept, and the same command continues the run.", file=sys.stderr)
        return STOPPED_BY_HAND
    messages.emit(_answer(batch), list(_lines(batch, options.retry)))
    return SOME_FAILED if batch.failed else 0


def refuse_pose(algorithms: Algorithms) -> None:
    """Refuse the settings of a single study."""
    if isinstance(algorithms.registrar, PoseByHand):
        raise UsageError(
            "the settings of one study, whose pose a reader set",
            "settings that hold for every study",
            "leave the table [registrar] out of the file",
        )


def settings_table(manner: Manner, algorithms: Algorithms) -> dict[str, Any]:
    """All that decides what a result is."""
    table = asdict(manner)
    del table["registrar"], table["weights"], table["tuning"]
    # weights count by what they hold: other networks in the same file are other settings
    weights, sha256 = manner.weights_used(algorithms)
    return table | algorithms.tables() | ({} if weights is None else {"weights_sha256": sha256})


def _study_tables(batch_plan: Plan, states: Sequence[State]) -> list[dict[str, Any]]:
    return [
        {
            "name": pair.name,
            "where": pair.where,
            "state": state,
            **pair.inputs(),
            "problem": pair.problem,
            "paired": pair.how,
        }
        for pair, state in zip(batch_plan.pairs, states, strict=True)
    ]


def _study_lines(batch_plan: Plan, states: Sequence[State]) -> Iterator[str]:
    """Every study with its SPECT and CT, or what is wrong with it."""
    width = max(len(pair.name) for pair in batch_plan.pairs)
    for pair, state in zip(batch_plan.pairs, states, strict=True):
        what = pair.problem or ", ".join(f"{kind} {place}" for kind, place in pair.inputs().items())
        what += f", paired {pair.how}" if pair.how and not pair.problem else ""
        yield f"{_SAYS[state]:13} {pair.name:{width}}  {what}"
    counts = Counter(states)
    yield f"{_studies(len(states))}: " + ", ".join(
        f"{counts[decision]} {says}" for decision, says in _SAYS.items() if counts[decision]
    )


def _answer(batch: BatchRun) -> dict[str, Any]:
    return {
        "studies": len(batch.rows),
        "made": batch.n_registered,
        "already": batch.already,
        "failed": [{"name": row.study, "problem": row.reason, "exit_code": row.exit_code} for row in batch.failed],
        "decisions": dict(Counter(row.decision for row in batch.rows)),
        "seconds": round(batch.seconds, 3),
        "files": [file.name for file in batch.files],
        "use": RESEARCH_USE_ONLY,
    }


def _lines(batch: BatchRun, retried: bool) -> Iterator[str]:
    failed_rows = batch.failed
    before = f"{batch.already} done before, {len(failed_rows)} failed"
    yield f"registered {_studies(batch.n_registered)} in {batch.seconds:.1f} s, {before}"
    for row in failed_rows[:_MOST_LINES]:
        yield f"{row.decision:10} {row.study}: {row.reason}"
    if len(failed_rows) > _MOST_LINES:
        yield f"failed     {len(failed_rows) - _MOST_LINES} more; see summary.csv"
    if failed_rows and not retried:
        yield "           give --retry to repeat the failed studies"
    yield "decisions  " + ", ".join(f"{n} {word}" for word, n in Counter(row.decision for row in batch.rows).items())
    yield f"summary in {batch.files[1]}"
    yield RESEARCH_USE_ONLY


def _studies(n: int) -> str:
    return f"{n} {'study' if n == 1 else 'studies'}"
