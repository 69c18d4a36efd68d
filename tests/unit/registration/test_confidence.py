"""Intervals from a covariance: closed forms, and a referee that draws poses and counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from mureg.errors import UsageError
from mureg.geometry import RigidTransform
from mureg.registration import Registration
from mureg.registration.confidence import chi_square_quantile, half_widths, heart_bound_mm

CENTRE = (5.0, -10.0, -120.0)
SHIFT, ANGLES = np.array([9.0, -7.0, 10.0]), np.array([4.0, -3.0, 6.0])
HEART = np.array([45.0, -35.0, -95.0]) + np.random.default_rng(2).uniform(-40.0, 40.0, (60, 3))


def covariance(seed: int = 0) -> np.ndarray:
    """Correlated errors of about 1 mm and half a degree."""
    mixed = np.random.default_rng(seed).normal(size=(6, 6)) * np.array([1.2, 0.8, 2.0, 0.4, 0.5, 0.3])[:, None]
    return mixed @ mixed.T / 3.0


def registered(matrix: np.ndarray | None) -> Registration:
    pose = RigidTransform.from_six(SHIFT, ANGLES, CENTRE)
    return Registration(pose, CENTRE, "told", "moved", covariance=matrix)


@pytest.mark.parametrize("seed", [0, 1])
def test_nine_in_ten_drawn_poses_lie_within_what_is_said(seed) -> None:
    stated, rng = covariance(seed), np.random.default_rng(seed)
    drawn = rng.multivariate_normal(np.concatenate([SHIFT, ANGLES]), stated, size=4000)
    true = RigidTransform.from_six(SHIFT, ANGLES, CENTRE).apply(HEART)
    places = np.stack([RigidTransform.from_six(six[:3], six[3:], CENTRE).apply(HEART) for six in drawn])
    errors = np.sqrt(((places - true) ** 2).sum(-1).mean(-1))
    bound = heart_bound_mm(registered(stated), HEART)
    assert (errors <= bound).mean() == pytest.approx(0.9, abs=0.015)
    widths = np.concatenate(half_widths(stated))
    inside = np.abs(drawn - np.concatenate([SHIFT, ANGLES])) <= widths
    np.testing.assert_allclose(inside.mean(0), 0.9, atol=0.015)


def test_equal_squares_are_a_chi_square() -> None:
    for terms in (1, 2, 3, 6):
        for level in (0.5, 0.9, 0.99):
            assert chi_square_quantile(np.full(terms, 2.5), level) == pytest.approx(
                2.5 * chi2.ppf(level, terms), rel=1e-4
            )


def test_a_sure_pose_has_no_interval_and_an_uncertain_one_twice_that_of_half_the_uncertainty() -> None:
    assert heart_bound_mm(registered(np.zeros((6, 6))), HEART) == 0.0
    once, twice = (heart_bound_mm(registered(k**2 * covariance()), HEART) for k in (1, 2))
    assert twice == pytest.approx(2 * once, rel=1e-4)


def test_a_shift_alone_moves_every_point_alike() -> None:
    only_x = np.zeros((6, 6))
    only_x[0, 0] = 4.0
    assert heart_bound_mm(registered(only_x), HEART) == pytest.approx(2.0 * 1.6449, rel=1e-3)


def test_what_states_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="without a covariance"):
        heart_bound_mm(registered(None), HEART)
    with pytest.raises(UsageError, match="no covariance"):
        half_widths(np.full((6, 6), np.nan))
