"""Stored training cases (`mureg.training.heart.emissions`) for networks whose input is the whole field."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mureg.cohort.folds import fold_of
from mureg.errors import UsageError
from mureg.training.examples import TrainingPair
from mureg.training.heart.crops import crop_files
from mureg.training.heart.emissions import read_emission, read_patient


@dataclass(frozen=True)
class EmissionWithCt:
    """A stored emission with one of its CTs, as a case to train on.

    Attributes:
        path: file of the emission.
        number: of the CT, from 0.
        patient: pseudonym.
    """

    path: Path
    number: int
    patient: str
    aligned: bool = False

    @property
    def name(self) -> str:
        """Name of the file and number of the CT."""
        return f"{self.path.stem}/{self.number}"

    def fingerprint(self) -> str:
        """Hash over the bytes of the file and the number of the CT."""
        with self.path.open("rb") as file:
            return f"{hashlib.file_digest(file, 'sha256').hexdigest()} {self.number}"

    def read(self) -> TrainingPair:
        """See `ExampleSource.read`. Raises `UnreadableInputError` for a damaged file."""
        emission = read_emission(self.path)
        ct = emission.cts[self.number]
        points = emission.heart_points_mm, emission.liver_points_mm
        return TrainingPair(emission.uncorrected, ct.body, ct.ct_from_spect, *points)


def cases_outside_fold(folder: Path, left_out_fold: int, cts: int) -> list[EmissionWithCt]:
    """Every stored case but those of the anatomies of a fold, once for each of its CTs.

    Args:
        folder: of the stored cases.
        left_out_fold: number of the fold (`mureg.cohort.folds`), from 0.
        cts: number of CTs of each emission.

    Raises:
        UsageError: no cases outside the fold, or a patient in none of the folds.
        UnreadableInputError: a damaged file.
    """
    return [case for case in _cases(crop_files(folder), cts, folder) if fold_of(case.patient) != left_out_fold]


def _cases(files: Sequence[Path], cts: int, folder: Path) -> list[EmissionWithCt]:
    cases = [EmissionWithCt(path, number, patient) for path, patient in _patients(files) for number in range(cts)]
    if not cases:
        raise UsageError(
            f"no training cases in {folder.name}",
            "files that benchmarks/evidence/population.py wrote",
            "make some, or check the path",
        )
    return cases


def _patients(files: Sequence[Path]) -> list[tuple[Path, str]]:
    return [(path, read_patient(path)) for path in files]
