"""Make tests/referees/data/scatter_monte_carlo.npz: scatter in four views by Monte Carlo with forced detection.

Photons are followed one by one (tests/support/photon_transport.py); at each Compton scattering, what would go on to
each of four parallel-hole detectors, get out of the body and be counted is added to the pixel it would reach. Nothing
of the package's own scatter model is used. About 3 minutes on one core:

    PYTHONPATH=tests python benchmarks/evidence/make_scatter_reference.py
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import numpy as np
from scipy.special import erf

from support.photon_transport import ELECTRON_KEV, LINE_KEV, relative_mu, transport
from support.scatter_cases import ANGLES, BINNED, GRID, PIXEL_MM, REFERENCE, WINDOWS, N, binned, cases

PHOTONS, BATCHES, ORDERS = 200_000, 60, 3
CM = PIXEL_MM / 10.0


@dataclass
class Camera:
    """Detectors around a map and what they have counted: [view, window, order 1, 2, 3 and more, row, column].

    They stand at multiples of 90 degrees.
    """

    mu_per_cm: np.ndarray
    angles: tuple[float, ...] = tuple(ANGLES)
    counts: np.ndarray = field(init=False)
    beyond: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = np.zeros((len(self.angles), len(WINDOWS), ORDERS, N, N))
        for angle in self.angles:
            axis, sign, _ = _stands(angle)
            ahead = np.flip(self.mu_per_cm, axis) if sign > 0 else self.mu_per_cm
            ahead = np.cumsum(ahead, axis) - ahead
            self.beyond.append(np.flip(ahead, axis) if sign > 0 else ahead)

    def see(self, position_cm: np.ndarray, direction: np.ndarray, energy: np.ndarray, order: np.ndarray) -> None:
        """Count the scattering photons as far as they would come this way."""
        index = position_cm / CM
        cell = np.clip(np.rint(index).astype(int), 0, N - 1)
        here = tuple(cell.T)
        a = energy / ELECTRON_KEV
        log = np.log1p(2 * a)
        # total cross-section over pi r_e^2 (Evans 1955), so that the share per steradian integrates to 1
        total = 2 * ((1 + a) / a**2 * (2 * (1 + a) / (1 + 2 * a) - log / a) + log / (2 * a))
        total -= 2 * (1 + 3 * a) / (1 + 2 * a) ** 2
        for view, angle in enumerate(self.angles):
            axis, sign, right = _stands(angle)
            cosine = sign * direction[:, axis]
            ratio = 1.0 / (1.0 + a * (1.0 - cosine))
            per_steradian = 0.5 * ratio**2 * (ratio + 1.0 / ratio - 1.0 + cosine**2) / (np.pi * total)
            after = energy * ratio
            inside = 0.5 - sign * (index[:, axis] - cell[:, axis])
            path = (self.beyond[view][here] + inside * self.mu_per_cm[here]) * CM * relative_mu(after)
            weight = 4 * np.pi * per_steradian * np.exp(-path)
            column = (N - 1) / 2 + (index - (N - 1) / 2) @ right
            pixel = (N - 1 - cell[:, 2]) * N + np.clip(np.rint(column).astype(int), 0, N - 1)
            for w, window in enumerate(WINDOWS):
                counted = weight * _accepted(after, window) / _accepted(np.array(LINE_KEV), WINDOWS[0])
                for k in range(ORDERS):
                    of_order = np.minimum(order, ORDERS) == k + 1
                    self.counts[view, w, k] += np.bincount(pixel[of_order], counted[of_order], minlength=N * N).reshape(
                        N, N
                    )


def _stands(angle_deg: float) -> tuple[int, int, np.ndarray]:
    """Axis and sign along which the detector stands, and where its columns run (DICOM: 0 back, 90 left, LPS+)."""
    towards = {0.0: (1, 1), 90.0: (0, 1), 180.0: (1, -1), 270.0: (0, -1)}[angle_deg]
    out = np.zeros(3)
    out[towards[0]] = towards[1]
    return *towards, np.cross(-out, (0.0, 0.0, 1.0))


def _accepted(energy: np.ndarray, window) -> np.ndarray:
    scale = np.sqrt(2.0) * 0.10 * np.sqrt(energy * LINE_KEV) / 2.3548
    return 0.5 * (erf((window.upper_kev - energy) / scale) - erf((window.lower_kev - energy) / scale))


def measure(
    activity: np.ndarray,
    mu_per_cm: np.ndarray,
    batches: int,
    chance: np.random.Generator,
    angles: tuple[float, ...] = tuple(ANGLES),
) -> np.ndarray:
    """Scattered counts per decay [batch, view, window, order, row, column]."""
    padded = np.pad(mu_per_cm, 1)
    # the tracking needs the largest attenuation to hold for slower photons too
    padded[0, 0, 0] = 1.2 * mu_per_cm.max()
    found = []
    for _ in range(batches):
        camera = Camera(mu_per_cm, angles)
        flat = chance.choice(activity.size, PHOTONS, p=(activity / activity.sum()).ravel())
        starts = np.stack(np.unravel_index(flat, activity.shape), 1) + 1 + chance.uniform(-0.5, 0.5, (PHOTONS, 3))
        transport(starts, padded, np.full(3, CM), chance, lambda p, d, e, o, c=camera: c.see(p - CM, d, e, o))
        found.append(camera.counts / PHOTONS)
    return np.stack(found)


def main() -> None:
    batches = int(sys.argv[1]) if len(sys.argv) > 1 else BATCHES
    chance, stored = np.random.default_rng(11), {}
    for name, case in cases().items():
        found = measure(case.activity.values.astype(float), case.mu.values.astype(float), batches, chance)
        coarse = binned(found, BINNED)
        stored[f"{name}/counts"] = coarse.mean(0).astype(np.float32)
        stored[f"{name}/error"] = (coarse.std(0, ddof=1) / np.sqrt(batches)).astype(np.float16)
        stored[f"{name}/profile"] = found.mean(0).sum(-2).astype(np.float32)
        totals = found.mean(0).sum((-2, -1))
        print(name, np.round(totals.sum(2) / totals[:, :, 0], 3).tolist(), flush=True)
    np.savez_compressed(REFERENCE, **stored)
    print(f"{GRID.shape} -> {REFERENCE.name}, {REFERENCE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
