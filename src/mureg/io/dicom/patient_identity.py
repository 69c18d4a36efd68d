"""Who the headers of a series name."""

from __future__ import annotations

from collections.abc import Sequence

from mureg.errors import UnreadableInputError
from mureg.io.dicom.access import reading, text
from mureg.io.dicom.files import DicomFile
from mureg.study import PatientIdentity


def identity_of(files: Sequence[DicomFile]) -> PatientIdentity | None:
    """The patient that all files of a series name, None for no files.

    Raises:
        UnreadableInputError: the files of one series name several patients.
    """
    if not files:
        return None
    with reading("what the headers say of the patient"):
        identities = {_identity(file) for file in files}
    identifiers = {one.identifier.casefold() for one in identities if one.identifier}
    if len(identifiers) > 1:
        raise UnreadableInputError(
            f"one series whose files name {len(identifiers)} different patients (PatientID)",
            "one patient in a series",
            "export the series again",
        )
    return next((one for one in identities if one.identifier), next(iter(identities)))


def _identity(file: DicomFile) -> PatientIdentity:
    header = file.header
    return PatientIdentity(
        text(header, "PatientID"),
        text(header, "IssuerOfPatientID"),
        text(header, "PatientName"),
        text(header, "PatientBirthDate"),
        text(header, "PatientSex"),
    )
