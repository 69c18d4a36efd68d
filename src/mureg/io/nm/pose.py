"""How projections lie in the patient: which way rows and columns run, and where the axis of rotation is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.errors import GeometryError
from mureg.io.dicom.access import number, numbers, text

_TILT_DEG, _TURN_DEG = 10.0, 20.0
"""Of the columns against the long axis, and of the rows against the start angle: round values above what inaccurate
headers show and below another side of the patient."""
FARTHEST_AXIS_MM = 120.0
"""Of the axis of rotation from the origin: half a usual radius of 250 mm, by which a wrong reading is off; chosen."""
_SAME_AXIS_MM = 5.0  # less than a pixel: two readings agree about equally well
SAME_ANGLE_DEG = 3.0
"""Between an orientation, written with few decimals, and a start angle; less than the step of most scans. Chosen."""
ROUNDED_DEG = 0.01
"""Between two angles that are the same: headers write them with two decimals and more."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PatientPose:
    """One detector in frame 1.

    Attributes:
        flip_rows, flip_columns: what brings its frames to the viewer's sense of `Acquisition`.
        turn_known: whether the written orientation agrees with the angle.
        middle_mm: patient position of the middle of the detector by the standard, None where not written.
        corner_mm: ImagePositionPatient, None where not written.
    """

    flip_rows: bool
    flip_columns: bool
    turn_known: bool
    middle_mm: Array | None
    corner_mm: Array | None


def away_from_axis(angle_deg: float) -> Array:
    """Unit vector from the axis of rotation to a detector that stands at an angle."""
    theta = math.radians(angle_deg)
    return np.array([math.sin(theta), math.cos(theta), 0.0])


def viewers_right(angle_deg: float) -> Array:
    """Unit vector to the right of a viewer who stands at the detector, looks at the patient and has his head up."""
    theta = math.radians(angle_deg)
    return np.array([-math.cos(theta), math.sin(theta), 0.0])


def implied_angle_deg(detector: Dataset) -> float | None:
    """The angle at which a detector must stand for its rows to run to the viewer's right, None without orientation."""
    directions = numbers(detector, "ImageOrientationPatient", 6)
    if directions is None:
        return None
    sense = 1.0 if directions[5] < 0 else -1.0  # rows from the feet up: the image is turned by 180 degrees
    return math.degrees(math.atan2(sense * directions[1], -sense * directions[0])) % 360.0


def detector_pose(
    detector: Dataset, angle_deg: float, shape: tuple[int, int], pixel_mm: tuple[float, float]
) -> tuple[PatientPose, tuple[str, ...]]:
    """Compare a detector's written orientation with the angle at which it stands.

    Args:
        detector: item of DetectorInformationSequence; position and orientation describe frame 1 (PS3.3 C.8.4.11).
        angle_deg: where the detector stands in frame 1.
        shape: rows and columns.
        pixel_mm: row and column spacing.

    Returns:
        The pose and every guess in a sentence.

    Raises:
        GeometryError: columns more than 10 degrees away from the patient's long axis.
    """
    corner = numbers(detector, "ImagePositionPatient", 3)
    directions = numbers(detector, "ImageOrientationPatient", 6)
    row, column = viewers_right(angle_deg), np.array([0.0, 0.0, -1.0])
    flip_rows = flip_columns = False
    turn_known = True
    notes: list[str] = []
    if directions is None:
        notes.append("no orientation in the header; rows assumed from the head down, columns to the viewer's right")
    else:
        row, column = (np.asarray(d) / max(float(np.linalg.norm(d)), 1e-12) for d in (directions[:3], directions[3:]))
        require_upright(column)
        flip_rows = bool(column[2] > 0)
        along = float(row @ viewers_right(angle_deg))
        if abs(along) >= math.cos(math.radians(_TURN_DEG)):
            flip_columns = along < 0
        else:
            turn_known, flip_columns = False, flip_rows
            implied = implied_angle_deg(detector)
            notes.append(
                f"the start angle is {angle_deg:.1f} degrees but the orientation says {implied:.1f}; start angle used"
            )
        if flip_rows:
            notes.append("rows ran from the feet up; turned to run from the head down")
        if flip_columns:
            notes.append("columns ran to the viewer's left; turned to run to the right")
    place = None if corner is None else np.asarray(corner, dtype=np.float64)
    middle = None
    if place is not None:
        middle = place + (shape[1] - 1) / 2 * pixel_mm[1] * row + (shape[0] - 1) / 2 * pixel_mm[0] * column
    return PatientPose(flip_rows, flip_columns, turn_known, middle, place), tuple(notes)


def axis_of_rotation(
    dataset: Dataset,
    poses: list[tuple[PatientPose, float, float | None]],
    columns: int,
    column_mm: float,
) -> tuple[tuple[float, float, float], tuple[str, ...]]:
    """Where the axis of rotation lies, whichever way the vendor writes ImagePositionPatient.

    Habits: (A) the standard's, the position of the first pixel on the detector plane, a radius away from the axis;
    (B) GE's, the corner of the cube that will be reconstructed; (C) Siemens', the axis itself with the table height in
    place of y. A known maker decides; otherwise the detectors must agree on the axis, and the habit that puts it nearer
    to the origin is taken if that is within 120 mm.

    Args:
        dataset: NM object.
        poses: for each detector its pose, its angle (degrees) and its radius (mm, None where unknown) in frame 1.
        columns: number of detector columns.
        column_mm: their spacing.

    Returns:
        x and y of the axis and z of the middle of the rows in mm, and what was guessed.
    """
    first = poses[0][0]
    if first.middle_mm is None or first.corner_mm is None:
        return (0.0, 0.0, 0.0), ("no position in the header; the axis of rotation is taken as the origin",)
    z = float(first.middle_mm[2])
    maker = text(dataset, "Manufacturer").upper()
    table_mm = _table_height(dataset)
    if maker.startswith("SIEMENS") and first.corner_mm[1] == 0.0 and table_mm is not None:
        x, y = float(first.corner_mm[0]), -table_mm
        return (x, y, z), (f"axis of rotation at ({x:.1f}, {y:.1f}) mm from position and table height (Siemens)",)
    half = (columns - 1) / 2 * column_mm
    standard = [
        p.middle_mm[:2] - radius * away_from_axis(angle)[:2]
        for p, angle, radius in poses
        if p.middle_mm is not None and radius is not None and p.turn_known
    ]
    cube = [p.corner_mm[:2] + half for p, _, _ in poses if p.corner_mm is not None]
    if maker.startswith("MUREG") and standard:
        return (float(standard[0][0]), float(standard[0][1]), z), ()
    axis, habit = _more_plausible(standard, cube, prefer_cube=maker.startswith("GE"))
    distance_mm = float(np.linalg.norm(axis))
    if distance_mm > FARTHEST_AXIS_MM:
        note = f"the header puts the axis of rotation {distance_mm:.0f} mm from the origin; the origin used instead"
        return (0.0, 0.0, z), (note,)
    note = f"axis of rotation at ({axis[0]:.1f}, {axis[1]:.1f}) mm, reading the position as {habit}"
    return (float(axis[0]), float(axis[1]), z), (note,)


def _more_plausible(standard: list[Array], cube: list[Array], *, prefer_cube: bool) -> tuple[Array, str]:
    habits = [(cube, "the corner of the reconstructed cube")]
    if standard:
        habits.append((standard, "the first pixel on the detector"))
    if prefer_cube or not standard:
        axes, habit = habits[0]
        return axes[0], habit
    spreads = [float(np.ptp(np.stack(axes), axis=0).max()) for axes, _ in habits]
    if abs(spreads[0] - spreads[1]) > _SAME_AXIS_MM:
        axes, habit = habits[int(np.argmin(spreads))]
    else:
        axes, habit = min(habits, key=lambda h: float(np.linalg.norm(h[0][0])))
    return axes[0], habit


def require_upright(column: Array) -> None:
    """Refuse columns more than 10 degrees away from the patient's long axis."""
    tilt_deg = math.degrees(math.acos(min(1.0, abs(float(column[2])))))
    if tilt_deg > _TILT_DEG:
        raise GeometryError(
            f"detector columns are tilted by {tilt_deg:.0f} degrees from the patient's long axis",
            "at most 10 degrees",
            "export the original projections",
        )


def _table_height(dataset: Dataset) -> float | None:
    for item in dataset.get("RotationInformationSequence") or []:
        return number(item, "TableHeight")
    return None
