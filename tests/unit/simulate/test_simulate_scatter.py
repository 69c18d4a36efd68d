"""Scatter against closed forms and an analogue Monte Carlo."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mureg.geometry import Grid, Quantity, Volume
from mureg.simulate.camera import Camera
from mureg.simulate.scatter import SingleScatter
from mureg.spect.acquisition import EnergyWindow
from mureg.spect.compton import Crystal, klein_nishina, klein_nishina_total, scattered_kev, sphere
from support.photon_transport import transport

PHOTOPEAK, LOWER = EnergyWindow(126.5, 154.5), EnergyWindow(114.0, 126.0)


def test_compton_energies() -> None:
    assert scattered_kev(140.5, 1.0) == pytest.approx(140.5)
    assert scattered_kev(140.5, 0.0) == pytest.approx(140.5 / (1 + 140.5 / 511.0), rel=1e-5)  # 110.2 keV
    assert scattered_kev(511.0, -1.0) == pytest.approx(511.0 / 3.0, rel=1e-4)


@pytest.mark.parametrize("energy_kev", [80.0, 140.5, 511.0])
def test_klein_nishina_integrates_to_its_closed_form(energy_kev: float) -> None:
    cosine, weight = np.polynomial.legendre.leggauss(64)
    integral = 2 * math.pi * float((weight * klein_nishina(energy_kev, cosine)).sum())
    assert integral == pytest.approx(klein_nishina_total(energy_kev), rel=1e-8)


def test_klein_nishina_tends_to_thomson() -> None:
    assert klein_nishina_total(0.1) == pytest.approx(6.652e-25, rel=1e-3)


def test_directions_cover_the_sphere_evenly() -> None:
    directions = sphere(800)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1.0)
    assert directions.mean(0) == pytest.approx(0.0, abs=2e-3)
    assert directions.T @ directions / 800 == pytest.approx(np.eye(3) / 3, abs=2e-3)


def test_window_acceptance() -> None:
    crystal = Crystal(0.10)
    # a window of +- 10 % is +- 1 full width at half maximum: 2.355 standard deviations
    wide = EnergyWindow(140.5 * 0.9, 140.5 * 1.1)
    assert float(crystal.accepted(140.5, wide)) == pytest.approx(math.erf(2.3548 / math.sqrt(2)), abs=1e-4)
    energies = np.linspace(80.0, 200.0, 7)
    assert crystal.accepted(energies, EnergyWindow(0.0, 1000.0)) == pytest.approx(1.0)


def test_first_scatter_of_a_water_sphere_agrees_with_monte_carlo() -> None:
    grid = Grid.centred((40, 40, 40), (6.0, 6.0, 6.0))
    steps = (np.arange(40) - 19.5) * 6.0
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(steps, steps, steps, indexing="ij")))
    mu = np.where(distance < 90.0, 0.1538, 0.0).astype(np.float32)
    inside = (distance < 30.0).astype(np.float32)
    activity = Volume(torch.from_numpy(inside), grid, Quantity.ACTIVITY)
    mu_volume = Volume(torch.from_numpy(mu), grid, Quantity.MU_PER_CM)
    camera = Camera(grid, np.array([180.0]), 250.0, None)
    simulation = SingleScatter(point_mm=18.0, n_directions=400, multiple=(1.0, 1.0))
    scattered = simulation.project(activity, mu_volume, (PHOTOPEAK, LOWER), camera).sum((1, 2, 3))
    counted = float(simulation.crystal.accepted(140.5, PHOTOPEAK))
    primary = float(camera.project(activity.values, mu_volume.values).sum()) * counted

    chance = np.random.default_rng(11)
    starts = np.argwhere(inside > 0)[chance.integers(0, int(inside.sum()), 400_000)]
    tracked = mu.copy()
    tracked[0, 0, 0] = 0.1538 * 1.25  # room for the larger attenuation of slower photons
    escaped = transport(starts + chance.uniform(-0.5, 0.5, starts.shape), tracked, np.full(3, 0.6), chance)
    peak = escaped.counted(126.5, 154.5, 1.0, chance)
    lower = escaped.counted(114.0, 126.0, 1.0, chance)
    assert float(scattered[0] / primary) == pytest.approx(peak[1] / peak[0], rel=0.05)
    assert float(scattered[1] / primary) == pytest.approx(lower[1] / peak[0], rel=0.05)
