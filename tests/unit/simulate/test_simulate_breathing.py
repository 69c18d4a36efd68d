"""Breathing keeps its mean depth, creep goes up with time, and a patient who moves is moved the right way."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.geometry import RigidTransform
from mureg.simulate.breathing import Breathing, BreathingRange, depths_of_a_breath, shifted


def depth(breathing: Breathing, n_views: int) -> np.ndarray:
    poses, shares = breathing.poses(n_views)
    np.testing.assert_allclose(shares.sum(1), 1.0)
    return shares @ np.array([pose.breath.diaphragm_mm - pose.breath.upward_mm for pose in poses])


def test_the_mean_depth_of_a_breath_is_that_of_its_formula() -> None:
    assert depths_of_a_breath().mean() == pytest.approx(3 / 8)  # mean of sin^4
    np.testing.assert_allclose(depth(Breathing(16.0), 60), 6.0)


@pytest.mark.parametrize(("amplitude", "n"), [(0.0, 1), (10.0, 2), (20.0, 3)])
def test_few_states_have_the_moments_of_the_whole_breath(amplitude: float, n: int) -> None:
    poses, shares = Breathing(amplitude).poses(1)
    nodes, all_depths = np.array([pose.breath.diaphragm_mm for pose in poses]), amplitude * depths_of_a_breath()
    assert len(poses) == n
    for power in range(2 * n):
        assert shares[0] @ nodes**power == pytest.approx((all_depths**power).mean())


def test_creep_raises_the_heart_evenly_from_the_first_view_to_the_last() -> None:
    depths = depth(Breathing(10.0, creep_mm=6.0), 100)
    np.testing.assert_allclose(np.diff(depths), -0.06, atol=1e-9)
    assert depths[0] == pytest.approx(3.75 - 0.03)


def test_without_breathing_there_is_one_state() -> None:
    poses, shares = Breathing().poses(30)
    assert len(poses) == 1
    assert poses[0].breath.diaphragm_mm == 0.0
    assert (shares == 1).all()


def test_a_patient_who_moves_once_is_first_here_and_then_there() -> None:
    poses, shares = Breathing(0.0, shift_mm=(5.0, 0.0, -2.0), shift_at=0.25).poses(40)
    place = shares @ np.array([pose.shift_mm for pose in poses])
    assert (place[:10] == 0).all()
    np.testing.assert_allclose(place[10:], np.tile([5.0, 0.0, -2.0], (30, 1)))


def test_a_patient_who_moved_left_is_found_farther_left() -> None:
    turned = RigidTransform.from_six((3.0, 1.0, -4.0), (5.0, -3.0, 12.0), (0.0, 0.0, 0.0))
    before = turned.inverse().apply((10.0, 20.0, 30.0))
    after = shifted(turned, (7.0, -1.0, 2.0)).inverse().apply((10.0, 20.0, 30.0))
    np.testing.assert_allclose(after - before, (7.0, -1.0, 2.0))


def test_draws_keep_to_their_ranges_and_seed() -> None:
    settings = BreathingRange(deep_inspiration=0.5)
    drawn = [settings.draw(np.random.default_rng(k)) for k in range(200)]
    assert drawn == [settings.draw(np.random.default_rng(k)) for k in range(200)]
    for one in drawn:
        assert 5.0 <= one.amplitude_mm <= 20.0
        if one.ct_phase == "deep-inspiration":
            assert 25.0 <= one.ct_depth_mm <= 50.0
            assert one.ct_heart_share <= 0.7
        else:
            assert one.ct_depth_mm <= one.amplitude_mm
    assert {one.ct_phase for one in drawn} == {"end-expiration", "mid", "average", "deep-inspiration"}


def test_an_average_ct_lies_at_the_mean_depth_of_the_breath() -> None:
    breaths = Breathing(16.0, ct_phase="average", ct_depth_mm=16.0).ct_breaths()
    assert np.mean([breath.diaphragm_mm for breath in breaths]) == pytest.approx(6.0, abs=0.3)
