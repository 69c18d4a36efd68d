"""What the views of a camera count of photons that scatter: each is sent to a few of them by force."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.simulate.gamma_camera import GammaCamera
from mureg.simulate.photon_transport import BIN_KEV, MU_SCALE, Double, Indices, Photons, Single, energy_bins
from mureg.spect.compton import ELECTRON_RADIUS_CM, ELECTRON_REST_KEV, klein_nishina_total

_PER_SPHERE = np.array(
    [2.0 * math.pi * ELECTRON_RADIUS_CM**2 / klein_nishina_total(float(kev)) for kev in BIN_KEV], dtype=np.float32
)
"""What turns ``P^2 (P + 1/P - sin^2)`` of Klein-Nishina into 4 pi times the probability per steradian."""
_AT_ONCE = 16384
"""Photons for which a view is worked out together: arrays of 64 kB, which caches hold."""


@dataclass(frozen=True)
class Detectors:
    """The views: which way they stand, what lies before them, what they count.

    Attributes:
        camera: gives the geometry and the blur.
        relative_shares: [view, phase] of each view over the mean of all.
        accepted: [window, energy bin] probability to be counted.
        slowest_kev: energy below which no window counts.
        beyond: [phase, z, view, depth, column] integral of mu from the near face of each coarse voxel to the detector,
            depth 0 nearest the detector, and from the far face of the last.
        half_mm: from the axis to the outer faces of the first and last depth and column.
        low_z_mm: z of the lower face of the lowest coarse voxels.
        spacing_mm: of the coarse voxels.
    """

    camera: GammaCamera
    relative_shares: Single
    accepted: Single
    slowest_kev: float
    beyond: Single
    half_mm: float
    low_z_mm: float
    spacing_mm: float

    @classmethod
    def of(
        cls,
        camera: GammaCamera,
        mu_per_cm: Float[Tensor, "phase x y z"],
        voxel_mm: float,
        shares: Double,
        accepted: Double,
        slowest_kev: float,
    ) -> Detectors:
        """The views of a camera, their way out worked out on voxels of about `voxel_mm`."""
        fine, mean = camera.grid.spacing_mm[0], shares.mean(0)
        factor = max(1, round(voxel_mm / fine))
        padded = torch.nn.functional.pad(mu_per_cm, [n for size in mu_per_cm.shape[:0:-1] for n in (0, -size % factor)])
        coarse = torch.nn.functional.avg_pool3d(padded, factor)
        first = camera.grid.affine[:3, 3] + 0.5 * (factor - 1) * fine
        x, y = np.nonzero(coarse.amax((0, 3)).numpy() > 0)
        from_axis = np.stack([x, y], -1) * factor * fine + first[:2] - np.asarray(camera.axis_mm)
        n = 2 * math.ceil(float(np.hypot(*from_axis.T).max()) / (factor * fine) + 1.0)
        return cls(
            camera,
            np.divide(shares, mean, out=np.zeros_like(shares), where=mean > 0).astype(np.float32),
            accepted.astype(np.float32),
            slowest_kev,
            _ways_out(camera, coarse, first, factor * fine, n),
            n * factor * fine / 2,
            float(first[2]) - factor * fine / 2,
            factor * fine,
        )

    def counts(
        self, collisions: Photons, views_per_collision: int, generator: np.random.Generator
    ) -> npt.NDArray[np.float64]:
        """What the scattering photons would send to a few of the views [window, view, row, column]."""
        camera, n_views = self.camera, len(self.camera.angles_deg)
        n_own_views = min(views_per_collision, n_views)
        shape = (len(self.accepted), n_views, camera.n_rows, camera.n_columns)
        pixels, amounts = [], []
        for start in range(0, len(collisions), _AT_ONCE):
            photons = collisions[start : start + _AT_ONCE]
            first = generator.random(len(photons)) * n_views
            for k in range(n_own_views):
                view = np.minimum((first + k * (n_views / n_own_views)) % n_views, n_views - 1).astype(np.int64)
                pixel, amount = self._detect(photons, view, n_views / n_own_views, generator)
                pixels.append(pixel)
                amounts.append(amount)
        pixel, amount = np.concatenate(pixels), np.concatenate(amounts, axis=1)
        counts = [np.bincount(pixel, of_window, minlength=math.prod(shape[1:])) for of_window in amount]
        return np.asarray(counts, dtype=np.float64).reshape(shape)

    def _detect(
        self, photons: Photons, view: Indices, weight: float, generator: np.random.Generator
    ) -> tuple[Indices, Single]:
        """Pixels that the scattering photons would reach in one view for each, and what each window would count."""
        camera = self.camera
        dx, dy = (camera.towards.astype(np.float32)[:, axis][view] for axis in (0, 1))
        cosine = photons.direction[0] * dx + photons.direction[1] * dy
        ratio = 1.0 / (1.0 + photons.kev * np.float32(1.0 / ELECTRON_REST_KEV) * (1.0 - cosine))
        indices = np.flatnonzero(photons.kev * ratio > np.float32(self.slowest_kev))
        view, dx, dy, cosine, ratio = view[indices], dx[indices], dy[indices], cosine[indices], ratio[indices]
        kev, phase = photons.kev[indices], photons.phase[indices]
        bins = energy_bins(kev * ratio)
        origin = camera.grid.affine[:3, 3] - np.array([*camera.axis_mm, camera.middle_z_mm])
        x, y, z = (
            photons.place[axis][indices] * np.float32(camera.grid.spacing_mm[0]) + np.float32(origin[axis])
            for axis in range(3)
        )
        depth, right = x * dx + y * dy, y * dx - x * dy
        way = self._way_out(phase, view, depth, right, z + np.float32(camera.middle_z_mm), generator)
        share = ratio * ratio * (ratio + 1.0 / ratio - 1.0 + cosine * cosine)
        share *= _PER_SPHERE[energy_bins(kev)]
        share *= self.relative_shares.ravel()[view * self.relative_shares.shape[1] + phase]
        share *= np.exp(-way * MU_SCALE[bins]) * np.float32(weight)
        pixel, inside = self._pixel(view, depth, right, z, generator)
        return pixel[inside], share[inside] * self.accepted[:, bins[inside]]

    def _pixel(
        self, view: Indices, depth: Single, right: Single, z: Single, generator: np.random.Generator
    ) -> tuple[Indices, Indices]:
        """Pixel [view, row, column] in which a photon is detected after blur, and which photons meet the detector."""
        camera = self.camera
        distance = np.maximum(camera.radii_mm.astype(np.float32)[view] - depth, np.float32(0.0)).astype(np.int64)
        pixels = np.sqrt(camera.variance_mm2(np.arange(int(distance.max(initial=0)) + 1) + 0.5)) / camera.pixel_mm
        sigma = pixels.astype(np.float32)[distance]
        spread = generator.standard_normal((2, len(view)), np.float32)
        per_mm = np.float32(1.0 / camera.pixel_mm)
        middle = np.float32(camera.n_columns / 2 + camera.centre_mm / camera.pixel_mm)
        column = right * per_mm + spread[0] * sigma + middle
        row = np.float32(camera.n_rows / 2) - z * per_mm + spread[1] * sigma
        inside = (column >= 0) & (column < camera.n_columns) & (row >= 0) & (row < camera.n_rows)
        pixel = (view * camera.n_rows + row.astype(np.int64)) * camera.n_columns + column.astype(np.int64)
        return pixel, np.flatnonzero(inside)

    def _way_out(
        self, phase: Indices, view: Indices, depth: Single, right: Single, z: Single, generator: np.random.Generator
    ) -> Single:
        """Integral of mu to the detector: linear along the ray; between rays, a neighbour picked at random."""
        _, n_z, n_views, n_depths, n_columns = self.beyond.shape
        per_mm = np.float32(1.0 / self.spacing_mm)
        jitter = generator.random((2, len(view)), np.float32) - np.float32(0.5)
        column = ((right + np.float32(self.half_mm)) * per_mm + jitter[0]).astype(np.int64)
        layer = ((z - np.float32(self.low_z_mm)) * per_mm + jitter[1]).astype(np.int64)
        ahead = (np.float32(self.half_mm) - depth) * per_mm
        near = np.clip(ahead.astype(np.int64), 0, n_depths - 2)
        index = (phase * n_z + np.clip(layer, 0, n_z - 1)) * n_views + view
        index = (index * n_depths + near) * n_columns + np.clip(column, 0, n_columns - 1)
        flat = self.beyond.ravel()
        low = flat[index]
        return np.asarray(low + (ahead - near.astype(np.float32)) * (flat[index + n_columns] - low))


def _ways_out(
    camera: GammaCamera, mu_per_cm: Float[Tensor, "phase x y z"], first_mm: Double, spacing_mm: float, n: int
) -> Single:
    """Integrals of a coarse map, turned by bilinear interpolation; see `Detectors.beyond`."""
    phases, nx, ny, nz = mu_per_cm.shape
    steps = (np.arange(n) + 0.5 - n / 2) * spacing_mm
    towards, right = camera.towards[:, None, None, :], camera.rightwards[:, None, None, :]
    places = -steps[None, :, None, None] * towards + steps[None, None, :, None] * right + np.asarray(camera.axis_mm)
    sample_places = (2.0 * (places - first_mm[:2]) / spacing_mm + 1.0) / np.array([nx, ny]) - 1.0
    # nothing lies before the first depth: 9 is far outside the range of -1 to 1
    sample_places = np.concatenate([np.full_like(sample_places[:, :1], 9.0), sample_places], axis=1)
    slices = mu_per_cm.permute(0, 3, 2, 1).reshape(1, phases * nz, ny, nx) * (spacing_mm / 10.0)
    lattice = torch.from_numpy(sample_places.reshape(1, -1, n, 2)).to(slices.dtype)
    integrals = torch.nn.functional.grid_sample(slices, lattice, mode="bilinear", align_corners=False)
    integrals = integrals.view(phases * nz, -1, n + 1, n)
    for depth in range(1, n + 1):
        integrals[:, :, depth].add_(integrals[:, :, depth - 1])
    return integrals.view(phases, nz, -1, n + 1, n).numpy().astype(np.float32, copy=False)
