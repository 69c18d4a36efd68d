"""What ``mureg train`` and ``mureg finetune`` share: cases, processes, a bar, an answer."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from torch import Tensor

from mureg.cli.common import Common
from mureg.cli.messages import Messages
from mureg.cli.progress import Ticker, watched
from mureg.cli.training_options import Sitting, chosen_device
from mureg.errors import STOPPED_BY_HAND, UsageError
from mureg.files import scratch
from mureg.files.places import refuse_overlap
from mureg.jobs.cores import usable_cores
from mureg.training.examples import Examples, prepare
from mureg.training.examples import Progress as Prepared
from mureg.training.folder import BEST, EXAMPLES, FOLDER, refuse_another
from mureg.training.loop import Trained, train
from mureg.training.parallel import Team, joined
from mureg.training.settings import Data, TrainingSettings
from mureg.training.sources import files_of_list, open_sources, split_by_patient

LOG = logging.getLogger("mureg.cli.training")


def fit(
    settings: TrainingSettings,
    output: Path,
    sitting: Sitting,
    common: Common,
    inputs: Sequence[Path | None] = (),
    weights: Mapping[str, Tensor] | None = None,
) -> int:
    """Check the options, prepare the cases, train, print the result. Exit code 130 where the user stopped it."""
    if sitting.jobs < 1 or sitting.minutes < 0:
        raise UsageError(
            f"--jobs {sitting.jobs} --minutes {sitting.minutes:g}", "1 or more, and 0 or more", "correct it"
        )
    n_local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    threads = common.threads or max(1, usable_cores() // n_local)
    replace(common, threads=threads).prepare()
    device = chosen_device(sitting.device)
    _refuse(output, settings.data, sitting, inputs)
    refuse_another(settings, output)
    sets = _sources(settings.data)
    try:
        with (
            joined(device) as team,
            _claimed(output, settings.data, sitting, inputs, leads=team.leads),
            _display(common.messages if team.leads else Messages(quiet=True)) as display,
        ):
            train_set, validation_set = (
                _prepared(examples, settings, sitting, output, team, display.preparing) for examples in sets
            )
            minutes = sitting.minutes or float("inf")
            training = train(
                settings,
                train_set,
                validation_set,
                output,
                team=team,
                weights=weights,
                minutes=minutes,
                report=display,
            )
    except KeyboardInterrupt:
        print("mureg: stopped; finished epochs are kept, and the same command continues the run.", file=sys.stderr)
        return STOPPED_BY_HAND
    if team.leads:
        common.messages.emit(_answer(training, settings), list(_lines(training)))
    return 0


def _refuse(output: Path, data: Data, sitting: Sitting, inputs: Sequence[Path | None]) -> list[Path | None]:
    """Refuse an output or cache that overlaps what is read; return what is read."""
    places = [Path(place) for place in (data.cases, data.train, data.validation) if place]
    read = [*inputs, *places, *(file for place in places if place.is_file() for file in files_of_list(place))]
    FOLDER.refuse(output, read)
    if sitting.cache is not None:
        refuse_overlap(sitting.cache, read)
    return read


@contextmanager
def _claimed(
    output: Path, data: Data, sitting: Sitting, inputs: Sequence[Path | None], *, leads: bool
) -> Iterator[None]:
    """One of the processes that train together keeps other runs out, and clears what killed ones left."""
    if not leads:
        yield
        return
    with FOLDER.claimed(output, _refuse(output, data, sitting, inputs)):
        if sitting.cache is not None:
            scratch.clear(sitting.cache, alone=False)
        yield


def _sources(data: Data) -> tuple[Any, Any]:
    if data.cases:
        return split_by_patient(open_sources(data.cases), data.shares, data.split_seed)
    if data.train:
        return open_sources(data.train), open_sources(data.validation)
    raise UsageError(
        "no cases to train on", "a cohort or a list of pairs", "give --cohort, --pairs, or --train and --validation"
    )


def _prepared(
    sources: Any, settings: TrainingSettings, sitting: Sitting, output: Path, team: Team, progress: Prepared
) -> Examples:
    """One process prepares; the others read what it left in the cache."""
    cache = sitting.cache or output / EXAMPLES
    if team.leads:
        examples = prepare(sources, settings.grid, cache, jobs=sitting.jobs, progress=progress)
    team.wait()
    return examples if team.leads else prepare(sources, settings.grid, cache)


def _answer(training: Trained, settings: TrainingSettings) -> dict[str, Any]:
    return {
        "output": str(training.folder),
        "finished": training.finished,
        "settings_sha256": settings.sha256,
        "epochs": training.progress.epoch,
        "samples": training.progress.samples,
        "seconds": round(training.progress.seconds, 3),
        "best_epoch": training.progress.best_epoch,
        "best_heart_mm": training.progress.best_mm,
        "unregistered": asdict(training.unregistered),
        "weights": str(training.folder / BEST),
    }


def _lines(training: Trained) -> Iterator[str]:
    progress = training.progress
    yield (
        f"trained    {progress.epoch} epochs, {progress.samples} cases processed, {progress.seconds / 60:.1f} minutes"
        f"{'' if training.finished else '; not finished: the same command continues the run'}"
    )
    if progress.best_epoch:
        yield (
            f"heart      {progress.best_mm:.2f} mm on patients not seen, after epoch {progress.best_epoch}; "
            f"scanner position {training.unregistered.heart_mm:.2f} mm"
        )
        yield f"weights    {training.folder / BEST}"
    yield f"run in     {training.folder}"


class _Display:
    """Lines on standard error, and under them a bar where that is a terminal."""

    def __init__(self, ticker: Ticker, bar: Progress | None, prints: bool) -> None:
        self._ticker, self._bar, self._prints = ticker, bar, prints
        self._task = None if bar is None else bar.add_task("preparing", total=None)

    def preparing(self, n_done: int, of: int) -> None:
        self._show("preparing", n_done, of)

    def say(self, line: str) -> None:
        LOG.info("%s", line)
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        elif self._prints:
            print(line, file=sys.stderr, flush=True)

    def at(self, n_done: int, of: int, loss: float) -> None:
        self._show(f"training, loss {loss:.2f}", n_done, of)

    def _show(self, doing: str, n_done: int, of: int) -> None:
        self._ticker.state = f"{doing}: {n_done} of {of} done"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=doing, completed=n_done, total=of)


@contextmanager
def _display(messages: Messages) -> Iterator[_Display]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with watched(messages, lambda: columns) as (ticker, bar):
        yield _Display(ticker, bar, messages.has_lines)
