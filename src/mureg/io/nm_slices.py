"""A reconstructed NM volume whose slices are objects of their own, as the one object it should have been."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset

from mureg.errors import GeometryError
from mureg.io.dicom_access import items, numbers, read_dataset
from mureg.io.dicom_files import DicomFile
from mureg.io.dicom_pixels import decoded_pixels
from mureg.io.nm_frames import real_values
from mureg.io.slice_line import fitted_line

_OF_STORED_VALUES = ("RescaleSlope", "RescaleIntercept", "RealWorldValueMappingSequence", "PixelData", "FloatPixelData")


def read_nm_object(file: DicomFile) -> Dataset:
    """The object with its pixels; slices that are objects of their own come as one object of real values.

    The slices are put in the order of their positions along row direction cross column direction, so the distance
    between them is positive (PS3.3 C.8.4.15).

    Raises `GeometryError` where a slice does not say where it lies, or they are not equally spaced.
    """
    if not file.parts:
        return read_dataset(file.path)
    datasets = [read_dataset(part.path) for part in file.parts]
    places = [_place(dataset) for dataset in datasets]
    positions = [numbers(place, "ImagePositionPatient", 3) for place in places]
    directions = numbers(places[0], "ImageOrientationPatient", 6)
    if None in positions or directions is None:
        raise GeometryError(
            "a slice of the reconstruction does not say where it lies",
            "position and orientation of each",
            "export with full headers",
        )
    normal = np.cross(directions[:3], directions[3:])
    line = fitted_line(np.asarray(positions, dtype=np.float64), normal)
    return _as_one(datasets, [int(k) for k in line.order], float(line.step_mm @ normal), line.first_mm.tolist())


def _as_one(datasets: Sequence[Dataset], order: Sequence[int], spacing_mm: float, first_mm: list[float]) -> Dataset:
    frames = []
    for k in order:
        name = f"slice {k + 1} of the reconstruction"
        stored = decoded_pixels(datasets[k], name)
        frames.append(real_values(datasets[k], stored.reshape(int(datasets[k].Rows), int(datasets[k].Columns))))
    whole = Dataset()  # a fresh one, for the encoding of the first slice must not be taken for that of the frames
    whole.update({t: e for t, e in datasets[order[0]].items() if keyword_for_tag(t) not in _OF_STORED_VALUES})
    place = Dataset()
    place.ImagePositionPatient = first_mm
    place.ImageOrientationPatient = list(_place(datasets[order[0]]).ImageOrientationPatient)
    whole.DetectorInformationSequence = [place]
    whole.NumberOfFrames, whole.BitsAllocated = len(frames), 64
    whole.FrameIncrementPointer, whole.SliceVector = tag_for_keyword("SliceVector"), list(range(1, len(frames) + 1))
    whole.SpacingBetweenSlices = spacing_mm
    whole.DoubleFloatPixelData = np.stack(frames).astype("<f8").tobytes()
    return whole


def _place(dataset: Dataset) -> Dataset:
    """The item or object that says where the slice lies."""
    return next((i for i in items(dataset, "DetectorInformationSequence") if "ImagePositionPatient" in i), dataset)
