"""Folds of the anatomies: what is tested on an anatomy was made without any copy of it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from mureg.errors import UsageError
from mureg.simulate.ct_anatomy import patient_of

_TORSO = re.compile(r".*-(\d+)-patient-\d+")
"""Name of a drawn torso (`mureg.cohort.anatomies.patient_name`), with the seed of its population."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Fold:
    """Anatomies that are left out together.

    Attributes:
        anatomies: patients of the real CTs, by the name of the CT; a 4-D CT by its name without the phase.
        torso_seeds: seeds of populations whose drawn torsos are left out.
    """

    anatomies: Annotated[tuple[str, ...], Field(min_length=1)]
    torso_seeds: tuple[int, ...]

    def holds(self, patient: str) -> bool:
        """Whether a case of this patient, or a CT of this name, belongs to the fold."""
        torso = _TORSO.fullmatch(patient)
        return patient_of(patient) in self.anatomies if torso is None else int(torso[1]) in self.torso_seeds


def load_folds() -> tuple[Fold, ...]:
    """The shipped folds."""
    table = tomllib.loads(files("mureg").joinpath("data", "folds.toml").read_text(encoding="utf-8"))
    return TypeAdapter(tuple[Fold, ...]).validate_python(table["folds"])


def fold_of(patient: str, folds: Sequence[Fold] | None = None) -> int:
    """Number of the fold to which a case of this patient belongs, from 0.

    Raises:
        UsageError: a real CT that is in no fold, or a torso of another population.
    """
    numbers = [k for k, fold in enumerate(load_folds() if folds is None else folds) if fold.holds(patient)]
    if len(numbers) != 1:
        raise UsageError(
            f"patient {patient} in {len(numbers)} folds", "one fold", "use a population of data/folds.toml"
        )
    return numbers[0]
