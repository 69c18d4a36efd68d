"""The results that a review is about: what the program found, and where the study itself lies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mureg.assessment.move import Move
from mureg.errors import UnreadableInputError, UsageError
from mureg.files.settings import Table, read_json
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple, triple
from mureg.heart.ventricle import USUAL_WALL_MM, LeftVentricle
from mureg.io.worklist.entry import WorklistEntry
from mureg.service.trail_entry import StudyKey

RESULT, STUDIES, REVIEWED = "registration.json", "studies", "reviewed"
_WORST_FIRST = ("review", "moved", "by-hand", "aligned")


@dataclass(frozen=True)
class StudyInputs:
    """Where a study was read from; see `mureg.io.read_study`."""

    spect: Path
    ct: Path | None = None
    mu: Path | None = None
    spect_series: str | None = None
    ct_series: str | None = None

    @classmethod
    def of(cls, entry: WorklistEntry) -> StudyInputs | None:
        """Of an entry of a worklist; None where it has a problem."""
        if entry.problem or entry.spect is None:
            return None
        return cls(entry.spect, entry.ct, entry.mu, entry.spect_series, entry.ct_series)


@dataclass(frozen=True)
class ReviewStudy:
    """One result of the program.

    Attributes:
        name: of the study.
        folder: with the result; never changed but for `REVIEWED` in it.
        table: its ``registration.json``.
        inputs: where SPECT and CT lie; None where that is not known, and nothing can be reconstructed.
    """

    name: str
    folder: Path
    table: Table
    inputs: StudyInputs | None = None

    @property
    def decision(self) -> str:
        """Of the program."""
        return str(self.table.get("decision", ""))

    @cached_property
    def found(self) -> RigidTransform:
        """The pose that the program found, given out or not."""
        return RigidTransform(np.asarray(self.table["found"]["ct_from_spect"], dtype=np.float64))

    @property
    def is_phantom(self) -> bool:
        """Whether the CT was given as one of a test object."""
        return (self.table.get("provenance") or {}).get("phantom") is True

    @property
    def heart_mm(self) -> Triple:
        """About which moves are stated and the map is turned."""
        return triple(self.table["heart_mm"])

    @cached_property
    def ventricle(self) -> LeftVentricle | None:
        """The axis of the result; None where none was found."""
        axis = (self.table.get("perfusion") or {}).get("axis")
        if not axis:
            return None
        direction = np.asarray(axis["direction"], dtype=np.float64)
        direction /= np.linalg.norm(direction)
        wall = float(axis.get("wall_mm", USUAL_WALL_MM))
        return LeftVentricle(
            triple(axis["centre_mm"]), triple(direction), float(axis["length_mm"]), float(axis["radius_mm"]), wall
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the SPECT and the CT that the result was made from, whatever the pose."""
        sources = (self.table.get("provenance") or {}).get("sources") or []
        parts = sorted(f"{source['kind']} {source['sha256']}" for source in sources if source["kind"] != "transform")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def key(self) -> StudyKey:
        """By which the trail knows the study."""
        return self.name, self.fingerprint

    @property
    def move_found(self) -> Move:
        """Of the pose found, at the heart."""
        return Move.of(self.found, self.heart_mm)

    @property
    def order(self) -> tuple[int, float, str]:
        """Worst first: by decision, then by interval or move."""
        interval = (self.table.get("interval_90") or {}).get("heart_mm") or 0.0
        rank = _WORST_FIRST.index(self.decision) if self.decision in _WORST_FIRST else 0
        return rank, -max(float(interval), self.move_found.rms_mm), self.name


def results_at(paths: Sequence[Path], entries: Iterable[WorklistEntry] = ()) -> tuple[ReviewStudy, ...]:
    """Every result in single result folders, batch folders and folders of results, worst first.

    Args:
        paths: as they are given.
        entries: of a list or folder of studies, which say by name where SPECT and CT lie.

    Raises:
        UsageError: a path without a result.
        UnreadableInputError: a damaged result.
    """
    inputs = {entry.name: StudyInputs.of(entry) for entry in entries}
    folders: dict[Path, None] = {}
    for path in paths:
        below = path / STUDIES if (path / STUDIES).is_dir() else path
        places = [path] if (path / RESULT).is_file() else sorted(below.glob(f"*/{RESULT}"))
        own_folders = [place if place.is_dir() else place.parent for place in places]
        if not own_folders:
            raise UsageError(
                f"no result in {path.name}", "a result of mureg register, or the folder of a batch", "check the path"
            )
        folders |= dict.fromkeys(folder for folder in own_folders if folder.name != REVIEWED)
    studies = [_study(folder, inputs) for folder in folders]
    return tuple(sorted(studies, key=lambda study: study.order))


def _study(folder: Path, inputs: dict[str, StudyInputs | None]) -> ReviewStudy:
    table: dict[str, Any] = dict(read_json(folder / RESULT))
    name = folder.resolve().name
    study = ReviewStudy(name, folder, table, inputs.get(name))
    try:
        _ = study.found, study.heart_mm, study.ventricle, study.fingerprint, study.order
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise UnreadableInputError(
            f"{name}/{RESULT} lacks what a review needs ({type(problem).__name__})",
            "a result of this version of mureg register",
            "register the study again",
        ) from problem
    return study
