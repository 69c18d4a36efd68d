"""The log of a training run: a CSV file, one row an epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from mureg.errors import UnreadableInputError
from mureg.files.atomic import writing

CSV = "log.csv"


@dataclass(frozen=True)
class EpochRow:
    """One epoch.

    Attributes:
        epoch: from 1.
        samples: cases seen so far, repetitions counted.
        seconds: of training and validation so far, in all sittings.
        data_seconds: of this epoch, spent on making batches.
        cases_per_second: of this epoch's training.
        learning_rate, loss: of this epoch; the mean over its cases while the weights moved.
        clock: seconds since 1970 at its end.
        validation_loss: None where it was not validated, as for what follows.
        heart_mm, heart_median_mm: target registration error over the heart, mean and median over the cases.
        share_above_pixel: share of cases in which it exceeds 6.8 mm.
        shift_mm, angle_deg: mean absolute error of a component, over cases and axes.
    """

    epoch: int
    samples: int
    seconds: float
    data_seconds: float
    cases_per_second: float
    learning_rate: float
    loss: float
    clock: float
    validation_loss: float | None = None
    heart_mm: float | None = None
    heart_median_mm: float | None = None
    share_above_pixel: float | None = None
    shift_mm: float | None = None
    angle_deg: float | None = None


def write_log(rows: Sequence[EpochRow], folder: Path) -> None:
    """Write the file anew, whole or not at all: a run that goes on leaves no epoch out and none twice."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow([field.name for field in fields(EpochRow)])
    out.writerows(["" if value is None else repr(value) for value in astuple(row)] for row in rows)
    with writing(folder / CSV) as scratch:
        scratch.write_text(text.getvalue(), "utf-8")


def read_log(folder: Path, until: int) -> list[EpochRow]:
    """The rows of the epochs up to one. Raises `UnreadableInputError` where they are not there."""
    try:
        with (folder / CSV).open(newline="", encoding="utf-8") as file:
            rows = [_row(line) for line in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise UnreadableInputError(
            f"{CSV} of {folder.name} cannot be read ({type(problem).__name__})",
            "the file as mureg train wrote it",
            "train in another folder",
        ) from problem
    return [row for row in rows if row.epoch <= until]


def _row(line: dict[str, str]) -> EpochRow:
    whole = ("epoch", "samples")
    return EpochRow(**{name: int(cell) if name in whole else float(cell) for name, cell in line.items() if cell})  # type: ignore[arg-type]
