"""On which side of the patient a detector stands, where its start angle and its orientation say different things.

The position of the detector is the third witness. Each reading of the two statements puts the axis of rotation
somewhere; the true one puts it near the origin, the others a detector's width or the diameter of the orbit away.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.errors import GeometryError
from mureg.io.dicom.access import numbers, text
from mureg.io.dicom.build import decimals
from mureg.io.nm.pose import (
    FARTHEST_AXIS_MM,
    SAME_ANGLE_DEG,
    away_from_axis,
    implied_angle_deg,
    require_upright,
    viewers_right,
)
from mureg.io.nm.views import Pass

# by which the second best reading must be farther; of the detector's width. A wrong reading is off by that width or by
# the diameter of the orbit; chosen
_MARGIN_MM, _MARGIN_SHARE = 60.0, 0.4
_USUAL_RADIUS_MM = 250.0  # as `Physics.radius_mm`
_WITHOUT_WITNESS = ("GE", "SIEMENS")  # whose positions are not those of the detector

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Agreed:
    """What is taken for true of one detector.

    Attributes:
        angle_deg: where it stands in frame 1.
        item: its description, with the orientation that belongs to that angle.
        notes: what was decided and by what.
    """

    angle_deg: float
    item: Dataset
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Reading:
    """One way to read the statements.

    Attributes:
        angle_deg: where the detector stands.
        orientation_right: whether its rows run as written.
        axis_mm: how far from the origin the axis of rotation then lies.
    """

    angle_deg: float
    orientation_right: bool
    axis_mm: float


def agreed_side(
    dataset: Dataset,
    detector: Dataset,
    number: int,
    angle_deg: float,
    *,
    shape: tuple[int, int],
    pixel_mm: tuple[float, float],
    radius_mm: float | None,
) -> Agreed:
    """Where a detector stands in frame 1, by its start angle, its orientation and its position (PS3.3 C.8.4.11).

    Args:
        dataset: NM object.
        detector: item of DetectorInformationSequence.
        number: of the detector, for the sentence.
        angle_deg: by the start angle.
        shape: rows and columns.
        pixel_mm: row and column spacing.
        radius_mm: of frame 1, None where unknown.

    Raises:
        GeometryError: start angle and orientation differ by more than 3 degrees and the position does not decide.
    """
    implied = implied_angle_deg(detector)
    if implied is None or _apart_deg(implied, angle_deg) <= SAME_ANGLE_DEG:
        return Agreed(angle_deg, detector)
    directions = numbers(detector, "ImageOrientationPatient", 6)
    assert directions is not None
    column = np.asarray(directions[3:], dtype=np.float64)
    require_upright(column / max(float(np.linalg.norm(column)), 1e-12))
    sentence = (
        f"the start angle of detector {number} is {angle_deg % 360:.1f} degrees but its orientation says {implied:.1f}"
    )
    best = _best(_readings(dataset, detector, angle_deg, implied, shape, pixel_mm, radius_mm), shape, pixel_mm)
    if best is None:
        raise GeometryError(
            sentence + ", and its position does not decide between them",
            "StartAngle, ImageOrientationPatient and ImagePositionPatient that agree",
            "export the projections again, or correct the one that is wrong",
        )
    if best.angle_deg != angle_deg:
        return Agreed(implied, detector, (f"{sentence}; its position agrees with the orientation, which is used",))
    if best.orientation_right and _apart_deg(implied, angle_deg) > 180.0 - SAME_ANGLE_DEG:
        agree = "its position agrees with both if the columns are stored mirrored; start angle used"
        return Agreed(angle_deg, detector, (f"{sentence}; {agree}",))
    turned = copy.deepcopy(detector)
    head_up = 1.0 if directions[5] < 0 else -1.0
    turned.ImageOrientationPatient = decimals([*(head_up * viewers_right(angle_deg)), 0.0, 0.0, -head_up])
    if not best.orientation_right:
        return Agreed(angle_deg, turned, (f"{sentence}; its position agrees with the start angle: start angle used",))
    moved = _corner_mm(detector) + (shape[1] - 1) / 2 * pixel_mm[1] * (
        _row(detector) - head_up * viewers_right(angle_deg)
    )
    turned.ImagePositionPatient = decimals(moved)
    return Agreed(angle_deg, turned, (f"{sentence}; its position agrees with the start angle: start angle used",))


def stated_angle_deg(one_pass: Pass, angles_deg: Array, implied_deg: float | None) -> float:
    """The start angle that an orientation has to agree with: that of the first planned view, or of the first there is.

    Position and orientation describe frame 1; where the first views are missing, some write those of the first left.

    Args:
        one_pass: the pass.
        angles_deg: of its views [view].
        implied_deg: by the orientation, None where it is not written.
    """
    first = float(angles_deg[0])
    n_missing = one_pass.views[0] - one_pass.first
    if (
        n_missing == 0
        or len(one_pass.views) < 2
        or implied_deg is None
        or _apart_deg(first, implied_deg) <= SAME_ANGLE_DEG
    ):
        return first
    step = float(angles_deg[1] - angles_deg[0]) / (one_pass.views[1] - one_pass.views[0])
    planned = first - n_missing * step
    return planned if _apart_deg(planned, implied_deg) <= SAME_ANGLE_DEG else first


def _readings(
    dataset: Dataset,
    detector: Dataset,
    angle_deg: float,
    implied_deg: float,
    shape: tuple[int, int],
    pixel_mm: tuple[float, float],
    radius_mm: float | None,
) -> list[_Reading]:
    """The distance of the axis of rotation from the origin for each reading; none where the position is no witness."""
    maker = text(dataset, "Manufacturer").upper()
    if numbers(detector, "ImagePositionPatient", 3) is None or maker.startswith(_WITHOUT_WITNESS):
        return []
    corner, row = _corner_mm(detector), _row(detector)
    directions = numbers(detector, "ImageOrientationPatient", 6)
    assert directions is not None
    head_up = 1.0 if directions[5] < 0 else -1.0
    half = (shape[1] - 1) / 2 * pixel_mm[1]
    radius = _USUAL_RADIUS_MM if radius_mm is None else radius_mm

    def axis_mm(angle: float, along_row: Array) -> float:
        return float(np.linalg.norm((corner + half * along_row - radius * away_from_axis(angle))[:2]))

    cube = float(np.linalg.norm(corner[:2] + half))
    readings = [
        _Reading(angle_deg, True, axis_mm(angle_deg, row)),
        _Reading(angle_deg, False, axis_mm(angle_deg, head_up * viewers_right(angle_deg))),
        _Reading(implied_deg, True, axis_mm(implied_deg, row)),
    ]
    # a position that may as well be the corner of the reconstructed cube says nothing of the side
    return [] if cube <= min(reading.axis_mm for reading in readings) else readings


def _best(readings: list[_Reading], shape: tuple[int, int], pixel_mm: tuple[float, float]) -> _Reading | None:
    """The reading that puts the axis near the origin while every other puts it much farther away."""
    if not readings:
        return None
    best = min(readings, key=lambda reading: reading.axis_mm)
    opposite = _apart_deg(readings[0].angle_deg, readings[-1].angle_deg) > 180.0 - SAME_ANGLE_DEG
    # read with the start angle, an orientation that is not opposite is wrong in either case
    other_readings = [
        reading for reading in readings if reading is not best and (opposite or reading.angle_deg != best.angle_deg)
    ]
    margin = min(_MARGIN_MM, _MARGIN_SHARE * shape[1] * pixel_mm[1])
    clear = all(reading.axis_mm >= best.axis_mm + margin for reading in other_readings)
    return best if best.axis_mm <= FARTHEST_AXIS_MM and clear else None


def _corner_mm(detector: Dataset) -> Array:
    return np.asarray(numbers(detector, "ImagePositionPatient", 3), dtype=np.float64)


def _row(detector: Dataset) -> Array:
    row = np.asarray(numbers(detector, "ImageOrientationPatient", 6), dtype=np.float64)[:3]
    unit: Array = row / max(float(np.linalg.norm(row)), 1e-12)
    return unit


def _apart_deg(first: float, second: float) -> float:
    """The angle between two directions, 0 to 180 degrees."""
    return abs(math.remainder(first - second, 360.0))
