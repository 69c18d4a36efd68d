"""``mureg demo``: the main job on the sample study, with the truth beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from mureg.assessment.move import Move
from mureg.cli.algorithms import RegistrarName, Tuning, WeightsName
from mureg.cli.common import Common, Output, parse
from mureg.cli.dicom import DicomOut
from mureg.cli.help import Flat
from mureg.cli.progress import progress
from mureg.cli.report import ReportOut, StudyPlace
from mureg.files.output import claimed
from mureg.geometry import RigidTransform
from mureg.geometry.target_error import target_registration_error_mm
from mureg.io import read_study
from mureg.pipeline import StudySettings, examine
from mureg.report.conclusion import move_words
from mureg.results import as_json, check_folder, describe, write_folder
from mureg.results.as_json import move_as_json
from mureg.sample import load_truth, sample_folder


@dataclass(frozen=True)
class Demo:
    """Register and reconstruct the sample study of the package and compare with the truth. Research use only.

    Attributes:
        output: new folder for the results.
        registrar: registration method (default: combination).
        weights: networks of the registrar network, near-heart or combination: a name that mureg weights lists, or an
            .onnx file.

    Example:
        mureg demo -o mureg-demo
    """

    output: Output = Path("mureg-demo")
    registrar: RegistrarName = None
    weights: WeightsName = None
    results: Annotated[DicomOut, Flat] = field(default_factory=DicomOut)
    document: Annotated[ReportOut, Flat] = field(default_factory=ReportOut)
    common: Annotated[Common, Flat] = field(default_factory=Common)


OPTIONS = Demo


def main(arguments: Sequence[str]) -> int:
    """Read the sample as any study, run, write, compare."""
    options = parse("demo", arguments, Demo)
    options.common.prepare()
    registrar = Tuning().algorithms(options.registrar, weights=options.weights).registrar
    overwrite, spect, ct = options.common.overwrite, sample_folder() / "spect.dcm", sample_folder() / "ct"
    with claimed(options.output, [sample_folder()]), progress(options.common.messages) as report:
        check_folder(options.output, overwrite)
        dicom = options.results.of(spect, ct)
        truth = load_truth()
        report("reading")
        study = read_study(spect, ct=ct)
        assessment = examine(study, StudySettings(registrar), progress=report)
        report("writing")
        made_at = None if dicom is None else dicom.made_at
        document = options.document.of(study, StudyPlace(spect, ct), "sample", made_at)
        write_folder(assessment, options.output, dicom, document, overwrite=overwrite)
    error_mm, found_mm, unregistered_mm = (
        target_registration_error_mm(pose, truth.ct_from_spect, truth.heart_points_mm)
        for pose in (
            assessment.ct_from_spect,
            assessment.examination.registration.ct_from_spect,
            RigidTransform.identity(),
        )
    )
    true_shift, true_angles = truth.ct_from_spect.six(assessment.registration.centre_mm)
    move_true = Move.of(truth.ct_from_spect, assessment.heart.centre_mm)
    comparison = {
        "move_true_at_heart": move_as_json(move_true),
        "shift_true_mm": list(true_shift),
        "angles_true_deg": list(true_angles),
        "heart_error_unregistered_mm": unregistered_mm,
        "heart_error_mm": error_mm,
        "heart_error_found_mm": found_mm,
    }
    grid = assessment.spect_uncorrected.grid
    lines = [
        *describe(assessment),
        "",
        f"move given  {move_words(assessment.move, grid)}",
        f"move true   {move_words(move_true, grid)}",
        f"target registration error of the heart: {error_mm:.1f} mm for the pose given out, {found_mm:.1f} mm for the "
        f"pose found (at the scanner position {unregistered_mm:.1f} mm; one pixel is {grid.spacing_mm[0]:.1f} mm)",
        f"results in {options.output}: open report.html first",
    ]
    options.common.messages.emit(as_json(assessment) | comparison, lines)
    return 0
