"""Putting the frames of an NM object in order by the vectors its FrameIncrementPointer names (PS3.3 C.8.4.8)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from mureg.errors import UnitsError, UnreadableInputError
from mureg.io.dicom.access import items, number
from mureg.io.dicom.pixels import decoded_pixels
from mureg.io.refusals import LARGEST_VALUE
from mureg.notes import Note, Rank

_AXES = {
    "EnergyWindowVector": "energy window",
    "DetectorVector": "detector",
    "RotationVector": "rotation",
    "AngularViewVector": "view",
    "SliceVector": "slice",
    "RRIntervalVector": "R-R interval",
    "TimeSlotVector": "time slot",
}
GATES = ("R-R interval", "time slot")

Labels = dict[str, npt.NDArray[np.int64]]
Frames = dict[tuple[int, ...], npt.NDArray[np.float64]]


def frame_labels(dataset: Dataset, required: str) -> Labels:
    """The number, from 1, of each frame along each axis that FrameIncrementPointer names.

    Args:
        dataset: NM object, with or without pixels.
        required: the vector that must be among them: AngularViewVector or SliceVector.

    Returns:
        For each axis, by name, an array [frame].

    Raises:
        UnreadableInputError: no frames, no pointer, a vector missing, of the wrong length or below 1, an axis that
            belongs to no tomographic study.
    """
    n_frames = int(number(dataset, "NumberOfFrames") or 0)
    if n_frames < 1:
        raise UnreadableInputError("the NM object has 0 frames", "at least one view or slice", "export it again")
    pointer = dataset.get("FrameIncrementPointer")
    if pointer is None or pointer == "":
        raise UnreadableInputError(
            "FrameIncrementPointer is missing", "the vectors that order the frames", "export the original object"
        )
    tags = [pointer] if isinstance(pointer, int) else list(pointer)
    labels: Labels = {}
    for keyword in (keyword_for_tag(tag) for tag in tags):
        if keyword not in _AXES:
            raise UnreadableInputError(
                f"frames are ordered by {keyword or 'an unknown element'}",
                f"vectors of a tomographic study, with {required} among them",
                "export the tomographic study, not a dynamic or planar one",
            )
        labels[_AXES[keyword]] = _vector(dataset, keyword, n_frames)
    if _AXES[required] not in labels:
        raise UnreadableInputError(
            f"FrameIncrementPointer does not name {required}", "this vector among them", "export the original object"
        )
    return labels


def summed_frames(dataset: Dataset, labels: Labels, axes: tuple[str, ...], name: str) -> tuple[Frames, tuple[str, ...]]:
    """Frames by their numbers along `axes`, in real units, gates of a gated study summed.

    Returns:
        For each combination of numbers that occurs the frame [row, column], and a note where gates were summed.

    Raises:
        UnreadableInputError: two frames with the same numbers, or gates missing in some views.
    """
    by_gate = list(frames_by_gate(dataset, labels, axes, name).values())
    summed = {key: np.sum([frames[key] for frames in by_gate], axis=0) for key in by_gate[0]}
    return summed, (Note(f"{len(by_gate)} gates summed", Rank.RECORD),) if len(by_gate) > 1 else ()


def frames_by_gate(dataset: Dataset, labels: Labels, axes: tuple[str, ...], name: str) -> dict[tuple[int, ...], Frames]:
    """The frames of each gate (R-R interval, time slot), in their order; one gate where the study is not gated.

    Returns, raises: as `summed_frames`, for each gate; every gate holds the same combinations of numbers.
    """
    n_frames = len(next(iter(labels.values())))
    stored = decoded_pixels(dataset, name).reshape(-1, int(dataset.Rows), int(dataset.Columns))
    if len(stored) != n_frames:
        raise UnreadableInputError(
            f"{len(stored)} frames of pixels for {n_frames} in the header", "as many", "export again"
        )
    values = real_values(dataset, stored)
    absent = np.ones(n_frames, dtype=np.int64)
    keys = np.stack([labels.get(axis, absent) for axis in axes], axis=1)
    gates = np.stack([labels.get(axis, absent) for axis in GATES], axis=1)
    by_gate: dict[tuple[int, ...], Frames] = {}
    for key_row, gate_row, frame in zip(keys, gates, values, strict=True):
        key, frames = tuple(int(k) for k in key_row), by_gate.setdefault(tuple(int(g) for g in gate_row), {})
        if key in frames:
            place = ", ".join(f"{axis} {k}" for axis, k in zip(axes, key, strict=True))
            raise UnreadableInputError(f"two frames are both {place}", "one frame each", "export the original object")
        frames[key] = frame
    in_gates = Counter(key for frames in by_gate.values() for key in frames)
    if min(in_gates.values()) < len(by_gate):
        raise UnreadableInputError(
            f"some views have {min(in_gates.values())} gates and others {max(in_gates.values())}",
            "the same gates in all",
            "export all frames",
        )
    return dict(sorted(by_gate.items()))


def real_values(dataset: Dataset, stored: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Stored values in real units: by RealWorldValueMapping where present, else by the rescale values.

    Raises `UnitsError` for values that no camera counts, as a damaged slope gives them.
    """
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    for mapping in items(dataset, "RealWorldValueMappingSequence"):
        mapped = number(mapping, "RealWorldValueSlope")
        if mapped is not None:
            slope, intercept = mapped, number(mapping, "RealWorldValueIntercept")
            break
    values = stored.astype(np.float64) * (1.0 if slope is None else slope) + (intercept or 0.0)
    largest = float(np.abs(values).max())
    if not largest <= LARGEST_VALUE:
        raise UnitsError(f"values up to {largest:.3g}", f"at most {LARGEST_VALUE:g}", "check the rescale values")
    return values


def _vector(dataset: Dataset, keyword: str, n_frames: int) -> npt.NDArray[np.int64]:
    value = dataset.get(keyword)
    if value is None or value == "":
        raise UnreadableInputError(
            f"FrameIncrementPointer names {keyword}, which is missing", "the vector", "export the original object"
        )
    vector = np.atleast_1d(np.asarray(value, dtype=np.int64))
    if len(vector) != n_frames or vector.min() < 1:
        raise UnreadableInputError(
            f"{keyword} has {len(vector)} values from {vector.min()} for {n_frames} frames",
            "one number from 1 for each frame",
            "export the original object",
        )
    return vector
