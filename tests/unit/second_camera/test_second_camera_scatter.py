"""Scatter of the second camera against the package's closed forms and an analogue Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mureg.geometry import Grid, Quantity, Volume
from mureg.spect import compton as closed_form
from mureg.spect.acquisition import EnergyWindow
from support.photon_transport import transport
from support.second_camera import compton
from support.second_camera.camera import Camera
from support.second_camera.scatter import SingleScatter

PHOTOPEAK, LOWER = EnergyWindow(126.5, 154.5), EnergyWindow(114.0, 126.0)


@pytest.mark.parametrize("window", [PHOTOPEAK, LOWER])
def test_two_formulations_of_compton_scattering_agree(window: EnergyWindow) -> None:
    cosine = np.linspace(-1.0, 1.0, 41)
    found = compton.into_window(cosine, window, compton.Crystal(0.1))
    assert found == pytest.approx(closed_form.into_window(cosine, window, closed_form.Crystal(0.1)), rel=1e-9)


def test_its_directions_cover_the_sphere_evenly() -> None:
    directions = compton.sphere(800)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1.0)
    assert directions.mean(0) == pytest.approx(0.0, abs=2e-3)
    assert directions.T @ directions / 800 == pytest.approx(np.eye(3) / 3, abs=2e-3)


def test_first_scatter_of_a_water_sphere_agrees_with_monte_carlo() -> None:
    grid = Grid.centred((40, 40, 40), (6.0, 6.0, 6.0))
    steps = (np.arange(40) - 19.5) * 6.0
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(steps, steps, steps, indexing="ij")))
    mu = np.where(distance < 90.0, 0.1538, 0.0).astype(np.float32)
    inside = (distance < 30.0).astype(np.float32)
    activity = Volume(inside, grid, Quantity.ACTIVITY)
    mu_volume = Volume(mu, grid, Quantity.MU_PER_CM)
    camera = Camera(grid, np.array([180.0]), 250.0, None)
    simulation = SingleScatter(point_mm=18.0, n_directions=400, multiple=(1.0, 1.0))
    scattered = simulation.project(activity, mu_volume, (PHOTOPEAK, LOWER), camera).sum((1, 2, 3))
    counted = float(simulation.crystal.accepted(140.5, PHOTOPEAK))
    primary = float(camera.project(*map(torch.from_numpy, (activity.values, mu_volume.values))).sum()) * counted

    chance = np.random.default_rng(11)
    starts = np.argwhere(inside > 0)[chance.integers(0, int(inside.sum()), 400_000)]
    tracked = mu.copy()
    tracked[0, 0, 0] = 0.1538 * 1.25  # room for the larger attenuation of slower photons
    escaped = transport(starts + chance.uniform(-0.5, 0.5, starts.shape), tracked, np.full(3, 0.6), chance)
    peak = escaped.counted(126.5, 154.5, 1.0, chance)
    lower = escaped.counted(114.0, 126.0, 1.0, chance)
    assert float(scattered[0] / primary) == pytest.approx(peak[1] / peak[0], rel=0.05)
    assert float(scattered[1] / primary) == pytest.approx(lower[1] / peak[0], rel=0.05)
