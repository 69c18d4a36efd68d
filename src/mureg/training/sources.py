"""Where cases come from: a cohort that mureg simulated, or a hospital's list of pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mureg.assessment.move import HEART_RADIUS_MM
from mureg.cohort.store.cohort import Cohort, StoredCase, place_of, places_of
from mureg.errors import UsageError
from mureg.geometry import RigidTransform
from mureg.heart.find import find_left_ventricle
from mureg.io import read_study, read_transform
from mureg.io.transforms import decision_in
from mureg.io.worklist.csv_list import pairs_in_list
from mureg.io.worklist.entry import WorklistEntry as ListedStudy
from mureg.pipeline import prepare
from mureg.spect import Acquisition
from mureg.study import attenuation_maps
from mureg.training.examples import ExampleSource, TrainingPair, ball


@dataclass(frozen=True)
class CohortCase:
    """Training case from a stored cohort of virtual patients."""

    stored: StoredCase
    aligned: bool = False

    @property
    def name(self) -> str:
        """Name of the case inside its cohort."""
        return self.stored.name

    @property
    def patient(self) -> str:
        """Pseudonym of the virtual patient."""
        return self.stored.patient

    def fingerprint(self) -> str:
        """The hash that the store keeps of its arrays."""
        return str(self.stored.header["arrays_sha256"])

    def read(self) -> TrainingPair:
        """The uncorrected SPECT, the map of the body without the table, the true pose, points of heart and liver."""
        spect = self.stored.uncorrected
        body = attenuation_maps(self.stored.ct, spect.grid)[0].body
        heart = self.stored.array("truth.heart_points_mm")
        liver = "truth.liver_points_mm"
        liver_points = self.stored.array(liver) if liver in self.stored.arrays else None
        return TrainingPair(spect, body, self.stored.ct_from_spect, heart, liver_points)


@dataclass(frozen=True)
class ListedPair:
    """A study of a list.

    Attributes:
        listed: its SPECT, and CT or map; its transform holds ``ct_from_spect``, without one the pair counts as aligned.
        patient: its pseudonym.
    """

    listed: ListedStudy
    patient: str

    @property
    def name(self) -> str:
        """Name of the study in the list."""
        return self.listed.name

    @property
    def aligned(self) -> bool:
        """Whether no transform is given."""
        return self.listed.transform is None

    def fingerprint(self) -> str:
        """Hash over every byte of its files."""
        digest = hashlib.sha256()
        for what in ("spect", "ct", "mu", "transform"):
            path = getattr(self.listed, what)
            if path is not None:
                files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
                digest.update(what.encode())
                for file in files:
                    with file.open("rb") as stream:
                        digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    def read(self) -> TrainingPair:
        """Read both; projections are reconstructed without correction.

        The heart is a ball around the left ventricle that `find_left_ventricle` finds in the SPECT; where it finds
        none, around the centre of the grid.

        Raises:
            UsageError: a ``registration.json`` whose decision is review, which nobody has trusted yet.
        """
        listed, transform = self.listed, self.listed.transform
        assert listed.spect is not None
        if transform is not None and decision_in(transform) == "review":
            raise UsageError(
                f"{listed.where}: {transform.name} states the decision review",
                "a transform that somebody trusts",
                "check the pose by eye and give the transform that was approved, as .tfm or DICOM Spatial Registration",
            )
        series = listed.spect_series, listed.ct_series
        study = read_study(listed.spect, ct=listed.ct, mu=listed.mu, spect_series=series[0], ct_series=series[1])
        emission = study.spect if isinstance(study.spect, Acquisition) else study.spect.grid
        frames = emission.frame_of_reference, study.attenuation_volume.grid.frame_of_reference
        pose = RigidTransform.identity() if transform is None else read_transform(transform, frames).ct_from_spect
        prepared = prepare(study)
        heart = find_left_ventricle(prepared.uncorrected)
        points = np.asarray(heart.centre_mm) + ball(256, HEART_RADIUS_MM)  # as many as a case of a cohort has
        return TrainingPair(prepared.uncorrected, prepared.body, pose, points)


def open_sources(path: Path | str) -> list[ExampleSource]:
    """The cases of a cohort's folder, or the pairs of a CSV file.

    Raises:
        UsageError: neither; a list without the columns it needs, or with files that are missing.
        UnreadableInputError: no cases in the folder.
    """
    path = Path(path)
    if path.is_dir():
        return [CohortCase(stored) for stored in Cohort.open(path)]
    if path.is_file():
        return list(_listed(path))
    raise UsageError(
        f"no folder or file named {path.name or path}", "a cohort's folder or a CSV file of pairs", "check the path"
    )


def files_of_list(path: Path) -> list[Path]:
    """Every file and folder that a list of pairs names."""
    places = (place for pair in pairs_in_list(path) for place in (pair.spect, pair.ct, pair.mu, pair.transform))
    return [place for place in places if place is not None]


def split_by_patient(
    sources: Sequence[ExampleSource], shares: tuple[float, float, float], seed: int
) -> tuple[list[ExampleSource], list[ExampleSource]]:
    """The cases for training and for validation; those for testing are left alone.

    Which set a patient belongs to is what `Cohort.split` says of the pseudonym.

    Raises:
        UsageError: a set that would be empty.
    """
    places = places_of([source.patient for source in sources], shares, seed)
    train, validation = ([s for s, k in zip(sources, places, strict=True) if k == number] for number in (0, 1))
    for what, cases in (("training", train), ("validation", validation)):
        if not cases:
            raise UsageError(
                f"no patient of {len({s.patient for s in sources})} falls into the set for {what}",
                "at least one",
                "give more patients, other shares or another split_seed, or name train and validation yourself",
            )
    return train, validation


def hold_out(
    sources: Sequence[ExampleSource], share: float, seed: int
) -> tuple[list[ExampleSource], list[ExampleSource]]:
    """Cases to train on and cases held out, by patient: of few patients, too, the share is held out, at least one.

    Raises:
        UsageError: fewer than two patients.
    """
    patients = sorted({source.patient for source in sources}, key=lambda patient: place_of(patient, seed))
    if len(patients) < 2:
        raise UsageError(
            f"cases of {len(patients)} patient", "two patients or more, one of them held out", "give more pairs"
        )
    chosen = set(patients[: min(len(patients) - 1, max(1, round(share * len(patients))))])
    return [s for s in sources if s.patient not in chosen], [s for s in sources if s.patient in chosen]


def _listed(path: Path) -> list[ListedPair]:
    pairs = []
    for study in pairs_in_list(path):
        patient = study.pseudonym or study.patient
        if not patient:
            raise UsageError(
                f"{study.where} of {path.name} names no patient, nor does its SPECT",
                "a pseudonym in the column 'patient', so that no patient is split between sets",
                "fill the column",
            )
        pairs.append(ListedPair(study, patient))
    return pairs
