"""Orbits go round the patient's front and left, and clear the skin."""

from __future__ import annotations

import numpy as np
import torch

from mureg.geometry import Grid
from mureg.simulate.orbit import OrbitRange, reach_of_skin


def ellipse() -> np.ndarray:
    """A body 400 mm wide and 240 mm deep, 30 mm to the left of the axis."""
    grid = Grid.centred((120, 80, 4), (5.0, 5.0, 5.0))
    where = grid.points(np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1))
    inside = ((where[..., 0] - 30) / 200) ** 2 + (where[..., 1] / 120) ** 2 < 1
    return reach_of_skin(torch.from_numpy(inside), grid, (0.0, 0.0))


def test_the_skin_reaches_as_far_as_the_body_was_made() -> None:
    reach = ellipse()
    for angle, expected in ((0, 120), (90, 230), (180, 120), (270, 170)):
        assert abs(reach[angle] - expected) < 6, angle


def test_half_a_turn_goes_from_the_right_front_over_the_front_to_the_left_back() -> None:
    orbit = OrbitRange(views=(60,)).draw(np.random.default_rng(1), ellipse())
    assert orbit.angles_deg[0] == 225.0  # 45 degrees right anterior oblique
    assert orbit.angles_deg[15] == 180.0  # front
    assert orbit.angles_deg[-1] == 48.0  # one step before 45 degrees left posterior oblique
    assert np.all(np.diff(orbit.angles_deg) == -3.0)


def test_a_full_turn_sees_every_side() -> None:
    orbit = OrbitRange(arc_deg=360, views=(64,)).draw(np.random.default_rng(1), ellipse())
    assert len(np.unique(orbit.angles_deg)) == 64
    assert np.ptp(orbit.angles_deg) > 350


def test_the_collimator_never_touches_the_skin() -> None:
    reach = ellipse()
    seen = set()
    for k in range(40):
        orbit = OrbitRange(arc_deg=360).draw(np.random.default_rng(k), reach)
        assert (orbit.radii_mm >= reach[np.round(orbit.angles_deg).astype(int) % 360] - 6).all()
        seen.add(bool(np.ptp(orbit.radii_mm) > 1))
    assert seen == {False, True}, "circles and body contours"
