"""Writing a CT at its registered place: the same slices, byte for byte, with new positions and orientations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from mureg.errors import GeometryError, UnreadableInputError
from mureg.geometry import RigidTransform
from mureg.io.dicom.access import copying, image_type, numbers, read_dataset, reading, text
from mureg.io.dicom.build import code_item, decimals, fresh_uid, stamp
from mureg.io.dicom.ct_frames import frames_of
from mureg.io.dicom.files import DicomFile
from mureg.io.dicom.template import equipment_items, software_version, source_item

_NO_LONGER_TRUE = (
    "SliceLocation",
    "DataCollectionCenterPatient",
    "ReconstructionTargetCenterPatient",
    "IsocenterPosition",
    "ReferencedImageSequence",
    "SourceImageSequence",
    "ReferencedPerformedProcedureStepSequence",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
)


def write_moved_ct(
    files: Sequence[DicomFile],
    spect_from_ct: RigidTransform,
    folder: Path,
    *,
    frame_of_reference: str,
    made_at: datetime,
    series_number: int = 906,
    description: str = "mureg CT research use only, moved onto SPECT",
) -> tuple[Path, ...]:
    """Write each slice again, moved onto the SPECT, as one derived series of the CT's own study.

    Positions and direction cosines are mapped by ``spect_from_ct``; nothing is resampled, and pixel data keep their
    bytes and their transfer syntax. Patient, study, acquisition and scanner stay as they are. Private elements, and
    those that speak of the old place or sign the old object, are left out.

    Args:
        files: the slices.
        spect_from_ct: the inverse of the registration.
        folder: an empty one.
        frame_of_reference: of the SPECT, in which the slices now lie.
        made_at: date and time of the series.
        series_number: of the new series.
        description: series description.

    Returns:
        The files, in the order of `files`.

    Raises:
        UnreadableInputError, GeometryError: a slice cannot be read, or says not where it lies.
    """
    series, paths = fresh_uid(), []
    folder.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files, start=1):
        path = folder / f"ct_{number:04d}.dcm"
        with reading(file.path.name):
            ct = read_dataset(file.path)
        with copying(file.path.name):
            source = source_item(ct)
            _forget(ct)
            _move(ct, spect_from_ct, file.path.name)
            ct.FrameOfReferenceUID, ct.PositionReferenceIndicator = frame_of_reference, ""
            ct.SOPInstanceUID = fresh_uid()
            ct.file_meta.MediaStorageSOPClassUID = ct.SOPClassUID
            ct.file_meta.MediaStorageSOPInstanceUID = ct.SOPInstanceUID
            ct.SeriesInstanceUID, ct.SeriesNumber = series, series_number
            ct.SeriesDescription = description
            ct.ImageType = ["DERIVED", "SECONDARY", *(image_type(ct)[2:] or ("AXIAL",))]
            ct.SourceImageSequence = [source]
            _say_how(ct, spect_from_ct)
            stamp(ct, made_at)
            ct.save_as(path, enforce_file_format=True)
        paths.append(path)
    return tuple(paths)


def has_own_place(header: Dataset) -> bool:
    """Whether an object is one slice that says itself where it lies, not in functional groups of its frames."""
    try:
        placed = numbers(header, "ImagePositionPatient", 3), numbers(header, "ImageOrientationPatient", 6)
    except UnreadableInputError:
        return False
    return None not in placed and frames_of(header) == 1


def _forget(ct: Dataset) -> None:
    """Leave out what would contradict the new place."""
    ct.remove_private_tags()
    for keyword in _NO_LONGER_TRUE:
        if keyword in ct:
            delattr(ct, keyword)


def _move(ct: Dataset, spect_from_ct: RigidTransform, name: str) -> None:
    position, directions = numbers(ct, "ImagePositionPatient", 3), numbers(ct, "ImageOrientationPatient", 6)
    if position is None or directions is None:
        raise GeometryError(f"{name} does not say where it lies", "position and orientation", "export full headers")
    turned = np.asarray(directions).reshape(2, 3) @ spect_from_ct.matrix[:3, :3].T
    ct.ImagePositionPatient = decimals(spect_from_ct.apply(position))
    ct.ImageOrientationPatient = decimals(turned.ravel())


def _say_how(ct: Dataset, spect_from_ct: RigidTransform) -> None:
    """Derivation, its code, and this package beside the scanner."""
    rows = "; ".join(" ".join(f"{value:.6g}" for value in row) for row in spect_from_ct.matrix[:3])
    earlier = text(ct, "DerivationDescription")
    did = f"position and orientation moved by spect_from_ct [{rows}], pixel data unchanged. By {software_version()}"
    ct.DerivationDescription = ". ".join(part for part in (earlier, did) if part)[-1024:]  # ST (PS3.5 6.2)
    ct.DerivationCodeSequence = [
        *(ct.get("DerivationCodeSequence") or []),
        code_item("125024", "DCM", "Image Content-based Alignment"),
    ]
    equipment = equipment_items(None, "moved the CT onto the SPECT")
    ct.ContributingEquipmentSequence = [*(ct.get("ContributingEquipmentSequence") or []), *equipment]
