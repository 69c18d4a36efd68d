"""Photons that start at the tracer, fly, scatter and are absorbed: Woodcock tracking through a breathing patient."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from torch import Tensor

from mureg.simulate.gamma_camera import GammaCamera
from mureg.spect.compton import COMPTON_SHARE, ELECTRON_REST_KEV, LINE_KEV, klein_nishina

Single = npt.NDArray[np.float32]
Double = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

BIN_KEV = 80.0 + (np.arange(512) + 0.5) * (LINE_KEV - 80.0) / 512
"""Middles of the energy bins of every table, 0.12 keV wide; windows from 114 keV on do not count 80 keV."""
MU_SCALE = np.interp(BIN_KEV, (80.0, 100.0, 120.0, 140.5), (1.194, 1.110, 1.049, 1.0)).astype(np.float32)
"""Attenuation of water over that at 140.5 keV (NIST XCOM: 0.1837, 0.1707, 0.1614, 0.1538 1/cm)."""


@dataclass(frozen=True)
class Photons:
    """Photons on their way, or about to scatter.

    Attributes:
        place: [3, photon] in voxels of the camera's grid.
        direction: [3, photon], unit.
        kev: energy.
        phase: state of breathing that each one lives in.
    """

    place: Single
    direction: Single
    kev: Single
    phase: Indices

    def __len__(self) -> int:
        return len(self.kev)

    def __getitem__(self, which: npt.NDArray[np.bool_] | slice) -> Photons:
        index = np.flatnonzero(which) if isinstance(which, np.ndarray) else which
        return Photons(self.place[:, index], self.direction[:, index], self.kev[index], self.phase[index])


def _joined(parts: Sequence[Photons]) -> Photons:
    return Photons(
        np.concatenate([part.place for part in parts], axis=1),
        np.concatenate([part.direction for part in parts], axis=1),
        np.concatenate([part.kev for part in parts]),
        np.concatenate([part.phase for part in parts]),
    )


def start_photons(n: int, cumulative: Double, shape: Sequence[int], generator: np.random.Generator) -> Photons:
    """Photons in the voxels [phase, x, y, z], as evenly as n of them can be, in every direction.

    `cumulative` adds the voxels up, one after another.
    """
    quantiles = (np.arange(n) + generator.random(n)) * (cumulative[-1] / n)
    voxel = np.minimum(np.searchsorted(cumulative, quantiles, side="right"), len(cumulative) - 1)
    phase, *cell = np.unravel_index(voxel, tuple(shape))
    place = np.stack(cell).astype(np.float32) + generator.random((3, n), np.float32) - np.float32(0.5)
    # an additive recurrence: photons that start side by side leave in directions spread evenly over the sphere; its
    # steps are 1 / p and 1 / p^2 of the plastic number p, the real root of p^3 = p + 1
    even = (generator.random((2, 1)) + np.arange(n) * np.array([[0.7548776662466927], [0.5698402909980532]])) % 1.0
    z, phi = (2.0 * even[0] - 1.0).astype(np.float32), (2.0 * math.pi * even[1]).astype(np.float32)
    across = np.sqrt(np.maximum(1.0 - z * z, 0.0))
    direction = np.stack([across * np.cos(phi), across * np.sin(phi), z])
    return Photons(place, direction, np.full(n, LINE_KEV, dtype=np.float32), phase.astype(np.int64))


def collisions_of(
    photons: Photons,
    camera: GammaCamera,
    mu_per_cm: Float[Tensor, "phase x y z"],
    slowest_kev: float,
    generator: np.random.Generator,
) -> Photons:
    """Follow photons until absorbed, too slow or out; all that scattered, as they were just before."""
    nx, ny, nz = camera.grid.shape
    size = np.array([[nx], [ny], [nz]], dtype=np.float32)
    mu = mu_per_cm.numpy().ravel()
    # the majorant must also hold for the slowest photons, whose attenuation is largest
    majorant = float(mu_per_cm.max()) * float(MU_SCALE[energy_bins(np.array([slowest_kev], dtype=np.float32))[0]])
    step = np.float32(10.0 / camera.grid.spacing_mm[0] / majorant)
    scale = MU_SCALE / np.float32(majorant)
    events = []
    while len(photons):
        place = photons.place + photons.direction * (step * generator.standard_exponential(len(photons), np.float32))
        cell = np.floor(place + np.float32(0.5))
        inside = ((cell >= 0) & (cell < size)).all(0)
        photons = Photons(place, photons.direction, photons.kev, photons.phase)[inside]
        x, y, z = cell[:, inside].astype(np.int64)
        chance = generator.random(len(photons), np.float32)
        meets = mu[((photons.phase * nx + x) * ny + y) * nz + z] * scale[energy_bins(photons.kev)]
        scattering = photons[chance < np.float32(COMPTON_SHARE) * meets]
        events.append(scattering)
        scattered = _scattered(scattering, generator)
        photons = _joined([photons[chance >= meets], scattered[scattered.kev > slowest_kev]])
    return _joined(events)


def _scattered(photons: Photons, generator: np.random.Generator) -> Photons:
    """The photons after a Compton scattering, by the Klein-Nishina cross-section."""
    n, quantiles = len(photons), _compton_quantiles()
    quantile = generator.random(n, np.float32) * np.float32(quantiles.shape[1] - 1)
    low = np.minimum(quantile.astype(np.int64), quantiles.shape[1] - 2)
    index = energy_bins(photons.kev) * quantiles.shape[1] + low
    cosine = quantiles.ravel()[index]
    cosine = cosine + (quantile - low.astype(np.float32)) * (quantiles.ravel()[index + 1] - cosine)
    sine = np.sqrt(np.maximum(1.0 - cosine * cosine, 0.0))
    phi = np.float32(2.0 * math.pi) * generator.random(n, np.float32)
    a, b = sine * np.cos(phi), sine * np.sin(phi)
    u, v, w = photons.direction
    # two directions across (u, v, w) without a pole (Duff et al., J Comput Graph Tech 2017)
    sign = np.copysign(np.float32(1.0), w)
    p = -1.0 / (sign + w)
    q = u * v * p
    direction = np.stack(
        [
            cosine * u + a * (1.0 + sign * u * u * p) + b * q,
            cosine * v + a * sign * q + b * (sign + v * v * p),
            cosine * w - a * sign * u - b * v,
        ]
    )
    direction /= np.sqrt((direction * direction).sum(0))
    kev = photons.kev / (1.0 + photons.kev * np.float32(1.0 / ELECTRON_REST_KEV) * (1.0 - cosine))
    return Photons(photons.place, direction, kev, photons.phase)


def energy_bins(kev: Single) -> Indices:
    """Energy bin of each photon; slower ones count as the slowest."""
    bins = (kev - np.float32(80.0)) * np.float32(len(BIN_KEV) / (LINE_KEV - 80.0))
    return np.asarray(np.minimum(np.maximum(bins, np.float32(0.0)), np.float32(len(BIN_KEV) - 1)), dtype=np.int64)


@functools.cache
def _compton_quantiles(n: int = 256) -> Single:
    """Cosine of the scattering angle [energy bin, quantile]: the inverse of the cumulative Klein-Nishina."""
    cosine = np.linspace(-1.0, 1.0, 1025)  # four steps for each of 256 quantiles
    middle = 0.5 * (cosine[1:] + cosine[:-1])
    table = np.empty((len(BIN_KEV), n), dtype=np.float32)
    for i, kev in enumerate(BIN_KEV):
        below = np.concatenate([[0.0], np.cumsum(klein_nishina(float(kev), middle))])
        table[i] = np.interp(np.linspace(0.0, below[-1], n), below, cosine)
    return table
