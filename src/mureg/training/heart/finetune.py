"""Networks around the heart, trained further on a department's own patients: crops, networks, errors, card."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from torch import nn

from mureg import __version__
from mureg.errors import RefusedError
from mureg.files.run_folder import RunFolder
from mureg.files.validation import merged
from mureg.jobs.tasks import check_jobs, shared_out
from mureg.registration.card import Card, Table, refuse_around
from mureg.registration.networks.together import Together
from mureg.training.before_after import HeldOutError, write
from mureg.training.examples import ExampleSource
from mureg.training.folder import LAST
from mureg.training.heart.crops import read_crops
from mureg.training.heart.errors import read_rows
from mureg.training.heart.limit import TimeLimit
from mureg.training.heart.own_crops import OwnCrops, draw_own_crops
from mureg.training.heart.own_errors import (
    OwnErrorRows,
    OwnErrors,
    add_row,
    figures_of,
    held_out_errors,
    measure_own_errors,
    with_interval,
)
from mureg.training.loop import train
from mureg.training.motion_size import joined
from mureg.training.parallel import Team
from mureg.training.progress import Report
from mureg.training.settings import TrainingSettings, settings_from
from mureg.training.sources import hold_out
from mureg.training.weights import members_of, read_network, save_network

CROPS, NETWORKS, UNCALIBRATED, ERRORS = "crops", "networks", "uncalibrated", "errors"
WEIGHTS_FILE = "near-heart.onnx"
FOLDER = RunFolder("near-heart finetuning", lambda _folder: False, (CROPS, ERRORS, UNCALIBRATED))

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class FinetuneResult:
    """How far a run is.

    Attributes:
        folder: of the run.
        step: "crops", "networks", "errors" or, where it is finished, "card".
        n_patients, n_crops: that were trained on.
        errors: of the cases that were held out; empty before they are measured.
        refusals: a sentence for each case without crops or errors.
        interval: what became of the interval, one sentence.
    """

    folder: Path
    step: str
    n_patients: int = 0
    n_crops: int = 0
    errors: tuple[HeldOutError, ...] = ()
    refusals: tuple[str, ...] = ()
    interval: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether there are new weights."""
        return self.step == "card"

    @property
    def weights(self) -> Path:
        """The new networks, where it is finished."""
        return self.folder / WEIGHTS_FILE


@dataclass
class HeartFinetuning:
    """A run in its folder; each step goes on where it was stopped.

    Attributes:
        weights: networks around the heart to begin from.
        table: training settings without network and grid; the share of `data` for validation is held out.
        sources: cases with a transform that is trusted; those without one count as aligned.
        folder: of the run.
        report: receives the progress.
        jobs: processes for crops and errors, one thread each.
        team: device for the networks.
    """

    weights: Path
    table: Table
    sources: Sequence[ExampleSource]
    folder: Path
    report: Report
    jobs: int = 1
    team: Team = Team()  # noqa: RUF009 (frozen)

    def work(self, minutes: float = math.inf, inputs: Sequence[Path | None] = ()) -> FinetuneResult:
        """Do what is missing.

        Args:
            minutes: no case or epoch begins after them; one always does.
            inputs: files and folders that the run reads, which its own may not overlap.

        Raises:
            UsageError: weights of the whole field; fewer than two patients; a transform that nobody has trusted; the
                folder holds another run.
            RefusedError: no case is left to train on, or none to hold out.
            UnreadableInputError: weights, cases or files of the run are damaged.
        """
        check_jobs(self.jobs)
        module, card = read_network(self.weights)
        refuse_around(card, "heart", self.weights.name)
        settings = [self._settings(card, number) for number in range(1 + len(card.others))]
        data = settings[0].data
        training, held_out = hold_out(self.sources, data.shares[1] or 0.25, data.split_seed)
        limit = TimeLimit(minutes)
        with FOLDER.claimed(self.folder, (*inputs, self.weights)):
            crops = [self._crops(sources, card, limit) for sources in (training, held_out)]
            files, refusals = [part[0] for part in crops if part], [r for part in crops if part for r in part[1]]
            result = FinetuneResult(self.folder, "crops", len({s.patient for s in training}), refusals=tuple(refusals))
            if len(files) < len(crops):
                return result
            trained = self._networks(settings, members_of(module), files, limit)
            if trained is None:
                return replace(result, step="networks")
            module, new_card = _together(*trained, card)
            result = replace(result, n_crops=int(trained[1][0].trained_on["cases"]), step="errors")
            uncalibrated = self.folder / UNCALIBRATED / WEIGHTS_FILE
            sha256 = save_network(uncalibrated, module, new_card).weights_sha256
            paths = self._rows_file(card.weights_sha256), self._rows_file(sha256)
            measured = self._errors(held_out, uncalibrated, paths, limit)
            if measured is None:
                return result
            errors, more = measured
            new_card, interval = with_interval(new_card, paths[1], {error.patient for error in errors})
            save_network(self.folder / WEIGHTS_FILE, module, replace(new_card, validation=figures_of(errors)))
            write(errors, self.folder)
            return replace(result, step="card", errors=tuple(errors), refusals=(*refusals, *more), interval=interval)

    def _settings(self, card: Card, number: int) -> TrainingSettings:
        """The training settings of one of the networks."""
        table = merged(self.table, {"begin_from": f"{card.weights_sha256}/{number + 1}"})
        table |= {"network": (card.network, *card.others)[number], "grid": asdict(card.grid)}
        table |= {"input": {"ablated": card.ablated}, "seed": int(self.table.get("seed", 1)) + number}
        return settings_from(table, f"network {number + 1}")

    def _crops(
        self, sources: Sequence[ExampleSource], card: Card, limit: TimeLimit
    ) -> tuple[list[Path], list[str]] | None:
        """Files of the crops of cases, and refusals; None where the time was over."""
        tasks = [OwnCrops(source, card.grid, self.folder / CROPS, source.fingerprint()) for source in sources]
        missing = [task for task in tasks if not task.path.exists()]
        if missing:
            self.report.say(f"crops: {len(missing)} cases to draw")
        results = list[str]()
        for result in self._each(draw_own_crops, missing, limit):
            results.append(result)
            if result:
                self.report.say(result)
        if len(results) < len(missing):
            return None
        files, refusals = [task.path for task in tasks if task.path.exists()], [r for r in results if r]
        if not files:
            raise RefusedError(
                f"no crops of {len(sources)} cases: {refusals[0]}",
                "at least one case to train on and one to hold out",
                "correct the pairs or give more",
            )
        return files, refusals

    def _networks(
        self,
        settings: Sequence[TrainingSettings],
        modules: Sequence[nn.Module],
        files: Sequence[Sequence[Path]],
        limit: TimeLimit,
    ) -> tuple[list[nn.Module], list[Card]] | None:
        """The networks as they were when training ended, and their cards; None where the time was over.

        The network of the last epoch counts, never the best one on the cases held out: these judge it.
        """
        spacing_mm = settings[0].grid.spacing_mm
        sets = [read_crops(paths, spacing_mm) for paths in files]
        networks, cards = [], []
        for number, (own, module) in enumerate(zip(settings, modules, strict=True), 1):
            place = self.folder / NETWORKS / str(number)
            self.report.say(f"network {number} of {len(settings)}")
            outcome = train(
                own,
                sets[0],
                sets[1],
                place,
                team=self.team,
                weights=module.state_dict(),
                minutes=limit.remaining_minutes,
                report=self.report,
            )
            limit.note_work()
            if not outcome.finished:
                return None
            network, card = read_network(place / LAST)
            networks.append(network)
            cards.append(card)
        return networks, cards

    def _errors(
        self, held_out: Sequence[ExampleSource], after: Path, paths: tuple[Path, Path], limit: TimeLimit
    ) -> tuple[list[HeldOutError], list[str]] | None:
        """Errors of the cases held out with the weights before and after, and refusals; None if the time was over."""
        names = [{row["case"] for row in read_rows(path)} for path in paths]
        tasks = [OwnErrors(s, (self.weights, after)) for s in held_out if not all(s.name in known for known in names)]
        if tasks:
            self.report.say(f"errors: {len(tasks)} cases to register with the weights before and after")
        results = list[OwnErrorRows]()
        for result in self._each(measure_own_errors, tasks, limit):
            results.append(result)
            if result.refusal:
                self.report.say(result.refusal)
            for path, row in zip(paths, result.rows, strict=False):
                add_row(path, row)
        if len(results) < len(tasks):
            return None
        errors = held_out_errors(held_out, *paths)
        if not errors:
            raise RefusedError(
                f"none of {len(held_out)} cases that were held out could be registered",
                "at least one",
                "correct the pairs or give more",
            )
        return errors, [result.refusal for result in results if result.refusal]

    def _rows_file(self, weights_sha256: str) -> Path:
        return self.folder / ERRORS / f"{weights_sha256[:16]}.csv"

    def _each(self, work: Callable[[Task], Result], tasks: Sequence[Task], limit: TimeLimit) -> Iterator[Result]:
        """Results as they come, until the time is over."""
        if not tasks or limit.over:
            return
        with closing(shared_out(work, tasks, self.jobs)) as results:
            for result in results:
                limit.note_work()
                yield result
                if limit.over:
                    return


def _together(networks: Sequence[nn.Module], cards: Sequence[Card], before: Card) -> tuple[nn.Module, Card]:
    """The networks as one, with a card that says what they began from and states no calibrated interval."""
    trained_on = {"begin_from": before.weights_sha256, "networks": [card.trained_on for card in cards]}
    motion = joined([before.motion, *(card.motion for card in cards)])
    card = replace(before, trained_on=trained_on, motion=motion, calibrated_for={}, version=__version__)
    return networks[0] if len(networks) == 1 else Together(networks), card
