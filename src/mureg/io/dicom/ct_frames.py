"""The slices of a CT, whether each is a file or many are the frames of one object (PS3.3 A.38, A.70, C.7.6.16)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    ParametricMapStorage,
)

from mureg.errors import GeometryError, UnreadableInputError
from mureg.io.dicom.access import items, number, numbers, read_dataset, text
from mureg.io.dicom.files import DicomFile
from mureg.io.dicom.pixels import decoded_pixels

ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
"""Kinds of object that hold a whole CT, a frame for each slice."""

_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_GROUPS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "CTXRayDetailsSequence",
)

Slice = tuple[Dataset, npt.NDArray[Any]]


def is_ct_image(header: Dataset) -> bool:
    """Whether an object can hold slices of a CT: CT images, Enhanced ones, and multi-frame captures with a geometry."""
    kind = text(header, "SOPClassUID")
    if kind in (CTImageStorage, *ENHANCED):
        return True
    if kind != MultiFrameGrayscaleWordSecondaryCaptureImageStorage or text(header, "Modality") != "CT":
        return False
    try:
        return _frame_places(header) is not None
    except UnreadableInputError:
        return False


def is_map_image(header: Dataset) -> bool:
    """Whether an object can hold slices of an attenuation map outside nuclear medicine."""
    return is_ct_image(header) or text(header, "SOPClassUID") == ParametricMapStorage


def frames_of(header: Dataset) -> int:
    """How many frames an object has, 1 where it does not say."""
    return max(1, int(number(header, "NumberOfFrames") or 1))


def slices_of(files: Sequence[DicomFile]) -> tuple[DicomFile, ...]:
    """Every slice as a file of its own: a frame gets the header of its object with the frame's values in it.

    Where the frames lie is read from the functional groups, else from an ImagePositionPatient with three numbers for
    each frame. One position and a distance are not enough: outside nuclear medicine the distance has no sign, and a
    wrong one turns the patient head to foot.

    Raises `GeometryError` where an object of several frames does not say where each of them lies.
    """
    return tuple(part for file in files for part in _slices(file))


def stored_slices(files: Sequence[DicomFile], names: Sequence[str]) -> Iterator[Slice]:
    """Header and stored values [row, column] of each slice, whatever file it is in; each file is decoded once."""
    opened: dict[str, npt.NDArray[Any]] = {}
    for file, name in zip(files, names, strict=True):
        if file.frame is None:
            dataset = read_dataset(file.path)
            yield dataset, decoded_pixels(dataset, name)
            continue
        key = str(file.path)
        if key not in opened:
            opened[key] = _decoded(file)
        yield file.header, opened[key][file.frame]


def _slices(file: DicomFile) -> Iterator[DicomFile]:
    header, n_frames = file.header, frames_of(file.header)
    if n_frames == 1 and _PER_FRAME not in header:
        yield file
        return
    places = _frame_places(header)
    if places is None:
        raise GeometryError(
            f"the CT {file.path.name} holds {n_frames} frames and does not say where each of them lies",
            "a position for each frame",
            "export one image for each slice, or Enhanced CT",
        )
    shared, own = items(header, _SHARED), items(header, _PER_FRAME)
    base = {tag: element for tag, element in header.items() if keyword_for_tag(tag) not in (_SHARED, _PER_FRAME)}
    for k, place in enumerate(places):
        frame = Dataset()
        frame.update(base)
        for group in (*shared[:1], *own[k : k + 1]):
            _flatten(group, frame)
        frame.add_new("ImagePositionPatient", "DS", [float(v) for v in place])
        yield replace(file, header=frame, frame=k)


def _flatten(group: Dataset, frame: Dataset) -> None:
    """Add the elements of a functional group as a single-frame object has them; frames share the others, unchanged."""
    for keyword in _GROUPS:
        for item in items(group, keyword)[:1]:
            for element in item:
                frame.add(element)
    if "RealWorldValueMappingSequence" in group:
        frame.add(group["RealWorldValueMappingSequence"])
    for item in items(group, "CTImageFrameTypeSequence")[:1]:
        if "FrameType" in item:
            frame.add_new("ImageType", "CS", item.FrameType)


def _frame_places(header: Dataset) -> npt.NDArray[np.float64] | None:
    """Position of the first voxel of each frame [frame, 3], None where it is not written."""
    n_frames = frames_of(header)
    groups = items(header, _PER_FRAME)
    if len(groups) == n_frames:
        positions = [
            numbers(i, "ImagePositionPatient", 3) for g in groups for i in items(g, "PlanePositionSequence")[:1]
        ]
        if len(positions) == n_frames and None not in positions:
            return np.asarray(positions, dtype=np.float64)
    position = numbers(header, "ImagePositionPatient")
    if position is not None and len(position) == 3 * n_frames:
        return np.asarray(position, dtype=np.float64).reshape(n_frames, 3)
    return None


def _decoded(file: DicomFile) -> npt.NDArray[Any]:
    dataset = read_dataset(file.path)
    stored = decoded_pixels(dataset, file.path.name)
    return stored if stored.ndim == 3 else stored[None]
