"""Why an NM object is unsuitable by its own words or pixels: corrected, mistyped, saturated, wrapped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from scipy.ndimage import binary_fill_holes

from mureg.errors import RefusedError, UnreadableInputError
from mureg.io.dicom.access import image_type, items, text, words
from mureg.notes import Note, Rank

_FULL = (255, 32767, 65535)
"""The largest values of 8 bits, of 16 bits with a sign and of 16 bits without one."""

# chosen
_PLATEAU = 4  # pixels at the largest value that touch each other; a volume scaled to it has one
_UNIFORM = 0.2  # of the positive pixels: a larger plateau is an object of one value
_NEARLY_FULL = 0.9  # of the range: values that wrap have come near its end
_JUMP = 0.75  # of the whole range from a pixel to its neighbour: no camera is that sharp
_JUMPS = 4  # so many places, for a single one may be a defect
_NO_CORRECTION = ("", "NONE", "NO")
_ATTENUATION_CODES = ("122727", "122728")  # by transmission, by CT (PS3.16 CID 3112)
_PER_CM = ("cm-1", "/cm", "1/cm")

Notes = tuple[str, ...]


def attenuation_corrected(header: Dataset) -> str:
    """The statement by which an image says that it is corrected for attenuation; "" where there is none."""
    if "ATTN" in words(header, "CorrectedImage"):
        return "CorrectedImage ATTN"
    method = text(header, "AttenuationCorrectionMethod")
    if method.upper() not in _NO_CORRECTION:
        return f"AttenuationCorrectionMethod {method}"
    for code in items(header, "DerivationCodeSequence"):
        if text(code, "CodeValue") in _ATTENUATION_CODES:
            return f"DerivationCodeSequence: {text(code, 'CodeMeaning')}"
    return ""


def corrected_notes(header: Dataset, *, allowed: bool) -> Notes:
    """A sentence of the first rank on a SPECT that is corrected already, none where it is not.

    Raises `RefusedError` where it is and that was not allowed.
    """
    statement = attenuation_corrected(header)
    if not statement:
        return ()
    if not allowed:
        raise RefusedError(
            f"the SPECT is already corrected for attenuation ({statement})",
            "projections or an uncorrected reconstruction: a corrected one already contains an attenuation map",
            "give the uncorrected image, or --allow-corrected-spect if you know what that means",
        )
    sentence = (
        f"the SPECT is already corrected for attenuation ({statement}): the map of that correction influences "
        "the registration, and the image that the results call uncorrected is a corrected one"
    )
    return (Note(sentence, Rank.CHANGES_ANSWER),)


def type_notes(header: Dataset, *, as_map: bool) -> Notes:
    """A note on a map that is typed EMISSION.

    Raises `UnreadableInputError` for an object typed EMISSION whose own real-world values are in 1/cm, given as SPECT.
    """
    kinds = image_type(header)
    kind = kinds[3] if len(kinds) > 3 else ""
    if as_map:
        if "TRANSMISSION" in kind:
            return ()
        return (f"the attenuation map is typed {kind or 'nothing'} (ImageType); taken for a map by its values",)
    units = {
        text(code, "CodeValue")
        for mapping in items(header, "RealWorldValueMappingSequence")
        for code in items(mapping, "MeasurementUnitsCodeSequence")
    }
    if units & set(_PER_CM):
        raise UnreadableInputError(
            f"an object typed {kind or 'nothing'} whose values are in 1/cm by its own mapping",
            "an emission image in counts",
            "pass it as a map (--mu), or give the SPECT",
        )
    return ()


def pixel_notes(stored: npt.NDArray[Any]) -> Notes:
    """Sentences of the first rank on pixels that ran out of numbers: a plateau at the largest one, or a wrap beyond it.

    Args:
        stored: values as stored [frame, row, column].
    """
    return tuple(Note(sentence, Rank.CHANGES_ANSWER) for sentence in _pixel_problems(np.asarray(stored)))


def _pixel_problems(stored: npt.NDArray[Any]) -> Iterator[str]:
    largest = float(stored.max())
    if largest in _FULL:
        full = stored == largest
        touching = int((full[..., 1:] & full[..., :-1]).sum() + (full[..., 1:, :] & full[..., :-1, :]).sum())
        if touching >= _PLATEAU and full.sum() <= _UNIFORM * (stored > 0).sum():
            yield (
                f"{int(full.sum())} pixels stand at {largest:.0f}, the largest number their bits can hold: the values "
                "are saturated there and too low"
            )
    whole = next((limit + 1.0 for limit in _FULL if _NEARLY_FULL * limit <= largest <= limit), 0.0)
    jumps = sum(_jumps_into_holes(frame.astype(np.float64), whole) for frame in stored) if whole else 0
    if jumps >= _JUMPS:
        yield (
            f"values inside the hottest places fall by more than {_JUMP * whole:.0f} from one pixel to the next in "
            f"{jumps} places: they have probably wrapped around the largest number their bits can hold"
        )


def _jumps_into_holes(frame: npt.NDArray[np.float64], whole: float) -> int:
    """How many steps of more than three quarters of the range lead from high pixels into low ones that they enclose."""
    high = frame > 0.5 * whole
    holes = binary_fill_holes(high) & ~high
    if not holes.any():
        return 0
    jumps = 0
    for axis in (0, 1):
        falls = np.abs(np.diff(frame, axis=axis)) > _JUMP * whole
        jumps += int((falls & np.diff(holes, axis=axis)).sum())
    return jumps
