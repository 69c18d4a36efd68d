"""Real-world mapping against rescale values: two lines from stored to real values in one header (PS3.3 C.11.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.errors import UnitsError
from mureg.io.dicom.access import items, number, text
from mureg.io.dicom.pixels import decoded_pixels
from mureg.io.units import mu_per_cm

_SAME = 1e-5  # share by which two lines may differ: slopes are written with six digits and more
_SAME_MU = 0.01  # of the largest attenuation: two units of one map, rounded
_SAME_COUNTS = 0.01  # of CountsAccumulated; both chosen
_COUNTS = ("{counts}", "{propcounts}", "{cnt}", "1", "")
HOUNSFIELD = ("[hnsf'U]", "HU")

Line = tuple[float, float]
Notes = tuple[str, ...]


def rescale_line(dataset: Dataset) -> Line | None:
    """Slope and intercept of RescaleSlope, None where it is not written."""
    slope = number(dataset, "RescaleSlope")
    return None if slope is None else (slope, number(dataset, "RescaleIntercept") or 0.0)


def mapping_line(dataset: Dataset, units: tuple[str, ...] | None = None) -> tuple[Line, str] | None:
    """Slope and intercept of the first real-world mapping with a slope, and its unit (UCUM); None where there is none.

    Args:
        dataset: any image.
        units: only mappings in one of these units.
    """
    for mapping in items(dataset, "RealWorldValueMappingSequence"):
        slope = number(mapping, "RealWorldValueSlope")
        unit = next((text(code, "CodeValue") for code in items(mapping, "MeasurementUnitsCodeSequence")), "")
        if slope is not None and (units is None or unit in units):
            return (slope, number(mapping, "RealWorldValueIntercept") or 0.0), unit
    return None


def differ(line: Line, other_line: Line) -> bool:
    """Whether two lines give different values."""
    return bool(not np.allclose(line, other_line, rtol=_SAME, atol=1e-12))


def settle_real_world(dataset: Dataset, name: str, *, as_map: bool) -> Notes:
    """Where rescale and real-world mapping of an NM object differ, decide between them and remove the other.

    For a map its tissue decides, for counts the total in CountsAccumulated. A mapping into another unit than counts
    contradicts nothing: the counts are used.

    Args:
        dataset: NM object with pixels; one of the two lines may be taken out of it.
        name: of the file.
        as_map: whether it is read as an attenuation map.

    Returns:
        What was decided, in a sentence.

    Raises:
        UnitsError: they differ and nothing decides.
    """
    rescale, mapped = rescale_line(dataset), mapping_line(dataset)
    if rescale is None or mapped is None or not differ(rescale, mapped[0]):
        return ()
    mapping, unit = mapped
    if not as_map and unit not in _COUNTS:
        del dataset.RealWorldValueMappingSequence
        return (f"the real-world values in {unit} were left alone; the counts are those of the rescale values",)
    sentence = (
        f"RescaleSlope says {rescale[0]:g} (intercept {rescale[1]:g}) and the real-world mapping {mapping[0]:g} "
        f"(intercept {mapping[1]:g})"
    )
    stored = decoded_pixels(dataset, name).astype(np.float64)
    if as_map:
        return _settled_map(dataset, stored, rescale, mapping, sentence)
    total = number(dataset, "CountsAccumulated")
    fits = [
        total is not None and total > 0 and abs(_on(stored, line).sum() - total) <= _SAME_COUNTS * total
        for line in (rescale, mapping)
    ]
    if fits[0] == fits[1]:
        raise _undecided(sentence, "CountsAccumulated")
    _keep(dataset, rescale if fits[0] else mapping)
    preferred = "rescale values" if fits[0] else "real-world mapping"
    return (f"{sentence}; the total of {total:g} counts in the header decides for the {preferred}",)


def rescale_agrees(by_rescale: npt.NDArray[Any], by_mapping: npt.NDArray[Any], sentence: str) -> bool | None:
    """Whether the tissue of a map is that of the rescale values (True) or of the mapping (False).

    None where it decides nothing and nothing has to be decided: one attenuation in two units, or none in either.

    Raises `UnitsError` where both can be attenuation and differ.
    """
    in_per_cm = [_per_cm(by_rescale), _per_cm(by_mapping)]
    if in_per_cm[0] is not None and in_per_cm[1] is not None:
        largest = float(np.abs(in_per_cm[0] - in_per_cm[1]).max())
        if largest <= _SAME_MU * float(in_per_cm[1].max()):
            return None
        raise _undecided(sentence, "its tissue")
    if in_per_cm[0] is None and in_per_cm[1] is None:
        return None  # refused for its unit, whichever is used
    return in_per_cm[0] is not None


def _settled_map(dataset: Dataset, stored: npt.NDArray[Any], rescale: Line, mapping: Line, sentence: str) -> Notes:
    by_rescale = rescale_agrees(_on(stored, rescale), _on(stored, mapping), sentence)
    if by_rescale is None:
        return ()
    _keep(dataset, rescale if by_rescale else mapping)
    return (f"{sentence}; the tissue of the map decides for the {'rescale values' if by_rescale else 'mapping'}",)


def _keep(dataset: Dataset, line: Line) -> None:
    """Leave one line, as rescale values."""
    del dataset.RealWorldValueMappingSequence
    dataset.RescaleSlope, dataset.RescaleIntercept = (f"{value:.10g}" for value in line)


def _on(stored: npt.NDArray[Any], line: Line) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = stored * line[0] + line[1]
    return values


def _per_cm(values: npt.NDArray[np.float64]) -> npt.NDArray[Any] | None:
    try:
        return mu_per_cm(values)[0]
    except UnitsError:
        return None


def _undecided(sentence: str, witness: str) -> UnitsError:
    return UnitsError(
        f"{sentence}, and {witness} does not decide between them",
        "one line from stored to real values",
        "export again, or remove the one that is wrong",
    )
