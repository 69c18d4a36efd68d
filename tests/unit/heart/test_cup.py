"""Surfaces fitted many at a time: against points whose surface is known, and against SciPy's fit of one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from mureg.heart import cup
from mureg.heart.cup import Cups, fitted


def some_cups(seed: int = 0, number: int = 5) -> Cups:
    """Ventricles of several sizes and directions around (60, -40, 10) mm."""
    chance = np.random.default_rng(seed)
    direction = np.array([0.70, -0.55, -0.45]) + 0.15 * chance.normal(size=(number, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    centre = np.array([60.0, -40.0, 10.0]) + 5.0 * chance.normal(size=(number, 3))
    return Cups(centre, direction, chance.uniform(48.0, 68.0, number), chance.uniform(22.0, 30.0, number))


def nudged(cups: Cups, seed: int = 1) -> Cups:
    chance = np.random.default_rng(seed)
    direction = cups.direction + 0.1 * chance.normal(size=cups.direction.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    centre = cups.centre_mm + 4.0 * chance.normal(size=cups.centre_mm.shape)
    return Cups(centre, direction, cups.cap_mm + 6.0, cups.radius_mm - 3.0)


def test_the_surface_lies_at_no_distance_and_its_normals_point_outwards() -> None:
    cups = some_cups()
    surface = cups.surface()
    np.testing.assert_allclose(cups.off_mm(surface.places_mm), 0.0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=-1), 1.0, atol=1e-12)
    np.testing.assert_allclose(cups.off_mm(surface.places_mm + 0.01 * surface.normals), 0.01, rtol=1e-3)


def test_the_curvature_of_a_half_sphere_is_one_over_its_radius() -> None:
    ball = Cups(np.zeros((1, 3)), np.array([[1.0, 0.0, 0.0]]), np.array([25.0]), np.array([25.0]))
    surface = ball.surface()
    ahead = surface.places_mm[0, :, 0] > 0.0
    np.testing.assert_allclose(surface.curvature[0, ahead], 1.0 / 25.0, rtol=1e-9)
    behind = surface.places_mm[0, :, 0] < -1.0  # a tube: bent in one direction alone
    np.testing.assert_allclose(surface.curvature[0, behind], 0.5 / 25.0, rtol=1e-9)


def test_the_surface_of_points_is_found_again(monkeypatch) -> None:
    """The usual sizes and directions count for nothing here, so that only the points decide."""
    monkeypatch.setattr(cup, "_WEIGHT", 1e9)
    true = some_cups()
    points = true.surface().places_mm
    found, spread = fitted(nudged(true), points, np.ones(points.shape[:2]), on_line=False)
    np.testing.assert_allclose(found.direction, true.direction, atol=1e-3)
    np.testing.assert_allclose(
        found.cap_mm + (found.centre_mm * true.direction).sum(1),
        true.cap_mm + (true.centre_mm * true.direction).sum(1),
        atol=0.05,
    )
    np.testing.assert_allclose(found.radius_mm, true.radius_mm, atol=0.05)
    assert spread.max() < 0.05


@pytest.mark.parametrize("on_line", [False, True])
def test_the_fit_is_that_of_scipy_for_each_alone(on_line) -> None:
    """Referee: `scipy.optimize.least_squares` with numerical derivatives, on noisy points with outliers."""
    true, chance = some_cups(), np.random.default_rng(2)
    surface = true.surface()
    off = chance.normal(0.0, 2.0, surface.curvature.shape) + 15.0 * (chance.random(surface.curvature.shape) < 0.1)
    points, weights = surface.places_mm + off[..., None] * surface.normals, chance.random(off.shape)
    start = nudged(true)
    ours, _ = fitted(start, points, weights, on_line)
    for k in range(len(true)):
        one = start[np.array([k])]
        across = np.linalg.svd(one.direction[:, None])[2][:, 1:]
        root = np.sqrt(weights[[k]] / weights[k].sum() * 100.0)

        def residuals(numbers, one=one, across=across, root=root, k=k):
            at = np.concatenate([numbers, np.zeros(7 - len(numbers))])[None]
            return cup._residuals(one, at, across, points[[k]].transpose(0, 2, 1), root)[0][0]

        guess = [one.cap_mm[0], one.radius_mm[0], *([0.0] * (1 if on_line else 5))]
        theirs = least_squares(residuals, guess, x_scale=[5.0] * 3 if on_line else [5.0] * 5 + [0.2] * 2)
        assert ours.cap_mm[k] == pytest.approx(max(theirs.x[0], 20.0), abs=0.05)
        assert ours.radius_mm[k] == pytest.approx(theirs.x[1], abs=0.02)
        along = float((ours.centre_mm[k] - one.centre_mm[0]) @ one.direction[0])
        assert along == pytest.approx(theirs.x[2], abs=0.05)


def test_the_slopes_are_those_of_finite_differences() -> None:
    start, chance = some_cups(), np.random.default_rng(3)
    points, root = 30.0 * chance.normal(size=(5, 3, 40)) + [[60.0], [-40.0], [10.0]], chance.random((5, 40))
    across = np.linalg.svd(start.direction[:, None])[2][:, 1:]
    at = np.column_stack([start.cap_mm, start.radius_mm, chance.normal(size=(5, 3)), 0.1 * chance.normal(size=(5, 2))])
    slopes = cup._residuals(start, at, across, points, root)[1]
    for number in range(7):
        step = np.eye(7)[number] * 1e-6
        ahead, behind = (cup._residuals(start, at + sign * step, across, points, root)[0] for sign in (1, -1))
        np.testing.assert_allclose(slopes[:, number], (ahead - behind) / 2e-6, atol=1e-6)
