"""The results of a registration as DICOM, in the study they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mureg.errors import UsageError
from mureg.files.atomic import writing_folder
from mureg.files.output import claimed
from mureg.files.places import foreign_names, refuse_foreign
from mureg.geometry import RigidTransform, Volume
from mureg.io.dicom.access import copying, text
from mureg.io.dicom.build import fresh_uid, series_title
from mureg.io.dicom.ct_moved import has_own_place, write_moved_ct
from mureg.io.dicom.registration_write import write_spatial_registration
from mureg.io.dicom.secondary_capture import Pages, write_pages
from mureg.io.dicom.template import read_header
from mureg.io.inputs import DicomInputs
from mureg.io.result_volumes import VOLUMES, Reconstructions, write_result_volumes

FOLDER, _MOVED = "dicom", "ct_moved"
_STAYS = "CT NOT moved"
_KIND = "folder of DICOM results"
_FILES = (*VOLUMES, "registration.dcm", "report.dcm")


@dataclass(frozen=True)
class DicomResult:
    """What was written, for the provenance.

    Attributes:
        name: of the file, or of the folder of a series.
        sop_class_uid: what kind of object it is.
        series_uid: its series, which is new.
        n_instances: how many objects the series holds.
    """

    name: str
    sop_class_uid: str
    series_uid: str
    n_instances: int


def check_dicom_folder(folder: Path, inputs: DicomInputs, *, moved_ct: bool, overwrite: bool) -> None:
    """Refuse, before any work is done, what `write_dicom_results` would refuse.

    Raises:
        UsageError: the folder is there and may not be replaced; or there is no CT to move.
    """
    require_ct(inputs, moved_ct=moved_ct)
    refuse_foreign(folder, _KIND, overwrite=overwrite, recognise=_is_ours)


def require_ct(inputs: DicomInputs, *, moved_ct: bool) -> None:
    """Refuse to move a CT where there is none, or whose slices are frames of one object; raise `UsageError`."""
    if not moved_ct:
        return
    if not inputs.from_ct:
        raise UsageError("--moved-ct with a ready map", "a CT series", "give --ct, or leave --moved-ct out")
    if not all(has_own_place(file.header) for file in inputs.attenuation):
        raise UsageError(
            "--moved-ct with a CT that holds its slices as frames of one object",
            "one CT object for each slice",
            "leave --moved-ct out and give out registration.dcm, or export the CT as single slices",
        )


def write_dicom_results(
    folder: Path | str,
    inputs: DicomInputs,
    ct_from_spect: RigidTransform,
    mu: Volume,
    reconstructions: Reconstructions,
    pages: Pages,
    *,
    decision: str,
    how: str,
    made_at: datetime,
    moved_ct: bool = False,
    overwrite: bool = False,
) -> tuple[DicomResult, ...]:
    """Write the results of one run into a new folder, which appears whole or not at all.

    ``nac.dcm`` and ``ac.dcm`` (NM RECON TOMO), the images of the report after the display filter
    (``*_filtered.dcm``), ``mu.dcm`` (NM RECON TOMO, TRANSMISSION, on the SPECT grid), ``registration.dcm`` (Spatial
    Registration), ``report.dcm`` (Secondary Capture, one frame a page) and, where asked for, ``ct_moved/``.
    Patient, study and frame of reference are those of the SPECT; for the moved CT, patient and study are the CT's.
    Series and instances are new at every call, so that two runs never claim to be the same object: matrices and voxels
    can be made again, identifiers and times cannot.

    Args:
        folder: with the name `FOLDER`, by custom.
        inputs: the objects that the study was read from.
        ct_from_spect: the pose that is given out; the identity where the map stays at the scanner position, and then
            no description calls it registered.
        mu: map at that pose on the SPECT grid, 1/cm.
        reconstructions: what was reconstructed.
        pages: the report.
        decision: in one word, which each series description begins with.
        how: the registration in a few words.
        made_at: date and time for all of it.
        moved_ct: write the CT at its registered place as well.
        overwrite: replace results of an earlier run, once the new ones are complete.

    Raises:
        UsageError: see `check_dicom_folder`.
        UnreadableInputError, GeometryError: a source object cannot be copied.
    """
    folder = Path(folder)
    require_ct(inputs, moved_ct=moved_ct)
    template = read_header(inputs.spect.path)
    frame = text(template, "FrameOfReferenceUID") or mu.grid.frame_of_reference or fresh_uid()
    words = f"{how}, decision {decision}"
    moved = ct_from_spect != RigidTransform.identity()
    with (
        claimed(folder) as place,
        writing_folder(place, kind=_KIND, overwrite=overwrite, recognise=_is_ours) as scratch,
        copying(inputs.spect.path.name),
    ):
        paths = write_result_volumes(
            scratch,
            inputs,
            reconstructions,
            mu,
            template=template,
            frame=frame,
            decision=decision,
            moved=moved,
            how=words,
            made_at=made_at,
        )
        volumes = [read_header(path) for path in paths]
        write_spatial_registration(
            ct_from_spect,
            scratch / "registration.dcm",
            spect=[template, *volumes],
            ct=[file.header for file in inputs.attenuation],
            frame_of_reference=frame,
            made_at=made_at,
            description=series_title(decision, f"REG research use only, {'CT to SPECT' if moved else _STAYS}"),
            how=words,
        )
        write_pages(
            pages,
            scratch / "report.dcm",
            template=template,
            shows=(template, *volumes),
            made_at=made_at,
            description=series_title(decision, "REPORT research use only"),
        )
        if moved_ct:
            write_moved_ct(
                inputs.attenuation,
                ct_from_spect.inverse(),
                scratch / _MOVED,
                frame_of_reference=frame,
                made_at=made_at,
                description=series_title(decision, f"CT research use only, {'moved onto SPECT' if moved else _STAYS}"),
            )
        return _list_series(scratch)


def _list_series(folder: Path) -> tuple[DicomResult, ...]:
    """What lies in a finished folder, one entry a series."""
    series = [[folder / name] for name in _FILES if (folder / name).exists()]
    moved = sorted((folder / _MOVED).glob("*.dcm"))
    return tuple(_result(folder, files) for files in (*series, moved) if files)


def _result(folder: Path, files: Sequence[Path]) -> DicomResult:
    header = read_header(files[0])
    name = files[0].relative_to(folder).parts[0]
    return DicomResult(name, text(header, "SOPClassUID"), text(header, "SeriesInstanceUID"), len(files))


def foreign_dicom_names(folder: Path) -> list[str]:
    """What lies in a folder of results besides results, as mureg 0.1.0 wrote them: without a marker."""
    if not folder.is_dir() or folder.is_symlink():
        return [folder.name]
    moved = folder / _MOVED
    slices = foreign_names(moved, lambda name: name.startswith("ct_") and name.endswith(".dcm"))
    return [*foreign_names(folder, lambda name: name in (*_FILES, _MOVED)), *slices]


def _is_ours(folder: Path) -> bool:
    return (folder / "registration.dcm").is_file() and not foreign_dicom_names(folder)
