"""The folder of measured errors: rows by group and mode, refused cases, and the settings they were measured with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mureg.errors import UsageError
from mureg.files.atomic import writing
from mureg.files.settings import differences, read_json
from mureg.registration.card import Card
from mureg.training.heart.calibration import StatedCovariance, stated_covariance
from mureg.training.heart.cases import CaseStore
from mureg.training.heart.errors import (
    COLUMNS,
    DEFAULT,
    MODES,
    QUICK,
    ErrorResult,
    ErrorTask,
    Row,
    read_rows,
    write_rows,
)
from mureg.training.heart.recipe import Calibration

SETTINGS, REFUSALS = "settings.json", "refusals.json"
WEIGHTS = "weights_sha256"
"""Among the fingerprints of the settings: which networks were measured."""


@dataclass
class ErrorBook:
    """Rows as they are measured; every result is on the disk before the next one.

    Attributes:
        folder: of the errors.
        calibration: which cases.
        refusals: why a case has no row, by mode and case.
    """

    folder: Path
    calibration: Calibration
    refusals: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = self.folder / REFUSALS
        self.refusals = read_json(path) if path.exists() else {mode: {} for mode in MODES}

    def begin(self, fingerprints: dict[str, str]) -> None:
        """Note with which networks and settings errors are measured.

        Raises:
            UsageError: the rows that are there were measured with others.
        """
        path = self.folder / SETTINGS
        for name, stored_value, _ in differences(read_json(path), fingerprints) if path.exists() else ():
            raise UsageError(
                f"the rows in {self.folder.name} were measured with another {name} ({stored_value})",
                "one set of networks and settings for all rows",
                f"remove the folder {self.folder.name} to measure them again, or choose another output",
            )
        _write(path, fingerprints)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the networks and settings that the rows were measured with. Raises `UnreadableInputError` without any."""
        return {name: str(value) for name, value in read_json(self.folder / SETTINGS).items()}

    def path(self, group: str, mode: str) -> Path:
        """File of the rows of a group."""
        return self.folder / f"{'quick-' if mode == QUICK else ''}{group}.csv"

    def paths(self, mode: str) -> list[Path]:
        """The files of a mode, one a group."""
        return [self.path(group.population, mode) for group in self.calibration.groups]

    def covariance(self, mode: str) -> StatedCovariance:
        """The covariance of a mode that follows from the rows; see `stated_covariance` for what is refused."""
        calibration = self.calibration
        dispersion_mm = calibration.quick_dispersion_mm if mode == QUICK else calibration.dispersion_mm
        return stated_covariance(self.paths(mode), dispersion_mm, calibration.group_share)

    def stated_on(self, card: Card) -> Card:
        """A card with the covariances of both modes and the settings that they were measured with."""
        fingerprints = self.fingerprints
        fingerprints.pop(WEIGHTS, None)
        return replace(
            card,
            errors=self.covariance(DEFAULT).matrix,
            errors_grow_mm=self.calibration.dispersion_mm,
            quick_errors=self.covariance(QUICK).matrix,
            quick_errors_grow_mm=self.calibration.quick_dispersion_mm,
            calibrated_for=fingerprints,
        )

    def tasks(self, store: CaseStore, weights: Path, training_patients: frozenset[str]) -> list[ErrorTask]:
        """Registrations that are not measured yet."""
        tasks = []
        for group in self.calibration.groups:
            for mode in MODES:
                names = {row["case"] for row in read_rows(self.path(group.population, mode))} | set(self.refusals[mode])
                cases = store.cases(group.population, group.numbers)
                tasks += [ErrorTask(case, weights, mode, training_patients) for case in cases if case.name not in names]
        return tasks

    def add(self, result: ErrorResult) -> None:
        """Store a result; rows are in the order of the cases, whichever ended first."""
        task = result.task
        if result.refusal:
            self.refusals[task.mode][task.case.name] = result.refusal
            _write(self.folder / REFUSALS, self.refusals)
            return
        path = self.path(task.case.population, task.mode)
        rows: list[Row] = [tuple(row[name] for name in COLUMNS) for row in read_rows(path)]
        write_rows(path, sorted([*rows, result.row], key=lambda row: str(row[0])))


def _write(path: Path, table: dict[str, Any]) -> None:
    with writing(path) as scratch:
        scratch.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", "utf-8")
