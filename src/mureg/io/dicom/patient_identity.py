"""Who the headers of a series name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

from mureg.errors import UnreadableInputError
from mureg.io.dicom.access import reading, text
from mureg.io.dicom.files import DicomFile
from mureg.study import PatientIdentity


def identity_of(files: Sequence[DicomFile]) -> PatientIdentity | None:
    """The patient that all files of a series name, None for no files.

    Middle names and titles may be left out in some files, and entries may be missing.

    Raises:
        UnreadableInputError: the files of one series name several patients, by identifier, name or birth date.
    """
    if not files:
        return None
    with reading("what the headers say of the patient"):
        identities = {_identity(file) for file in files}
    _refuse_several({identity.identifier.casefold() for identity in identities}, "PatientID")
    _refuse_several({re.sub(r"\D", "", identity.birth_date) for identity in identities}, "PatientBirthDate")
    names = sorted((_words(identity.name) for identity in identities), key=len)
    _refuse_several({name for name in names if not name <= names[-1]} | {names[-1]}, "PatientName")
    return max(identities, key=lambda identity: (sum(map(bool, vars(identity).values())), *vars(identity).values()))


def _refuse_several(values: Collection[object], entry: str) -> None:
    several = len([value for value in values if value])
    if several > 1:
        raise UnreadableInputError(
            f"one series whose files name {several} different patients ({entry})",
            "one patient in a series",
            "export the series again",
        )


def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", unicodedata.normalize("NFKC", name).casefold()))


def _identity(file: DicomFile) -> PatientIdentity:
    header = file.header
    return PatientIdentity(
        text(header, "PatientID"),
        text(header, "IssuerOfPatientID"),
        text(header, "PatientName"),
        text(header, "PatientBirthDate"),
        text(header, "PatientSex"),
    )
