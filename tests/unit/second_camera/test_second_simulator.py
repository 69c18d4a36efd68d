"""The second simulator against closed forms: a ball in a uniform attenuating cylinder, widths, scatter, noise."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch

from mureg.geometry import Grid
from support.second_camera.camera import FWHM_PER_SIGMA, Collimator
from support.second_camera.rays import RayCamera, State
from support.second_camera.simulator import counted, simulate

GRID = Grid.centred((72, 72, 40), (4.0, 4.0, 4.0))
ANGLES = np.array([225.0, 180.0, 120.0, 45.0])
CYLINDER_MM, BALL_MM, MU_PER_CM = 120.0, 24.0, 0.15
PLACE_MM = np.array([40.0, -30.0, 14.0])


def camera(collimator: Collimator | None, **changes: object) -> RayCamera:
    settings = {"n_rows": 32, "n_columns": 48, "pixel_mm": 6.0, **changes}
    return RayCamera(GRID, ANGLES, np.full(len(ANGLES), 220.0), collimator=collimator, **settings)  # type: ignore[arg-type]


@cache
def ball_in_cylinder() -> tuple[torch.Tensor, torch.Tensor]:
    """Share of each voxel inside a ball of activity 1 per voxel; attenuation of a cylinder along z."""
    fine = (np.arange(4) + 0.5) / 4 - 0.5
    offsets = np.stack(np.meshgrid(fine, fine, fine, indexing="ij"), -1).reshape(-1, 3)
    where = np.stack(np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij"), -1)
    ball, cylinder = np.zeros(GRID.shape), np.zeros(GRID.shape)
    for offset in offsets:
        points = GRID.points(where + offset)
        ball += (np.linalg.norm(points - PLACE_MM, axis=-1) < BALL_MM) / len(offsets)
        cylinder += (np.hypot(points[..., 0], points[..., 1]) < CYLINDER_MM) / len(offsets)
    return torch.from_numpy(ball).float(), torch.from_numpy(cylinder * MU_PER_CM).float()


def towards(view: int) -> np.ndarray:
    theta = math.radians(ANGLES[view])
    return np.array([math.sin(theta), math.cos(theta), 0.0])


def expected_total(view: int) -> float:
    """Integral over the ball of exp(-mu l), l the way out of the cylinder towards the detector."""
    steps = (np.arange(48) + 0.5) / 24 - 1.0
    points = BALL_MM * np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    points = points[np.linalg.norm(points, axis=1) < BALL_MM] + PLACE_MM
    along = points @ towards(view)
    across = points @ np.array([-towards(view)[1], towards(view)[0], 0.0])
    way_cm = (np.sqrt(CYLINDER_MM**2 - across**2) - along) / 10.0
    volume = 4.0 / 3.0 * math.pi * BALL_MM**3 / GRID.voxel_volume_mm3
    return volume * float(np.exp(-MU_PER_CM * way_cm).mean())


@pytest.mark.parametrize("collimator", [None, Collimator()])
def test_a_ball_in_an_attenuating_cylinder_is_as_bright_as_the_integral(collimator: Collimator | None) -> None:
    ball, cylinder = ball_in_cylinder()
    views = camera(collimator).project([State(ball, cylinder)])
    for view in range(len(ANGLES)):
        assert float(views[view].sum()) == pytest.approx(expected_total(view), rel=0.01)


def test_without_attenuation_nothing_is_lost_and_the_ball_lies_where_it_is() -> None:
    """Rows from the head down, columns to the right when viewed from the detector: (-cos, sin) in (x, y)."""
    ball, _ = ball_in_cylinder()
    views = camera(Collimator()).project([State(ball, torch.zeros_like(ball))]).numpy()
    for view, theta in enumerate(np.radians(ANGLES)):
        assert views[view].sum() == pytest.approx(float(ball.sum()), rel=0.005)
        column = (views[view].sum(0) @ np.arange(48)) / views[view].sum()
        row = (views[view].sum(1) @ np.arange(32)) / views[view].sum()
        across = -math.cos(theta) * PLACE_MM[0] + math.sin(theta) * PLACE_MM[1]
        assert (column - 23.5) * 6.0 == pytest.approx(across, abs=0.4)
        assert (15.5 - row) * 6.0 == pytest.approx(PLACE_MM[2], abs=0.4)


def test_the_profile_of_a_ball_is_that_of_its_chords() -> None:
    """Perfect resolution, no attenuation: each pixel is the volume of the ball before it."""
    ball, _ = ball_in_cylinder()
    view = camera(None, rays=64, step_mm=2.0).project([State(ball, torch.zeros_like(ball))])[1].numpy()
    fine = (np.arange(32 * 8) + 0.5) / 8 * 6.0
    up, across = 96.0 - fine, (np.arange(48 * 8) + 0.5) / 8 * 6.0 - 144.0
    right = -math.cos(math.radians(180.0)) * PLACE_MM[0]
    squared = BALL_MM**2 - (up[:, None] - PLACE_MM[2]) ** 2 - (across[None, :] - right) ** 2
    chords = 2.0 * np.sqrt(np.maximum(squared, 0.0)) / GRID.voxel_volume_mm3
    expected = chords.reshape(32, 8, 48, 8).mean((1, 3)) * 36.0
    assert np.abs(view - expected).max() < 0.06 * expected.max()
    assert np.abs(view - expected).sum() < 0.05 * expected.sum()


@pytest.mark.parametrize("depth_mm", [-100.0, 0.0, 80.0])
def test_a_small_source_is_as_wide_as_collimator_and_crystal_make_it(depth_mm: float) -> None:
    source = torch.zeros(GRID.shape)
    index = np.rint(GRID.indices([0.0, -depth_mm, 0.0])).astype(int)  # the second view is from the front
    source[tuple(index)] = 1000.0
    view = camera(Collimator(), rays=200, step_mm=2.0).project([State(source, torch.zeros_like(source))])[1].numpy()
    distance = 220.0 + GRID.points(index)[1]
    variance = float((Collimator().fwhm_mm(distance) / FWHM_PER_SIGMA) ** 2)
    variance += 6.0**2 / 12 + 2 * 4.0**2 / 12 + 4.0**2 / 12  # pixel, tent of the interpolation
    profile, place = view.sum(0), (np.arange(48) - 23.5) * 6.0
    mean = profile @ place / profile.sum()
    assert profile @ (place - mean) ** 2 / profile.sum() == pytest.approx(variance - 4.0**2 / 12, rel=0.06)


def test_states_count_by_their_share_of_the_time() -> None:
    ball, cylinder = ball_in_cylinder()
    first, later = np.array([1.0, 0.25, 0.0, 1.0]), np.array([0.0, 0.75, 1.0, 0.0])
    nothing = torch.zeros_like(ball)
    views = camera(None).project([State(ball, nothing, first), State(ball, cylinder, later)])
    for view in range(4):
        mean = first[view] * float(ball.sum()) + later[view] * expected_total(view)
        assert float(views[view].sum()) == pytest.approx(mean, rel=0.01)


def test_scatter_is_broader_than_the_primary_and_of_a_chest_s_amount() -> None:
    ball, cylinder = ball_in_cylinder()
    seen = simulate(camera(Collimator()), [State(ball, cylinder)], 2e5, 1)
    primary = (seen.expected - seen.scatter)[0, 1].numpy()
    scatter = seen.scatter[0, 1].numpy()
    place = np.arange(48.0)
    spread = [p.sum(0) @ (place - p.sum(0) @ place / p.sum()) ** 2 / p.sum() for p in (primary, scatter)]
    assert spread[1] > 2 * spread[0]
    assert 0.1 < scatter.sum() / seen.expected[0, 1].sum() < 0.5
    assert float(seen.expected[0].sum()) == pytest.approx(2e5, rel=1e-4)


def test_the_noise_is_that_of_independent_poisson_counts() -> None:
    expected = np.array([[0.0, 0.5, 3.0], [40.0, 7.0, 100.0]])
    drawn = np.stack([counted(expected, [7, k]) for k in range(4000)])
    assert drawn.mean(0) == pytest.approx(expected, abs=0.6)
    assert drawn.var(0) == pytest.approx(expected, rel=0.12)
    assert abs(np.corrcoef(drawn[:, 1, 0], drawn[:, 1, 2])[0, 1]) < 0.06, "a fixed total would tie the pixels together"
    assert np.array_equal(counted(expected, [1, 2]), counted(expected, [1, 2]))
