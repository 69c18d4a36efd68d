"""The left ventricle in the images of one run."""

from __future__ import annotations

import numpy as np

from mureg.assessment.result import Perfusion
from mureg.errors import MuregError
from mureg.geometry import Volume
from mureg.geometry.rigid import Triple
from mureg.heart.axis import FoundAxis, axis_by_hand, axis_from_image
from mureg.heart.polar import PolarMap, polar_map

HandAxis = tuple[Triple, Triple]
"""A point near the middle of the long axis (mm) and the direction from base to apex, both LPS+ in SPECT space."""


def find_axis(spect: Volume, mu: Volume, by_hand: HandAxis | None) -> FoundAxis:
    """The left ventricle in a corrected image, along an axis given by hand where there is one.

    Raises:
        RefusedError: nothing there that a ventricle could be fitted to.
    """
    return axis_from_image(spect, mu) if by_hand is None else axis_by_hand(spect, *by_hand)


def perfusion(
    axis: FoundAxis, uncorrected: Volume, header: Volume, registered: Volume, changed_percent: float
) -> Perfusion:
    """Polar maps of three images along one axis, and the segments that differ between the corrected two.

    Raises:
        UsageError: an image without uptake in the wall.
    """
    maps = [polar_map(image, axis.ventricle) for image in (uncorrected, header, registered)]
    off = np.abs(changes(maps[1], maps[2]))
    changed = tuple(int(k) + 1 for k in np.flatnonzero(off > changed_percent))
    return Perfusion(axis.ventricle, axis.confidence, axis.by_hand, maps[0], maps[1], maps[2], changed)


def changes(header: PolarMap, registered: PolarMap) -> np.ndarray:
    """By how many points the relative uptake of each segment changes, entry n - 1 for segment n."""
    return np.asarray(registered.relative - header.relative)


def try_perfusion(
    axis: FoundAxis | None, uncorrected: Volume, header: Volume, registered: Volume, changed_percent: float
) -> Perfusion | None:
    """`perfusion`, or None where there is no axis or no uptake along it."""
    if axis is None:
        return None
    try:
        return perfusion(axis, uncorrected, header, registered, changed_percent)
    except MuregError:
        return None
