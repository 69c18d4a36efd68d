"""Writing a rigid registration as a DICOM Spatial Registration object."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from textwrap import shorten

from pydicom.dataset import Dataset
from pydicom.uid import SpatialRegistrationStorage

from mureg.files.atomic import writing
from mureg.geometry import RigidTransform
from mureg.io.dicom.access import text
from mureg.io.dicom.build import code_item, decimals, fresh_uid, new_dataset, stamp
from mureg.io.dicom.references import image_items, set_common_instance_references
from mureg.io.dicom.template import equipment_items, patient_and_study_of, software_version

_IDENTITY = ("125021", "Frame of Reference Identity")
_BY_CONTENT = ("125024", "Image Content-based Alignment")


def write_spatial_registration(
    ct_from_spect: RigidTransform,
    path: Path,
    *,
    spect: Sequence[Dataset],
    ct: Sequence[Dataset],
    frame_of_reference: str,
    made_at: datetime,
    series_number: int = 904,
    description: str = "mureg REG research use only, CT to SPECT",
    how: str = "",
) -> Path:
    """Write where the CT belongs as a Spatial Registration object (PS3.3 A.39.1, C.20.2).

    The registered frame of reference is that of the SPECT. Item 1 names the SPECT images, with the identity; item 2 the
    CT images, with a matrix that maps points of their frame of reference into the registered one. That is
    ``spect_from_ct``, the inverse of ``ct_from_spect``. Images are named one by one as well as by frame of reference,
    because hybrid scanners give both the same one.

    Args:
        ct_from_spect: the pose.
        path: the file; it appears whole or not at all.
        spect: headers of the images that lie in SPECT space; patient and study are taken from the first.
        ct: headers of the images that are to be moved.
        frame_of_reference: of the SPECT images.
        made_at: date and time of the object.
        series_number: of its series.
        description: series description.
        how: the pose was found, in a few words.

    Returns:
        The path.
    """
    header = spect[0]
    reg = new_dataset(SpatialRegistrationStorage, fresh_uid(), patient_and_study_of(header))
    reg.Modality, reg.SeriesInstanceUID, reg.SeriesNumber, reg.InstanceNumber = "REG", fresh_uid(), series_number, 1
    reg.BodyPartExamined = "HEART"
    reg.SeriesDescription = description
    reg.Manufacturer, reg.ManufacturerModelName, reg.SoftwareVersions = "mureg", "mureg", software_version()
    reg.FrameOfReferenceUID, reg.PositionReferenceIndicator = frame_of_reference, ""
    stamp(reg, made_at)
    reg.ContentLabel, reg.ContentCreatorName = "CT_TO_SPECT", ""
    reg.ContentDescription = _long_string(how or "CT registered to the SPECT")
    reg.ContributingEquipmentSequence = equipment_items(header, "rigid registration of the CT to the SPECT")
    reg.RegistrationSequence = [
        _item(spect, frame_of_reference, RigidTransform.identity(), _IDENTITY, "SPECT: stays where it is"),
        _item(
            ct,
            text(ct[0], "FrameOfReferenceUID"),
            ct_from_spect.inverse(),
            _BY_CONTENT,
            "spect_from_ct, moves the CT onto the SPECT; research use only",
        ),
    ]
    set_common_instance_references(reg, [*spect, *ct])
    with writing(path) as scratch:
        reg.save_as(scratch, enforce_file_format=True)
    return path


def _item(
    images: Sequence[Dataset], frame: str, registered_from_item: RigidTransform, method: tuple[str, str], comment: str
) -> Dataset:
    """One item of RegistrationSequence: which images, and how their space maps into the registered one."""
    matrix = Dataset()
    matrix.FrameOfReferenceTransformationMatrixType = "RIGID"
    matrix.FrameOfReferenceTransformationMatrix = decimals(registered_from_item.matrix.ravel())
    registration = Dataset()
    registration.FrameOfReferenceTransformationComment = comment
    registration.MatrixSequence = [matrix]
    registration.RegistrationTypeCodeSequence = [code_item(method[0], "DCM", method[1])]
    item = Dataset()
    item.ReferencedImageSequence = image_items(images)
    if frame:
        item.FrameOfReferenceUID = frame
    item.MatrixRegistrationSequence = [registration]
    return item


def _long_string(words: str) -> str:
    """At most 64 letters, without the backslash that would make several values of it (LO, PS3.5 6.2).

    Of longer words what stands before the first semicolon, in whole words.
    """
    words = words.replace("\\", "/")
    return shorten(words if len(words) <= 64 else words.split("; ")[0], 64, placeholder=" ...")
