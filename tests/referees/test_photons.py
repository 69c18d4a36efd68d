"""Forced detection of scattered photons against photons followed without any of its code.

The stored Monte Carlo (benchmarks/evidence/make_scatter_reference.py) knows its own numbers to 0.2 to 0.9 % of a
picture.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mureg.geometry import Grid
from mureg.simulate.gamma_camera import GammaCamera
from mureg.simulate.photons import PhotonScatter, primary_share
from support.photon_transport import transport
from support.scatter_cases import ANGLES, GRID, PIXEL_MM, REFERENCE, WINDOWS, N, binned, cases

CASES = cases()
CAMERA = GammaCamera(GRID, np.array(ANGLES), np.full(4, 220.0), (0.0, 0.0), N, N, PIXEL_MM, collimator=None)
GRAINY = PhotonScatter(histories=250_000, views_per_collision=4, attenuation_mm=PIXEL_MM, smoothing_mm=0.0)
ONE = torch.ones(4, 1)


def scatter(name: str, settings: PhotonScatter = GRAINY, seed: int = 3) -> np.ndarray:
    """Per photon counted in the photopeak of what escapes unscattered, as in the reference [window, view, row, col]."""
    case, chance = CASES[name], np.random.default_rng(seed)
    activity, mu = (torch.from_numpy(volume.values)[None] for volume in (case.activity, case.mu))
    found = settings.project(CAMERA, activity, mu, ONE, WINDOWS, chance)
    return found.numpy().astype(float) / primary_share(WINDOWS)[0]


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as stored:
        return {name: stored[name].astype(np.float64) for name in stored.files}


def difference(found: list[np.ndarray], truth: np.ndarray) -> float:
    """Relative, without the grain of two independent runs."""
    one, other = found
    return float(np.sqrt(max(0.0, ((one - truth) * (other - truth)).sum()) / (truth**2).sum()))


@pytest.mark.parametrize("name", CASES)
def test_every_order_of_scatter_has_its_amount_and_shape(reference, name) -> None:
    runs, truth = [binned(scatter(name, seed=s)) for s in (3, 4)], reference[f"{name}/counts"].sum(2).swapaxes(0, 1)
    found = (runs[0] + runs[1]) / 2
    np.testing.assert_allclose(found.sum((2, 3)), truth.sum((2, 3)), rtol=0.015)
    np.testing.assert_allclose(found.sum((1, 2, 3)), truth.sum((1, 2, 3)), rtol=0.008)
    for window in range(2):
        assert difference([run[window] for run in runs], truth[window]) < 0.015


@pytest.mark.parametrize("name", ["chest", "heart alone in the chest"])
def test_coarse_maps_and_smoothing_change_little(reference, name) -> None:
    settings, truth = PhotonScatter(histories=120_000, views_per_collision=4), reference[f"{name}/counts"].sum(2)
    runs = [binned(scatter(name, settings, seed)).swapaxes(0, 1) for seed in (5, 6)]
    # the chest ends where the detector does: smoothing carries a little over its edges
    np.testing.assert_allclose((runs[0] + runs[1]).sum((0, 2, 3)) / 2, truth.sum((0, 2, 3)), rtol=0.025)
    # next to a small source scatter is sharpest
    assert difference(runs, truth) < (0.035 if name == "chest" else 0.07)


def test_photons_that_scatter_leave_in_the_numbers_that_were_followed() -> None:
    """The mean over all directions across the axis is what an analogue Monte Carlo sees leave the body that way."""
    grid = Grid.centred((24, 20, 26), (12.0,) * 3)
    x, y, z = (grid.points(np.indices(grid.shape).transpose(1, 2, 3, 0))[..., axis] for axis in range(3))
    mu = 0.154 * ((x / 120) ** 2 + (y / 90) ** 2 + (z / 120) ** 2 < 1)
    activity = ((x - 30) ** 2 + y**2 + z**2 < 45**2).astype(float)
    chance = np.random.default_rng(8)
    n = 400_000
    flat = chance.choice(activity.size, n, p=(activity / activity.sum()).ravel())
    starts = np.stack(np.unravel_index(flat, activity.shape), 1) + 1 + chance.uniform(-0.5, 0.5, (n, 3))
    padded = np.pad(mu, 1)
    padded[0, 0, 0] = 1.2 * mu.max()
    escaped = transport(starts, padded, np.full(3, 1.2), chance)
    limit = 0.2
    expected = [
        escaped.counted(window.lower_kev, window.upper_kev, limit, chance)[1:].sum() / (n * limit) for window in WINDOWS
    ]
    angles = np.arange(24) * 15.0
    camera = GammaCamera(grid, angles, np.full(24, 180.0))
    found = PhotonScatter(attenuation_mm=12.0).project(
        camera,
        torch.from_numpy(activity / activity.sum()).float()[None],
        torch.from_numpy(mu).float()[None],
        torch.ones(24, 1),
        WINDOWS,
        chance,
    )
    # leaving within 12 degrees of the transaxial plane is a little easier or harder than in it
    np.testing.assert_allclose(found.sum((2, 3)).mean(1).numpy(), expected, rtol=0.03)


def small_patient() -> tuple[GammaCamera, torch.Tensor, torch.Tensor]:
    grid = Grid.centred((20, 16, 18), (13.6,) * 3)
    i, j, k = np.indices(grid.shape)
    body = (((i - 9.5) / 9) ** 2 + ((j - 7.5) / 7) ** 2 < 1).astype(float)
    hot = ((i - 12) ** 2 + (j - 5) ** 2 + (k - 9) ** 2 < 9).astype(float)
    angles = np.arange(20) * 9.0 + 130.0
    camera = GammaCamera(grid, angles, np.linspace(180, 220, 20), (5.0, -3.0), 32, 32, 13.6)
    return camera, torch.from_numpy(hot).float()[None], torch.from_numpy(0.15 * body).float()[None]


def test_the_same_seed_gives_the_same_photons() -> None:
    camera, activity, mu = small_patient()
    shares, settings = torch.ones(20, 1), PhotonScatter(histories=3000)
    runs = [settings.project(camera, activity, mu, shares, WINDOWS, np.random.default_rng(s)) for s in (4, 4, 5)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_states_of_breathing_scatter_by_their_shares() -> None:
    camera, activity, mu = small_patient()
    two, maps = torch.cat([activity, 3 * activity.roll(4, 3)]), torch.cat([mu, 0.5 * mu])
    shares = torch.stack([torch.linspace(0, 1, 20), 1 - torch.linspace(0, 1, 20)], 1)
    settings = PhotonScatter(histories=100_000, smoothing_deg=0.0)
    mixed = settings.project(camera, two, maps, shares, WINDOWS, np.random.default_rng(1)).sum((2, 3))
    single = [
        settings.project(camera, two[[p]], maps[[p]], torch.ones(20, 1), WINDOWS, np.random.default_rng(2 + p))
        for p in range(2)
    ]
    expected = sum(shares[:, p] * single[p].sum((2, 3)) for p in range(2))
    np.testing.assert_allclose(mixed.numpy(), expected.numpy(), rtol=0.06)
    np.testing.assert_allclose(mixed.sum(1).numpy(), expected.sum(1).numpy(), rtol=0.015)


def test_nothing_scatters_in_air() -> None:
    camera, activity, mu = small_patient()
    found = PhotonScatter(histories=100).project(
        camera, activity, 0 * mu, torch.ones(20, 1), WINDOWS, np.random.default_rng(0)
    )
    assert float(found.abs().max()) == 0.0


def test_primary_photons_are_counted_as_the_resolution_says() -> None:
    # 14 keV on either side of 140.5 at a sigma of 14.05 / 2.3548; 14.5 keV below it ends the lower window
    sigma = 14.05 / 2.354820

    def below(kev: float) -> float:
        return 0.5 * (1 + math.erf((kev - 140.5) / sigma / math.sqrt(2)))

    assert primary_share(WINDOWS) == pytest.approx((below(154.5) - below(126.5), below(126.0) - below(114.0)))
