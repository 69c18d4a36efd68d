"""CT objects of several frames, written with plain pydicom from the standard (PS3.3 A.38, A.70, C.7.6.16)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from support.dicom import AXIAL, blank, item, set_pixels, uid

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_CT = "1.2.840.10008.5.1.4.1.1.2.2"
WORD_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3"


def write_enhanced(
    path: Path,
    hounsfield: npt.NDArray[Any],
    *,
    sop_class: str = ENHANCED_CT,
    origin: Sequence[float] = (-10.0, -20.0, -30.0),
    spacing: Sequence[float] = (1.5, 2.0, 2.5),
    order: Sequence[int] | None = None,
    slopes: Sequence[float] | None = None,
    places: bool = True,
) -> Path:
    """One object of HU [slice, row, column], frames in `order`; spacing is (column, row, slice) in mm.

    Stored values are (HU + 1024) / slope of the frame.
    """
    ds = blank(sop_class, path.name)
    ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.SeriesInstanceUID, ds.SeriesNumber, ds.SeriesDescription = uid("enhanced", path.name), 5, "enhanced"
    ds.Manufacturer, ds.ManufacturerModelName = "GE MEDICAL SYSTEMS", "Optima CT540"
    frames = list(order) if order is not None else list(range(len(hounsfield)))
    scale = list(slopes) if slopes is not None else [1.0] * len(frames)
    stored = np.stack([(hounsfield[k] + 1024) / slope for k, slope in zip(frames, scale, strict=True)])
    set_pixels(ds, np.rint(stored), signed=True)
    if places:
        ds.SharedFunctionalGroupsSequence = [
            item(
                PlaneOrientationSequence=[item(ImageOrientationPatient=list(AXIAL))],
                PixelMeasuresSequence=[item(PixelSpacing=[spacing[1], spacing[0]], SliceThickness=spacing[2])],
                CTXRayDetailsSequence=[item(KVP=120)],
            )
        ]
        ds.PerFrameFunctionalGroupsSequence = [
            item(
                PlanePositionSequence=[item(ImagePositionPatient=[origin[0], origin[1], origin[2] + k * spacing[2]])],
                PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=-1024, RescaleType="HU")],
            )
            for k, slope in zip(frames, scale, strict=True)
        ]
    else:
        ds.ImagePositionPatient, ds.ImageOrientationPatient = list(origin), list(AXIAL)
        ds.PixelSpacing, ds.SpacingBetweenSlices = [spacing[1], spacing[0]], spacing[2]
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.save_as(path, enforce_file_format=True)
    return path
