"""Own mutual information: its slope, its value in closed form, its search; threads change no digit."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration.levels import Level
from mureg.registration.parzen import ParzenInformation
from mureg.registration.rigid_search import minimise, rotations, to_pose, to_six
from mureg.registration.sampling import Sampler, spread_points
from support.phantoms import chest, mu_volume, oblique_grid, voxel_points

SPECT_GRID = Grid.centred((28, 28, 28), (12.0, 12.0, 12.0), (5.0, -3.0, 8.0))
CT_GRID = Grid.centred((42, 36, 36), (11.0, 11.0, 11.0))


@pytest.fixture(scope="module")
def metric() -> ParzenInformation:
    spect = Volume.from_numpy(chest(voxel_points(SPECT_GRID), edge_mm=16.0)[0], SPECT_GRID, Quantity.ACTIVITY)
    levels = Level.of(spect, 10.0), Level.of(mu_volume(CT_GRID), 10.0)
    return ParzenInformation.of(*levels, 6000, 32, SPECT_GRID.centre_mm)


def test_the_slope_of_mutual_information_is_that_of_finite_differences(metric) -> None:
    poses = np.random.default_rng(2).normal(0.0, 8.0, (5, 6))
    step = 0.02
    numeric = [(metric(poses + step * e)[0] - metric(poses - step * e)[0]) / (2 * step) for e in np.eye(6)]
    slope = metric(poses)[1]
    np.testing.assert_allclose(slope, np.stack(numeric, axis=1), atol=0.02 * np.abs(slope).max())


def test_poses_evaluated_together_have_the_values_of_each_alone(metric) -> None:
    poses = np.random.default_rng(4).normal(0.0, 8.0, (3, 6))
    value, slope = metric(poses)
    for k in range(3):
        np.testing.assert_allclose(metric(poses[k : k + 1])[0][0], value[k], rtol=1e-6)
        np.testing.assert_allclose(metric(poses[k : k + 1])[1][0], slope[k], atol=1e-6)


def test_mutual_information_of_independent_images_is_small_and_of_a_two_valued_one_its_entropy() -> None:
    """A window of four bins blurs one bin only into its neighbours: two values far apart stay two classes."""
    grid = Grid.centred((241, 12, 12), (10.0, 10.0, 10.0))
    halves = np.zeros(grid.shape)
    halves[:80] = 1.0  # a third of the points, and one in 240 between both values
    chance = np.random.default_rng(1).normal(size=grid.shape)
    image, noise = (Level.of(Volume.from_numpy(v, grid, Quantity.ACTIVITY), 0.0) for v in (halves, chance))
    same = -ParzenInformation.of(image, image, 20000, 32, grid.centre_mm)(np.zeros((1, 6)))[0][0]
    unrelated = -ParzenInformation.of(image, noise, 20000, 32, grid.centre_mm)(np.zeros((1, 6)))[0][0]
    entropy = -(np.log(1 / 3) / 3 + 2 * np.log(2 / 3) / 3)
    assert same == pytest.approx(entropy, rel=0.15)
    assert unrelated < 0.1 * same


def test_a_place_without_overlap_is_no_optimum(metric) -> None:
    value, slope = metric(np.array([[900.0, 0.0, 0.0, 0.0, 0.0, 0.0]]))
    assert value[0] == 0.0
    assert not slope.any()
    assert not metric.overlaps(np.array([[900.0, 0.0, 0.0, 0.0, 0.0, 0.0]]))[0]


def test_samples_and_slopes_of_a_linear_image_are_exact() -> None:
    grid = oblique_grid()
    direction = np.array([0.3, -0.2, 0.5])
    image = voxel_points(grid) @ direction
    inside = grid.points(np.random.default_rng(0).uniform(1.0, 15.0, (50, 3))).T
    value, slope = Sampler.of(image[None], grid, (None,))(inside)
    np.testing.assert_allclose(value[0], inside.T @ direction, atol=1e-3)
    np.testing.assert_allclose(slope[0], np.repeat(direction[:, None], 50, axis=1), atol=1e-4)


def test_beyond_an_image_its_filler_is_met_and_nothing_changes() -> None:
    grid = Grid.centred((6, 6, 6), (10.0, 10.0, 10.0))
    value, slope = Sampler.of(np.ones((1, 6, 6, 6)), grid, (0.0,))(np.array([[70.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(value[0], [0.0, 1.0])
    np.testing.assert_array_equal(slope, 0.0)


def test_points_fill_every_part_of_a_lattice_evenly() -> None:
    grid = Grid.centred((20, 20, 20), (5.0, 5.0, 5.0))
    shares = grid.indices(spread_points(grid, 8000).T) / 19.0
    counts, _ = np.histogramdd(shares, bins=(4, 4, 4), range=[(0.0, 1.0)] * 3)
    np.testing.assert_allclose(counts, 125, atol=16)  # drawn by chance, up to 30 off
    other = spread_points(grid, 8000, seed=2)
    assert not np.isin(other[0], spread_points(grid, 8000)[0]).any()


def test_rotations_and_their_slopes_are_those_of_the_rigid_transform() -> None:
    angles = np.array([[0.2, -0.3, 0.5]])
    turns = rotations(angles)[0]
    np.testing.assert_allclose(
        turns[0], RigidTransform.from_six((0, 0, 0), np.degrees(angles[0]), (0, 0, 0)).matrix[:3, :3], atol=1e-12
    )
    step = 1e-6
    for k in range(3):
        ahead, behind = angles.copy(), angles.copy()
        ahead[0, k] += step
        behind[0, k] -= step
        numeric = (rotations(ahead)[0, 0] - rotations(behind)[0, 0]) / (2 * step)
        np.testing.assert_allclose(turns[1 + k], numeric, atol=1e-9)


def test_parameters_and_poses_are_each_others_inverse() -> None:
    pose = RigidTransform.from_six((3.0, -4.0, 5.0), (6.0, -7.0, 8.0), (10.0, 20.0, 30.0))
    back = to_pose(to_six([pose], (10.0, 20.0, 30.0))[0], (10.0, 20.0, 30.0))
    np.testing.assert_allclose(back.matrix, pose.matrix, atol=1e-12)


def test_a_bent_valley_is_searched_to_its_bottom_and_a_fixed_parameter_stays() -> None:
    bottom = np.array([3.0, -2.0, 5.0, 1.0, -4.0, 2.0])
    steep = np.diag([1.0, 4.0, 0.25, 9.0, 2.0, 0.5])
    steep[0, 1] = steep[1, 0] = 1.2

    def cost(six):
        off = six - bottom
        return 0.5 * np.einsum("si,ij,sj->s", off, steep, off), off @ steep

    ends, values, _ = minimise(cost, np.array([[0.0] * 6, [20.0] * 6]), tolerance_mm=1e-4, iterations=200)
    np.testing.assert_allclose(ends, np.stack([bottom, bottom]), atol=1e-3)
    np.testing.assert_allclose(values, 0.0, atol=1e-6)
    free = np.array([True, True, False, True, True, True])
    ends, _, _ = minimise(cost, np.zeros((1, 6)), free=free, tolerance_mm=1e-4, iterations=200)
    assert ends[0, 2] == 0.0
    np.testing.assert_allclose(ends[0, free], bottom[free], atol=1e-3)


SCRIPT = """
import numpy as np
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration import GradientFields
from mureg.study import PreparedStudy
from support.phantoms import chest, mu_volume, voxel_points
grid = Grid.centred((28, 28, 28), (12.0, 12.0, 12.0))
spect = Volume.from_numpy(chest(voxel_points(grid), edge_mm=16.0)[0], grid, Quantity.ACTIVITY)
motion = RigidTransform.from_six((14, 0, -8), (0, 3, 0), (0, 0, 0))
ct = mu_volume(Grid.centred((42, 36, 36), (11.0, 11.0, 11.0)), motion)
print(GradientFields().register(PreparedStudy.from_images(spect, ct)).ct_from_spect.matrix.tobytes().hex())
"""


def test_the_number_of_threads_changes_no_digit() -> None:
    """Of gradient fields, which begin with mutual information."""
    poses = []
    for n in ("1", "3"):
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), n)
        paths = os.pathsep.join(sys.path)
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, **threads, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        )
        poses.append(done.stdout.strip())
    assert len(poses[0]) == 2 * 16 * 8
    assert poses[0] == poses[1]
