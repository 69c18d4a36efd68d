"""Crops of a department's own cases: pairs of studies with a transform that somebody trusts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mureg.errors import MuregError, UsageError
from mureg.files.atomic import writing
from mureg.registration.inputs import InputGrid
from mureg.training.examples import ExampleSource
from mureg.training.heart.crops import crops_at
from mureg.training.heart.recipe import CropSet

CROPS = CropSet("own", {"own": 1})
"""How crops of own cases are drawn: as those of the last stage of the shipped networks, which begin from them."""
_STREAM = 11
"""First number of the seed of every case; the second comes from its files. Any number would do."""


@dataclass(frozen=True)
class OwnCrops:
    """The crops of one case; travels to other processes.

    Attributes:
        source: the case.
        grid: lattice of a crop.
        folder: of the crops.
        fingerprint: of the files of the case.
    """

    source: ExampleSource
    grid: InputGrid
    folder: Path
    fingerprint: str

    @property
    def path(self) -> Path:
        """File of the crops, named after the case and all that they depend on."""
        words = json.dumps([self.fingerprint, self.grid.shape, self.grid.spacing_mm, CROPS.per_case])
        return self.folder / f"{self.source.name}-{hashlib.sha256(words.encode()).hexdigest()[:12]}.npz"


def draw_own_crops(task: OwnCrops) -> str:
    """Draw and store the crops of a case, unless that is done.

    Returns:
        "", or why there are none.

    Raises:
        UsageError: a transform that nobody has trusted; the folder cannot be written.
    """
    if task.path.exists():
        return ""
    try:
        pair = task.source.read()
        chance = np.random.default_rng([_STREAM, int(task.fingerprint[:15], 16)])
        truth = pair.ct_from_spect, pair.heart_mm
        arrays = crops_at(pair.spect, pair.mu, truth, chance, CROPS, task.grid)
    except UsageError:
        raise
    except MuregError as problem:
        return f"{task.source.name}: {problem}"
    content: dict[str, Any] = {name: np.array(values) for name, values in arrays.items()}
    with writing(task.path) as scratch, scratch.open("wb") as file:
        np.savez(file, **content, patient=task.source.patient)
    return ""
