"""The results of a registration as DICOM, in the study they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray
from pydicom.dataset import Dataset

from mureg import RESEARCH_USE_ONLY
from mureg.errors import UsageError
from mureg.files.atomic import writing_folder
from mureg.files.output import claimed
from mureg.files.places import refuse_foreign, strangers
from mureg.geometry import RigidTransform, Volume
from mureg.io.dicom_access import copying, text
from mureg.io.dicom_build import fresh_uid
from mureg.io.dicom_inputs import DicomInputs
from mureg.io.dicom_template import read_header
from mureg.io.dicom_write_moved import write_moved_ct
from mureg.io.dicom_write_picture import write_secondary_capture
from mureg.io.dicom_write_registration import write_spatial_registration
from mureg.io.dicom_write_volume import write_nm_volume

FOLDER, _MOVED = "dicom", "ct_moved"
_KIND = "folder of DICOM results"
_FILES = ("nac.dcm", "ac.dcm", "mu.dcm", "registration.dcm", "report.dcm")
_RESAMPLED = ("113085", "Spatial resampling")
_ITERATIVE = ("113963", "Iterative Reconstruction")
_WITHOUT = ("122729", "No Attenuation Correction")
_BY_CT = ("122728", "CT-based Attenuation Correction")
_BY_MAP = ("122727", "NM Transmission Attenuation Correction")


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


@dataclass(frozen=True, eq=False)
class Reconstructions:
    """What was reconstructed from projections.

    Attributes:
        uncorrected: without attenuation; None where a reconstruction was given, which is there already.
        corrected: with the registered map; None where it was not made.
        how: algorithm and settings in a few words.
        corrections: terms of CorrectedImage for `corrected`.
    """

    uncorrected: Volume | None
    corrected: Volume | None
    how: str
    corrections: tuple[str, ...] = ("ATTN",)


def check_dicom_folder(folder: Path, inputs: DicomInputs, *, moved_ct: bool, overwrite: bool) -> None:
    """Refuse, before any work is done, what `write_dicom_results` would refuse.

    Raises:
        UsageError: the folder is there and may not be replaced; or there is no CT to move.
    """
    require_ct(inputs, moved_ct=moved_ct)
    refuse_foreign(folder, _KIND, overwrite=overwrite, recognise=_is_ours)


def require_ct(inputs: DicomInputs, *, moved_ct: bool) -> None:
    """Refuse to move a CT where there is none; raise `UsageError`."""
    if moved_ct and not inputs.from_ct:
        raise UsageError("--moved-ct with a ready map", "a CT series", "give --ct, or leave --moved-ct out")


def write_dicom_results(
    folder: Path,
    inputs: DicomInputs,
    ct_from_spect: RigidTransform,
    mu: Volume,
    reconstructions: Reconstructions,
    picture: UInt8[ndarray, "row column 3"],
    *,
    how: str,
    made_at: datetime,
    moved_ct: bool = False,
    overwrite: bool = False,
) -> tuple[DicomResult, ...]:
    """Write the results of one run into a new folder, which appears whole or not at all.

    ``nac.dcm`` and ``ac.dcm`` (NM RECON TOMO), ``mu.dcm`` (NM RECON TOMO, TRANSMISSION, on the SPECT grid),
    ``registration.dcm`` (Spatial Registration), ``report.dcm`` (Secondary Capture) and, where asked for, ``ct_moved/``.
    Patient, study and frame of reference are those of the SPECT; for the moved CT, patient and study are the CT's.
    Series and instances are new at every call, so that two runs never claim to be the same object: matrices and voxels
    can be made again, identifiers and times cannot.

    Args:
        folder: with the name `FOLDER`, by custom.
        inputs: the objects that the study was read from.
        ct_from_spect: the pose.
        mu: registered map on the SPECT grid, 1/cm.
        reconstructions: what was reconstructed.
        picture: the report, red, green, blue.
        how: the registration in a few words.
        made_at: date and time for all of it.
        moved_ct: write the CT at its registered place as well.
        overwrite: replace results of an earlier run, once the new ones are complete.

    Raises:
        UsageError: see `check_dicom_folder`.
        UnreadableInputError, GeometryError: a source object cannot be copied.
    """
    require_ct(inputs, moved_ct=moved_ct)
    template = read_header(inputs.spect.path)
    frame = text(template, "FrameOfReferenceUID") or mu.grid.frame_of_reference or fresh_uid()
    attenuation = [file.path for file in inputs.attenuation]
    with (
        claimed(folder) as place,
        writing_folder(place, kind=_KIND, overwrite=overwrite, recognise=_is_ours) as scratch,
        copying(inputs.spect.path.name),
    ):
        write = partial(
            write_nm_volume, template=inputs.spect.path, made_at=made_at, comment=RESEARCH_USE_ONLY, seed=fresh_uid()
        )
        made = reconstructions
        before = _corrections_of(template)
        if made.uncorrected is not None:
            write(
                _in_frame(made.uncorrected, frame),
                scratch / "nac.dcm",
                kind="EMISSION",
                series_uid=fresh_uid(),
                series_number=901,
                description="mureg SPECT uncorrected, research use only",
                derivation=f"{made.how}, no attenuation correction",
                derivation_codes=(_ITERATIVE, _WITHOUT),
                corrections=before,
            )
        if made.corrected is not None:
            write(
                _in_frame(made.corrected, frame),
                scratch / "ac.dcm",
                kind="EMISSION",
                sources=attenuation,
                series_uid=fresh_uid(),
                series_number=902,
                description="mureg SPECT AC registered, research use only",
                derivation=f"{made.how}, attenuation corrected with the registered map ({how})",
                derivation_codes=(_ITERATIVE, _BY_CT if inputs.from_ct else _BY_MAP),
                corrections=tuple(dict.fromkeys((*before, *made.corrections))),
            )
        write(
            _in_frame(mu, frame),
            scratch / "mu.dcm",
            kind="TRANSMISSION",
            sources=attenuation,
            series_uid=fresh_uid(),
            series_number=903,
            description="mureg mu-map registered, research use only",
            derivation=f"attenuation map in 1/cm for 140.5 keV, registered ({how}), resampled onto the SPECT grid",
            derivation_codes=(_RESAMPLED,),
        )
        volumes = [read_header(scratch / name) for name in _FILES[:3] if (scratch / name).exists()]
        write_spatial_registration(
            ct_from_spect,
            scratch / "registration.dcm",
            spect=[template, *volumes],
            ct=[file.header for file in inputs.attenuation],
            frame_of_reference=frame,
            made_at=made_at,
            description=how,
        )
        write_secondary_capture(
            picture, scratch / "report.dcm", template=template, shows=(template, *volumes), made_at=made_at
        )
        if moved_ct:
            write_moved_ct(
                inputs.attenuation,
                ct_from_spect.inverse(),
                scratch / _MOVED,
                frame_of_reference=frame,
                made_at=made_at,
            )
        return _written(scratch)


def _written(folder: Path) -> tuple[DicomResult, ...]:
    """What lies in a finished folder, one entry a series."""
    series = [[folder / name] for name in _FILES if (folder / name).exists()]
    moved = sorted((folder / _MOVED).glob("*.dcm"))
    return tuple(_result(folder, files) for files in (*series, moved) if files)


def _result(folder: Path, files: Sequence[Path]) -> DicomResult:
    header = read_header(files[0])
    name = files[0].relative_to(folder).parts[0]
    return DicomResult(name, text(header, "SOPClassUID"), text(header, "SeriesInstanceUID"), len(files))


def _in_frame(volume: Volume, frame: str) -> Volume:
    """The volume with the frame of reference of the SPECT object, which may have named none."""
    named = volume.grid.frame_of_reference
    return (
        volume
        if named
        else Volume(volume.values, replace(volume.grid, frame_of_reference=frame), volume.quantity, volume.outside)
    )


def _corrections_of(header: Dataset) -> tuple[str, ...]:
    """Corrections that the camera had applied already."""
    value = header.get("CorrectedImage") or []
    return tuple(str(v) for v in ([value] if isinstance(value, str) else value))


def dicom_strangers(folder: Path) -> list[str]:
    """What lies in a folder of results besides results, as mureg 0.1.0 wrote them: without a marker."""
    if not folder.is_dir() or folder.is_symlink():
        return [folder.name]
    moved = folder / _MOVED
    slices = strangers(moved, lambda name: name.startswith("ct_") and name.endswith(".dcm"))
    return [*strangers(folder, lambda name: name in (*_FILES, _MOVED)), *slices]


def _is_ours(folder: Path) -> bool:
    return (folder / "registration.dcm").is_file() and not dicom_strangers(folder)
