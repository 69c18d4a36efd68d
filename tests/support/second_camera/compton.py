"""Compton scattering into an energy window, per direction.

Formulas as in Evans, The Atomic Nucleus, 1955, chapter 23; the total is integrated numerically.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Array = npt.NDArray[np.float64]

LINE_KEV = 140.5
"""Gamma line of Tc-99m."""
COMPTON_SHARE = 0.97
"""Klein-Nishina part of the attenuation of water at 140.5 keV: 0.1494 of 0.1538 1/cm (NIST XCOM)."""
_ALPHA = LINE_KEV / 510.999
"""Energy of the photon over the rest energy of the electron."""
_NODES = 48


@runtime_checkable
class Window(Protocol):
    """An energy window."""

    @property
    def lower_kev(self) -> float: ...

    @property
    def upper_kev(self) -> float: ...


@dataclass(frozen=True)
class Crystal:
    """Energy resolution: full width at half maximum as a share of 140.5 keV, growing as the square root of energy."""

    resolution: float = 0.10

    def accepted(self, energy_kev: npt.ArrayLike, window: Window) -> Array:
        """Probability that a photon of this energy is counted in the window."""
        energy = np.asarray(energy_kev, dtype=np.float64)
        sigma = self.resolution * LINE_KEV * np.sqrt(energy / LINE_KEV) / math.sqrt(8.0 * math.log(2.0))
        return np.asarray(ndtr((window.upper_kev - energy) / sigma) - ndtr((window.lower_kev - energy) / sigma))


def share_of_energy(cosine: npt.ArrayLike) -> Array:
    """Energy after scattering by an angle over that before."""
    return np.asarray(1.0 / (1.0 + _ALPHA * (1.0 - np.asarray(cosine, dtype=np.float64))))


def into_window(cosine: npt.ArrayLike, window: Window, crystal: Crystal) -> Array:
    """Probability of this angle and of being counted in the window, relative to scattering alike in all directions."""
    return _differential(cosine) / _mean_differential() * crystal.accepted(LINE_KEV * share_of_energy(cosine), window)


def sphere(n: int) -> Array:
    """Unit vectors [n, 3], evenly over the sphere (Fibonacci lattice)."""
    z = (2.0 * np.arange(n) + 1.0) / n - 1.0
    turn = np.pi * (3.0 - np.sqrt(5.0)) * np.arange(n)
    across = np.sqrt(1.0 - z * z)
    return np.stack([across * np.cos(turn), across * np.sin(turn), z], axis=1)


def _differential(cosine: npt.ArrayLike) -> Array:
    """Klein-Nishina cross-section per steradian, in half the squared electron radius."""
    kept = share_of_energy(cosine)
    return kept**3 + kept - kept**2 * (1.0 - np.square(cosine))


@cache
def _mean_differential() -> float:
    """Its mean over the sphere, by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return float(weights @ _differential(nodes)) / 2.0
