"""The collimators of the simulated camera."""

from __future__ import annotations

from mureg.spect.collimator import Collimator

LEAD_PER_MM = 2.69
"""Linear attenuation of lead at 140.5 keV (NIST XCOM, interpolated between 100 and 150 keV).

The reconstruction takes 2.72/mm. The shipped cohorts are frozen with this value; the widths differ by less than 0.1 %.
"""

# hole, septum and length in mm: see `low_energy_collimator`
GE_LEHR = Collimator("LEHR", 1.50, 0.20, 35.0, lead_per_mm=LEAD_PER_MM)
SIEMENS_LEHR = Collimator("LEHR", 1.11, 0.16, 24.05, lead_per_mm=LEAD_PER_MM)


def low_energy_collimator(manufacturer: str) -> Collimator:
    """The low-energy high-resolution collimator of a maker, as a DICOM header names it; General Electric's if unknown.

    Sizes as in the SIMIND program's table (Ljungberg and Strand, Comput Methods Programs Biomed 1989).
    """
    return SIEMENS_LEHR if "SIEMENS" in manufacturer.upper() else GE_LEHR
