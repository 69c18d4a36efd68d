"""Where the detectors stood: angles and radii from detector and rotation items (PS3.3 C.8.4.11, C.8.4.13)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from mureg.errors import GeometryError, UnreadableInputError
from mureg.io.dicom.access import items, number, numbers, words
from mureg.io.nm.statements import agreed_direction, agreed_first_start, agreed_step, require_one_radius
from mureg.io.nm.views import Pass

_LARGEST_OFFSET_MM = 30.0
"""Larger offsets of the centre of rotation are ignored (docs/how-to/acquisitions.md): a round value, far above those of
cameras in use."""
_RADII_CM, _RADII_MM = (8.0, 60.0), (60.0, 1000.0)  # of cameras around a patient
_GE_DETECTORS, _GE_RADIUS_OFFSETS = (0x0055, 0x1022), (0x0013, 0x101E)  # private, as GE files carry them

Array = npt.NDArray[np.float64]


def detector_item(dataset: Dataset, detector: int) -> Dataset:
    """The description of a detector, empty where there is none."""
    listed = items(dataset, "DetectorInformationSequence")
    return listed[detector - 1] if detector <= len(listed) else Dataset()


def rotation_item(dataset: Dataset, rotation: int) -> Dataset:
    """The description of a rotation, or a refusal."""
    listed = items(dataset, "RotationInformationSequence")
    if rotation > len(listed):
        raise UnreadableInputError(
            f"frames of rotation {rotation} but {len(listed)} described in RotationInformationSequence",
            "one description for each",
            "export the original projections",
        )
    return listed[rotation - 1]


def angles_deg(dataset: Dataset, one_pass: Pass, implied_start_deg: dict[int, float]) -> tuple[Array, tuple[str, ...]]:
    """The angle of each view of a pass, in the DICOM sense (0 at the back, growing towards the patient's left).

    Args:
        dataset: NM object.
        one_pass: the pass.
        implied_start_deg: for each detector whose orientation is written, the angle at which it must stand in frame 1;
            used only for a further detector without a start angle of its own.

    Returns:
        Degrees [view], and notes on what was derived.
    """
    detector, rotation = detector_item(dataset, one_pass.detector), rotation_item(dataset, one_pass.rotation)
    step_deg, notes = agreed_step(detector, rotation, one_pass, len(items(dataset, "DetectorInformationSequence")) or 1)
    start_deg, first_view, start_notes = _start(dataset, one_pass, implied_start_deg)
    sign = agreed_direction(detector, rotation)
    return start_deg + sign * step_deg * (np.asarray(one_pass.views) - first_view), (*notes, *start_notes)


def radii_mm(dataset: Dataset, one_pass: Pass, n_passes: int) -> tuple[Array | None, tuple[str, ...]]:
    """The radius of each view of a pass, None where it is not written, and a note on a private offset added."""
    detector, rotation = detector_item(dataset, one_pass.detector), rotation_item(dataset, one_pass.rotation)
    own, of_rotation = numbers(detector, "RadialPosition"), numbers(rotation, "RadialPosition")
    require_one_radius(own, of_rotation)
    stored_radii = own or of_rotation
    n_views, indices = one_pass.planned, np.asarray(one_pass.views) - one_pass.first
    if stored_radii is None or not any(stored_radii):
        return None, ("no detector radius in the header",)
    offsets = _ge_offsets(dataset, one_pass.detector)
    stored_radii, unit_notes = _in_mm(stored_radii) if offsets is None else (stored_radii, ())
    if stored_radii is None:
        return None, unit_notes
    if len(stored_radii) == n_views * n_passes and n_passes > 1:
        stored_radii = stored_radii[(one_pass.detector - 1) * n_views : one_pass.detector * n_views]
    if len(stored_radii) == len(one_pass.views):  # no value for the views that are missing
        n_views, indices = len(one_pass.views), np.arange(len(one_pass.views))
    if len(stored_radii) not in (1, n_views):
        raise GeometryError(
            f"RadialPosition holds {len(stored_radii)} values for {n_views} views",
            "one value, or one for each view",
            "export the original projections",
        )
    radii = np.resize(np.asarray(stored_radii, dtype=np.float64), n_views)
    if offsets is None:
        circular = f"one detector radius ({stored_radii[0]:g} mm) for {n_views} views: taken for a circular orbit"
        return radii[indices], (*unit_notes, *((circular,) if len(stored_radii) < n_views else ()))
    if len(offsets) != n_views:
        return radii[indices], (f"private GE radius offsets ({len(offsets)} for {n_views} views) ignored",)
    return (radii + offsets)[indices], ("private GE radius offsets added to RadialPosition",)


def column_offset_mm(dataset: Dataset, detector: int) -> tuple[float, tuple[str, ...]]:
    """How far to the right of the middle of the stored columns a detector sees the axis of rotation, and a note.

    CenterOfRotationOffset: the average distance between the middle of the field of view and the physical centre of
    rotation, positive where that lies to the right of the middle of the image plane (PS3.3 C.8.4.11.1.5).
    """
    offsets = numbers(detector_item(dataset, detector), "CenterOfRotationOffset")
    if offsets is None or not any(offsets):
        return 0.0, ()
    offset, base = offsets[0], f"centre-of-rotation offset of detector {detector} ({offsets[0]:g} mm)"
    if len(offsets) > 1:
        return 0.0, (f"{len(offsets)} centre-of-rotation offsets of detector {detector} where one is allowed; ignored",)
    if "COR" in corrections_applied(dataset):
        return 0.0, (f"{base} not applied: CorrectedImage says that the frames are corrected for it",)
    if abs(offset) > _LARGEST_OFFSET_MM:
        return 0.0, (f"{base} is not plausible and is ignored",)
    return offset, (f"{base} applied; positive read as DICOM has it, the axis to the right of the middle column",)


def corrections_applied(dataset: Dataset) -> frozenset[str]:
    """The terms of CorrectedImage, such as DECY (decay) or COR (centre of rotation)."""
    return frozenset(words(dataset, "CorrectedImage"))


def _in_mm(radii: tuple[float, ...]) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    """Radii in mm, those that can only be in cm converted; None where they can be neither; and a note on that."""
    low, high = min(radii), max(radii)
    if low >= _RADII_MM[0] and high <= _RADII_MM[1]:
        return radii, ()
    if low >= _RADII_CM[0] and high < _RADII_CM[1]:
        return tuple(10.0 * r for r in radii), (f"detector radii of {low:g} to {high:g} taken for centimetres",)
    return None, (f"detector radii of {low:g} to {high:g} mm are not plausible and are ignored",)


def _start(dataset: Dataset, one_pass: Pass, implied: dict[int, float]) -> tuple[float, int, tuple[str, ...]]:
    """Start angle of a pass in degrees, the view number it belongs to, and a note where it was derived."""
    own = number(detector_item(dataset, one_pass.detector), "StartAngle")
    of_rotation = number(rotation_item(dataset, one_pass.rotation), "StartAngle")
    first_own = number(detector_item(dataset, 1), "StartAngle")
    if one_pass.rotation > 1 and None not in (own, of_rotation, first_own):
        return float(of_rotation or 0) + float(own or 0) - float(first_own or 0), one_pass.first, ()
    if own is not None and one_pass.detector == 1:
        start, notes = agreed_first_start(own, of_rotation, implied.get(1))
        return start, one_pass.first, notes
    if own is not None:
        return own, one_pass.first, ()
    if of_rotation is None:
        raise GeometryError("StartAngle is missing", "the angle of the first view", "export the original projections")
    if one_pass.detector == 1:
        return of_rotation, one_pass.first, ()
    if one_pass.first > 1:  # numbered on from the head before: the angles run on too
        return of_rotation, 1, ()
    if one_pass.detector in implied and 1 in implied and one_pass.views[0] == one_pass.first:
        start = of_rotation + (implied[one_pass.detector] - implied[1] + 180.0) % 360.0 - 180.0
        return (
            start,
            one_pass.first,
            (f"start angle of detector {one_pass.detector} ({start:.1f}) taken from its orientation",),
        )
    raise GeometryError(
        f"StartAngle of detector {one_pass.detector} is missing",
        "one for each detector",
        "export the original projections",
    )


def _ge_offsets(dataset: Dataset, detector: int) -> Array | None:
    """GE's per-view radius offsets in mm (private, one item for each detector), None where absent."""
    element = dataset.get(_GE_DETECTORS)
    if element is None or element.VR != "SQ" or len(element.value) < detector:
        return None
    offsets = element.value[detector - 1].get(_GE_RADIUS_OFFSETS)
    if offsets is None or isinstance(offsets.value, bytes) or offsets.value in (None, ""):
        return None
    value = offsets.value
    listed = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    return np.asarray([float(v) for v in listed], dtype=np.float64)
