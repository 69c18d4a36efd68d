"""Planes of a volume in radiological orientation: what is up, what is right, and the letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.geometry import Grid, Volume
from mureg.geometry.rigid import Triple

Array = npt.NDArray[Any]
_AXIS_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))  # toward +, toward - of patient x, y, z


@dataclass(frozen=True)
class PlaneView:
    """Viewing direction, radiological convention.

    Attributes:
        name: for the caption.
        across: patient axis (0 x, 1 y, 2 z) that runs to the image's right, always in its + direction.
        upward: patient axis that runs up or down the image.
        up_sign: +1 where its + direction is at the top, -1 where it is at the bottom.
    """

    name: str
    across: int
    upward: int
    up_sign: int

    @property
    def through(self) -> int:
        """Patient axis along the viewing direction."""
        return 3 - self.across - self.upward

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """What stands at the left, right, top and bottom edge: L, R, A, P, H (head) or F (foot)."""
        right, left = _AXIS_LETTERS[self.across]
        top, bottom = _AXIS_LETTERS[self.upward][:: self.up_sign]
        return left, right, top, bottom


TRANSAXIAL = PlaneView("transaxial", across=0, upward=1, up_sign=-1)
"""Seen from the feet: the patient's left on the image's right, front at the top."""
CORONAL = PlaneView("coronal", across=0, upward=2, up_sign=1)
"""Seen from the front: the patient's left on the image's right, head at the top."""
SAGITTAL = PlaneView("sagittal", across=1, upward=2, up_sign=1)
"""Seen from the patient's left: front at the image's left, head at the top."""
VIEWS = (TRANSAXIAL, CORONAL, SAGITTAL)


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane of a volume, ready to be drawn.

    Attributes:
        values: [row, column], row 0 at the top of the image, column 0 at its left.
        known: False where the volume says nothing.
        view: viewing direction.
        across_mm: patient coordinate of every column's centre along `view.across`.
        upward_mm: patient coordinate of every row's centre along `view.upward`, from the top row down.
    """

    values: Array
    known: npt.NDArray[np.bool_]
    view: PlaneView
    across_mm: Array
    upward_mm: Array

    @property
    def extent_mm(self) -> tuple[float, float, float, float]:
        """Patient coordinates of the left, right, bottom and top edge of the image."""
        half = abs(self.across_mm[1] - self.across_mm[0]) / 2 if len(self.across_mm) > 1 else 0.5
        rise = half * self.view.up_sign
        return (
            float(self.across_mm[0] - half),
            float(self.across_mm[-1] + half),
            float(self.upward_mm[-1] - rise),
            float(self.upward_mm[0] + rise),
        )


def plane(volume: Volume, view: PlaneView, centre_mm: Triple, size_mm: Triple, spacing_mm: float = 2.0) -> Plane:
    """Cut a plane along the patient axes out of a volume on any grid, flipped and oblique ones included.

    Args:
        volume: any quantity.
        view: viewing direction.
        centre_mm: the middle of the image, and the point the plane goes through, LPS+.
        size_mm: extent of the image along patient x, y, z; the one along the line of sight is not used.
        spacing_mm: pixel size of the plane.

    Returns:
        Values by one trilinear interpolation (nearest for labels); what lies outside the volume is marked and 0.
    """
    shape, spacing = [1, 1, 1], [spacing_mm] * 3
    for axis in (view.across, view.upward):
        shape[axis] = max(2, round(size_mm[axis] / spacing_mm))
    grid = Grid.centred((shape[0], shape[1], shape[2]), (spacing[0], spacing[1], spacing[2]), centre_mm)
    cut = volume.resampled(onto=grid)
    known = np.ones(grid.shape, dtype=bool) if cut.outside is None else ~cut.outside
    x, y, z = (grid.affine[a, 3] + spacing_mm * np.arange(n) for a, n in enumerate(grid.shape))
    upward_mm = (x, y, z)[view.upward]
    return Plane(
        _as_image(cut.values, view),
        _as_image(known, view),
        view,
        (x, y, z)[view.across],
        upward_mm[:: -view.up_sign],
    )


def _as_image(values: Array, view: PlaneView) -> Array:
    """From [x, y, z] with one voxel along the line of sight to [row, column]."""
    across_then_upward = np.moveaxis(values, view.through, 0)[0]
    if view.across > view.upward:
        across_then_upward = across_then_upward.T
    rows: Array = across_then_upward.T[:: -view.up_sign]
    return rows
