"""Deviations of the camera against closed forms: centre of rotation, width, scatter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from mureg.cohort.exposure import draw, rendered
from mureg.cohort.settings import load_settings
from mureg.geometry import Grid
from mureg.simulate.collimators import GE_LEHR
from mureg.simulate.deviation import CameraDeviation, CameraRange
from mureg.simulate.gamma_camera import GammaCamera
from mureg.simulate.orbit import WINDOWS
from mureg.simulate.photons import PhotonScatter

GRID = Grid.centred((40, 40, 24), (5.0, 5.0, 5.0))
ANGLES = np.array([225.0, 180.0, 135.0, 90.0, 45.0])


def source() -> torch.Tensor:
    """A smooth source off the middle, so that voxels do not matter."""
    point = np.zeros(GRID.shape)
    point[24, 15, 13] = 1e5
    return torch.from_numpy(ndimage.gaussian_filter(point, 2.0)).float()[None]


def camera(deviation: CameraDeviation, n_columns: int = 48) -> GammaCamera:
    radii = np.full(len(ANGLES), 220.0)
    collimator = deviation.collimator(GE_LEHR)
    return GammaCamera(GRID, ANGLES, radii, n_rows=32, n_columns=n_columns, pixel_mm=6.0, collimator=collimator,
                       centre_mm=deviation.centre_mm)  # fmt: skip


def mean_column(views: torch.Tensor) -> np.ndarray:
    counts = views.double().numpy().sum(1)
    return np.asarray(counts @ np.arange(counts.shape[1]) / counts.sum(1))


@pytest.mark.parametrize("centre_mm", [-2.0, 1.3])
def test_an_axis_off_the_middle_moves_every_view_by_as_much(centre_mm: float) -> None:
    """Primary and scatter alike; a full turn does not cancel it, unlike a shift of the patient."""
    shares, mu = torch.ones(len(ANGLES), 1), torch.full((1, *GRID.shape), 0.15)
    views = [camera(CameraDeviation(centre_mm=c)).primary(source(), 0 * mu, shares) for c in (0.0, centre_mm)]
    assert mean_column(views[1]) - mean_column(views[0]) == pytest.approx(np.full(5, centre_mm / 6.0), abs=0.01)
    scatter = PhotonScatter(histories=20_000)
    scattered = [
        scatter.project(
            camera(CameraDeviation(centre_mm=c), 96), source(), mu, shares, WINDOWS, np.random.default_rng(5)
        )[0]
        for c in (0.0, centre_mm)
    ]
    assert mean_column(scattered[1]) - mean_column(scattered[0]) == pytest.approx(np.full(5, centre_mm / 6.0), abs=0.02)


@pytest.mark.parametrize("resolution", [0.8, 1.2])
def test_the_width_is_scaled_at_every_distance(resolution: float) -> None:
    distances = np.array([0.0, 50.0, 150.0, 300.0])
    scaled = CameraDeviation(resolution=resolution).collimator(GE_LEHR)
    assert scaled.fwhm_mm(distances) == pytest.approx(resolution * GE_LEHR.fwhm_mm(distances))
    assert CameraDeviation().collimator(GE_LEHR) is GE_LEHR


def test_scatter_is_more_and_broader_by_the_variance_asked_for() -> None:
    counts = torch.zeros(1, 1, 60, 60)
    counts[0, 0, 30, 28] = 400.0
    seen = CameraDeviation(scatter=1.3, scatter_spread_mm=20.0).scattered(counts, 6.0)[0, 0].double().numpy()
    assert seen.sum() == pytest.approx(520.0, rel=1e-3)
    place = np.arange(60) * 6.0
    for axis, middle in ((0, 28), (1, 30)):
        profile = seen.sum(axis)
        assert profile @ place / profile.sum() == pytest.approx(middle * 6.0, abs=0.05)
        assert profile @ (place - middle * 6.0) ** 2 / profile.sum() == pytest.approx(20.0**2, rel=0.05)
    same = CameraDeviation().scattered(counts, 6.0)
    assert torch.equal(same, counts)


def test_the_body_absorbs_more_than_its_ct_shows_and_the_table_does_not() -> None:
    settings = replace(load_settings("clinical"), voxel_mm=6.9)
    drawn = draw(settings, 1)
    denser = replace(drawn, camera=CameraDeviation(mu_scale=1.05))
    usual, more = (rendered(settings, 1, one).mu[0] for one in (drawn, denser))
    table = drawn.table.mu_per_cm(rendered(settings, 1, drawn).grid).expand(usual.shape)
    assert torch.allclose(more, torch.maximum(1.05 * usual, table).where(usual > table, table), atol=1e-6)


def test_detectors_are_as_wide_as_asked_for_and_pixels_vary() -> None:
    chance = np.random.default_rng(0)
    cameras = [CameraRange().draw(chance) for _ in range(400)]
    others = [c for c in cameras if c.pixel_mm is not None]
    assert 0.4 < len(others) / len(cameras) < 0.6
    for other in others:
        assert other.pixel_mm is not None
        assert other.matrix is not None
        assert 4.0 <= other.pixel_mm <= 7.0
        assert 384.0 - other.pixel_mm <= other.matrix * other.pixel_mm <= 460.0 + other.pixel_mm
        assert other.matrix % 2 == 0
