"""Which collimator the projections were taken through, and that its holes are parallel (PS3.3 C.8.4.11)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset

from mureg.errors import GeometryError, UnreadableInputError
from mureg.io.dicom.access import items, number, numbers, text

_PARALLEL = ("PARA", "UNKN", "")
_MEANINGS = {
    "PINH": "pinhole",
    "FANB": "fan-beam",
    "CONE": "cone-beam",
    "SLNT": "slant hole",
    "ASTG": "astigmatic",
    "DIVG": "diverging",
    "NONE": "no collimator",
}
# names under which vendors sell collimators whose holes are not parallel
_NOT_PARALLEL = re.compile(
    r"SMART\s*-?ZOOM|IQ[\s.-]*SPECT|CARDIO\s*-?FOCAL|\bFAN|\bCONE|CONVERG|DIVERG|SLANT|ASTIG|PIN\s*-?HOLE|\bM?PIN?H\b"
)


def require_parallel(dataset: Dataset) -> None:
    """Refuse projections through a collimator that is not parallel, or whose header says so anywhere.

    Raises `UnreadableInputError` that names the statement: CollimatorType, CollimatorGridName or FocalDistance, which
    is 0 for parallel holes (C.8.4.11.1.1).
    """
    for detector, item in enumerate(items(dataset, "DetectorInformationSequence"), start=1):
        contrary = next(_contrary(item), "")
        if contrary:
            raise UnreadableInputError(
                f"projections of detector {detector} through {contrary}",
                "parallel holes (CollimatorType PARA, FocalDistance 0)",
                "export the reconstructed volume instead, or correct the header if the collimator was parallel",
            )


def require_no_zoom_offset(dataset: Dataset) -> None:
    """Refuse a zoomed field that is not in the middle of the detector: its pixels lie elsewhere than stated.

    ZoomCenter is the offset in mm from the middle of the whole field to the middle of the zoomed one, to the right and
    down as seen in the image (C.8.4.11.1.3); vendors differ in whether positions and centre-of-rotation offsets include
    it.
    """
    for detector, item in enumerate(items(dataset, "DetectorInformationSequence"), start=1):
        offset = numbers(item, "ZoomCenter")
        if offset and any(offset):
            listed = " and ".join(f"{value:g}" for value in offset)
            raise GeometryError(
                f"detector {detector} has a zoomed field that is not centred (ZoomCenter {listed} mm)",
                "ZoomCenter 0 and 0, or none",
                "export or acquire without an offset of the zoom, or give the reconstructed volume",
            )


def collimator_name(dataset: Dataset) -> str:
    """Name of the first detector's collimator, its type where it has no name."""
    first = next(iter(items(dataset, "DetectorInformationSequence")), Dataset())
    return text(first, "CollimatorGridName") or text(first, "CollimatorType")


def _contrary(detector: Dataset) -> Iterator[str]:
    """Every statement that the holes are not parallel."""
    kind, name = text(detector, "CollimatorType").upper(), text(detector, "CollimatorGridName")
    if kind not in _PARALLEL:
        meaning = f", {_MEANINGS[kind]}" if kind in _MEANINGS else ""
        yield f"a {kind} collimator (CollimatorType{meaning})"
    if _NOT_PARALLEL.search(name.upper()):
        yield f"the collimator '{name}' (CollimatorGridName), whose holes are not parallel"
    focal_mm = number(detector, "FocalDistance")
    if focal_mm:
        how = "converging" if focal_mm > 0 else "diverging"
        yield f"a collimator with FocalDistance {focal_mm:g} mm, {how}, though CollimatorType is '{kind or 'empty'}'"
