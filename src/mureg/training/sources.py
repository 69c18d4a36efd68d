"""Where cases come from: a cohort that mureg simulated, or a hospital's list of pairs."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mureg.cohort.store.cohort import Cohort, StoredCase, places_of
from mureg.errors import UnreadableInputError, UsageError
from mureg.geometry import RigidTransform
from mureg.heart.find import find_left_ventricle
from mureg.io import read_study, read_transform
from mureg.recon.images import reconstruct
from mureg.spect import Acquisition
from mureg.spect.physics import WITHOUT
from mureg.study import attenuation_maps
from mureg.training.examples import Pair, Source, ball

HEART_RADIUS_MM = 45.0
"""Around a left ventricle that was found: about a heart without its great vessels."""

COLUMNS = ("spect", "ct", "mu", "transform", "patient")


@dataclass(frozen=True)
class CohortCase:
    """A simulated case."""

    stored: StoredCase
    aligned: bool = False

    @property
    def name(self) -> str:
        """Of the case inside its cohort."""
        return self.stored.name

    @property
    def patient(self) -> str:
        """Its pseudonym."""
        return self.stored.patient

    def fingerprint(self) -> str:
        """The hash that the store keeps of its arrays."""
        return str(self.stored.header["arrays_sha256"])

    def read(self) -> Pair:
        """The uncorrected SPECT, the map of the body without the table, the true pose, points of heart and liver."""
        spect = self.stored.uncorrected
        body = attenuation_maps(self.stored.ct, spect.grid)[0].body
        heart = self.stored.array("truth.heart_points_mm")
        liver = "truth.liver_points_mm"
        known = self.stored.array(liver) if liver in self.stored.arrays else None
        return Pair(spect, body, self.stored.ct_from_spect, heart, known)


@dataclass(frozen=True)
class ListedPair:
    """A line of a list of pairs.

    Attributes:
        name: line of the list.
        patient: its pseudonym.
        spect: projections or a reconstructed volume, DICOM or NIfTI.
        ct, mu: one of them.
        transform: ``ct_from_spect`` as .tfm or JSON; without it the pair counts as aligned.
    """

    name: str
    patient: str
    spect: Path
    ct: Path | None
    mu: Path | None
    transform: Path | None

    @property
    def aligned(self) -> bool:
        """Whether no transform is given."""
        return self.transform is None

    def fingerprint(self) -> str:
        """Hash over every byte of its files."""
        said = hashlib.sha256()
        for what, path in (("spect", self.spect), ("ct", self.ct), ("mu", self.mu), ("transform", self.transform)):
            if path is not None:
                files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
                said.update(what.encode())
                for file in files:
                    with file.open("rb") as stream:
                        said.update(hashlib.file_digest(stream, "sha256").digest())
        return said.hexdigest()

    def read(self) -> Pair:
        """Read both; projections are reconstructed without correction.

        The heart is a ball around the left ventricle that `find_left_ventricle` finds in the SPECT; where it finds
        none, around the centre of the grid.
        """
        study = read_study(self.spect, ct=self.ct, mu=self.mu)
        spect = reconstruct(study.spect, None, physics=WITHOUT) if isinstance(study.spect, Acquisition) else study.spect
        body = attenuation_maps(study.attenuation, spect.grid)[0].body
        pose = RigidTransform.identity() if self.transform is None else read_transform(self.transform).ct_from_spect
        heart = find_left_ventricle(spect)
        return Pair(spect, body, pose, np.asarray(heart.centre_mm) + ball(256, HEART_RADIUS_MM))


def open_sources(path: Path | str) -> list[Source]:
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
    pairs = _listed(path)
    return [place for pair in pairs for place in (pair.spect, pair.ct, pair.mu, pair.transform) if place is not None]


def split_by_patient(
    sources: Sequence[Source], shares: tuple[float, float, float], seed: int
) -> tuple[list[Source], list[Source]]:
    """The cases for training and for validation; those for testing are left alone.

    Which set a patient belongs to is what `Cohort.split` says of the pseudonym.

    Raises:
        UsageError: a set that would be empty.
    """
    places = places_of([source.patient for source in sources], shares, seed)
    train, validation = ([s for s, k in zip(sources, places, strict=True) if k == number] for number in (0, 1))
    for what, chosen in (("training", train), ("validation", validation)):
        if not chosen:
            raise UsageError(
                f"no patient of {len({s.patient for s in sources})} falls into the set for {what}",
                "at least one",
                "give more patients, other shares or another split_seed, or name train and validation yourself",
            )
    return train, validation


def _listed(path: Path) -> list[ListedPair]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise UnreadableInputError(
            f"{path.name} is no readable list ({type(problem).__name__})", "a CSV file in UTF-8", "save it again"
        ) from problem
    if not lines:
        raise UsageError(f"{path.name} lists no pairs", "one line for each pair", "fill it")
    unknown = [name for name in lines[0] if name not in COLUMNS]
    missing = [name for name in ("spect", "patient") if name not in lines[0]]
    if unknown or missing:
        raise UsageError(
            f"{path.name} has {f'a column {unknown[0]!r}' if unknown else f'no column {missing[0]!r}'}",
            f"the columns {', '.join(COLUMNS)}, of which ct or mu and transform may be missing",
            "correct the first line",
        )
    return [_pair(line, number, path) for number, line in enumerate(lines, 2)]


def _pair(line: dict[str, str], number: int, of: Path) -> ListedPair:
    said = {name: (line.get(name) or "").strip() for name in COLUMNS}
    if not said["spect"] or not said["patient"] or bool(said["ct"]) == bool(said["mu"]):
        raise UsageError(
            f"line {number} of {of.name} is incomplete",
            "spect, patient, and one of ct and mu",
            "fill the line",
        )
    files = {name: (of.parent / said[name]) if said[name] else None for name in ("spect", "ct", "mu", "transform")}
    for name, file in files.items():
        if file is not None and not file.exists():
            raise UsageError(
                f"line {number} of {of.name} names a {name} that is not there ({file.name})",
                "paths from the folder of the list",
                "correct the line",
            )
    spect = files["spect"]
    assert spect is not None
    return ListedPair(f"line-{number}", said["patient"], spect, files["ct"], files["mu"], files["transform"])
