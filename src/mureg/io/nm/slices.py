"""A reconstructed NM volume whose slices are objects of their own, as the one object it should have been."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset

from mureg.errors import GeometryError
from mureg.io.dicom.access import items, numbers, read_dataset
from mureg.io.dicom.character_set import keep_character_set_note
from mureg.io.dicom.files import DicomFile
from mureg.io.dicom.marks import pixel_notes
from mureg.io.dicom.pixels import decoded_pixels
from mureg.io.dicom.real_world import mapping_line, rescale_line, settle_real_world
from mureg.io.dicom.slice_line import fitted_line
from mureg.io.nm.frames import real_values

_OF_PIXELS = ("PixelData", "FloatPixelData")
_OF_STORED_VALUES = ("RescaleSlope", "RescaleIntercept", "RealWorldValueMappingSequence")

Notes = tuple[str, ...]


def read_nm_object(file: DicomFile, *, as_map: bool) -> tuple[Dataset, Notes]:
    """The object with its pixels, slices that are objects of their own as one, and notes on their pixels.

    The slices are put in the order of their positions along row direction cross column direction, so the distance
    between them is positive (PS3.3 C.8.4.15). Where they share their rescale values and real-world mapping, the one
    object holds stored values and these; else it holds real values.

    Args:
        file: that was chosen.
        as_map: whether it is read as an attenuation map.

    Raises:
        GeometryError: a slice does not say where it lies, or they are not equally spaced.
        UnitsError: as `mureg.io.dicom.real_world.settle_real_world`, for slices of different scale.
    """
    if not file.parts:
        return read_dataset(file.path), ()
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
    order = [int(k) for k in line.order]
    values, of_values, notes = _values([datasets[k] for k in order], as_map=as_map)
    whole = Dataset()  # a fresh one, for the encoding of the first slice must not be taken for that of the frames
    left_out = (*_OF_PIXELS, *of_values)
    whole.update({tag: one for tag, one in datasets[order[0]].items() if keyword_for_tag(tag) not in left_out})
    keep_character_set_note(datasets[order[0]], whole)
    place = Dataset()
    place.ImagePositionPatient = line.first_mm.tolist()
    place.ImageOrientationPatient = list(_place(datasets[order[0]]).ImageOrientationPatient)
    whole.DetectorInformationSequence = [place]
    whole.NumberOfFrames, whole.BitsAllocated = len(values), 64
    whole.FrameIncrementPointer, whole.SliceVector = tag_for_keyword("SliceVector"), list(range(1, len(values) + 1))
    whole.SpacingBetweenSlices = float(line.step_mm @ normal)
    whole.DoubleFloatPixelData = values.astype("<f8").tobytes()
    return whole, notes


def _values(slices: Sequence[Dataset], *, as_map: bool) -> tuple[npt.NDArray[Any], tuple[str, ...], Notes]:
    """Values [slice, row, column], the elements that no longer hold for them, and notes on how they came about.

    Stored values where all slices have one line from stored to real values, else real ones.
    """
    names = [f"slice {k} of the reconstruction" for k in range(1, len(slices) + 1)]
    frames = [
        decoded_pixels(one, name).reshape(int(one.Rows), int(one.Columns))
        for one, name in zip(slices, names, strict=True)
    ]
    stored = np.stack(frames)
    if len({(rescale_line(one), mapping_line(one)) for one in slices}) == 1:
        return stored, (), ()
    settled = [
        note for one, name in zip(slices, names, strict=True) for note in settle_real_world(one, name, as_map=as_map)
    ]
    real = [real_values(one, frame) for one, frame in zip(slices, frames, strict=True)]
    return np.stack(real), _OF_STORED_VALUES, (*dict.fromkeys(settled), *pixel_notes(stored))


def _place(dataset: Dataset) -> Dataset:
    """The item or object that says where the slice lies."""
    return next((i for i in items(dataset, "DetectorInformationSequence") if "ImagePositionPatient" in i), dataset)
