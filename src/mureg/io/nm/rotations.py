"""Rotations that are energy windows: some cameras count the windows of one rotation in RotationVector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.errors import UnreadableInputError
from mureg.io.dicom.access import items, number, numbers, text
from mureg.io.dicom.pixels import decoded_pixels
from mureg.io.nm.frames import Labels

_GEOMETRY = ("StartAngle", "AngularStep", "ScanArc", "NumberOfFramesInRotation")
_SAME_COUNTS = 0.3
"""Rotations on one orbit differ in counts by less than this share: decay of Tc-99m takes two hours for a fifth."""


def windows_not_rotations(dataset: Dataset, labels: Labels) -> tuple[Labels, tuple[str, ...]]:
    """The frame numbers with rotation 1 throughout where RotationVector counts energy windows, and a note on it.

    Two shapes occur. Either rotation and energy window have the same number in every frame; or the window is 1 in all
    of them, and there are as many rotations as windows described. The third witness decides: the object must describe
    one rotation only (NumberOfRotations and the items of RotationInformationSequence), or several that do not differ;
    in the second shape the counts of such rotations must differ too. Otherwise the numbers stay as they are.

    Raises `UnreadableInputError` in the second shape where neither rotations nor counts differ: the frames may be of
    two windows or of one that was acquired twice.
    """
    rotations, windows = labels.get("rotation"), labels.get("energy window")
    if rotations is None or rotations.max() == 1:
        return labels, ()
    n = int(rotations.max())
    described = items(dataset, "RotationInformationSequence")
    one_rotation = number(dataset, "NumberOfRotations") in (None, 1.0) and len(described) <= 1
    alike = len(described) == n and _all_alike(described)
    witness = "one rotation is described" if one_rotation else "the rotations described do not differ"
    if windows is not None and np.array_equal(windows, rotations):
        if not (one_rotation or alike):
            return labels, ()
        new_labels = dict(labels)
    elif (windows is None or windows.max() == 1) and (one_rotation or alike) and n == _n_windows(dataset):
        new_labels = {**labels, "energy window": rotations}
        if not one_rotation:
            _require_other_counts(dataset, rotations)
            witness += ", their counts do"
    else:
        return labels, ()
    new_labels["rotation"] = np.ones_like(rotations)
    return new_labels, (f"RotationVector counts the {n} energy windows and is read so: {witness}",)


def _require_other_counts(dataset: Dataset, rotations: npt.NDArray[np.int64]) -> None:
    stored = decoded_pixels(dataset, "the NM object").reshape(len(rotations), -1).sum(axis=1, dtype=np.float64)
    sums = np.array([stored[rotations == k].sum() for k in range(1, int(rotations.max()) + 1)])
    if sums.min() >= (1.0 - _SAME_COUNTS) * sums.max():
        n = len(sums)
        raise UnreadableInputError(
            f"frames of {n} rotations that do not differ and of one energy window, where {n} windows are described",
            "as many energy windows in EnergyWindowVector as are described, or rotations that differ",
            "export the original object, or one rotation",
        )


def _n_windows(dataset: Dataset) -> int:
    return len(items(dataset, "EnergyWindowInformationSequence"))


def _all_alike(described: list[Dataset]) -> bool:
    """Whether all rotations have one start, step, arc and direction, and detectors at one distance."""
    readings = {
        (
            text(item, "RotationDirection"),
            *(number(item, keyword) for keyword in _GEOMETRY),
            numbers(item, "RadialPosition"),
        )
        for item in described
    }
    return len(readings) == 1
