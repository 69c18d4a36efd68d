"""The settings of a comparison, and the file that says what made its figures."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

import mureg
from mureg.comparison.methods import Method
from mureg.comparison.peers import Ants, Elastix, Peer
from mureg.comparison.rows import Measurement
from mureg.errors import UsageError
from mureg.files.atomic import writing
from mureg.files.former_names import with_current_names, with_former_names
from mureg.files.settings import Table
from mureg.files.validation import validated, with_changes
from mureg.io.plain_text import read_text
from mureg.recon.catalogue import RECONSTRUCTION_CATALOGUE
from mureg.registration import Combination, GradientFields, MutualInformation, NearHeart, ProfileLikelihood, Registrar

FILE = "settings.toml"
Split = Literal["all", "train", "validation", "test"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Resampling:
    """Bootstrap for the confidence intervals.

    Attributes:
        level: confidence level (0 to 1).
        resamples: number of bootstrap resamples of the patients.
        seed: seed of the resamples.
    """

    # percentile intervals need a thousand resamples or more (Efron and Tibshirani 1993); the seed is a date
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    resamples: Annotated[int, Field(ge=100)] = 2000
    seed: Annotated[int, Field(ge=0)] = 20250301


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """Everything about a comparison but its cases and its learned networks.

    Attributes:
        measurement: measurement.
        resampling: intervals.
        mutual_information: method mutual-information.
        gradient_fields: method gradient-fields.
        near_heart: method near-heart.
        combination: method combination.
        projection: method projection.
        elastix: method elastix.
        ants: method ants.
    """

    measurement: Measurement = Measurement()
    resampling: Resampling = Resampling()
    mutual_information: MutualInformation = MutualInformation()
    gradient_fields: GradientFields = GradientFields()
    near_heart: NearHeart = NearHeart()
    combination: Combination = Combination()
    projection: ProfileLikelihood = ProfileLikelihood()
    elastix: Elastix = Elastix()
    ants: Ants = Ants()

    @property
    def registrars(self) -> dict[str, Registrar | Peer]:
        """The methods that need no weights, by name."""
        return {
            "mutual-information": self.mutual_information,
            "gradient-fields": self.gradient_fields,
            "near-heart": self.near_heart,
            "combination": self.combination,
            "projection": self.projection,
            "elastix": self.elastix,
            "ants": self.ants,
        }

    @property
    def measured_with(self) -> str:
        """Beginning of the hash of `measurement`; the names are those of mureg 0.1.0, whose tables go on."""
        table = with_former_names(as_table(self)["measurement"], "measurement")
        words = json.dumps(table, sort_keys=True, default=str)
        return hashlib.sha256(words.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Selection:
    """Which cases are measured.

    Attributes:
        split: all, or one of the sets into which patients fall by their pseudonym (`Cohort.split`).
        skip, limit: of each cohort's cases in it, how many to leave out at the beginning, and how many to take at most.
        images: for how many of them, the first ones, corrected images are reconstructed; None for all.
        classical: for how many of them, the first ones, the slow methods that need no weights are asked; None for all.
    """

    split: Split = "all"
    skip: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1)] | None = None
    images: Annotated[int, Field(ge=0)] | None = None
    classical: Annotated[int, Field(ge=1)] | None = None

    def asks(self, method: Method, number: int) -> bool:
        """Whether a method is asked about the case with this number among those chosen of its cohort."""
        return self.classical is None or number < self.classical or not method.classical


def read_settings(path: Path) -> Settings:
    """Settings from a file; what is left out keeps its default, entries about a run are ignored.

    Raises:
        UsageError: the file is missing or holds something that is no setting.
    """
    try:
        tables = tomllib.loads(read_text(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem).splitlines()[0]
        raise UsageError(
            f"settings file {path.name} cannot be used ({reason})",
            "a TOML file as mureg evaluate writes it beside its results",
            "correct it, or start from such a file",
        ) from problem
    table = {
        name: with_current_names(table, name.replace("_", "-")) if isinstance(table, dict) else table
        for name, table in tables.items()
        if name not in ("run", "methods")
    }
    return validated(Settings, table, f"settings file {path.name}")


def changed(settings: Settings, changes: Sequence[str], reconstructor: str | None = None) -> Settings:
    """Settings with another reconstruction, and with changes such as ``near_heart.passes=3``.

    Raises:
        UsageError: no such reconstruction, or a change that does not fit.
    """
    table = as_table(settings)
    if reconstructor is not None:
        RECONSTRUCTION_CATALOGUE.class_of(reconstructor)
        if table["measurement"]["reconstructor"]["kind"] != reconstructor:
            table["measurement"]["reconstructor"] = {"kind": reconstructor}
    return validated(Settings, with_changes(table, changes), "--set")


def as_table(settings: Settings) -> Table:
    """The settings as nested dictionaries."""
    table = asdict(settings)
    table["measurement"]["reconstructor"] = RECONSTRUCTION_CATALOGUE.table_of(settings.measurement.reconstructor)
    return table


def settings_toml(
    settings: Settings, methods: Sequence[Method], cohorts: Sequence[Path], selection: Selection, against: str
) -> str:
    """What made a result, as TOML; `read_settings` reads it back."""
    tables = as_table(settings)
    tables["run"] = {
        "mureg": mureg.__version__,
        "cohorts": [folder.resolve().name for folder in cohorts],
        "against": against,
        **{name: value for name, value in vars(selection).items() if value is not None and not name.startswith("_")},
    }
    tables["methods"] = [
        {"name": method.name, "settings": method.settings}
        | ({} if method.parameters is None else {"parameters": method.parameters})
        for method in methods
    ]
    return f"# A comparison by mureg {mureg.__version__}.\n\n{tomli_w.dumps(tables)}"


def write_settings(text: str, output: Path) -> str:
    """Write the file into a folder of results; return its SHA-256."""
    with writing(output / FILE) as scratch:
        scratch.write_text(text, "utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def refuse_other_measurement(output: Path, settings: Settings) -> None:
    """Refuse a folder whose figures were made otherwise: they could not stand in one table.

    Raises:
        UsageError: the settings there differ.
    """
    path = output / FILE
    if path.exists() and read_settings(path).measured_with != settings.measured_with:
        raise UsageError(
            f"{output.name} holds figures made with another [measurement]",
            "the same",
            "choose another output folder, or --settings with the file that lies there",
        )
