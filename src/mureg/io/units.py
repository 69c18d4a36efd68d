"""Which unit voxel values are in: detected from the values of tissue, never assumed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.attenuation.hu_scale import LOWEST_HU, peaks_of
from mureg.errors import UnitsError
from mureg.notes import Note, Rank

SOFT_TISSUE_PER_CM = (0.12, 0.18)
"""Where the soft-tissue plateau of an attenuation map for 140.5 keV must lie (water 0.154 1/cm, NIST XCOM)."""

_ANNIHILATION_PER_CM = (0.085, 0.105)  # water at 511 keV: 0.096 1/cm (NIST XCOM), 10 % either way
# units in which programs write maps: 1/cm, 1/mm, and integers of both scales that scanners and mureg write
_CARRIERS = (("1/cm", 1.0), ("1/mm", 10.0), ("1/cm times 10,000", 1e-4), ("1/cm times 100,000", 1e-5))
FILLER_HU = -1000.0
"""Air, by the definition of HU."""
_FLAT_SHARE = 0.5  # a map has 73 % of its dense voxels within 10 % of the plateau, SPECT images 14 to 21 %

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def mu_per_cm(values: Array) -> tuple[Array, str]:
    """Bring an attenuation map to 1/cm by where its soft tissue lies.

    Soft tissue is the median of everything above 0.4 of the 99th percentile of the positive voxels: that leaves out air
    and lung and is not moved by bone.

    Args:
        values: finite voxels of any shape, stored in 1/cm, 1/mm, or 1/cm times 10,000 or 100,000.

    Returns:
        float32 values in 1/cm, at least 0, and a sentence on the conversion, "" where there was none.

    Raises:
        UnitsError: a CT in HU, a map for 511 keV, or soft tissue nowhere near 0.15 1/cm.
    """
    if looks_like_hounsfield(values):
        raise UnitsError(
            f"values from {values.min():.4g} to {values.max():.4g} that look like a CT in HU",
            "an attenuation map in 1/cm",
            "pass it as a CT (--ct)",
        )
    plateau = _soft_tissue(values)
    for name, per_cm in _CARRIERS:
        if _ANNIHILATION_PER_CM[0] <= plateau * per_cm <= _ANNIHILATION_PER_CM[1]:
            raise UnitsError(
                f"soft tissue at {plateau * per_cm:.3f} 1/cm, which is attenuation at 511 keV",
                "about 0.15 1/cm, a map for 140.5 keV",
                "export the map made for SPECT, or pass the CT",
            )
        if SOFT_TISSUE_PER_CM[0] <= plateau * per_cm <= SOFT_TISSUE_PER_CM[1]:
            converted = np.clip(values.astype(np.float32) * np.float32(per_cm), 0.0, None)
            note = f"attenuation map stored in {name} (soft tissue at {plateau:.4g}), converted to 1/cm"
            return converted, "" if per_cm == 1.0 else note
    raise UnitsError(
        f"soft tissue at {plateau:.4g} in the attenuation map",
        "0.12 to 0.18 1/cm (or that in 1/mm, or times 10,000 or 100,000)",
        "check the unit of the map",
    )


def looks_like_hounsfield(values: Array) -> bool:
    """Whether the voxels can be a CT in HU: air or fat below 0, and tissue around 0."""
    low, high = float(values.min()), float(values.max())
    # the range of 16 bits with a sign, with room for an intercept; a map in 1/cm or 1/mm spans less than 100; the
    # limits around water, air and fat and the share of voxels there were chosen
    if low < -33000 or high > 40000 or high - low < 100:
        return False
    around_water = values[(values > -300) & (values < 300)]
    if around_water.size < 0.005 * values.size:
        return False
    return low < -500 or (low < -20 and -200 <= float(np.median(around_water)) <= 200)


def emission_notes(values: Array) -> tuple[Note, ...]:
    """A sentence of the first rank on an image given as SPECT whose values are those of an attenuation map.

    Soft tissue of a map is one value: of what is denser than lung, three quarters of the voxels lie within a tenth of
    it. Of the uptake in a patient or in a resolution phantom, 14 to 21 % do (sample study, a quality test).
    """
    try:
        mu_per_cm(values)
    except UnitsError:
        return ()
    plateau = _soft_tissue(values)
    dense = values[values > 0.4 * np.percentile(values[values > 0], 99)]
    if float((np.abs(dense - plateau) < 0.1 * plateau).mean()) < _FLAT_SHARE:
        return ()
    sentence = (
        f"the values of the SPECT are those of an attenuation map (most of what is dense lies at {plateau:.4g}): make "
        "sure that it is an emission image, or pass it as a map (--mu)"
    )
    return (Note(sentence, Rank.CHANGES_ANSWER),)


def require_hounsfield(values: Array, what: str = "values") -> None:
    """Raise `UnitsError` unless the voxels, named `what` in the sentence, look like a CT in HU.

    The sentence names the two peaks that `mureg.attenuation.hu_scale` measures, where there are any.
    """
    if looks_like_hounsfield(values):
        return
    sentence = f"{what} from {float(values.min()):.4g} to {float(values.max()):.4g}"
    try:
        mu_per_cm(values)
        sentence += " that look like an attenuation map"
        remedy = "pass it as a ready map (--mu)"
    except UnitsError:
        remedy = "apply the rescale slope and intercept before export"
        sentence += _peaks(values)
    raise UnitsError(sentence, "a CT in HU, with air near -1000 and tissue near 0", remedy)


def _peaks(values: Array) -> str:
    try:
        scale = peaks_of(values)
    except UnitsError:
        return ""
    return f" with peaks at {scale.air_hu:.0f} and {scale.soft_hu:.0f}, where air and soft tissue should be"


def known_hounsfield(values: Array) -> tuple[Array, Mask]:
    """HU with a filler in place of impossible values (below `LOWEST_HU`, padding), and where they were."""
    unknown: Mask = values < LOWEST_HU
    return np.where(unknown, np.float32(FILLER_HU), values), unknown


def _soft_tissue(values: Array) -> float:
    positive = values[values > 0]
    # a patient fills more than 0.2 % of any field; 0.4 of dense tissue lies above lung and below soft tissue
    if positive.size < 0.002 * values.size or positive.size < 8:
        raise UnitsError(
            "an attenuation map that is almost everywhere 0",
            "a patient in it",
            "check that the right series was given",
        )
    return float(np.median(positive[positive > 0.4 * np.percentile(positive, 99)]))
