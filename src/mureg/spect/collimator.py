"""How sharply a parallel-hole collimator sees, by distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mureg.errors import UsageError

LEAD_MU_PER_MM = 2.72
"""Linear attenuation of lead at 140 keV: 2.40 cm2/g (NIST XCOM) x 11.35 g/cm3."""

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Of a Gaussian, in closed form."""


@dataclass(frozen=True)
class Collimator:
    """A parallel-hole collimator and the detector behind it.

    Attributes:
        name: maker and type.
        hole_mm: hole diameter, flat to flat.
        septum_mm: wall between holes.
        length_mm: hole length.
        intrinsic_fwhm_mm: resolution of crystal and electronics.
        lead_per_mm: linear attenuation of the holes' walls at the energy of the photons.
    """

    name: str
    hole_mm: float
    septum_mm: float
    length_mm: float
    intrinsic_fwhm_mm: float = 3.8
    lead_per_mm: float = LEAD_MU_PER_MM

    def __post_init__(self) -> None:
        if min(self.hole_mm, self.septum_mm, self.length_mm, self.lead_per_mm) <= 0 or self.intrinsic_fwhm_mm < 0:
            raise UsageError(
                f"collimator with hole {self.hole_mm}, septum {self.septum_mm}, length {self.length_mm} mm and "
                f"attenuation {self.lead_per_mm} per mm",
                "positive sizes in mm, and a positive attenuation",
                "check the data sheet",
            )

    @property
    def effective_length_mm(self) -> float:
        """Hole length less what photons penetrate at both ends (Anger, J Nucl Med 1964)."""
        return self.length_mm - 2.0 / self.lead_per_mm

    def fwhm_mm(self, distance_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Full width at half maximum at a distance from the collimator's face; distances below 0 count as 0."""
        distance = np.clip(np.asarray(distance_mm, dtype=np.float64), 0.0, None)
        geometric = self.hole_mm * (self.effective_length_mm + distance) / self.effective_length_mm
        return np.asarray(np.hypot(geometric, self.intrinsic_fwhm_mm))

    def sigma_mm(self, distance_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Standard deviation of the Gaussian of the same width."""
        return np.asarray(self.fwhm_mm(distance_mm) / FWHM_PER_SIGMA)


# Sizes as in the collimator table of the SIMIND Monte Carlo program (Ljungberg and Strand, Comput Methods Programs
# Biomed 1989), which cites the makers' data sheets: (maker, words in the DICOM name) -> hole, septum, length in mm.
_TABLE: tuple[tuple[str, tuple[str, ...], Collimator], ...] = (
    ("GE", ("LEHR",), Collimator("GE LEHR", 1.50, 0.20, 35.0)),
    ("GE", ("ELEGP", "ELEG"), Collimator("GE ELEGP", 2.50, 0.40, 40.0)),
    ("GE", ("LEGP", "LEAP"), Collimator("GE LEGP", 1.90, 0.20, 35.0)),
    ("GE", ("MEGP", "MEAP"), Collimator("GE MEGP", 3.00, 1.05, 58.0)),
    ("GE", ("HEGP",), Collimator("GE HEGP", 4.00, 1.80, 66.0)),
    ("SIEMENS", ("LEHR",), Collimator("Siemens LEHR", 1.11, 0.16, 24.05)),
    ("SIEMENS", ("LEAP", "LEGP"), Collimator("Siemens LEAP", 1.45, 0.20, 24.05)),
    ("SIEMENS", ("ME", "MELP", "MEGP"), Collimator("Siemens ME", 2.94, 1.14, 40.64)),
    ("SIEMENS", ("HE", "HEGP"), Collimator("Siemens HE", 4.00, 2.00, 59.7)),
    ("PHILIPS", ("LEHR",), Collimator("Philips LEHR", 1.22, 0.152, 27.0)),
    ("PHILIPS", ("LEGP", "LEAP"), Collimator("Philips LEGP", 1.40, 0.18, 24.7)),
    ("PHILIPS", ("CAHR",), Collimator("Philips CAHR", 2.03, 0.152, 48.0)),
    ("PHILIPS", ("MEGP", "MEAP"), Collimator("Philips MEGP", 3.40, 0.86, 58.4)),
    ("PHILIPS", ("HEGP", "HEAP"), Collimator("Philips HEGP", 3.81, 1.73, 58.4)),
)

COLLIMATORS: dict[str, Collimator] = {row[2].name: row[2] for row in _TABLE}
"""Every collimator of the table by its name."""


def choose_collimator(name: str, manufacturer: str = "") -> tuple[Collimator, str]:
    """Pick the collimator that a header names.

    Args:
        name: collimator name as in the DICOM header or in `COLLIMATORS`, in any case.
        manufacturer: of the camera, "" where unknown.

    Returns:
        The collimator and a sentence on the guess made, "" for none.
    """
    wanted_name, maker = name.upper().replace("-", "").replace(" ", ""), manufacturer.upper()
    for entry in COLLIMATORS.values():
        if wanted_name == entry.name.upper().replace(" ", ""):
            return entry, ""
    rows = [row for row in _TABLE if row[0] in maker] or list(_TABLE)
    of_maker = bool(maker) and rows[0][0] in maker
    for _, words, collimator in rows:
        if any(word in wanted_name for word in words):
            if of_maker:
                return collimator, ""
            return collimator, f"resolution of {collimator.name}: the header names {name} but no maker of the table"
    fallback = rows[0][2]
    return fallback, f"resolution of {fallback.name}: the header names {name or 'no collimator'}, which the table lacks"
