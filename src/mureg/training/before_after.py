"""Errors of a registrar with two sets of weights on patients that were held out, and what follows from them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from mureg.errors import MuregError
from mureg.files.atomic import writing
from mureg.geometry import RigidTransform
from mureg.geometry.target_error import target_registration_error_mm
from mureg.registration import NetworkRegistrar
from mureg.study import PreparedStudy
from mureg.training.examples import ExampleSource

FILE = "held-out.csv"
LEAST_PATIENTS = 20
"""With fewer patients mureg finetune warns: the gain was shown with twenty (benchmarks/evidence/finetuning.py)."""
_DECIMALS = 4
"""Of a millimetre in the file: less than any error matters by."""


@dataclass(frozen=True)
class HeldOutError:
    """Target registration error over the heart of one case that was held out, mm.

    Attributes:
        case, patient: whose.
        unregistered_mm: at the scanner position.
        before_mm, after_mm: with the weights that training began from, and with those that it made. A registration
            that is refused counts with the error of the scanner position.
    """

    case: str
    patient: str
    unregistered_mm: float
    before_mm: float
    after_mm: float


def measured(
    sources: Sequence[ExampleSource], before: Path, after: Path, tell: Callable[[int, int], None]
) -> list[HeldOutError]:
    """Register each case with both weights. Raises `MuregError` for a case that cannot be read."""
    errors = []
    for number, source in enumerate(sources, 1):
        pair = source.read()
        study = PreparedStudy.from_images(pair.spect, pair.mu)
        unregistered = RigidTransform.identity()
        poses = [unregistered]
        for weights in (before, after):
            try:
                poses.append(NetworkRegistrar(weights).register(study).ct_from_spect)
            except MuregError:
                poses.append(unregistered)
        figures = (target_registration_error_mm(pose, pair.ct_from_spect, pair.heart_mm) for pose in poses)
        errors.append(HeldOutError(source.name, source.patient, *figures))
        tell(number, len(sources))
    return errors


def write(errors: Sequence[HeldOutError], folder: Path) -> Path:
    """Write the errors into the folder of a run, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(HeldOutError))
    for error in errors:
        writer.writerow(round(value, _DECIMALS) if isinstance(value, float) else value for value in astuple(error))
    with writing(folder / FILE) as scratch:
        scratch.write_text(text.getvalue(), "utf-8")
    return folder / FILE
