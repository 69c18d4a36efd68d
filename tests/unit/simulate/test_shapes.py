"""Implicit shapes against closed forms."""

import numpy as np
import pytest
import torch

from mureg.simulate.torso.shapes import Capsule, Ellipsoid, HeightProfile, cover, outline, smooth_max, tube


def lattice(extent_mm, spacing_mm):
    ticks = torch.arange(-extent_mm, extent_mm + spacing_mm / 2, spacing_mm, dtype=torch.float64)
    return torch.meshgrid(ticks, ticks, ticks, indexing="ij")


def test_sphere_distance_is_exact():
    x, y, z = lattice(40.0, 5.0)
    distance = Ellipsoid((2.0, -3.0, 1.0), (20.0, 20.0, 20.0)).distance(x, y, z)
    expected = 20.0 - ((x - 2) ** 2 + (y + 3) ** 2 + (z - 1) ** 2).sqrt()
    near = expected.abs() < 3.0
    assert torch.allclose(distance[near], expected[near], atol=0.3)


def test_ellipsoid_volume_whatever_its_axes():
    angle = np.radians(30.0)
    c, s = float(np.cos(angle)), float(np.sin(angle))
    turned = Ellipsoid((0.0, 0.0, 0.0), (30.0, 18.0, 22.0), ((c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0)))
    volume = float(cover(turned.distance(*lattice(36.0, 2.0)), 2.0).sum()) * 8.0
    assert volume == pytest.approx(4 / 3 * np.pi * 30 * 18 * 22, rel=0.005)
    low, high = turned.box
    assert (high - low)[2] == pytest.approx(44.0)
    assert (high - low)[0] < 60.0


def test_capsule_volume():
    capsule = Capsule((-12.0, 3.0, 0.0), (12.0, -3.0, 5.0), 9.0, 9.0)
    length = np.linalg.norm([24.0, -6.0, 5.0])
    volume = float(cover(capsule.distance(*lattice(30.0, 1.5)), 1.5).sum()) * 1.5**3
    assert volume == pytest.approx(np.pi * 81 * length + 4 / 3 * np.pi * 729, rel=0.01)


def test_cover_of_a_thin_wall_keeps_its_thickness_at_any_voxel_size():
    for voxel in (1.0, 4.0, 9.0):
        places = torch.arange(-40.0, 40.0, voxel, dtype=torch.float64) + 0.37
        thickness = float((cover(places, voxel) - cover(places - 2.0, voxel)).sum()) * voxel
        assert thickness == pytest.approx(2.0, abs=1e-9)


def test_tube_passes_through_its_points():
    points = np.array([[0.0, 0, 0], [10, 20, 0], [0, 40, 10]])
    pieces = tube(points, [5.0, 4.0, 3.0], 4)
    assert len(pieces) == 8
    for point, radius in zip(points, (5.0, 4.0, 3.0), strict=True):
        x, y, z = (torch.tensor([float(v)]) for v in point)
        assert max(float(piece.distance(x, y, z)) for piece in pieces) == pytest.approx(radius, abs=0.01)


def test_profile_passes_through_its_knots_and_stays_between_them():
    profile = HeightProfile((-10.0, 0.0, 30.0), (1.0, 5.0, 2.0))
    places = torch.linspace(-50.0, 50.0, 500, dtype=torch.float64)
    values = profile(places)
    assert float(values.min()) >= 1.0 - 1e-6
    assert float(values.max()) <= 5.0 + 1e-6
    assert float(profile(torch.tensor([0.0], dtype=torch.float64))) == pytest.approx(5.0, abs=0.01)
    assert float(profile(torch.tensor([99.0], dtype=torch.float64))) == pytest.approx(2.0, abs=0.01)


def test_outline_goes_from_ellipse_to_rectangle():
    x, y = torch.tensor([60.0, 100.0, 0.0]), torch.tensor([40.0, 0.0, 50.0])
    half_x, half_y = torch.tensor(100.0), torch.tensor(50.0)
    assert float(outline(x, y, half_x, half_y, 0.0).abs().max()) < 1e-3
    corner = torch.tensor([99.0]), torch.tensor([49.5])
    assert float(outline(*corner, half_x, half_y, 1.0)) > 0 > float(outline(*corner, half_x, half_y, 0.0))


def test_smooth_max_equals_max_away_from_the_seam():
    a, b = torch.tensor([0.0, 5.0]), torch.tensor([20.0, 5.0])
    assert torch.allclose(smooth_max(a, b, 8.0), torch.tensor([20.0, 7.0]))
