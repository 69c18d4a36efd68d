"""Who a study is of: said where asked, and nowhere in what else is read from a header."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from mureg.geometry import Grid, Quantity, Volume
from mureg.io import read_study, write_nifti
from mureg.io.patient_label import patient_label
from mureg.notes import by_rank
from mureg.report.contents import Contents
from mureg.sample import sample_folder
from support.assessments import drawn_assessment

SECRETS = {
    "PatientName": "ROE^RICHARD^Q",
    "PatientID": "MRN-4711-77",
    "PatientBirthDate": "19410203",
    "OtherPatientIDs": "OTHER-815",
    "PatientAddress": "12 Elm Lane",
    "PatientComments": "brother of Jane",
    "ReferringPhysicianName": "QUACK^DOCTOR",
    "OperatorsName": "SOMEBODY^XAVER",
    "InstitutionName": "Hospital Hill",
    "AccessionNumber": "ACC-99812",
    "StudyDate": "20210716",
    "StudyID": "STUDY-5150",
    "StudyDescription": "rest of Mr Roe",
    "SeriesDescription": "Roe supine",
    "ImageComments": "R. Roe moved",
    "DeviceSerialNumber": "SN-31337",
    "StationName": "ROOM-101",
}


@pytest.fixture(scope="module")
def named(tmp_path_factory) -> Path:
    """The SPECT of the sample study with a person in its header."""
    header = dcmread(sample_folder() / "spect.dcm")
    for keyword, value in SECRETS.items():
        setattr(header, keyword, value)
    path = tmp_path_factory.mktemp("named") / "spect.dcm"
    header.save_as(path)
    return path


def test_name_identifier_and_day_are_said(named: Path) -> None:
    assert patient_label(named) == "ROE RICHARD Q, ID MRN-4711-77, 2021-07-16"


def test_what_is_missing_is_left_out(named: Path, tmp_path: Path) -> None:
    header = dcmread(named)
    header.PatientName, header.StudyDate = "", ""
    header.save_as(tmp_path / "spect.dcm")
    assert patient_label(tmp_path / "spect.dcm") == "ID MRN-4711-77"


def test_nifti_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "roe.nii.gz"
    write_nifti(Volume.from_numpy(np.ones((8, 8, 8)), Grid.centred((8, 8, 8), (6.8,) * 3), Quantity.ACTIVITY), path)
    assert patient_label(path) == ""


def test_the_words_of_a_report_hold_nothing_of_a_header_full_of_names(named: Path) -> None:
    """Facts and warnings come from the header; whoever reads them must not learn who it is."""
    study = read_study(named, ct=sample_folder() / "ct")
    drawn = drawn_assessment()
    warned = (*study.notes, *study.spect.notes, *study.attenuation.notes)
    drawn = replace(drawn, warnings=by_rank(warned))
    words = repr(Contents.of(drawn, study, "")).lower()
    for value in SECRETS.values():
        for part in value.lower().split("^"):
            assert part not in words or len(part) < 2, part
    assert "roe" not in words
