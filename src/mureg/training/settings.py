"""Everything that decides what a training run does: one TOML file."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BeforeValidator, ConfigDict, Field, SkipValidation, model_validator
from pydantic.dataclasses import dataclass

from mureg.catalogue import settings_of
from mureg.errors import UsageError
from mureg.files.former_names import with_current_names, with_former_names
from mureg.files.validation import split_change, validated, with_changes
from mureg.io.plain_text import read_text
from mureg.registration.inputs import InputGrid
from mureg.registration.networks import NETWORK_CATALOGUE, NetworkSettings, preset
from mureg.training.augment import Augmentation
from mureg.training.losses import AnyLoss, Displacement
from mureg.training.motion import AnyMotion, AsInTheCase

SHIPPED = ("small", "paper", "near-heart")
"""Settings that come with the package, by name."""

FINETUNE, FINETUNE_HEART = "finetune", "finetune-heart"
"""Settings that come with the package for `mureg finetune`, for networks of the whole field and for those around the
heart; they name no network and no grid."""

Table = dict[str, Any]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Data:
    """Cases for training and validation.

    Attributes:
        cases: folder of a cohort or CSV list of pairs, divided by patient.
        train: folder or CSV list for training, instead of cases.
        validation: folder or CSV list for validation, instead of cases.
        shares: shares of the patients of `cases` for training, validation and test; the test share stays unused.
        split_seed: seed of the division.
    """

    cases: str = ""
    train: str = ""
    validation: str = ""
    shares: tuple[Share, Share, Share] = (0.6, 0.15, 0.25)
    split_seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _either_or(self) -> Data:
        if self.cases and (self.train or self.validation):
            raise ValueError("give cases, or train and validation")
        if bool(self.train) != bool(self.validation):
            raise ValueError("train and validation go together")
        if abs(sum(self.shares) - 1.0) > 1e-6 or min(self.shares[:2]) <= 0:
            raise ValueError("shares must add up to 1, and those of training and validation be above 0")
        return self

    @property
    def named(self) -> bool:
        """Whether any cases are named."""
        return bool(self.cases or self.train)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Optimiser:
    """Update of the weights; the defaults are those of the paper.

    Attributes:
        kind: Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019).
        learning_rate: learning rate of the first epoch.
        betas: decay rates of the two moments.
        decay: factor on the learning rate after each epoch.
        weight_decay: weight decay of AdamW.
        clip: largest norm of the gradient; 0 for no limit.
    """

    kind: Literal["adam", "adamw"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 5e-5
    betas: tuple[Share, Share] = (0.5, 0.99)
    decay: Annotated[float, Field(gt=0, le=1)] = 0.99
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Annotated[float, Field(ge=0)] = 0.0


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Input:
    """Input of the network.

    Attributes:
        ablated: replace the SPECT by a constant image in training, validation and use (ablation): the network then
            learns from the map alone, which measures leakage.
    """

    ablated: bool = False


def _network(value: Any) -> Any:
    """The settings of a network from its table: its kind and fields, or `preset` and the fields that differ from it."""
    if not isinstance(value, Mapping):
        return value
    table = dict(value)
    kind, size = table.get("kind"), table.pop("preset", None)
    if size is not None:
        table = {**settings_of(preset(str(kind), size)), **table}
    network = NETWORK_CATALOGUE.make(table, where="network")
    if not hasattr(network, "shape"):
        raise UsageError(
            f"network: {kind} has no shape", "the number of voxels of its input along x, y, z", "add it to the class"
        )
    return network


AnyNetwork = Annotated[NetworkSettings, SkipValidation, BeforeValidator(_network)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class TrainingSettings:
    """A training run.

    Attributes:
        network: network: its kind and fields, or its kind and a preset.
        grid: grid of the input; its shape is that of the network.
        input: input of the network.
        data: cases.
        motion: motion of the cases: as stored, or drawn again each time.
        augmentation: random changes of the cases.
        loss: loss.
        optimiser: optimiser.
        epochs: number of times that every case is seen.
        samples: number of cases seen in all, repetitions counted, instead of epochs; the last epoch is cut short.
        batch: cases in each step and process.
        validate_every: epochs between two validations; the last epoch is always validated.
        seed: seed of the weights and of everything that is drawn.
        bf16: compute matrix products and convolutions in bfloat16.
        channels_last: store the channels of a voxel together in memory.
        begin_from: SHA-256 of the weights that training begins from; "" for random weights.
        licence: of the weights, for their card.
        fixed_norms: batch norms keep the statistics that training begins from: those of few patients would be worse.
    """

    network: AnyNetwork
    grid: InputGrid
    input: Input = Input()
    data: Data = Data()
    motion: AnyMotion = AsInTheCase()
    augmentation: Augmentation = Augmentation()
    loss: AnyLoss = Displacement()
    optimiser: Optimiser = Optimiser()
    epochs: Annotated[int, Field(ge=0)] = 0
    samples: Annotated[int, Field(ge=0)] = 0
    batch: Positive = 4
    validate_every: Positive = 1
    seed: Annotated[int, Field(ge=0)] = 1
    bf16: bool = False
    channels_last: bool = False
    begin_from: str = ""
    licence: str = ""
    fixed_norms: bool = False

    @model_validator(mode="after")
    def _fits(self) -> TrainingSettings:
        if bool(self.epochs) == bool(self.samples):
            raise ValueError("give either epochs or samples")
        if tuple(self.network.shape) != self.grid.shape:
            raise ValueError(f"the network takes {tuple(self.network.shape)} voxels, the grid has {self.grid.shape}")
        return self

    def samples_of(self, n_train: int) -> int:
        """How many cases a whole run sees, repetitions counted."""
        return self.samples or self.epochs * n_train

    def identity(self) -> Table:
        """What two runs must share to be one run: all but where the data lie, how long it goes on, and the licence.

        Input and norms are named only where they are not the usual ones, so that runs from before these could be chosen
        keep their hash.
        """
        table = as_table(self)
        if not self.input.ablated:
            table.pop("input")
        if not self.fixed_norms:
            table.pop("fixed_norms")
        for name in ("epochs", "samples", "licence"):
            table.pop(name, None)
        table["data"] = {k: v for k, v in table["data"].items() if k in ("shares", "split_seed")}
        return table

    @property
    def sha256(self) -> str:
        """Hash of `identity`, by which a result can be traced; the names are those of mureg 0.1.0, whose runs go on."""
        former = _for_each_sort(with_former_names, self.identity())
        return hashlib.sha256(tomli_w.dumps(former).encode()).hexdigest()


def load_settings(name_or_path: str, changes: Mapping[str, Any] | None = None) -> TrainingSettings:
    """Read settings by their name, or from a TOML file of one's own.

    Args:
        name_or_path: one of `SHIPPED`, or a path.
        changes: tables and values that go before those of the file.

    Raises:
        UsageError: neither, or a setting that does not exist or fit.
    """
    return settings_from(read_table(name_or_path), name_or_path, changes)


def read_table(name_or_path: str) -> Table:
    """The TOML of shipped settings or of a file. Raises `UsageError` where there is none."""
    try:
        if name_or_path in (*SHIPPED, FINETUNE, FINETUNE_HEART):
            text = (files("mureg") / "data" / "training" / f"{name_or_path}.toml").read_text(encoding="utf-8")
        else:
            text = read_text(Path(name_or_path))
        return current_table(tomllib.loads(text))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise UsageError(
            f"no training settings in {name_or_path} ({_reason(problem)})",
            f"one of {', '.join(SHIPPED)}, or the path of a TOML file",
            "start from a settings.toml that mureg wrote",
        ) from problem


def current_table(table: Table) -> Table:
    """Training settings that mureg 0.1.0 wrote, with the names of now."""
    return _for_each_sort(with_current_names, table)


def settings_from(table: Table, where: str, changes: Mapping[str, Any] | None = None) -> TrainingSettings:
    """Settings from tables. Raises `UsageError` that names the first mistake."""
    return validated(TrainingSettings, {**table, **(changes or {})}, f"training settings {Path(where).name}")


def table_with(table: Table, changes: Sequence[str]) -> Table:
    """A table of training settings with changes such as ``epochs=5``; of epochs and samples the changed one counts."""
    new_table = with_changes(table, changes)
    names = {split_change(change)[0][0] for change in changes}
    for setting, other_setting in (("epochs", "samples"), ("samples", "epochs")):
        if setting in names and other_setting not in names:
            new_table.pop(other_setting, None)
    return new_table


def as_table(settings: TrainingSettings) -> Table:
    """Every setting, defaults included, as TOML knows it; the one of epochs and samples that counts."""
    table: Table = _plain({**asdict(settings), "network": NETWORK_CATALOGUE.table_of(settings.network)})
    return {
        name: value for name, value in table.items() if not (name in ("epochs", "samples", "licence") and not value)
    }


def as_toml(settings: TrainingSettings) -> str:
    """`as_table` as text that `load_settings` reads back."""
    return tomli_w.dumps(as_table(settings))


def _plain(value: Any) -> Any:
    """Tuples as lists, nothing that TOML lacks."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _for_each_sort(rename: Callable[[Table, str], Table], table: Table) -> Table:
    """The tables whose names have changed, each renamed; anything that is no table is returned unchanged."""
    return {
        name: rename(value, name) if name in ("input", "loss") and isinstance(value, dict) else value
        for name, value in table.items()
    }


def _reason(problem: Exception) -> str:
    """Why a file could not be read, in one line."""
    return str(problem.strerror if isinstance(problem, OSError) else problem).splitlines()[0]
