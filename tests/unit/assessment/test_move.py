"""One move has one number, and its words say where the map went."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.assessment.move import HEART_RADIUS_MM, Move, heart_points_mm
from mureg.geometry import Grid, Quantity, RigidTransform, Volume

HEART = (47.0, -35.0, -195.0)


def test_a_shift_alone_is_its_own_length() -> None:
    move = Move.of(RigidTransform.from_six((-2.0, -3.0, 6.0), (0, 0, 0), (0, 0, 0)), HEART)
    assert move.rms_mm == pytest.approx(7.0)
    assert move.mean_mm == pytest.approx((2.0, 3.0, -6.0)), "SPECT points go to the CT; the map goes the other way"
    assert move.components() == (
        "6.0 mm to the feet, 3.0 mm to the back, 2.0 mm to the patient's left; turned by 0.0 degrees"
    )


def test_a_turn_about_the_heart_counts() -> None:
    """Points at distance r from the axis of a turn by t move by 2 r sin(t / 2)."""
    turn = RigidTransform.from_six((0, 0, 0), (0, 0, 15.0), HEART)
    offsets = heart_points_mm(HEART) - np.asarray(HEART)
    expected = 2 * np.sin(np.radians(7.5)) * np.sqrt((offsets[:, :2] ** 2).sum(1).mean())
    move = Move.of(turn, HEART)
    assert move.rms_mm == pytest.approx(expected)
    assert move.rms_mm > 7.0
    assert move.mean_mm == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)
    assert move.turn_deg == pytest.approx(15.0)


def test_the_points_fill_a_ball() -> None:
    points = heart_points_mm(HEART) - np.asarray(HEART)
    assert np.linalg.norm(points, axis=1).max() == pytest.approx(HEART_RADIUS_MM)
    # of a full ball the mean square distance is 3/5 of the squared radius
    assert (points**2).sum(1).mean() == pytest.approx(0.6 * HEART_RADIUS_MM**2, rel=0.1)


def test_the_components_are_what_resampling_does_to_the_anatomy() -> None:
    grid = Grid.centred((48, 48, 40), (6.8, 6.8, 6.8), (5.0, -10.0, -200.0))
    pose = RigidTransform.from_six((9.0, -7.0, 10.0), (1.5, -2.0, 3.0), grid.centre_mm)
    places = grid.points(np.indices(grid.shape).transpose(1, 2, 3, 0))
    in_ct = pose.apply(HEART)
    spot = np.exp(-((np.linalg.norm(places - in_ct, axis=-1) / 14.0) ** 2))
    before = Volume.from_numpy(spot, grid, Quantity.MU_PER_CM)
    after = before.resampled(grid, pose)
    centroids = [
        np.average(places.reshape(-1, 3), axis=0, weights=volume.values.ravel().astype(float))
        for volume in (before, after)
    ]
    np.testing.assert_allclose(Move.of(pose, HEART).mean_mm, centroids[1] - centroids[0], atol=0.15)
