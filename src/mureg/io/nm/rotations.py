"""Rotations that are energy windows: some cameras count the windows of one rotation in RotationVector."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from mureg.io.dicom.access import items, number, numbers, text
from mureg.io.nm.frames import Labels

_GEOMETRY = ("StartAngle", "AngularStep", "ScanArc", "NumberOfFramesInRotation")


def windows_not_rotations(dataset: Dataset, labels: Labels) -> tuple[Labels, tuple[str, ...]]:
    """The frame numbers with rotation 1 throughout where RotationVector counts energy windows, and a note on it.

    Two shapes occur. Either rotation and energy window have the same number in every frame; or the window is 1 in all
    of them, and there are as many rotations as windows described. The third witness decides: the object must describe
    one rotation only (NumberOfRotations and the items of RotationInformationSequence), or, in the first shape, several
    that do not differ. Otherwise the numbers stay as they are.
    """
    rotations, windows = labels.get("rotation"), labels.get("energy window")
    if rotations is None or rotations.max() == 1:
        return labels, ()
    n = int(rotations.max())
    described = items(dataset, "RotationInformationSequence")
    one_rotation = number(dataset, "NumberOfRotations") in (None, 1.0) and len(described) <= 1
    if windows is not None and np.array_equal(windows, rotations):
        if not (one_rotation or (len(described) == n and _all_alike(described))):
            return labels, ()
        found = dict(labels)
    elif (windows is None or windows.max() == 1) and one_rotation and n == _n_windows(dataset):
        found = {**labels, "energy window": rotations}
    else:
        return labels, ()
    found["rotation"] = np.ones_like(rotations)
    witness = "one rotation is described" if one_rotation else "the rotations described do not differ"
    return found, (f"RotationVector counts the {n} energy windows and is read so: {witness}",)


def _n_windows(dataset: Dataset) -> int:
    return len(items(dataset, "EnergyWindowInformationSequence"))


def _all_alike(described: list[Dataset]) -> bool:
    """Whether all rotations have one start, step, arc and direction, and detectors at one distance."""
    seen = {
        (
            text(item, "RotationDirection"),
            *(number(item, keyword) for keyword in _GEOMETRY),
            numbers(item, "RadialPosition"),
        )
        for item in described
    }
    return len(seen) == 1
