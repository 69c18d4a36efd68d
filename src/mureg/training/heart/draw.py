"""Drawing of the crops of a recipe, one file a case: of a case of a cohort, or of a stored training case."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mureg.errors import MuregError, UsageError
from mureg.files.atomic import writing
from mureg.registration.inputs import InputGrid
from mureg.study import Case, attenuation_maps
from mureg.training.heart.cases import CaseStore, NumberedCase
from mureg.training.heart.crops import Arrays, crops_at
from mureg.training.heart.emissions import emission_crops, read_emission
from mureg.training.heart.recipe import CropSet

_STREAM = 7
"""First number of the seed of every case; the second is the number of the case, as in the shipped networks.

Any number would do; with another one no crop of the shipped networks could be drawn again."""


@dataclass(frozen=True)
class CropTask:
    """The crops at one case; travels to other processes.

    Attributes:
        case: at which they are drawn.
        settings: of the crop set.
        grid: lattice of a crop.
        folder: of the crop set.
    """

    case: NumberedCase
    settings: CropSet
    grid: InputGrid
    folder: Path

    @property
    def path(self) -> Path:
        """File of the crops."""
        return self.folder / f"{self.case.name}.npz"

    @property
    def refusal(self) -> Path:
        """File that says why there are no crops of this case."""
        return self.folder / f"{self.case.name}.refused.txt"

    @property
    def is_finished(self) -> bool:
        """Whether the crops are there, or a refusal."""
        return self.path.exists() or self.refusal.exists()


def crop_tasks(settings: CropSet, grid: InputGrid, store: CaseStore, folder: Path) -> list[CropTask]:
    """One task for each case, by number, so that a run that ends early has some of each population."""
    cases = [case for name in settings.populations for case in store.cases(name, settings.numbers(name))]
    return [CropTask(case, settings, grid, folder) for case in sorted(cases, key=lambda case: case.number)]


def draw_crops(task: CropTask) -> str:
    """Draw and store the crops at one case, unless that is done.

    Returns:
        "", or why there are none, which is stored too.

    Raises:
        UsageError: the case is neither stored nor to be simulated; the folder cannot be written.
    """
    if task.is_finished:
        return ""
    try:
        patient, arrays = _crops(task)
    except UsageError:
        raise
    except MuregError as problem:
        sentence = f"{task.case.name}: {problem}"
        with writing(task.refusal) as scratch:
            scratch.write_text(sentence + "\n", "utf-8")
        return sentence
    content: dict[str, Any] = {name: np.array(values) for name, values in arrays.items()}
    content["patient"] = patient
    with writing(task.path) as scratch, scratch.open("wb") as file:
        np.savez(file, **content)
    return ""


def crops_of(case: Case, number: int, settings: CropSet, grid: InputGrid) -> Arrays:
    """The crops at a case by the names of the arrays; the same settings and number give the same crops.

    Raises:
        MuregError: the map or the pose of mutual information is refused.
    """
    body = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0].body
    chance = np.random.default_rng([_STREAM, number])
    truth = case.truth.ct_from_spect, case.truth.heart_points_mm
    return crops_at(case.uncorrected, body, truth, chance, settings, grid)


def _crops(task: CropTask) -> tuple[str, Arrays]:
    """The patient, and the crops."""
    if task.case.emission is not None:
        emission = read_emission(task.case.emission)
        return emission.patient, emission_crops(emission, _STREAM, task.settings, task.grid)
    case = task.case.read()
    return case.study.patient, crops_of(case, task.case.number, task.settings, task.grid)
