"""From a recipe to calibrated networks: crops, networks, errors, card; each step goes on where it was stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from mureg import __version__
from mureg.errors import UsageError
from mureg.files.atomic import writing
from mureg.files.run_folder import RunFolder
from mureg.files.settings import differences, read_toml
from mureg.jobs.tasks import check_jobs, shared_out
from mureg.registration.card import read_card, refuse_around
from mureg.training.heart.calibration import GroupCoverage
from mureg.training.heart.cases import CaseStore
from mureg.training.heart.crops import patients_in
from mureg.training.heart.draw import CropTask, crop_tasks, draw_crops
from mureg.training.heart.error_book import WEIGHTS, ErrorBook
from mureg.training.heart.errors import MODES, measure_error, settings_fingerprints
from mureg.training.heart.fit import save_networks, train_networks
from mureg.training.heart.limit import TimeLimit
from mureg.training.heart.recipe import CropSet, Recipe, as_table, as_toml, load_recipe
from mureg.training.parallel import Team
from mureg.training.progress import Report
from mureg.training.weights import read_network, save_network

STEPS = ("crops", "networks", "errors", "card")
RECIPE = "recipe.toml"
CROPS, NETWORKS, UNCALIBRATED, ERRORS = "crops", "networks", "uncalibrated", "errors"
WEIGHTS_FILE = "near-heart.onnx"

_REPORT_EVERY_S = 60.0
"""A line a minute: a display choice."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class HeartResult:
    """How far a run is.

    Attributes:
        folder: of the run.
        is_finished: whether every step of the request is finished; otherwise the time was over.
        step: the last step of this call.
        refusals: a sentence for each case without crops or without a row.
        coverage: by mode, of the groups that the covariance was made from; empty before the card.
    """

    folder: Path
    is_finished: bool
    step: str
    refusals: tuple[str, ...]
    coverage: dict[str, tuple[GroupCoverage, ...]]

    @property
    def weights(self) -> Path:
        """The calibrated networks, where the card is finished."""
        return self.folder / WEIGHTS_FILE


@dataclass
class HeartRun:
    """A run in its folder.

    Attributes:
        recipe: what is made.
        folder: of the run.
        store: where the cases come from.
        report: receives the progress.
        jobs: processes for crops and errors, one thread each.
        team: device for the networks.
        weights: networks to calibrate instead of those of the recipe; their gains become those of the recipe.
        crops_of: folder of another run whose crops are used; its recipe has the same crops and grid.
    """

    recipe: Recipe
    folder: Path
    store: CaseStore
    report: Report
    jobs: int = 1
    team: Team = Team()  # noqa: RUF009 (frozen)
    weights: Path | None = None
    crops_of: Path | None = None

    def work(
        self, steps: Sequence[str] = STEPS, minutes: float = math.inf, inputs: Sequence[Path | None] = ()
    ) -> HeartResult:
        """Do what is missing of some steps.

        Args:
            steps: some of `STEPS`; they are done in that order.
            minutes: no piece of work begins after them; one always does. A piece is a case, or an epoch.
            inputs: files and folders that the run reads, which its own may not overlap.

        Raises:
            UsageError: the folder holds another recipe's run; a step before those asked for is missing; a case that
                is neither stored nor to be simulated; a patient both trained on and calibrated with.
            UnreadableInputError: a damaged file in the run.
        """
        self._check(steps)
        sets = tuple(f"{CROPS}/{crops.name}" for crops in self.recipe.crops)
        folder = RunFolder("near-heart training", lambda _folder: False, (*sets, ERRORS, UNCALIBRATED))
        actions = dict(zip(STEPS, (self._crops, self._networks, self._errors, self._card), strict=True))
        limit, step, is_finished = TimeLimit(minutes), "", True
        with folder.claimed(self.folder, inputs):
            self._begin()
            self._check_crops()
            for step in (name for name in STEPS if name in steps):
                is_finished = actions[step](limit)
                if not is_finished:
                    break
            coverage = {} if step != "card" else {mode: self._book().covariance(mode).groups for mode in MODES}
            return HeartResult(self.folder, is_finished, step, tuple(self._refusals()), coverage)

    def _check(self, steps: Sequence[str]) -> None:
        check_jobs(self.jobs)
        wrong = [step for step in steps if step not in STEPS]
        if wrong or not steps:
            raise UsageError(
                f"a step named {wrong[0]!r}" if wrong else "no step", f"some of {', '.join(STEPS)}", "correct --steps"
            )
        if self.crops_of is not None and "crops" in steps:
            raise UsageError(
                "crops of another run, and the step that draws crops",
                "the steps networks, errors and card",
                "add --steps networks errors card",
            )
        if self.weights is not None and {"crops", "networks"} & set(steps):
            raise UsageError(
                "weights to calibrate, and steps that train others",
                "the steps errors and card",
                "add --steps errors card",
            )

    def _begin(self) -> None:
        path = self.folder / RECIPE
        for name, stored_value, expected in (
            differences(read_toml(path), as_table(self.recipe)) if path.exists() else ()
        ):
            raise UsageError(
                f"{self.folder.name} holds a run of another recipe ({name}: {stored_value})",
                expected,
                "choose another output, or the recipe that the folder was begun with",
            )
        with writing(path) as scratch:
            words = (
                f"# Recipe of networks at the heart, mureg {__version__}; read back with mureg train near-heart.\n\n"
            )
            scratch.write_text(words + as_toml(self.recipe), "utf-8")

    def _check_crops(self) -> None:
        """Refuse crops of another run that were drawn by other settings."""
        if self.crops_of is None:
            return
        other = load_recipe(str(self.crops_of / RECIPE))
        if other.crops != self.recipe.crops or other.grid_settings.grid != self.recipe.grid_settings.grid:
            raise UsageError(
                f"{self.crops_of.name} holds crops of other settings",
                "the crops and the grid of the recipe",
                "choose another run, or draw the crops of this one",
            )

    @property
    def _crops_folder(self) -> Path:
        return (self.folder if self.crops_of is None else self.crops_of) / CROPS

    def _crops(self, limit: TimeLimit) -> bool:
        for crops in self.recipe.crops:
            tasks = [task for task in self._crop_tasks(crops) if not task.is_finished]
            self.report.say(f"crops {crops.name}: {len(tasks)} cases to draw")
            for refusal in self._each(draw_crops, tasks, limit, f"crops {crops.name}"):
                if refusal:
                    self.report.say(refusal)
            if not all(task.is_finished for task in tasks):
                return False
        return True

    def _networks(self, limit: TimeLimit) -> bool:
        for crops in self.recipe.crops:
            n_open = sum(not task.is_finished for task in self._crop_tasks(crops))
            if n_open:
                raise _step_missing(f"{n_open} cases of the crops {crops.name} are not drawn", "crops")
        is_finished = train_networks(
            self.recipe, self._crops_folder, self.folder / NETWORKS, self.team, limit, self.report
        )
        if is_finished:
            save_networks(self.recipe, self.folder / NETWORKS, self._uncalibrated)
        return is_finished

    def _errors(self, limit: TimeLimit) -> bool:
        if self.weights is not None:
            self._take(self.weights)
        if not self._uncalibrated.exists():
            raise _step_missing("the networks are not trained", "networks")
        if limit.over:
            return False
        card = read_card(self._uncalibrated)
        book = self._book()
        book.begin({WEIGHTS: card.weights_sha256, **settings_fingerprints()})
        patients = frozenset().union(*(patients_in(self._crops_folder / crops.name) for crops in self.recipe.crops))
        tasks = book.tasks(self.store, self._uncalibrated, patients)
        self.report.say(f"errors: {len(tasks)} registrations to do")
        for result in self._each(measure_error, tasks, limit, "errors"):
            book.add(result)
            if result.refusal:
                self.report.say(result.refusal)
        return not book.tasks(self.store, self._uncalibrated, patients)

    def _card(self, limit: TimeLimit) -> bool:
        """Write the networks with a card that states their covariance."""
        book = self._book()
        n_open = len(book.tasks(self.store, self._uncalibrated, frozenset()))
        if n_open:
            raise _step_missing(f"{n_open} registrations are not measured", "errors")
        module, card = read_network(self._uncalibrated)
        if book.fingerprints[WEIGHTS] != card.weights_sha256:
            raise _step_missing("the errors were measured with other networks", "errors")
        for mode in MODES:
            for group in book.covariance(mode).groups:
                self.report.say(f"coverage of {group.line}")
        save_network(self.folder / WEIGHTS_FILE, module, book.stated_on(card))
        return True

    def _take(self, weights: Path) -> None:
        """Make a copy of networks from elsewhere, with the gains of the recipe and no covariance.

        Raises:
            UsageError: the run has other networks.
        """
        module, card = read_network(weights)
        refuse_around(card, "heart", weights.name)
        if self._uncalibrated.exists() and read_card(self._uncalibrated).weights_sha256 != card.weights_sha256:
            raise UsageError(
                f"{self.folder.name} has other networks than {weights.name}",
                "one set of networks",
                "choose another output",
            )
        card = replace(card, gains=self.recipe.calibration.gains, errors=(), quick_errors=(), calibrated_for={})
        save_network(self._uncalibrated, module, card)

    def _book(self) -> ErrorBook:
        return ErrorBook(self.folder / ERRORS, self.recipe.calibration)

    def _crop_tasks(self, crops: CropSet) -> list[CropTask]:
        return crop_tasks(crops, self.recipe.grid_settings.grid, self.store, self._crops_folder / crops.name)

    @property
    def _uncalibrated(self) -> Path:
        return self.folder / UNCALIBRATED / WEIGHTS_FILE

    def _refusals(self) -> Iterator[str]:
        for crops in self.recipe.crops:
            for task in self._crop_tasks(crops):
                if task.refusal.exists():
                    yield task.refusal.read_text("utf-8").strip()
        for mode, sentences in self._book().refusals.items():
            yield from (f"{mode} mode, {sentence}" for sentence in sentences.values())

    def _each(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], limit: TimeLimit, what: str
    ) -> Iterator[Result]:
        """Results as they come, until the time is over; says once a minute how far it is."""
        if not tasks or limit.over:
            return
        last_report = time.perf_counter()
        with closing(shared_out(work, tasks, self.jobs)) as results:
            for n_done, result in enumerate(results, 1):
                limit.note_work()
                yield result
                if limit.over:
                    return
                if time.perf_counter() - last_report > _REPORT_EVERY_S:
                    last_report = time.perf_counter()
                    self.report.say(f"{what}: {n_done} of {len(tasks)} done")


def _step_missing(problem: str, step: str) -> UsageError:
    return UsageError(problem, f"the step {step} finished", f"add {step} to --steps, or leave --steps out")
