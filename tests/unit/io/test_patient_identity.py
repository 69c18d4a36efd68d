"""Who the files of one series name: one patient, or the series is refused."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from pydicom import Dataset

from mureg.errors import UnreadableInputError
from mureg.io.dicom.files import DicomFile
from mureg.io.dicom.patient_identity import identity_of


def slices(*headers: dict[str, str]) -> list[DicomFile]:
    files = []
    for k, entries in enumerate(headers):
        header = Dataset()
        for keyword, value in entries.items():
            setattr(header, keyword, value)
        files.append(DicomFile(Path(f"{k}.dcm"), header))
    return files


JANE = {"PatientID": "4711", "PatientName": "DOE^JANE", "PatientBirthDate": "19500102", "PatientSex": "F"}


@pytest.mark.parametrize(
    ("other", "entry"),
    [
        ({"PatientID": "4712", "PatientName": "ROE^RICHARD"}, "PatientID"),
        ({"PatientName": "ROE^RICHARD"}, "PatientName"),
        ({**JANE, "PatientName": "DOE^JOHN"}, "PatientName"),
        ({**JANE, "PatientBirthDate": "19400303"}, "PatientBirthDate"),
    ],
)
def test_a_series_of_two_patients_is_refused(other, entry) -> None:
    for order in permutations([JANE, JANE, other]):
        with pytest.raises(UnreadableInputError, match=rf"2 different patients \({entry}\)"):
            identity_of(slices(*order))


def test_entries_that_some_slices_lack_are_taken_from_the_others() -> None:
    bare, titled = {"PatientName": "Doe^Jane"}, {**JANE, "PatientName": "DOE^JANE^^DR"}
    for order in permutations([bare, JANE, {"PatientSex": "F"}, titled]):
        found = identity_of(slices(*order))
        assert found is not None
        assert (found.identifier, found.birth_date) == ("4711", "19500102")
    assert identity_of([]) is None
