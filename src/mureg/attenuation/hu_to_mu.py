"""From Hounsfield units to linear attenuation at 140.5 keV."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mureg.errors import UnitsError
from mureg.geometry import Quantity, Volume

MU_WATER_PER_CM = 0.1538
"""Linear attenuation of water at 140.5 keV, narrow beam (NIST XCOM)."""


@dataclass(frozen=True)
class HuToMu:
    """Two straight lines that meet at water: ``0.1538 + slope * HU`` (1/cm), never below 0.

    Attributes:
        name: scanner and tube voltage the slopes were measured for.
        below, above: slopes in 1/cm per HU below and above 0 HU.
    """

    name: str
    below: float
    above: float

    def to_air(self) -> HuToMu:
        """The same above water, and below it the line to no attenuation at -1000 HU."""
        return replace(self, below=MU_WATER_PER_CM / 1000.0)


# (manufacturer, model words, kVp) -> slopes; the table that PyTomography ships (MIT licence), measured per scanner.
_TABLE: tuple[tuple[str, tuple[str, ...], int, float, float], ...] = (
    ("GE", ("INFINIA",), 140, 1.631e-4, 1.155e-4),
    ("GE", ("OPTIMA", "CT540", "670", "860", "850", "870"), 140, 1.655e-4, 1.130e-4),
    ("GE", ("OPTIMA", "CT540", "670", "860", "850", "870"), 120, 1.658e-4, 1.039e-4),
    ("GE", ("OPTIMA", "CT540", "670", "860", "850", "870"), 100, 1.694e-4, 0.959e-4),
    ("GE", ("OPTIMA", "CT540", "670", "860", "850", "870"), 80, 1.694e-4, 0.798e-4),
    ("SIEMENS", ("SYMBIA", "INTEVO"), 130, 1.636e-4, 1.090e-4),
    ("SIEMENS", ("SYMBIA", "INTEVO"), 110, 1.634e-4, 0.978e-4),
    ("SIEMENS", ("SYMBIA", "INTEVO"), 80, 1.625e-4, 0.759e-4),
)

_USUAL_KVP = 120.0
"""Assumed if the header states no tube voltage (docs/concepts/attenuation.md)."""


def choose_conversion(manufacturer: str, model: str, kvp: float | None) -> tuple[HuToMu, str]:
    """Pick the conversion for a scanner: its own row of the table at the nearest tube voltage, else the GE Optima's.

    Args:
        manufacturer, model: as written in the CT header, in any case.
        kvp: tube voltage; None or 0 where the header does not say, which counts as 120.

    Returns:
        The conversion and a sentence that says how it was chosen, "" for an exact match of maker, model and voltage.
    """
    maker, model_name = manufacturer.upper(), model.upper()
    has_kvp = kvp is not None and kvp > 0.0
    voltage = float(kvp) if kvp is not None and has_kvp else _USUAL_KVP
    own_rows = [row for row in _TABLE if row[0] in maker and any(word in model_name for word in row[1])]
    rows = own_rows or [row for row in _TABLE if row[1][0] == "OPTIMA"]
    _, words, row_kvp, below, above = min(rows, key=lambda row: abs(row[2] - voltage))
    maker_name = {"GE": "GE", "SIEMENS": "Siemens"}[next(r[0] for r in rows)]
    conversion = HuToMu(f"{maker_name} {words[0].title()}, {row_kvp} kVp", below, above)
    if own_rows and has_kvp and abs(row_kvp - voltage) < 0.5:
        return conversion, ""
    scanner = f"{manufacturer} {model}".strip()
    if not scanner or not has_kvp:
        absent = " and ".join(what for what, value in (("scanner", scanner), ("tube voltage", has_kvp)) if not value)
        return conversion, f"HU to mu by the table of {conversion.name}: the CT header does not name the {absent}"
    return (
        conversion,
        f"HU to mu by the table of {conversion.name}: {scanner} at {voltage:g} kVp has no entry of its own",
    )


def mu_map(ct: Volume, conversion: HuToMu) -> Volume:
    """Convert a CT to linear attenuation at 140.5 keV, on the CT's own grid and full extent.

    Args:
        ct: in HU.
        conversion: from `choose_conversion`.

    Returns:
        Attenuation in 1/cm, at least 0; voxels outside the CT stay marked.

    Raises:
        UnitsError: the volume is not in HU.
    """
    if ct.quantity is not Quantity.HU:
        raise UnitsError(f"a volume in {ct.quantity.unit}", "a CT in HU", "pass the CT itself, or use the map as it is")
    below, above = (ct.values.dtype.type(slope) for slope in (conversion.below, conversion.above))
    mu = ct.values * np.where(ct.values < 0, below, above)
    mu += MU_WATER_PER_CM
    return ct.with_values(np.maximum(mu, 0.0, out=mu), Quantity.MU_PER_CM)
