"""What a written object takes over from those it was made of: whose it is, and what it refers to."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

import mureg
from mureg.errors import UnreadableInputError
from mureg.io.dicom.access import reading, text
from mureg.io.dicom.build import code_item
from mureg.io.dicom.character_set import settle_character_set
from mureg.io.dicom.files import find_series

_PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
)
_REQUIRED_BUT_MAYBE_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def read_header(path: Path) -> Dataset:
    """The header of a DICOM object without its pixels, its text decoded; a refusal where it is none."""
    with reading(path.name):
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        settle_character_set(header)
        header.decode()
    if not text(header, "SOPInstanceUID") or not text(header, "StudyInstanceUID"):
        raise UnreadableInputError(
            f"'{path.name}' is no DICOM image", "the object this one is made of", "check the path"
        )
    return header


def patient_and_study_of(header: Dataset) -> Dataset:
    """Patient and study modules as in a source object."""
    common = Dataset()
    for keyword in _PATIENT_AND_STUDY:
        if keyword in header:
            setattr(common, keyword, header[keyword].value)
    for keyword in _REQUIRED_BUT_MAYBE_EMPTY:
        if keyword not in common:
            setattr(common, keyword, "")
    return common


def taken_over(header: Dataset, keyword: str, index: int = 0) -> list[Dataset]:
    """The item of that index of a sequence of a source object as a list of one, without private elements, or none."""
    listed = list(header.get(keyword) or [])
    if index >= len(listed):
        return []
    item = copy.deepcopy(listed[index])
    item.remove_private_tags()
    return [item]


def source_items(paths: Iterable[Path]) -> list[Dataset]:
    """Items of SourceImageSequence for files and folders of DICOM objects, each instance once."""
    by_uid: dict[str, Dataset] = {}
    for path in paths:
        for series in find_series(path):
            for file in series.files:
                instance = text(file.header, "SOPInstanceUID")
                if instance:
                    by_uid[instance] = source_item(file.header)
    return list(by_uid.values())


def source_item(header: Dataset) -> Dataset:
    """An item of SourceImageSequence: the object of that header."""
    item = Dataset()
    item.ReferencedSOPClassUID = text(header, "SOPClassUID")
    item.ReferencedSOPInstanceUID = text(header, "SOPInstanceUID")
    item.PurposeOfReferenceCodeSequence = [code_item("121322", "DCM", "Source image for image processing operation")]
    return item


def equipment_items(header: Dataset | None, did: str) -> list[Dataset]:
    """Items of ContributingEquipmentSequence: this package, and the camera of a source object.

    Args:
        header: the source object, None where there is none.
        did: what this package did, in a few words.
    """
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = [code_item("109102", "DCM", "Processing Equipment")]
    equipment.Manufacturer, equipment.ManufacturerModelName = "mureg", "mureg"
    equipment.SoftwareVersions, equipment.ContributionDescription = software_version(), did
    if header is None or not text(header, "Manufacturer"):
        return [equipment]
    camera = Dataset()
    camera.PurposeOfReferenceCodeSequence = [code_item("109101", "DCM", "Acquisition Equipment")]
    camera.Manufacturer = text(header, "Manufacturer")
    camera.ManufacturerModelName = text(header, "ManufacturerModelName")
    return [equipment, camera]


def software_version() -> str:
    """What SoftwareVersions says of this package."""
    return f"mureg {mureg.__version__}, research use only"
