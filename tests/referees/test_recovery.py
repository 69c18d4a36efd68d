"""Known activity is given back: data of another camera at half the voxel size, with scatter, reconstructed in full."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mureg import Acquisition, Grid, Osem, Physics, Quantity, Volume
from mureg.spect.compton import LINE_KEV
from mureg.spect.physics import WITHOUT
from support.phantoms import PHOTOPEAK, chest, ellipsoid, voxel_points
from support.second_camera.camera import Camera, Collimator, binned
from support.second_camera.patient import on_grid
from support.second_camera.scatter import SingleScatter

COLUMNS, ROWS, RADIUS_MM = 52, 48, 250.0
COARSE = Grid.centred((COLUMNS, COLUMNS, ROWS), (6.8,) * 3)
FINE = Grid.centred((2 * COLUMNS, 2 * COLUMNS, 2 * ROWS), (3.4,) * 3)
ANGLES_DEG = 225.0 - 3.0 * np.arange(60)  # from 45 degrees right anterior to 45 left posterior
USUAL = Osem(iterations=12, subsets=10)
FULL = Physics()


@dataclass(frozen=True, eq=False)
class Measured:
    """Noise-free counts, the map and the true activity in counts per voxel and view, all on the coarse grid."""

    primary: np.ndarray
    scatter: np.ndarray
    mu: Volume
    truth: np.ndarray

    def recovered(self, physics: Physics = FULL, mu: bool = True) -> np.ndarray:
        """The reconstruction of primary and scattered photons together."""
        acquisition = Acquisition(
            (self.primary + self.scatter)[None],
            (PHOTOPEAK,),
            0,
            ANGLES_DEG,
            (6.8, 6.8),
            radii_mm=np.full(len(ANGLES_DEG), RADIUS_MM),
            collimator="LEHR",
            manufacturer="GE",
        )
        system, _ = physics.system(acquisition, self.mu if mu else None)
        return USUAL.reconstruct(acquisition, system).values

    def share(self, values: np.ndarray, where: np.ndarray) -> float:
        """Mean of a region over its true mean."""
        return float(values[where].mean() / self.truth[where].mean())


def seen(activity: np.ndarray, mu_per_cm: np.ndarray) -> Measured:
    """What the simulated camera counts of an activity per voxel on the fine grid."""
    source = Volume.from_numpy(activity, FINE, Quantity.ACTIVITY)
    mu = Volume.from_numpy(mu_per_cm, FINE, Quantity.MU_PER_CM)
    simulation = SingleScatter(n_directions=200)
    counted = float(simulation.crystal.accepted(LINE_KEV, PHOTOPEAK))
    images = torch.from_numpy(source.values), torch.from_numpy(mu.values)
    primary = binned(Camera(FINE, ANGLES_DEG, RADIUS_MM, Collimator()).project(*images), 2).numpy() * counted
    scatter = simulation.project(source, mu, [PHOTOPEAK], Camera(COARSE, ANGLES_DEG, RADIUS_MM, Collimator()))[0]
    truth = on_grid(source, COARSE).values * 8 * counted
    return Measured(primary, scatter.numpy(), on_grid(mu, COARSE), truth)


@pytest.fixture(scope="module")
def torso() -> Measured:
    return seen(*chest(voxel_points(FINE)))


@pytest.fixture(scope="module")
def heart() -> dict[str, np.ndarray]:
    """Voxels of the heart's wall (all but the open base) and of the liver, away from their surfaces."""
    points = voxel_points(COARSE)
    wall = (ellipsoid(points, (38, -32, 12), (46, 38, 42)) > 0) & (ellipsoid(points, (32, -24, 14), (36, 32, 34)) == 0)
    up = points[..., 2] - 12.0
    return {
        "wall": wall,
        "anterior": wall & (up > 25.0),
        "inferior": wall & (up < -25.0),
        "liver": (ellipsoid(points, (-58, -12, -72), (60, 50, 34)) > 0),
    }


def test_a_uniform_cylinder_of_water_comes_back_within_3_percent():
    points = voxel_points(FINE)
    inside = np.clip((105.0 - np.hypot(points[..., 0], points[..., 1])) / 3.4 + 0.5, 0, 1)
    inside *= np.abs(points[..., 2]) < 100.0
    cylinder = seen(inside, 0.154 * inside)
    points = voxel_points(COARSE)
    radius, along = np.hypot(points[..., 0], points[..., 1]), np.abs(points[..., 2])
    values = cylinder.recovered()
    for where in (radius < 90, radius < 35, (radius > 60) & (radius < 90)):
        assert cylinder.share(values, where & (along < 80)) == pytest.approx(1.0, abs=0.03)
    # without any correction the middle loses more than the rim, and both most of their counts
    plain = cylinder.recovered(WITHOUT, mu=False)
    middle = cylinder.share(plain, (radius < 35) & (along < 80))
    rim = cylinder.share(plain, (radius > 60) & (radius < 90) & (along < 80))
    assert middle < 0.8 * rim < 0.4


def test_myocardium_and_liver_come_back_within_3_percent(torso, heart):
    values = torso.recovered()
    assert torso.share(values, heart["wall"]) == pytest.approx(1.0, abs=0.03)
    assert torso.share(values, heart["liver"]) == pytest.approx(1.0, abs=0.03)


def test_what_is_not_modelled_is_missing(torso, heart):
    without_resolution = torso.recovered(Physics(resolution=False))
    assert torso.share(without_resolution, heart["wall"]) < 0.92
    without_scatter = torso.recovered(Physics(scatter="none"))
    assert torso.share(without_scatter, heart["liver"]) > 1.15


def test_the_inferior_wall_is_lost_without_attenuation_and_back_with_it(torso, heart):
    def inferior_over_anterior(values: np.ndarray) -> float:
        return torso.share(values, heart["inferior"]) / torso.share(values, heart["anterior"])

    assert inferior_over_anterior(torso.recovered(WITHOUT, mu=False)) < 0.92
    assert inferior_over_anterior(torso.recovered()) == pytest.approx(1.0, abs=0.04)
