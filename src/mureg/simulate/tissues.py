"""What tissues are made of: attenuation at 140.5 keV and Hounsfield units, both from density and composition.

The camera sees the attenuation, the CT the Hounsfield units; the clinical conversion from one to the other is only
nearly right, as in a hospital.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mureg.spect.compton import LINE_KEV

CT_KEV = 70.0
"""Effective energy of a CT at 120 kVp, in round numbers: makers and filters differ."""

AIR_HU = -1000.0
"""By the definition of the Hounsfield unit, whose other fixed point is water at 0."""

# mass attenuation in cm2/g at 60, 80, 100 and 150 keV (Hubbell and Seltzer, NISTIR 5632, compositions of ICRU-44)
_ENERGIES_KEV = (60.0, 80.0, 100.0, 150.0)
_MASS_ATTENUATION: Mapping[str, tuple[float, float, float, float]] = {
    "water": (0.2059, 0.1837, 0.1707, 0.1505),
    "soft tissue": (0.2048, 0.1823, 0.1693, 0.1492),
    "adipose": (0.1974, 0.1800, 0.1688, 0.1500),
    "cortical bone": (0.3148, 0.2229, 0.1855, 0.1480),
}


@dataclass(frozen=True)
class Tissue:
    """A tissue as a mixture of soft tissue, fat and cortical bone.

    Attributes:
        density: g/cm3.
        fat, bone: shares of the mass that are adipose tissue and cortical bone; the rest is soft tissue.
    """

    density: float
    fat: float = 0.0
    bone: float = 0.0

    @property
    def mu_per_cm(self) -> float:
        """Linear attenuation at 140.5 keV."""
        return self._linear(LINE_KEV)

    @property
    def hu(self) -> float:
        """Hounsfield units at the effective energy of a CT."""
        return 1000.0 * (self._linear(CT_KEV) / _mass_attenuation("water", CT_KEV) - 1.0)

    def _linear(self, energy_kev: float) -> float:
        shares = {"adipose": self.fat, "cortical bone": self.bone, "soft tissue": 1.0 - self.fat - self.bone}
        return self.density * sum(share * _mass_attenuation(name, energy_kev) for name, share in shares.items())


def _mass_attenuation(name: str, energy_kev: float) -> float:
    """Interpolated with both axes logarithmic."""
    values = _MASS_ATTENUATION[name]
    for k in range(len(values) - 1):
        low, high = _ENERGIES_KEV[k : k + 2]
        if energy_kev <= high:
            share = math.log(energy_kev / low) / math.log(high / low)
            return float(math.exp((1 - share) * math.log(values[k]) + share * math.log(values[k + 1])))
    raise ValueError(f"{energy_kev} keV is beyond the table")


TISSUES: Mapping[str, Tissue] = MappingProxyType(
    {
        "air": Tissue(0.0012),
        "lung": Tissue(0.26),  # at end expiration; the same mass fills more room at inspiration
        "fat": Tissue(0.93, fat=1.0),
        "breast": Tissue(0.97, fat=0.65),
        "soft_tissue": Tissue(1.05, fat=0.02),
        "blood": Tissue(1.05),
        "myocardium": Tissue(1.05),
        "liver": Tissue(1.06),
        "spleen": Tissue(1.055),
        "kidney": Tissue(1.045),
        "stomach_wall": Tissue(1.04),
        "stomach": Tissue(1.02),
        "bowel": Tissue(1.02, fat=0.15),
        "gallbladder": Tissue(1.02),
        "spongy_bone": Tissue(1.14, fat=0.15, bone=0.16),
        "cortical_bone": Tissue(1.65, bone=0.70),
        "cartilage": Tissue(1.10, bone=0.02),
    }
)
"""Densities after ICRP 89 and ICRU 44; lung, spongy bone and bowel as a chest CT shows them."""
