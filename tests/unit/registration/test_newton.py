"""Newton's step: exact where the objective is a quadratic, never downhill where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.registration.likelihood.newton import newton_step

CURVATURE = np.array([[4.0, 1.0, -0.5], [1.0, 3.0, 0.8], [-0.5, 0.8, 2.0]])
TOP = np.array([0.7, -1.1, 0.4])


def hill(points):
    return np.array([5.0 - 0.5 * (p - TOP) @ CURVATURE @ (p - TOP) for p in points])


def test_a_quadratic_is_climbed_in_one_step() -> None:
    step = newton_step(hill, np.zeros(3), np.array([0.8, 1.0, 1.2]))
    np.testing.assert_allclose(step.point, TOP, atol=1e-9)
    np.testing.assert_allclose(step.curvature, CURVATURE, atol=1e-9)
    assert step.value == pytest.approx(5.0)
    assert step.raised
    assert step.evaluations == 1 + 6 + 3 + 3


def test_the_cross_terms_of_a_former_point_spare_evaluations() -> None:
    """The former curvature is larger everywhere, as for another number of counts, and has the same correlations."""
    spread = np.diag([1.5, 0.7, 2.0])
    former = spread @ CURVATURE @ spread
    step = newton_step(hill, np.zeros(3), np.array([0.8, 1.0, 1.2]), former=former)
    np.testing.assert_allclose(step.point, TOP, atol=1e-9)
    np.testing.assert_allclose(step.curvature, CURVATURE, atol=1e-9)
    assert step.evaluations == 1 + 6 + 3


def test_no_number_changes_by_more_than_it_may() -> None:
    step = newton_step(lambda points: hill([p - 100.0 for p in points]), np.zeros(3), np.full(3, 0.5), farthest=2.0)
    assert np.abs(step.point).max() <= 1.0


def test_the_top_is_not_left() -> None:
    step = newton_step(hill, TOP, np.full(3, 0.5))
    assert not step.raised
    np.testing.assert_array_equal(step.point, TOP)


def test_a_saddle_still_gives_a_way_up() -> None:
    def saddle(points):
        return np.array([p[0] ** 2 - p[1] ** 2 + 0.3 * p[0] for p in points])

    step = newton_step(saddle, np.array([0.1, 0.2]), np.array([0.2, 0.2]))
    assert step.raised
    assert np.linalg.eigvalsh(step.curvature).min() > 0
