"""Scattered photons of every order, followed one by one through a breathing patient.

Histories start where the tracer is and move from collision to collision (Woodcock tracking). At every Compton
scattering, what would go on to a detector, get out of the body and be counted is added where it would be seen (forced
detection), for a random few of the views. What is returned is the expectation, free of counting noise but for the
Monte Carlo's own grain. The physics is that of the literature on SPECT scatter (Ljungberg and Strand, Comput Methods
Programs Biomed 1989): free electrons, water's change of attenuation with energy, a Gaussian energy resolution.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.simulate.gamma_camera import GammaCamera
from mureg.spect.acquisition import EnergyWindow
from mureg.spect.compton import (
    COMPTON_SHARE,
    ELECTRON_RADIUS_CM,
    ELECTRON_REST_KEV,
    LINE_KEV,
    Crystal,
    klein_nishina,
    klein_nishina_total,
)

Single = npt.NDArray[np.float32]
Double = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_KEV = 80.0 + (np.arange(512) + 0.5) * (LINE_KEV - 80.0) / 512
"""Middles of the energy bins of every table, 0.12 keV wide; windows from 114 keV on do not count 80 keV."""
_MU_SCALE = np.interp(_KEV, (80.0, 100.0, 120.0, 140.5), (1.194, 1.110, 1.049, 1.0)).astype(np.float32)
"""Attenuation of water over that at 140.5 keV (NIST XCOM: 0.1837, 0.1707, 0.1614, 0.1538 1/cm)."""
_PER_SPHERE = np.array(
    [2.0 * math.pi * ELECTRON_RADIUS_CM**2 / klein_nishina_total(float(kev)) for kev in _KEV], dtype=np.float32
)
"""What turns ``P^2 (P + 1/P - sin^2)`` of Klein-Nishina into 4 pi times the probability per steradian."""
_NEGLIGIBLE = 1e-3
"""Probability to be counted below which a photon is followed no further; chosen."""
_AT_ONCE = 16384
"""Photons for which a view is worked out together: arrays of 64 kB, which caches hold."""


@dataclass(frozen=True)
class PhotonScatter:
    """Scatter by Monte Carlo with forced detection, smoothed on the detector and from view to view.

    The grain that remains, of a chest seen in 60 views with 5 million counts in the photopeak, has 5 % of the
    Poisson variance in a pixel of 6.8 mm, 0.5 times it in a block of 27 mm of one view, and 1.1 times in a whole
    view, where both are below half a percent of the counts; the total scatter of a study is known to 0.5 %. Smoothing
    changes the shape of a chest's scatter by 3 % (root mean square), that of a lone heart's by 6 %.

    Attributes:
        histories: number of photons.
        views_per_collision: number of views, evenly spread, to which each collision contributes.
        resolution: relative energy resolution (full width at half maximum) at 140.5 keV.
        attenuation_mm: voxel size of the maps for the attenuation on the way to the detector (mm).
        smoothing_mm: sigma of the Gaussian smoothing on the detector (mm).
        smoothing_deg: sigma of the Gaussian smoothing over view angles (degrees).
    """

    histories: int = 80_000
    views_per_collision: int = 5
    resolution: float = 0.10
    attenuation_mm: float = 13.6
    smoothing_mm: float = 14.0
    smoothing_deg: float = 4.5

    def primary_share(self, windows: Sequence[EnergyWindow]) -> tuple[float, ...]:
        """Probability that a photon that has not scattered is counted in each window."""
        return primary_share(windows, self.resolution)

    def project(
        self,
        camera: GammaCamera,
        activity: Float[Tensor, "phase x y z"],
        mu_per_cm: Float[Tensor, "phase x y z"],
        shares: Float[Tensor, "view phase"],
        windows: Sequence[EnergyWindow],
        generator: np.random.Generator,
    ) -> Float[Tensor, "window view row column"]:
        """Expected scattered counts in each window, in the units of `GammaCamera.primary` for the same arguments."""
        parts = shares.numpy().astype(np.float64)
        crystal = Crystal(self.resolution)
        accepted = np.stack([crystal.accepted(_KEV, window) for window in windows])
        weights = activity * shares.mean(0).to(activity.dtype)[:, None, None, None]
        emitted = np.cumsum(weights.numpy().ravel(), dtype=np.float64)
        if emitted[-1] <= 0 or float(mu_per_cm.max()) <= 0:
            shape = (len(windows), len(camera.angles_deg), camera.n_rows, camera.n_columns)
            return torch.zeros(shape, dtype=activity.dtype)
        slowest = float(_KEV[np.flatnonzero(accepted.sum(0) > _NEGLIGIBLE)[0]])
        starts = _started(self.histories, emitted, activity.shape, generator)
        collisions = _collisions(starts, camera, mu_per_cm, slowest, generator)
        margin = self._margin(camera)
        wider = replace(camera, n_rows=camera.n_rows + 2 * margin, n_columns=camera.n_columns + 2 * margin)
        detectors = _Detectors.of(wider, mu_per_cm, self.attenuation_mm, parts, accepted, slowest)
        counts = detectors.counts(collisions, self.views_per_collision, generator)
        return torch.from_numpy(self._smoothed(counts * (emitted[-1] / self.histories), camera)).to(activity.dtype)

    def _smoothed(self, counts: Double, camera: GammaCamera) -> Double:
        """Smooth over views, rows and columns; `counts` reach beyond the detector by `_margin` pixels.

        Twice a Gaussian less one of twice the variance: what is curved is left as it is (Tukey's twicing), at 1.8 times
        the variance of the Gaussian alone.
        """
        windows, views, rows, columns = counts.shape
        between = _line_fit(np.asarray(camera.angles_deg, dtype=np.float64), self.smoothing_deg)
        smooth = (between @ counts.reshape(windows, views, rows * columns)).reshape(counts.shape)
        scatter = np.zeros((windows, views, camera.n_rows, camera.n_columns))
        for factor, widening in ((2.0, 1.0), (-1.0, math.sqrt(2.0))):
            sigma, margin = widening * self.smoothing_mm / camera.pixel_mm, self._margin(camera)
            along_rows, along_columns = (
                _gaussian(camera.n_rows, margin, sigma),
                _gaussian(camera.n_columns, margin, sigma),
            )
            scatter += factor * (along_rows @ smooth @ along_columns.T)
        return np.maximum(scatter, 0.0)

    def _margin(self, camera: GammaCamera) -> int:
        """Pixels around the detector of what smoothing brings onto it."""
        return math.ceil(4.0 * self.smoothing_mm / camera.pixel_mm)  # 99.5 % of the wider Gaussian (2.8 deviations)


def primary_share(windows: Sequence[EnergyWindow], resolution: float = 0.10) -> tuple[float, ...]:
    """Probability that a photon that has not scattered is counted in each window."""
    return tuple(float(Crystal(resolution).accepted(LINE_KEV, window)) for window in windows)


@dataclass(frozen=True)
class _Photons:
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

    def __getitem__(self, which: npt.NDArray[np.bool_] | slice) -> _Photons:
        index = np.flatnonzero(which) if isinstance(which, np.ndarray) else which
        return _Photons(self.place[:, index], self.direction[:, index], self.kev[index], self.phase[index])


def _joined(parts: Sequence[_Photons]) -> _Photons:
    return _Photons(
        np.concatenate([part.place for part in parts], axis=1),
        np.concatenate([part.direction for part in parts], axis=1),
        np.concatenate([part.kev for part in parts]),
        np.concatenate([part.phase for part in parts]),
    )


def _started(n: int, emitted: Double, shape: Sequence[int], generator: np.random.Generator) -> _Photons:
    """Photons in the voxels [phase, x, y, z], as evenly as n of them can be, in every direction.

    `emitted` adds the voxels up, one after another.
    """
    quantiles = (np.arange(n) + generator.random(n)) * (emitted[-1] / n)
    voxel = np.minimum(np.searchsorted(emitted, quantiles, side="right"), len(emitted) - 1)
    phase, *cell = np.unravel_index(voxel, tuple(shape))
    place = np.stack(cell).astype(np.float32) + generator.random((3, n), np.float32) - np.float32(0.5)
    # an additive recurrence: photons that start side by side leave in directions spread evenly over the sphere; its
    # steps are 1 / p and 1 / p^2 of the plastic number p, the real root of p^3 = p + 1
    even = (generator.random((2, 1)) + np.arange(n) * np.array([[0.7548776662466927], [0.5698402909980532]])) % 1.0
    z, phi = (2.0 * even[0] - 1.0).astype(np.float32), (2.0 * math.pi * even[1]).astype(np.float32)
    across = np.sqrt(np.maximum(1.0 - z * z, 0.0))
    direction = np.stack([across * np.cos(phi), across * np.sin(phi), z])
    return _Photons(place, direction, np.full(n, LINE_KEV, dtype=np.float32), phase.astype(np.int64))


def _collisions(
    flying: _Photons,
    camera: GammaCamera,
    mu_per_cm: Float[Tensor, "phase x y z"],
    slowest_kev: float,
    generator: np.random.Generator,
) -> _Photons:
    """Follow photons until absorbed, too slow or out; all that scattered, as they were just before."""
    nx, ny, nz = camera.grid.shape
    size = np.array([[nx], [ny], [nz]], dtype=np.float32)
    mu = mu_per_cm.numpy().ravel()
    # the majorant must also hold for the slowest photons, whose attenuation is largest
    majorant = float(mu_per_cm.max()) * float(_MU_SCALE[_bin(np.array([slowest_kev], dtype=np.float32))[0]])
    step = np.float32(10.0 / camera.grid.spacing_mm[0] / majorant)
    scale = _MU_SCALE / np.float32(majorant)
    events = []
    while len(flying):
        place = flying.place + flying.direction * (step * generator.standard_exponential(len(flying), np.float32))
        cell = np.floor(place + np.float32(0.5))
        inside = ((cell >= 0) & (cell < size)).all(0)
        flying = _Photons(place, flying.direction, flying.kev, flying.phase)[inside]
        x, y, z = cell[:, inside].astype(np.int64)
        chance = generator.random(len(flying), np.float32)
        meets = mu[((flying.phase * nx + x) * ny + y) * nz + z] * scale[_bin(flying.kev)]
        scattering = flying[chance < np.float32(COMPTON_SHARE) * meets]
        events.append(scattering)
        scattered = _scattered(scattering, generator)
        flying = _joined([flying[chance >= meets], scattered[scattered.kev > slowest_kev]])
    return _joined(events)


def _scattered(photons: _Photons, generator: np.random.Generator) -> _Photons:
    """The photons after a Compton scattering, by the Klein-Nishina cross-section."""
    n, quantiles = len(photons), _compton_quantiles()
    quantile = generator.random(n, np.float32) * np.float32(quantiles.shape[1] - 1)
    low = np.minimum(quantile.astype(np.int64), quantiles.shape[1] - 2)
    index = _bin(photons.kev) * quantiles.shape[1] + low
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
    turned = np.stack(
        [
            cosine * u + a * (1.0 + sign * u * u * p) + b * q,
            cosine * v + a * sign * q + b * (sign + v * v * p),
            cosine * w - a * sign * u - b * v,
        ]
    )
    turned /= np.sqrt((turned * turned).sum(0))
    kev = photons.kev / (1.0 + photons.kev * np.float32(1.0 / ELECTRON_REST_KEV) * (1.0 - cosine))
    return _Photons(photons.place, turned, kev, photons.phase)


def _bin(kev: Single) -> Indices:
    """Energy bin of each photon; slower ones count as the slowest."""
    bins = (kev - np.float32(80.0)) * np.float32(len(_KEV) / (LINE_KEV - 80.0))
    return np.asarray(np.minimum(np.maximum(bins, np.float32(0.0)), np.float32(len(_KEV) - 1)), dtype=np.int64)


@functools.cache
def _compton_quantiles(n: int = 256) -> Single:
    """Cosine of the scattering angle [energy bin, quantile]: the inverse of the cumulative Klein-Nishina."""
    cosine = np.linspace(-1.0, 1.0, 1025)  # four steps for each of 256 quantiles
    middle = 0.5 * (cosine[1:] + cosine[:-1])
    table = np.empty((len(_KEV), n), dtype=np.float32)
    for i, kev in enumerate(_KEV):
        below = np.concatenate([[0.0], np.cumsum(klein_nishina(float(kev), middle))])
        table[i] = np.interp(np.linspace(0.0, below[-1], n), below, cosine)
    return table


@dataclass(frozen=True)
class _Detectors:
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
    ) -> _Detectors:
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
        self, collisions: _Photons, views_per_collision: int, generator: np.random.Generator
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
        self, photons: _Photons, view: Indices, weight: float, generator: np.random.Generator
    ) -> tuple[Indices, Single]:
        """Pixels that the scattering photons would reach in one view for each, and what each window would count."""
        camera = self.camera
        dx, dy = (camera.towards.astype(np.float32)[:, axis][view] for axis in (0, 1))
        cosine = photons.direction[0] * dx + photons.direction[1] * dy
        ratio = 1.0 / (1.0 + photons.kev * np.float32(1.0 / ELECTRON_REST_KEV) * (1.0 - cosine))
        indices = np.flatnonzero(photons.kev * ratio > np.float32(self.slowest_kev))
        view, dx, dy, cosine, ratio = view[indices], dx[indices], dy[indices], cosine[indices], ratio[indices]
        kev, phase = photons.kev[indices], photons.phase[indices]
        bins = _bin(kev * ratio)
        origin = camera.grid.affine[:3, 3] - np.array([*camera.axis_mm, camera.middle_z_mm])
        x, y, z = (
            photons.place[axis][indices] * np.float32(camera.grid.spacing_mm[0]) + np.float32(origin[axis])
            for axis in range(3)
        )
        depth, right = x * dx + y * dy, y * dx - x * dy
        way = self._way_out(phase, view, depth, right, z + np.float32(camera.middle_z_mm), generator)
        share = ratio * ratio * (ratio + 1.0 / ratio - 1.0 + cosine * cosine)
        share *= _PER_SPHERE[_bin(kev)]
        share *= self.relative_shares.ravel()[view * self.relative_shares.shape[1] + phase]
        share *= np.exp(-way * _MU_SCALE[bins]) * np.float32(weight)
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
    """Integrals of a coarse map, turned by bilinear interpolation; see `_Detectors.beyond`."""
    phases, nx, ny, nz = mu_per_cm.shape
    steps = (np.arange(n) + 0.5 - n / 2) * spacing_mm
    towards, right = camera.towards[:, None, None, :], camera.rightwards[:, None, None, :]
    places = -steps[None, :, None, None] * towards + steps[None, None, :, None] * right + np.asarray(camera.axis_mm)
    sample_places = (2.0 * (places - first_mm[:2]) / spacing_mm + 1.0) / np.array([nx, ny]) - 1.0
    # nothing lies before the first depth: 9 is far outside the range of -1 to 1
    sample_places = np.concatenate([np.full_like(sample_places[:, :1], 9.0), sample_places], axis=1)
    slices = mu_per_cm.permute(0, 3, 2, 1).reshape(1, phases * nz, ny, nx) * (spacing_mm / 10.0)
    lattice = torch.from_numpy(sample_places.reshape(1, -1, n, 2)).to(slices.dtype)
    turned = torch.nn.functional.grid_sample(slices, lattice, mode="bilinear", align_corners=False)
    turned = turned.view(phases * nz, -1, n + 1, n)
    for depth in range(1, n + 1):
        turned[:, :, depth].add_(turned[:, :, depth - 1])
    return turned.view(phases, nz, -1, n + 1, n).numpy().astype(np.float32, copy=False)


def _gaussian(n: int, margin: int, sigma: float) -> Double:
    """Matrix [n, n + 2 margin] that smooths by a Gaussian of this many pixels."""
    offset = np.arange(n)[:, None] + margin - np.arange(n + 2 * margin)[None, :]
    weight = np.exp(-0.5 * (offset / max(sigma, 1e-3)) ** 2)
    return np.asarray(weight / np.exp(-0.5 * (np.arange(-margin, margin + 1) / max(sigma, 1e-3)) ** 2).sum())


def _line_fit(angles_deg: Double, sigma_deg: float) -> Double:
    """Matrix [view, view] that fits a line to the neighbours of each view, weighted by a Gaussian of their angle.

    A line rather than a mean, so that the ends of an arc are not drawn towards its middle.
    """
    if sigma_deg <= 0 or len(angles_deg) < 3:
        return np.eye(len(angles_deg))
    apart = (angles_deg[None, :] - angles_deg[:, None] + 180.0) % 360.0 - 180.0
    weight = np.exp(-0.5 * (apart / sigma_deg) ** 2)
    zeroth, first, second = (np.sum(weight * apart**power, axis=1, keepdims=True) for power in range(3))
    spread = zeroth * second - first**2
    alone = spread < 1e-6 * sigma_deg**2
    line = weight * (second - first * apart) / np.where(alone, 1.0, spread)
    return np.asarray(np.where(alone, weight / zeroth, line))
