"""Errors of the registrar near-heart on unseen cases, one row a case."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mureg.attenuation.maps import AttenuationMap
from mureg.errors import MuregError, UnreadableInputError, UsageError
from mureg.files.atomic import writing
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import triple
from mureg.geometry.target_error import target_registration_error_mm
from mureg.recon import Osem
from mureg.registration import NearHeart
from mureg.registration.confidence import heart_bound_mm, settings_sha256
from mureg.study import PreparedStudy, attenuation_maps
from mureg.training.examples import TrainingPair
from mureg.training.heart.cases import NumberedCase

RESIDUALS = tuple(f"residual_{axis}_{unit}" for unit in ("mm", "deg") for axis in "xyz")
COLUMNS = (
    *("case", "unregistered_mm", "heart_mm", *RESIDUALS, "heart_arm_mm"),
    *("spread_mm", "turned_deg", "dispersion_mm", "disagreement_mm", "bound_mm", "seconds"),
)
"""Of each case: target registration error over the heart before and after; rigid parameters about the heart of the
motion that is missing after registration; root mean square distance of the heart's points from an axis of rotation;
what the registrar reports of itself; the bound by the card in use; processor time (s)."""

DEFAULT, QUICK = "default", "quick"
MODES = (DEFAULT, QUICK)

_DIGITS = 4
"""Decimals of a row: a ten-thousandth of a mm, a degree or a second, less than any error matters by."""

Row = tuple[Any, ...]


@dataclass(frozen=True)
class ErrorTask:
    """One case to register in one mode; travels to other processes.

    Attributes:
        case: unseen by training.
        weights: of the networks.
        mode: `DEFAULT` or `QUICK`.
        training_patients: pseudonyms of the patients whose crops trained or chose the networks.
    """

    case: NumberedCase
    weights: Path
    mode: str
    training_patients: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ErrorResult:
    """A row of errors, or why there is none.

    Attributes:
        task: what was done.
        row: values of `COLUMNS`; empty for a refused case.
        refusal: one sentence; "" where there is a row.
    """

    task: ErrorTask
    row: Row = ()
    refusal: str = ""


def measure_error(task: ErrorTask) -> ErrorResult:
    """Register one case and compare with the truth.

    Raises:
        UsageError: the case is neither stored nor to be simulated, or of a patient whose crops were trained on.
    """
    try:
        case = task.case.read()
        if case.study.patient in task.training_patients:
            raise UsageError(
                f"case {case.name} is of {case.study.patient}, on whose crops the networks were trained",
                "patients that the networks have not seen",
                "choose other cases for the calibration, or for the crops",
            )
        body = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0].body
        pair = TrainingPair(case.uncorrected, body, case.truth.ct_from_spect, case.truth.heart_points_mm)
        row = error_row(task.case.name, pair, registrar_of(task.weights, task.mode))
    except UsageError:
        raise
    except MuregError as problem:
        return ErrorResult(task, refusal=f"{task.case.name}: {problem}")
    return ErrorResult(task, row)


def registrar_of(weights: Path | str, mode: str) -> NearHeart:
    """The registrar that is calibrated, in one of `MODES`."""
    registrar = NearHeart(weights=str(weights))
    return registrar.quick_mode() if mode == QUICK else registrar


def error_row(name: str, pair: TrainingPair, registrar: NearHeart) -> Row:
    """The values of `COLUMNS` for one case.

    Raises:
        RegistrationError: no result that could be trusted.
    """
    start = time.process_time()
    registration = registrar.register(PreparedStudy.from_images(pair.spect, pair.mu))
    seconds, pose, evidence = time.process_time() - start, registration.ct_from_spect, registration.evidence
    truth, points = pair.ct_from_spect, pair.heart_mm
    errors = [target_registration_error_mm(transform, truth, points) for transform in (RigidTransform.identity(), pose)]
    shift, angles = (pose.inverse() @ truth).six(triple(points.mean(0)))
    arm_mm = np.sqrt(2 / 3 * ((points - points.mean(0)) ** 2).sum(1).mean())
    own_figures = (evidence[key] for key in ("spread_of_crops_mm", "turned_deg", "dispersion_mm", "disagreement_mm"))
    bound_mm = float("nan") if registration.covariance is None else heart_bound_mm(registration, points)
    figures = *errors, *shift, *angles, arm_mm, *own_figures, bound_mm, seconds
    return name, *(round(float(value), _DIGITS) for value in figures)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a file of rows, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    with writing(path) as scratch:
        scratch.write_text(text.getvalue(), "utf-8")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file by column; none where there is no file.

    Raises:
        UnreadableInputError: other columns, or a row that is cut short or holds no number where one must be.
    """
    if not path.exists():
        return []
    try:
        reader = csv.DictReader(path.read_text("utf-8").splitlines(), strict=True)
        rows = list(reader)
        complete = tuple(reader.fieldnames or ()) == COLUMNS
        for row in rows:
            numbers = [float(row[name]) for name in COLUMNS[1:]]
            complete = complete and len(numbers) == len(row) - 1
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as problem:
        raise _no_rows(path) from problem
    if not complete:
        raise _no_rows(path)
    return rows


def _no_rows(path: Path) -> UnreadableInputError:
    return UnreadableInputError(
        f"{path.name} holds no rows of errors",
        f"a CSV file with the columns {', '.join(COLUMNS)}",
        "measure them again",
    )


def settings_fingerprints() -> dict[str, str]:
    """SHA-256 of the settings that errors are measured with: of the registrar in both modes and what precedes it."""
    return {
        **{mode: registrar_of("", mode).settings_sha256() for mode in MODES},
        "attenuation": settings_sha256(asdict(AttenuationMap())),
        "reconstructor": settings_sha256(asdict(Osem())),
    }
