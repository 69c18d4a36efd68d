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

OF_PIXELS = ("PixelData", "FloatPixelData")
"""Elements that the joined object holds in another form."""

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
    names = [f"slice {k} of the reconstruction" for k in range(1, len(datasets) + 1)]
    values, of_values, notes = joined_values([datasets[k] for k in order], names, as_map=as_map)
    whole = Dataset()  # a fresh one, for the encoding of the first slice must not be taken for that of the frames
    left_out = (*OF_PIXELS, *of_values)
    whole.update({tag: element for tag, element in datasets[order[0]].items() if keyword_for_tag(tag) not in left_out})
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


def joined_values(
    objects: Sequence[Dataset], names: Sequence[str], *, as_map: bool
) -> tuple[npt.NDArray[Any], tuple[str, ...], Notes]:
    """Values [frame, row, column] of all objects, the elements that no longer hold for them, and notes on both.

    Stored values where all objects have one line from stored to real values, else real ones.
    """
    frames = [
        decoded_pixels(dataset, name).reshape(-1, int(dataset.Rows), int(dataset.Columns))
        for dataset, name in zip(objects, names, strict=True)
    ]
    stored = np.concatenate(frames)
    if len({(rescale_line(dataset), mapping_line(dataset)) for dataset in objects}) == 1:
        return stored, (), ()
    settled = [
        note
        for dataset, name in zip(objects, names, strict=True)
        for note in settle_real_world(dataset, name, as_map=as_map)
    ]
    real = [real_values(dataset, frame) for dataset, frame in zip(objects, frames, strict=True)]
    return np.concatenate(real), _OF_STORED_VALUES, (*dict.fromkeys(settled), *pixel_notes(stored))


def _place(dataset: Dataset) -> Dataset:
    """The item or object that says where the slice lies."""
    return next((i for i in items(dataset, "DetectorInformationSequence") if "ImagePositionPatient" in i), dataset)
