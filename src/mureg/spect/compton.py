"""Compton scattering and energy windows, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from mureg.spect.acquisition import EnergyWindow
from mureg.spect.collimator import FWHM_PER_SIGMA

Array = npt.NDArray[np.float64]

ELECTRON_REST_KEV = 510.999
"""Rest energy of the electron (CODATA)."""
ELECTRON_RADIUS_CM = 2.8179403e-13
"""Classical electron radius (CODATA)."""
LINE_KEV = 140.5
"""Gamma line of Tc-99m."""
COMPTON_SHARE = 0.97
"""Compton part of the attenuation of water at 140.5 keV (Klein-Nishina 0.1494 of 0.1538 1/cm); the rest is
photoelectric and coherent."""


def scattered_kev(energy_kev: float, cosine: npt.ArrayLike) -> Array:
    """Energy of a photon after Compton scattering by an angle, given its cosine."""
    loss = energy_kev / ELECTRON_REST_KEV * (1.0 - np.asarray(cosine, dtype=np.float64))
    return np.asarray(energy_kev / (1.0 + loss))


def klein_nishina(energy_kev: float, cosine: npt.ArrayLike) -> Array:
    """Differential cross-section per electron and steradian, in cm^2 (free electron at rest)."""
    cosine = np.asarray(cosine, dtype=np.float64)
    ratio = scattered_kev(energy_kev, cosine) / energy_kev
    return np.asarray(0.5 * ELECTRON_RADIUS_CM**2 * ratio**2 * (ratio + 1.0 / ratio - (1.0 - cosine**2)))


def klein_nishina_total(energy_kev: float) -> float:
    """Total cross-section per electron in cm^2, closed form (Evans, The Atomic Nucleus, 1955, chapter 23)."""
    a = energy_kev / ELECTRON_REST_KEV
    log = math.log(1.0 + 2.0 * a)
    bracket = (1.0 + a) / a**2 * (2.0 * (1.0 + a) / (1.0 + 2.0 * a) - log / a) + log / (2.0 * a)
    return 2.0 * math.pi * ELECTRON_RADIUS_CM**2 * (bracket - (1.0 + 3.0 * a) / (1.0 + 2.0 * a) ** 2)


@dataclass(frozen=True)
class Crystal:
    """Energy resolution: full width at half maximum as a share of 140.5 keV, growing as sqrt(energy)."""

    resolution: float = 0.10

    def accepted(self, energy_kev: npt.ArrayLike, window: EnergyWindow) -> Array:
        """Probability that a photon of this energy is counted in the window."""
        energy = np.asarray(energy_kev, dtype=np.float64)
        scale = np.sqrt(2.0) * self.resolution * np.sqrt(energy * LINE_KEV) / FWHM_PER_SIGMA
        return np.asarray(0.5 * (erf((window.upper_kev - energy) / scale) - erf((window.lower_kev - energy) / scale)))


def into_window(cosine: npt.ArrayLike, window: EnergyWindow, crystal: Crystal) -> Array:
    """4 pi times the probability per steradian to go on at this angle and be counted in the window."""
    probability = klein_nishina(LINE_KEV, cosine) / klein_nishina_total(LINE_KEV)
    return 4.0 * math.pi * probability * crystal.accepted(scattered_kev(LINE_KEV, cosine), window)


def sphere(n: int) -> Array:
    """Unit vectors [n, 3], evenly over the sphere (Fibonacci lattice)."""
    k = np.arange(n) + 0.5
    z, phi = 1.0 - 2.0 * k / n, math.pi * (1.0 + math.sqrt(5.0)) * k
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(phi), radius * np.sin(phi), z], axis=-1)
