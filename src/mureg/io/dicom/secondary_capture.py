"""Writing pages as a Secondary Capture, so that they open in a viewer beside the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from pydicom.dataset import Dataset
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage

from mureg import RESEARCH_USE_ONLY
from mureg.errors import UsageError
from mureg.files.atomic import writing
from mureg.io.dicom.build import fresh_uid, new_dataset, stamp
from mureg.io.dicom.template import equipment_items, patient_and_study_of, software_version, source_item

_PAGE_NUMBER_VECTOR = 0x00182001
"""Tag of PageNumberVector (DICOM PS3.6)."""


@dataclass(frozen=True, eq=False)
class Pages:
    """A report as pictures.

    Attributes:
        pixels: red, green, blue of each page; all of one size.
        names_patient: whether a page shows who the patient is.
    """

    pixels: tuple[UInt8[ndarray, "row column 3"], ...]
    names_patient: bool = False

    def __post_init__(self) -> None:
        if len({page.shape for page in self.pixels}) != 1:
            raise UsageError(f"{len(self.pixels)} pages of several sizes", "pages of one size", "draw them alike")


def write_pages(
    pages: Pages,
    path: Path,
    *,
    template: Dataset,
    shows: Sequence[Dataset] = (),
    made_at: datetime,
    series_number: int = 905,
    description: str = "mureg REPORT research use only",
) -> Path:
    """Write pages as one Multi-frame True Color Secondary Capture Image (PS3.3 A.8.5), one frame a page.

    Args:
        pages: the report.
        path: the file; it appears whole or not at all.
        template: header of an image of the study it belongs to: patient and study are taken from it.
        shows: headers of the images it shows, to refer to.
        made_at: date and time of the object.
        series_number: of the new series.
        description: series description.
    """
    image = new_dataset(MultiFrameTrueColorSecondaryCaptureImageStorage, fresh_uid(), patient_and_study_of(template))
    image.Modality, image.ConversionType = "OT", "WSD"
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.SeriesInstanceUID, image.SeriesNumber, image.InstanceNumber = fresh_uid(), series_number, 1
    image.SeriesDescription = description
    image.Manufacturer, image.ManufacturerModelName, image.SoftwareVersions = "mureg", "mureg", software_version()
    image.PatientOrientation = ""  # planes of several orientations on one page
    image.BodyPartExamined, image.LossyImageCompression = "HEART", "00"
    image.BurnedInAnnotation = "YES" if pages.names_patient else "NO"
    image.ImageComments = RESEARCH_USE_ONLY
    image.DerivationDescription = f"Pages of a report on a registration. Made by {software_version()}"
    image.ContributingEquipmentSequence = equipment_items(template, "report")
    if shows:
        image.SourceImageSequence = [source_item(header) for header in shows]
    _fill(image, pages)
    stamp(image, made_at)
    with writing(path) as scratch:
        image.save_as(scratch, enforce_file_format=True)
    return path


def _fill(image: Dataset, pages: Pages) -> None:
    """Pixels, page after page, and their order."""
    pixels = np.stack(pages.pixels)
    image.NumberOfFrames, image.Rows, image.Columns = pixels.shape[:3]
    image.FrameIncrementPointer = _PAGE_NUMBER_VECTOR
    image.PageNumberVector = list(range(1, len(pixels) + 1))
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    data = np.ascontiguousarray(pixels, dtype=np.uint8).tobytes()
    image.PixelData = data + b"\0" * (len(data) % 2)
    image["PixelData"].VR = "OB"
