"""The recipe of the networks at the heart: which crops, which networks, which cases measure their errors."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from mureg.cohort.folds import load_folds
from mureg.errors import UsageError
from mureg.files.validation import merged, validated
from mureg.io.plain_text import read_text
from mureg.training.heart.starts import FromMutualInformation, Starts
from mureg.training.settings import TrainingSettings, current_table, read_table, settings_from

SHIPPED = "near-heart"
"""The recipe beside the weights in the package."""

Table = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=40)]
Count = Annotated[int, Field(ge=1)]
Number = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[float, Field(gt=0)]
_SETTINGS = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_SETTINGS)
class CropSet:
    """Crops to train and validate on.

    Attributes:
        name: of the set; stages refer to it.
        populations: number of cases of each population; every case is one of a stored cohort or simulated.
        first: number of the first case of each population.
        per_case: crops of each case.
        offset_mm: standard deviation along each axis of the distance between the middle of a crop and the ventricle
            that was found (mm); the first crop of a case is not displaced.
        starts: poses at which the crops are drawn.
    """

    name: Name
    populations: dict[str, Count]
    first: Number = 0
    per_case: Count = 8
    offset_mm: Annotated[float, Field(ge=0)] = 4.0
    starts: Starts = FromMutualInformation()

    def numbers(self, population: str) -> range:
        """Numbers of the cases of a population."""
        return range(self.first, self.first + self.populations.get(population, 0))


@dataclass(frozen=True, config=_SETTINGS)
class Stage:
    """One training run of a network; it begins from the best weights of the stage before, the first from random ones.

    Attributes:
        crops: name of the crop set.
        samples: crops seen in all, repetitions counted.
        learning_rate: of the first epoch.
        decay: factor on the learning rate from each epoch to the next.
        seed: of the weights and of all that is drawn.
    """

    crops: str
    samples: Count
    learning_rate: Width
    decay: Annotated[float, Field(gt=0, le=1)]
    seed: Number


@dataclass(frozen=True, config=_SETTINGS)
class NetworkRecipe:
    """One of the networks whose predictions are averaged.

    Attributes:
        name: of the network, and of its folder in the run.
        stages: one after the other.
        begins_from: weights file around the heart from which the first stage begins, or "shipped"; "" for random ones.
        begins_with: which of the networks of that file, from 1.
        changes: tables and values that take precedence over the training settings, such as those of the network.
    """

    name: Name
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    begins_from: str = ""
    begins_with: Count = 1
    changes: Annotated[Table, AfterValidator(current_table)] = field(default_factory=dict)


@dataclass(frozen=True, config=_SETTINGS)
class CaseRange:
    """Cases of one population.

    Attributes:
        population: its name.
        first: number of the first case.
        n: number of cases.
        step: difference between the numbers of two cases that follow each other.
    """

    population: Name
    first: Number
    n: Count
    step: Count = 1

    @property
    def numbers(self) -> range:
        """Numbers of the cases of this group."""
        return range(self.first, self.first + self.n * self.step, self.step)


@dataclass(frozen=True, config=_SETTINGS)
class Calibration:
    """How the covariance on the card is measured.

    Attributes:
        groups: unseen cases that the registrar registers, by default and in quick mode; one file of rows each.
        gains: 0 to 1, applied by the registrar to each predicted parameter (x, y, z, about x, about y, about z).
        dispersion_mm, quick_dispersion_mm: dispersion at which the covariance is four times as large (mm).
        group_share: of the cases of each group at least so many errors lie below the stated 90 % bound.
    """

    groups: Annotated[tuple[CaseRange, ...], Field(min_length=1)]
    gains: tuple[Share, Share, Share, Share, Share, Share] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    dispersion_mm: Width = 0.25
    quick_dispersion_mm: Width = 0.25
    group_share: Annotated[float, Field(gt=0, lt=1)] = 0.85


@dataclass(frozen=True, config=_SETTINGS)
class Recipe:
    """Everything that decides what `mureg train near-heart` makes.

    Attributes:
        crops: sets of crops.
        networks: trained apart; the mean of their predictions counts.
        calibration: how the covariance is measured.
        training: training settings on which every stage is based: a shipped name or a TOML file.
        validation_every: the first patient of a crop set validates, and each n-th after it.
        left_out_fold: number, from 0, of the fold of anatomies (`mureg.cohort.folds`) whose crops are used neither for
            training nor for validation; none is left out without it.
    """

    crops: Annotated[tuple[CropSet, ...], Field(min_length=1)]
    networks: Annotated[tuple[NetworkRecipe, ...], Field(min_length=1)]
    calibration: Calibration
    training: str = SHIPPED
    validation_every: Annotated[int, Field(ge=2)] = 8
    left_out_fold: Number | None = None

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        last_fold = len(load_folds()) - 1
        if self.left_out_fold is not None and self.left_out_fold > last_fold:
            raise ValueError(f"left_out_fold {self.left_out_fold}, but there are folds 0 to {last_fold}")
        populations = [group.population for group in self.calibration.groups]
        for what, names in (
            ("crop set", [crops.name for crops in self.crops]),
            ("network", [network.name for network in self.networks]),
            ("calibration group", populations),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"two entries for one {what}: {', '.join(names)}")
        for name in (stage.crops for network in self.networks for stage in network.stages):
            if name not in [crops.name for crops in self.crops]:
                raise ValueError(f"no crop set named {name!r}")
        for group in self.calibration.groups:
            for crops in self.crops:
                if set(group.numbers) & set(crops.numbers(group.population)):
                    raise ValueError(f"cases of {group.population} in both crops {crops.name!r} and the calibration")
        return self

    def crop_set(self, name: str) -> CropSet:
        """The crop set of that name."""
        return next(crops for crops in self.crops if crops.name == name)

    def settings(self, network: NetworkRecipe, stage: Stage, begin_from: str = "") -> TrainingSettings:
        """The training settings of a stage.

        Args:
            network, stage: of this recipe.
            begin_from: SHA-256 of the file of weights that the stage begins from, "" for random ones.

        Raises:
            UsageError: settings that do not exist or fit.
        """
        table = merged(read_table(self.training), network.changes)
        table.pop("epochs", None)
        optimiser = {"learning_rate": stage.learning_rate, "decay": stage.decay}
        changes = {"samples": stage.samples, "seed": stage.seed, "begin_from": begin_from}
        return settings_from(merged(table, {"optimiser": optimiser, **changes}), f"network {network.name}")

    @property
    def grid_settings(self) -> TrainingSettings:
        """Settings whose grid all crops have: those of the first network."""
        return self.settings(self.networks[0], self.networks[0].stages[0])

    def stages(self) -> Iterator[tuple[NetworkRecipe, int]]:
        """Every network and number of a stage, first stages first: crops of one set are used together."""
        for number in range(max(len(network.stages) for network in self.networks)):
            yield from ((network, number) for network in self.networks if number < len(network.stages))

    @property
    def sha256(self) -> str:
        """Hash of all settings, defaults included."""
        return hashlib.sha256(as_toml(self).encode()).hexdigest()


def load_recipe(name_or_path: str = SHIPPED) -> Recipe:
    """Read the shipped recipe by its name, or one from a TOML file.

    Raises:
        UsageError: no such file, or a setting that does not exist or fit.
    """
    try:
        if name_or_path == SHIPPED:
            text = (files("mureg") / "data" / "weights" / f"{SHIPPED}.toml").read_text(encoding="utf-8")
        else:
            text = read_text(Path(name_or_path))
        table = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise UsageError(
            f"no recipe in {Path(name_or_path).name} ({str(problem).splitlines()[0]})",
            f"{SHIPPED}, or the path of a TOML file",
            "start from a recipe.toml that mureg wrote",
        ) from problem
    return recipe_from(table, name_or_path)


def recipe_from(table: Mapping[str, Any], where: str = "recipe.toml") -> Recipe:
    """A recipe from tables. Raises `UsageError` that names the first mistake, also in the training settings."""
    recipe = validated(Recipe, table, f"recipe {Path(where).name}")
    stages = [recipe.settings(network, network.stages[number]) for network, number in recipe.stages()]
    if len({(stage.network.kind, stage.grid, stage.input) for stage in stages}) > 1:
        raise UsageError(
            f"recipe {Path(where).name} has networks that differ in kind, grid or input",
            "one kind, grid and input for all, whose predictions can be averaged",
            "correct the file",
        )
    return recipe


def as_table(recipe: Recipe) -> Table:
    """Every setting, defaults included, as TOML knows it."""
    table: Table = _plain(asdict(recipe))
    return table


def as_toml(recipe: Recipe) -> str:
    """`as_table` as text that `load_recipe` reads back."""
    return tomli_w.dumps(as_table(recipe))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
