"""Writing a picture as a Secondary Capture, so that it opens in a viewer beside the study."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from mureg import RESEARCH_USE_ONLY
from mureg.files.atomic import writing
from mureg.io.dicom_build import fresh_uid, stamp
from mureg.io.dicom_template import equipment_items, patient_and_study_of, software_version, source_item


def write_secondary_capture(
    picture: UInt8[ndarray, "row column 3"],
    path: Path,
    *,
    template: Dataset,
    shows: tuple[Dataset, ...] = (),
    made_at: datetime,
    series_number: int = 905,
    description: str = "mureg report, research use only",
) -> Path:
    """Write a colour picture as Secondary Capture Image Storage (PS3.3 A.8.1), made by highdicom.

    Args:
        picture: red, green, blue.
        path: the file; it appears whole or not at all.
        template: header of an image of the study it belongs to: patient and study are taken from it.
        shows: headers of the images it shows, to refer to.
        made_at: date and time of the object.
        series_number: of the new series.
        description: series description.
    """
    from highdicom.sc import SCImage  # slow to import, and needed here alone

    image: Dataset = SCImage(
        picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        study_instance_uid=str(template.StudyInstanceUID),
        series_instance_uid=fresh_uid(),
        series_number=series_number,
        sop_instance_uid=fresh_uid(),
        instance_number=1,
        manufacturer="mureg",
        manufacturer_model_name="mureg",
        software_versions=software_version(),
        series_description=description,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    image.update(patient_and_study_of(template))
    image.SpecificCharacterSet = "ISO_IR 192"
    image.PatientOrientation = ""  # planes of several orientations in one picture
    image.BodyPartExamined = "HEART"
    image.BurnedInAnnotation = "NO"
    image.ImageComments = RESEARCH_USE_ONLY
    image.DerivationDescription = f"picture of a registration. By {software_version()}"
    image.ContributingEquipmentSequence = equipment_items(template, "quality picture")
    if shows:
        image.SourceImageSequence = [source_item(header) for header in shows]
    stamp(image, made_at)
    with writing(path) as scratch:
        image.save_as(scratch, enforce_file_format=True)
    return path
