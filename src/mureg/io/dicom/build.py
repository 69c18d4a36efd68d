"""The parts that every DICOM object written here shares."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from mureg.errors import UnreadableInputError, UsageError

_LONGEST_DESCRIPTION = 64
"""Of a value of LO (PS3.5 6.2)."""


def new_dataset(sop_class: UID, instance_uid: str, common: Dataset) -> Dataset:
    """A dataset with file meta information, character set and identifiers, filled with `common`."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.FileMetaInformationVersion = b"\x00\x01"
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(instance_uid)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    dataset.file_meta.ImplementationVersionName = "MUREG"
    dataset.update(common)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, instance_uid
    return dataset


def fresh_uid() -> UID:
    """A unique identifier that nothing else has, new at each call."""
    return generate_uid()


def series_title(decision: str, what: str) -> str:
    """A series description: the decision first, then what the series is, since viewers cut descriptions short.

    Raises `UsageError` for more than the 64 characters that a description may have.
    """
    title = f"{decision.upper().replace('-', ' ')} mureg {what}".strip()
    if len(title) > _LONGEST_DESCRIPTION:
        raise UsageError(f"a series description of {len(title)} characters", "at most 64", "shorten it")
    return title


def stamp(dataset: Dataset, made_at: datetime) -> None:
    """Say when a series, its content and the object were made, in local time as DICOM has it."""
    date, time = made_at.strftime("%Y%m%d"), made_at.strftime("%H%M%S")
    dataset.SeriesDate = dataset.ContentDate = dataset.InstanceCreationDate = date
    dataset.SeriesTime = dataset.ContentTime = dataset.InstanceCreationTime = time


def patient_and_study(patient_id: str, study_uid: str) -> Dataset:
    """Patient and study modules with a pseudonym and no dates."""
    common = Dataset()
    common.PatientName, common.PatientID = patient_id, patient_id
    common.PatientBirthDate, common.PatientSex = "", ""
    common.PatientIdentityRemoved, common.DeidentificationMethod = "YES", "synthetic header"
    common.StudyInstanceUID, common.StudyID = study_uid, ""
    common.StudyDate, common.StudyTime, common.AccessionNumber, common.ReferringPhysicianName = "", "", "", ""
    return common


def fill_pixels(dataset: Dataset, frames: npt.NDArray[Any], *, signed: bool) -> None:
    """Fill the image pixel module with 16-bit values [row, column] or [frame, row, column]."""
    if frames.ndim == 3:
        dataset.NumberOfFrames = frames.shape[0]
    dataset.Rows, dataset.Columns = frames.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = np.ascontiguousarray(frames, dtype="<i2" if signed else "<u2").tobytes()
    dataset["PixelData"].VR = "OW"


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """One item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def made_uid(*parts: str) -> str:
    """A unique identifier that depends on its parts only."""
    if not parts[-1]:
        raise UnreadableInputError("an empty identifier", "a pseudonym", "give a patient_id")
    return str(generate_uid(entropy_srcs=list(parts)))


def decimals(values: npt.ArrayLike) -> list[str]:
    """Numbers as decimal strings of at most 16 characters."""
    return [format_number_as_ds(float(value)) for value in np.asarray(values, dtype=np.float64)]


def decimal(value: float | None) -> str | None:
    """A number as a decimal string of at most 16 characters."""
    return None if value is None else format_number_as_ds(float(value))
