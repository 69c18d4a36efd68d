"""What an NM header says of its orbit in two places: where both say something, they have to agree."""

from __future__ import annotations

import math

from pydicom.dataset import Dataset

from mureg.errors import GeometryError
from mureg.io.dicom.access import number, text
from mureg.io.nm.pose import ROUNDED_DEG, SAME_ANGLE_DEG
from mureg.io.nm.views import Pass

_SAME_DEG = 0.5
"""Between two start angles: the rounding to whole degrees."""
_ARC_TOLERANCE = 0.25  # of a step: less than the half that separates two counts of views

Notes = tuple[str, ...]


def agreed_step(detector: Dataset, rotation: Dataset, one_pass: Pass, n_detectors: int) -> tuple[float, Notes]:
    """Size of the angular step in degrees by AngularStep and ScanArc, and a note where it had to be derived.

    ScanArc is that of one detector or of all together, from the first view to the last or one step more.

    Args:
        detector, rotation: items that may hold either.
        one_pass: the pass.
        n_detectors: that turn together.

    Raises:
        GeometryError: neither is written, or the two contradict each other.
    """
    steps = [step for step in (number(rotation, "AngularStep"), number(detector, "AngularStep")) if step]
    arc = abs(number(rotation, "ScanArc") or number(detector, "ScanArc") or 0.0)
    notes: Notes = ()
    if not steps:
        if arc:
            step = arc / one_pass.planned
            return step, (f"AngularStep missing; {step:g} degrees from the scan arc of {arc:g}",)
        if one_pass.planned == 1:
            return 0.0, ()
        raise GeometryError("AngularStep is missing", "the angle between views", "export the original projections")
    if steps[0] < 0:
        notes = (f"negative AngularStep {steps[0]:g} read as its size",)
    sizes = [abs(step) for step in steps]
    fitting = [step for step in sizes if _fits(arc, step, one_pass.planned, n_detectors)]
    if arc and one_pass.planned > 1 and not fitting:
        raise GeometryError(
            f"{one_pass.planned} views at an AngularStep of {sizes[0]:g} degrees span "
            f"{one_pass.planned * sizes[0]:g} degrees but ScanArc says {arc:g}",
            "a step, a number of views and an arc that agree",
            "export the complete acquisition, or correct the one that is wrong",
        )
    if abs(sizes[0] - sizes[-1]) > ROUNDED_DEG:
        sentence = f"AngularStep is {sizes[0]:g} degrees in the rotation and {sizes[-1]:g} in the detector"
        if not arc or len(fitting) != 1:
            raise GeometryError(sentence, "one step", "export again, or correct the one that is wrong")
        return fitting[0], (*notes, f"{sentence}; the scan arc of {arc:g} decides for {fitting[0]:g}")
    return sizes[0], notes


def agreed_direction(detector: Dataset, rotation: Dataset) -> float:
    """1 for counter-clockwise (CC) seen from the feet, -1 for clockwise (CW).

    Raises `GeometryError` where it is not written, or detector and rotation say different things.
    """
    senses = [sense for sense in (text(rotation, "RotationDirection"), text(detector, "RotationDirection")) if sense]
    if len(set(senses)) > 1:
        raise GeometryError(
            f"RotationDirection is {senses[0]} in the rotation and {senses[1]} in the detector",
            "one direction",
            "export again, or correct the one that is wrong",
        )
    sense = senses[0] if senses else ""
    if sense not in ("CW", "CC"):
        raise GeometryError(
            f"RotationDirection is '{sense}'", "CW or CC", "export the projections with their rotation information"
        )
    return 1.0 if sense == "CC" else -1.0


def agreed_first_start(own: float, of_rotation: float | None, implied_deg: float | None) -> tuple[float, Notes]:
    """Start angle of the first detector in the first rotation, which both items may state; the orientation decides.

    Raises `GeometryError` where they differ and the orientation agrees with neither or is not written.
    """
    if of_rotation is None or _apart_deg(own, of_rotation) <= _SAME_DEG:
        return own, ()
    sentence = f"StartAngle is {of_rotation:g} degrees in the rotation and {own:g} in the detector"
    near = (
        [] if implied_deg is None else [a for a in (own, of_rotation) if _apart_deg(a, implied_deg) <= SAME_ANGLE_DEG]
    )
    if len(near) != 1:
        raise GeometryError(sentence, "one angle", "export again, or correct the one that is wrong")
    return near[0], (f"{sentence}; the orientation of the detector decides for {near[0]:g}",)


def require_one_radius(detector: tuple[float, ...] | None, rotation: tuple[float, ...] | None) -> None:
    """Refuse radii that both items state and that differ by more than a millimetre."""
    if not (detector and rotation and any(detector) and any(rotation)) or len(detector) != len(rotation):
        return
    worst = max(zip(detector, rotation, strict=True), key=lambda pair: abs(pair[0] - pair[1]))
    # rounding to whole millimetres
    if abs(worst[0] - worst[1]) > 1.0:
        raise GeometryError(
            f"RadialPosition is {worst[1]:g} mm in the rotation and {worst[0]:g} mm in the detector",
            "one radius",
            "export again, or correct the one that is wrong",
        )


def _fits(arc: float, step: float, planned: int, n_detectors: int) -> bool:
    arcs = (k * views * step for k in range(1, n_detectors + 1) for views in (planned, planned - 1))
    return not arc or any(abs(arc - candidate) <= _ARC_TOLERANCE * step for candidate in arcs)


def _apart_deg(first: float, second: float) -> float:
    return abs(math.remainder(first - second, 360.0))
