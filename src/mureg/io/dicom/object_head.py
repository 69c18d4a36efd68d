"""What an object says of itself, for a program that sorts objects and shows none of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mureg.errors import UnreadableInputError
from mureg.io.dicom.access import read_dataset, read_header, reading, text
from mureg.io.dicom.files import search_files

_KEY_LETTERS = 16
"""Hexadecimal digits of a key: 64 bits, so that no two patients of a hospital share one."""


@dataclass(frozen=True)
class ObjectHead:
    """An object, without pixels.

    Attributes:
        sop_class, sop_instance, series, study: UIDs.
        patient: key of whom it names, see `patient_group`; no identifier can be read from it.
        modality: such as NM.
    """

    sop_class: str
    sop_instance: str
    series: str
    study: str
    patient: str
    modality: str


def object_head(path: Path) -> ObjectHead | None:
    """Read the head of a file; None for whatever is no DICOM object, or an index of a medium.

    Raises:
        UnreadableInputError: it is DICOM and damaged, or cannot be read.
    """
    try:
        found = search_files((path,), path)
    except OSError as problem:
        raise UnreadableInputError(
            f"'{path.name}' cannot be read ({problem.strerror})", "a file that may be read", "check its rights"
        ) from problem
    if not found.series:
        return None
    header = found.series[0].files[0].header
    with reading("an object"):
        study, patient = text(header, "StudyInstanceUID"), text(header, "PatientID")
        return ObjectHead(
            text(header, "SOPClassUID"),
            text(header, "SOPInstanceUID"),
            text(header, "SeriesInstanceUID"),
            study,
            patient_group(patient, study),
            text(header, "Modality"),
        )


def patient_group(identifier: str, study: str) -> str:
    """A key that is the same for all objects of a patient; without an identifier, of a DICOM study; "" without both."""
    if not (identifier or study):
        return ""
    words = f"patient\n{identifier}" if identifier else f"study\n{study}"
    return hashlib.sha256(f"mureg {words}".encode(errors="surrogateescape")).hexdigest()[:_KEY_LETTERS]


def same_object(path: Path, other_path: Path) -> bool:
    """Whether two files hold the same elements with the same values, whatever their encoding in the file."""
    with reading("an object"):
        return bool(read_dataset(path) == read_dataset(other_path))


def place_in_series(path: Path) -> tuple[str, str]:
    """Position and number of an object, as written."""
    with reading("an object"):
        header = read_header(path)
        return text(header, "ImagePositionPatient"), text(header, "InstanceNumber")
