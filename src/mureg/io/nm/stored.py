"""Stored values of a written NM object: whole numbers in a round unit, and the window to show them in.

The NM object has no rescale values (PS3.3 A.5). Programs disagree about rescale values that are there all the same:
some apply them, some ignore them, and some then show black. So none are written. Stored values are the real values in a
round unit, and every program reads the same numbers; RealWorldValueMappingSequence states the unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydicom.dataset import Dataset

from mureg.errors import UsageError
from mureg.geometry import Quantity, Volume
from mureg.io.dicom.build import code_item, decimal, fill_pixels

MU_UNIT_PER_CM = 1e-5
"""A stored value of an attenuation map, in 1/cm: water at 140.5 keV is 15400, and 0.65 1/cm is the largest."""

_LARGEST_UNSIGNED, _LARGEST_SIGNED = 65535, 32767
"""Limits of 16 bit integers."""
# quantity: label of the mapping, UCUM unit, its meaning
_UNITS = {
    Quantity.MU_PER_CM: ("mu in 1/cm", "cm-1", "per centimeter"),
    Quantity.COUNTS: ("counts", "{counts}", "counts"),
    Quantity.ACTIVITY: ("activity", "1", "no units"),
}


@dataclass(frozen=True)
class StoredUnit:
    """What one step of the stored values means.

    Attributes:
        value: in the unit of the volume, a power of ten.
    """

    value: float

    def __post_init__(self) -> None:
        exponent = math.log10(self.value) if self.value > 0 and math.isfinite(self.value) else math.nan
        if not math.isclose(exponent, round(exponent) if math.isfinite(exponent) else 0, abs_tol=1e-9):
            raise UsageError(f"a stored unit of {self.value:g}", "a power of ten", "choose one that holds the values")

    def words(self, unit: str) -> str:
        """What a reader of stored values has to do."""
        factor = 1.0 / self.value
        if self.value < 1:
            return f"divide stored values by {factor:.10g} to have {unit}"
        return f"multiply stored values by {self.value:.10g} to have {unit}" if self.value > 1 else ""

    @classmethod
    def holding(cls, *volumes: Volume) -> StoredUnit:
        """The unit for a map; else the smallest power of ten in which each value of all volumes is at most 32767.

        Volumes that are compared share their unit. 32767 also fits programs that take stored values as signed.
        """
        if any(volume.quantity is Quantity.MU_PER_CM for volume in volumes):
            return cls(MU_UNIT_PER_CM)
        largest = max((float(np.abs(volume.values).max()) for volume in volumes), default=0.0)
        if largest <= 0.0:
            return cls(1.0)
        exponent = math.ceil(math.log10(largest / _LARGEST_SIGNED) - 1e-12)
        return cls(float(f"1e{exponent}"))


def set_voxels(nm: Dataset, volume: Volume, unit: StoredUnit) -> tuple[str, ...]:
    """Fill in pixels, their extremes, window and real-world value mapping.

    Unsigned 16-bit values, signed ones where some are below 0. Values beyond the largest stored one become it.

    Args:
        nm: the object.
        volume: values to store as frames [k, j, i].
        unit: of the stored values.

    Returns:
        Sentences for the derivation: the meaning of stored values, and how many were cut.
    """
    values = volume.values.astype(np.float64).transpose(2, 1, 0)
    signed = bool(np.rint(values.min() / unit.value) < 0)
    largest = _LARGEST_SIGNED if signed else _LARGEST_UNSIGNED
    smallest = -_LARGEST_SIGNED if signed else 0
    whole = np.rint(values / unit.value)
    stored = np.clip(whole, smallest, largest).astype(np.int32)
    fill_pixels(nm, stored, signed=signed)
    kind = "SS" if signed else "US"
    nm.add_new("SmallestImagePixelValue", kind, int(stored.min()))
    nm.add_new("LargestImagePixelValue", kind, int(stored.max()))
    _set_window(nm, volume.quantity, unit, stored)
    nm.RealWorldValueMappingSequence = [_mapping(volume.quantity, unit, kind, smallest, largest)]
    n_cut = int((whole != stored).sum())
    cut = f"{n_cut} voxels beyond {largest * unit.value:.6g} {volume.quantity.unit} are stored as that" if n_cut else ""
    return tuple(sentence for sentence in (unit.words(volume.quantity.unit), cut) if sentence)


def _set_window(nm: Dataset, quantity: Quantity, unit: StoredUnit, stored: Float[ndarray, "k j i"]) -> None:
    """The window in stored values: that of the quantity, or from 0 (or the smallest) to the largest."""
    low = min(quantity.window_low / unit.value, float(stored.min()))
    high = float(stored.max()) if quantity.window_high is None else quantity.window_high / unit.value
    width = max(high - low, 1.0)
    nm.WindowCenter, nm.WindowWidth = decimal(low + width / 2), decimal(width)


def _mapping(quantity: Quantity, unit: StoredUnit, kind: str, smallest: int, largest: int) -> Dataset:
    label, code, meaning = _UNITS[quantity]
    mapping = Dataset()
    mapping.LUTExplanation, mapping.LUTLabel = quantity.unit, label
    mapping.MeasurementUnitsCodeSequence = [code_item(code, "UCUM", meaning)]
    mapping.add_new("RealWorldValueFirstValueMapped", kind, smallest)
    mapping.add_new("RealWorldValueLastValueMapped", kind, largest)
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = unit.value, 0.0
    return mapping
