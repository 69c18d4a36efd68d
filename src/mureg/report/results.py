"""What a run leaves in its folder, and what it says."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tomli_w

from mureg import RESEARCH_USE_ONLY
from mureg.errors import UsageError
from mureg.evaluation.verdict import Assessment
from mureg.io import DicomResult, write_nifti
from mureg.io.atomic import refuse_existing, require_writable, staging
from mureg.io.dicom_results import FOLDER, remove_dicom_folder
from mureg.io.transforms import write_tfm
from mureg.pipeline import Provenance
from mureg.report.conclusion import conclusion, conclusion_lines
from mureg.report.dicom import AsDicom
from mureg.report.file_names import HTML, PDF
from mureg.report.wishes import AsReport
from mureg.report.wording import corrected_for

FILES = (
    "registration.json",
    "ct_from_spect.tfm",
    "mu_registered.nii.gz",
    "mu_header.nii.gz",
    "spect_nac.nii.gz",
    "spect_ac.nii.gz",
    "qc.png",
    HTML,
    PDF,
    "settings.toml",
)


def check_folder(folder: Path, overwrite: bool, dicom: AsDicom | None = None) -> None:
    """Refuse, before any work is done, a folder that holds results already or cannot be written."""
    require_writable(folder)
    if not overwrite:
        refuse_existing([folder / name for name in (*FILES, FOLDER)])
    if dicom is not None:
        dicom.check(folder, overwrite)


def write_folder(
    assessment: Assessment,
    folder: Path,
    dicom: AsDicom | None = None,
    document: AsReport | None = None,
    *,
    pictures: bool = True,
    overwrite: bool = False,
) -> list[Path]:
    """Write every file of a result into `folder`, all of them or none; return them.

    What is left over from an earlier run (corrected image, picture, report, DICOM) is removed when this run made none.

    Args:
        assessment: of one run.
        folder: made where it is missing.
        dicom: write the results as DICOM as well; they hold the pages of the report.
        document: write the report as well.
        pictures: draw ``qc.png``.
        overwrite: DICOM results that are there may be replaced.
    """
    with staging(folder) as scratch:
        _write_each(assessment, scratch, pictures=pictures)
        written = () if dicom is None else dicom.write(assessment, scratch, _required(document), overwrite)
        _write_json(assessment, scratch, document, written)
        if document is not None:
            document.write(assessment, scratch)
        remove_dicom_folder(folder / FOLDER)
    left_over = {
        "qc.png": not pictures,
        "spect_ac.nii.gz": assessment.outcome.spect_corrected is None,
        HTML: document is None,
        PDF: document is None or not document.pdf,
    }
    for name in (name for name, old in left_over.items() if old):
        (folder / name).unlink(missing_ok=True)
    return [folder / name for name in (*FILES, FOLDER) if (folder / name).exists()]


def _required(document: AsReport | None) -> AsReport:
    if document is None:
        raise UsageError("results as DICOM without a report", "both", "ask for the report as well")
    return document


def _write_each(assessment: Assessment, folder: Path, *, pictures: bool) -> None:
    outcome = assessment.outcome
    write_nifti(outcome.mu_registered, folder / "mu_registered.nii.gz")
    write_nifti(outcome.mu_header, folder / "mu_header.nii.gz")
    write_nifti(outcome.spect_uncorrected, folder / "spect_nac.nii.gz")
    if outcome.spect_corrected is not None:
        write_nifti(outcome.spect_corrected, folder / "spect_ac.nii.gz")
    registration = outcome.registration
    write_tfm(registration.ct_from_spect, registration.centre_mm, folder / "ct_from_spect.tfm")
    if pictures:
        from mureg.report.figures import quality_picture  # loads what draws

        quality_picture(assessment, folder / "qc.png")
    (folder / "settings.toml").write_text(settings_toml(outcome.provenance), "utf-8")


def _write_json(
    assessment: Assessment, folder: Path, document: AsReport | None, written: tuple[DicomResult, ...]
) -> None:
    study = {} if document is None else {"study": document.occasion.as_json(document.study)}
    table = study | as_json(assessment) | _as_dicom(written)
    (folder / "registration.json").write_text(json.dumps(table, indent=2) + "\n", "utf-8")


def _as_dicom(written: tuple[DicomResult, ...]) -> dict[str, Any]:
    """Which objects were written, so that they can be found in an archive."""
    if not written:
        return {}
    said = "identifiers and times are new in every run; matrix and voxels follow from input, version and settings"
    return {"dicom": {"note": said, "series": [asdict(one) for one in written]}}


def settings_toml(provenance: Provenance) -> str:
    """The settings of a run, as ``mureg register --settings`` reads them."""
    header = f"# Settings of a run of mureg {provenance.versions['mureg']}; read back with --settings.\n\n"
    return header + tomli_w.dumps(provenance.settings)


def as_json(assessment: Assessment) -> dict[str, Any]:
    """The decision, the registration and everything needed to make it again, ready for JSON."""
    outcome = assessment.outcome
    registration, provenance = outcome.registration, outcome.provenance
    return {
        **conclusion(assessment),
        "ct_from_spect": registration.ct_from_spect.matrix.tolist(),
        "space": "LPS, mm; maps a point in SPECT space to the place in CT space where that anatomy lies",
        "shift_mm": list(registration.shift_mm),
        "angles_deg": list(registration.angles_deg),
        "centre_mm": list(registration.centre_mm),
        "registrar": registration.registrar,
        "pose_was": registration.decision,
        "evidence": dict(registration.evidence),
        "uncorrected_scale": outcome.uncorrected_scale,
        "covariance": None if registration.covariance is None else registration.covariance.tolist(),
        "seconds": round(registration.seconds, 3),
        "warnings": list(outcome.warnings),
        "notes": list(registration.notes),
        "provenance": {
            "versions": provenance.versions,
            "settings": provenance.settings,
            "sources": [vars(source) for source in provenance.sources],
            "seconds": provenance.seconds,
            "device": provenance.device,
            "weights_sha256": provenance.weights_sha256,
        },
        "use": RESEARCH_USE_ONLY,
    }


def describe(assessment: Assessment) -> list[str]:
    """The same for people, in a few lines."""
    outcome = assessment.outcome
    registration = outcome.registration
    spacing = outcome.spect_uncorrected.grid.spacing_mm
    shift = registration.shift_mm
    pixels = [s / mm for s, mm in zip(shift, spacing, strict=True)]
    x, y, z = (f"{mm:+.1f} mm ({pixel:+.2f} pixels)" for mm, pixel in zip(shift, pixels, strict=True))
    angles = ", ".join(f"{axis} {angle:+.1f}" for axis, angle in zip("xyz", registration.angles_deg, strict=True))
    lines = [
        *conclusion_lines(assessment),
        f"registrar  {registration.registrar}, {registration.seconds:.1f} s; the map was {registration.decision}",
        f"shift      x {x}, y {y}, z {z}",
        f"angles     {angles} degrees about the centre of the SPECT field",
        f"corrected  {corrected_for(outcome)}",
        *(f"note       {note}" for note in registration.notes),
        *(f"warning    {warning}" for warning in outcome.warnings),
    ]
    return [*lines, RESEARCH_USE_ONLY]
