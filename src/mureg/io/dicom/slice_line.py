"""One straight line through the positions of all slices: their order, their spacing, and what does not lie on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.errors import GeometryError
from mureg.io.dicom.access import numbers
from mureg.io.refusals import require_millimetres

TOLERANCE = 0.1
"""A slice may lie this share of the spacing off the line: positions rounded to 0.1 mm do, at 0.5 mm and more."""

SAME_DISTANCE = 0.02
"""Share by which two statements of one distance may differ: writers keep few decimals (2.46 and 2.5 mm); chosen."""

_SAME_PLACE_MM = 0.01
"""Slices that lie closer are copies, with rounding; no scan has steps so small."""
_UNEVEN_SHARE = 0.15
"""Share of the usual step by which the step that a refusal names departs; above `TOLERANCE`, with rounding."""
_TILT_TOLERANCE_MM = 0.5
"""Sideways over the whole scan, less than a CT pixel: rounding of positions and cosines stays below it."""
_SMALLEST_STEP_MM = 0.05
"""No scan has a smaller step: it is that of thin slices (0.5 mm) written in cm."""
_LEAST_STEP = 0.2  # of the slice thickness; with positions in cm it is 0.1
_LONGEST_IN_CM = 120.0  # a scan of 1.2 m, its positions written in cm

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SliceLine:
    """Where a stack of slices lies.

    Attributes:
        order: index of each slice among the positions given, along the normal.
        first_mm: fitted position of the first voxel of the first slice [3], LPS.
        step_mm: from slice to slice [3].
    """

    order: npt.NDArray[np.intp]
    first_mm: Array
    step_mm: Array


def fitted_line(positions_mm: Array, normal: Array) -> SliceLine:
    """Fit ``first + k * step`` to the positions by least squares, k being the rank of a slice along the normal.

    Args:
        positions_mm: ImagePositionPatient of each slice [slice, 3], at least two.
        normal: row direction cross column direction [3].

    Raises:
        GeometryError: two slices at one place, a slice more than `TOLERANCE` of the spacing off the line (a gap or an
            uneven step), or slices that are stacked obliquely to their normal (a tilted gantry).
    """
    order = np.argsort(positions_mm @ normal, kind="stable")
    origins = positions_mm[order]
    along = origins @ normal
    ranks = np.arange(len(origins), dtype=np.float64)
    ranks -= ranks.mean()
    step = ranks @ origins / float(ranks @ ranks)
    middle = origins.mean(axis=0)
    residual = (origins - middle - np.outer(ranks, step)) @ normal
    _require_one_place_each(np.diff(along), origins)
    _require_straight(np.diff(along), residual, float(step @ normal))
    _require_no_tilt(origins, normal, float(along[-1] - along[0]))
    return SliceLine(order, middle + ranks[0] * step, step)


def require_steps_in_mm(step_mm: float, n_slices: int, header: Dataset) -> str:
    """Refuse slice positions in centimetres; return a note where overlapping slabs looked like them, else "".

    Steps below a fifth of the slice thickness are either overlapping slabs or positions in cm. They are slabs where
    SpacingBetweenSlices repeats the step, or where the stack is too long for cm.
    """
    thickness = numbers(header, "SliceThickness", 1)
    require_millimetres("the distance between CT slices", step_mm, _SMALLEST_STEP_MM)
    if not thickness or step_mm >= _LEAST_STEP * thickness[0]:
        return ""
    spacing = numbers(header, "SpacingBetweenSlices", 1)
    repeated = spacing is not None and abs(abs(spacing[0]) - step_mm) <= TOLERANCE * step_mm
    long_enough = step_mm * (n_slices - 1) > _LONGEST_IN_CM
    if not (repeated or long_enough):
        raise GeometryError(
            f"CT slices of {thickness[0]:g} mm lie {step_mm:.3g} apart (positions perhaps in centimetres)",
            "positions in millimetres",
            "correct the header, or export with SpacingBetweenSlices where thick slices overlap",
        )
    return f"CT slices of {thickness[0]:g} mm lie {step_mm:.3g} mm apart: they overlap"


def _require_one_place_each(steps_mm: Array, origins: Array) -> None:
    doubled = np.flatnonzero(steps_mm < _SAME_PLACE_MM)
    if len(doubled):
        where = ", ".join(f"{v:.1f}" for v in origins[doubled[0]])
        raise GeometryError(
            f"CT series has duplicate positions at {len(doubled)} place(s), first at ({where}) mm",
            "one slice at each position",
            "export one phase or reconstruction only",
        )


def _require_straight(steps_mm: Array, residual_mm: Array, spacing_mm: float) -> None:
    if float(np.abs(residual_mm).max()) <= TOLERANCE * spacing_mm:
        return
    usual_mm = float(np.median(steps_mm))
    off = np.abs(steps_mm - usual_mm)
    uneven = np.flatnonzero(off > _UNEVEN_SHARE * usual_mm)
    k = int(uneven[0]) if len(uneven) else int(off.argmax())
    what = "gap" if steps_mm[k] > usual_mm else "step"
    raise GeometryError(
        f"CT series has a {steps_mm[k]:.4g} mm {what} after slice {k + 1} (spacing {usual_mm:.4g} mm)",
        "equally spaced slices",
        "export the complete series",
    )


def _require_no_tilt(origins: Array, normal: Array, length_mm: float) -> None:
    sideways = origins - origins[0]
    sideways -= np.outer(sideways @ normal, normal)
    drift_mm = float(np.linalg.norm(sideways, axis=1).max())
    if drift_mm > _TILT_TOLERANCE_MM:
        tilt_deg = np.degrees(np.arctan2(np.linalg.norm(sideways[-1]), length_mm))
        raise GeometryError(
            f"CT slices are sheared by a gantry tilt of {tilt_deg:.1f} degrees ({drift_mm:.1f} mm sideways)",
            "slices stacked along their normal",
            "export a reconstruction without tilt",
        )
