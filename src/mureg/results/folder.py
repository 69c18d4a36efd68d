"""What a run leaves in its folder, and what it says."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import tomli_w

from mureg import RESEARCH_USE_ONLY
from mureg.assessment.result import Assessment, Provenance
from mureg.errors import UnreadableInputError, UsageError
from mureg.files.atomic import writing_folder
from mureg.files.output import claimed
from mureg.files.places import foreign_names, refuse_foreign
from mureg.files.settings import read_json
from mureg.io import DicomResult, write_nifti
from mureg.io.results import FOLDER, foreign_dicom_names
from mureg.io.transforms import write_transform
from mureg.jobs.threads import beside
from mureg.report.conclusion import conclusion_lines
from mureg.report.file_names import HTML, PDF
from mureg.report.wording import corrected_for
from mureg.results.as_json import as_json
from mureg.results.dicom import AsDicom
from mureg.results.options import AsReport

FOUND_TFM = "ct_from_spect_found.tfm"
"""The pose found, where another one is given out."""

FILES = (
    "registration.json",
    "ct_from_spect.tfm",
    FOUND_TFM,
    "mu_registered.nii.gz",
    "mu_header.nii.gz",
    "spect_nac.nii.gz",
    "spect_ac.nii.gz",
    "qc.png",
    HTML,
    PDF,
    "settings.toml",
)


KIND = "registration"
"""Of the folder, as its marker says it."""


def check_folder(folder: Path, overwrite: bool, dicom: AsDicom | None = None) -> None:
    """Refuse, before any work is done, a folder that results may not take the place of, or that cannot be written."""
    refuse_foreign(folder, KIND, overwrite=overwrite, recognise=_is_result)
    if dicom is not None:
        dicom.check()


def write_folder(
    assessment: Assessment,
    folder: Path | str,
    dicom: AsDicom | None = None,
    document: AsReport | None = None,
    *,
    pictures: bool = True,
    overwrite: bool = False,
) -> list[Path]:
    """Write every file of a result into `folder`, all of them or none; return them.

    With `overwrite` an older result is exchanged as a whole; what it held besides, such as a user's notes, is kept.

    Args:
        assessment: of one run.
        folder: made where it is missing; one that is there is empty or, with `overwrite`, a result of mureg.
        dicom: write the results as DICOM as well; they hold the pages of the report.
        document: write the report as well.
        pictures: draw ``qc.png``.
        overwrite: a result that is there may be replaced.

    Raises:
        UsageError: `folder` holds anything else, another run writes it, or it cannot be written; or DICOM results are
            wanted without a report.
    """
    folder = Path(folder)
    with (
        claimed(folder) as place,
        writing_folder(place, kind=KIND, overwrite=overwrite, recognise=_is_result) as scratch,
    ):
        at_work = [beside(lambda: _write_volumes(assessment, scratch))]
        if pictures:
            at_work.append(beside(lambda: _draw(assessment, scratch)))
        try:
            _write_transforms(assessment, scratch)
            (scratch / "settings.toml").write_text(settings_toml(assessment.provenance), "utf-8")
            dicom_results = () if dicom is None else dicom.write(assessment, scratch, _required(document))
            _write_json(assessment, scratch, document, dicom_results)
            if document is not None:
                document.write(assessment, scratch)
        finally:  # nothing is written any more when the folder takes its place, or is deleted
            for wait in at_work:
                wait()
        names = [name for name in (*FILES, FOLDER) if (scratch / name).exists()]
    return [folder / name for name in names]


def _is_result(folder: Path) -> bool:
    """Whether mureg 0.1.0 wrote a folder, which left no marker, and nothing else is in it."""
    try:
        table = read_json(folder / "registration.json")
    except UnreadableInputError:
        return False
    is_own = table.get("use") == RESEARCH_USE_ONLY and "ct_from_spect" in table
    foreign = foreign_names(folder, lambda name: name in (*FILES, FOLDER))
    return is_own and not foreign and not ((folder / FOLDER).exists() and foreign_dicom_names(folder / FOLDER))


def _required(document: AsReport | None) -> AsReport:
    if document is None:
        raise UsageError("results as DICOM without a report", "both", "ask for the report as well")
    return document


def load_what_writes(*, pictures: bool = True) -> None:
    """Load the libraries that write a result: a tenth of a second, for a thread beside other work."""
    for name in ("nibabel", *(("mureg.report.pictures.quality", "mureg.report.document") if pictures else ())):
        import_module(name)


def _draw(assessment: Assessment, folder: Path) -> None:
    from mureg.report.pictures.quality import quality_picture  # loads what draws

    quality_picture(assessment, folder / "qc.png")


def _write_transforms(assessment: Assessment, folder: Path) -> None:
    centre_mm = assessment.registration.centre_mm
    write_transform(assessment.ct_from_spect, folder / "ct_from_spect.tfm", centre_mm)
    if not assessment.released:
        write_transform(assessment.registration.ct_from_spect, folder / FOUND_TFM, centre_mm)


def _write_volumes(assessment: Assessment, folder: Path) -> None:
    write_nifti(assessment.mu_registered, folder / "mu_registered.nii.gz")
    write_nifti(assessment.mu_header, folder / "mu_header.nii.gz")
    write_nifti(assessment.spect_uncorrected, folder / "spect_nac.nii.gz")
    if assessment.spect_corrected is not None:
        write_nifti(assessment.spect_corrected, folder / "spect_ac.nii.gz")


def _write_json(
    assessment: Assessment, folder: Path, document: AsReport | None, dicom_results: tuple[DicomResult, ...]
) -> None:
    study = {} if document is None else {"study": document.occasion.as_json(document.study)}
    table = study | as_json(assessment) | _as_dicom(dicom_results)
    (folder / "registration.json").write_text(json.dumps(table, indent=2) + "\n", "utf-8")


def _as_dicom(results: tuple[DicomResult, ...]) -> dict[str, Any]:
    """Which objects were written, so that they can be found in an archive."""
    if not results:
        return {}
    note = "identifiers and times are new in every run; matrix and voxels follow from input, version and settings"
    return {"dicom": {"note": note, "series": [asdict(result) for result in results]}}


def settings_toml(provenance: Provenance) -> str:
    """The settings of a run, as ``mureg register --settings`` reads them."""
    header = f"# Settings of a run of mureg {provenance.versions['mureg']}; read back with --settings.\n\n"
    return header + tomli_w.dumps(provenance.settings)


def describe(assessment: Assessment) -> list[str]:
    """The same for people, in a few lines."""
    registration = assessment.registration
    lines = [
        *conclusion_lines(assessment),
        f"registrar  {registration.registrar}, {registration.seconds:.1f} s",
        f"corrected  {corrected_for(assessment)}",
        *(f"note       {note}" for note in registration.notes),
        *(f"warning    {note} [{note.rank.words}]" for note in assessment.warnings),
    ]
    return [*lines, RESEARCH_USE_ONLY]
