"""What a CT header says twice: distance between slices and positions, rescale values and real-world mapping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.attenuation.hu_scale import require_hu_scale
from mureg.errors import GeometryError, UnitsError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.dicom.access import number, numbers
from mureg.io.dicom.slice_line import SAME_DISTANCE

_GAP = 0.9
"""Thinner slices than this share of their distance leave gaps; above it lies rounding."""

Hounsfield = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def spacing_notes(headers: Sequence[Dataset], step_mm: float, what: str = "CT") -> tuple[str, ...]:
    """Compare the distance by positions with SpacingBetweenSlices, SliceLocation and SliceThickness.

    Args:
        headers: of the slices, in the order of their positions.
        step_mm: from position to position.
        what: CT or attenuation map, for the sentences.

    Returns:
        What was decided, or that slices are thinner than they lie apart.

    Raises:
        GeometryError: SpacingBetweenSlices contradicts the positions, and neither SliceLocation nor SliceThickness
            sides with them.
    """
    stated_mm = abs(number(headers[0], "SpacingBetweenSlices") or 0.0)
    thickness = (numbers(headers[0], "SliceThickness", 1) or (0.0,))[0]
    if stated_mm and abs(stated_mm - step_mm) > SAME_DISTANCE * step_mm:
        sentence = (
            f"SpacingBetweenSlices of the {what} is {stated_mm:.4g} mm but its positions lie {step_mm:.4g} mm apart"
        )
        located = _location_step_mm(headers)
        for witness, value in (("SliceLocation", located), ("SliceThickness", thickness)):
            if value and abs(value - step_mm) <= SAME_DISTANCE * step_mm:
                return (f"{sentence}; {witness} agrees with the positions, which are used",)
            if value and abs(value - stated_mm) <= SAME_DISTANCE * stated_mm:
                break
        raise GeometryError(
            sentence, "slices that lie as far apart as stated", "export the complete series, or correct the header"
        )
    if thickness and thickness < _GAP * step_mm:
        return (
            f"{what} slices of {thickness:.4g} mm lie {step_mm:.4g} mm apart: what lies between was not imaged, or "
            "slices were left out",
        )
    return ()


def agreed_hounsfield(by_rescale: Hounsfield, by_mapping: Hounsfield, outside: Mask) -> tuple[Hounsfield, str]:
    """Decide between two sets of values by where air and soft tissue lie; both [column, row, slice].

    Raises `UnitsError` where both or neither can be HU.
    """
    fits = [_is_hounsfield(values, outside) for values in (by_rescale, by_mapping)]
    if fits[0] == fits[1]:
        raise UnitsError(
            "rescale values and real-world mapping of the CT differ, and its air and tissue do not decide between them",
            "one line from stored values to HU",
            "export again, or remove the one that is wrong",
        )
    note = "rescale values and real-world mapping of the CT differ; air and soft tissue decide for the "
    return (by_rescale, note + "rescale values") if fits[0] else (by_mapping, note + "mapping")


def _is_hounsfield(values: Hounsfield, outside: Mask) -> bool:
    shape = (values.shape[0], values.shape[1], values.shape[2])
    volume = Volume.from_numpy(values, Grid.centred(shape, (1.0, 1.0, 1.0)), Quantity.HU, outside)
    try:
        require_hu_scale(volume)
    except UnitsError:
        return False
    return True


def _location_step_mm(headers: Sequence[Dataset]) -> float | None:
    """The usual step of SliceLocation, None where it is not written for every slice or goes to and fro."""
    places = [number(header, "SliceLocation") for header in headers]
    if any(place is None for place in places):
        return None
    steps = np.diff(np.asarray(places, dtype=np.float64))
    return float(np.median(np.abs(steps))) if (steps > 0).all() or (steps < 0).all() else None
