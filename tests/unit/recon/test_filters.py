"""Post-filters against scipy and their closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mureg.geometry import Grid, Quantity, Volume
from mureg.recon import Osem, filters
from mureg.spect import SystemModel
from support.phantoms import blobs, camera, centroid_mm, orbit, voxel_points

GRID = Grid.centred((30, 26, 22), (4.0, 4.0, 5.0), (10.0, -20.0, 30.0))
SMALL = Volume((blobs(voxel_points(GRID) - (10.0, -20.0, 30.0), sigma_mm=8.0)), GRID, Quantity.ACTIVITY)
NOISE = SMALL.with_values(np.random.default_rng(0).random(GRID.shape))


def wave(cycles_per_cm: float, axis: int = 0, n: int = 400, mm: float = 2.0) -> tuple[Volume, float]:
    """A cosine that the mirror continues without a kink, on a constant; and its frequency, rounded to fit."""
    halves = round(cycles_per_cm * n * mm / 10 * 2)
    frequency = halves / (2 * n * mm / 10)
    shape = [2, 2, 2]
    shape[axis] = n
    line = 1.0 + 0.5 * np.cos(np.pi * halves * (np.arange(n) + 0.5) / n)
    values = np.broadcast_to(np.moveaxis(line[:, None, None], 0, axis), shape).copy()
    grid = Grid.centred(tuple(shape), (mm, mm, mm))
    return Volume(values, grid, Quantity.ACTIVITY), frequency


def amplitude(found: Volume, given: Volume) -> float:
    """How much of the wave is left."""
    before, after = np.asarray(given) - 1.0, np.asarray(found) - 1.0
    return float((before * after).sum() / (before**2).sum())


class TestGaussian:
    @pytest.mark.parametrize("fwhm_mm", [14.0, 18.0, 25.0])
    def test_it_is_scipys_gaussian_of_that_width(self, fwhm_mm) -> None:
        # not narrower: scipy samples the curve, which at less than a voxel is another one
        sigma = [fwhm_mm / 2.3548200 / mm for mm in GRID.spacing_mm]
        expected = gaussian_filter(np.asarray(NOISE), sigma, mode="reflect", truncate=8.0)
        np.testing.assert_allclose(np.asarray(filters.gaussian(NOISE, fwhm_mm)), expected, atol=2e-3)

    def test_it_widens_a_point_by_its_width(self) -> None:
        grid = Grid.centred((41, 41, 41), (3.0, 3.0, 3.0))
        values = np.zeros(grid.shape)
        values[20, 20, 20] = 1.0
        seen = np.asarray(filters.gaussian(Volume(values, grid, Quantity.ACTIVITY), 15.0))
        place_mm = (np.arange(41) - 20) * 3.0
        for axis in range(3):
            profile = np.moveaxis(seen, axis, 0).sum((1, 2))
            assert np.sqrt((profile * place_mm**2).sum()) * 2.3548 == pytest.approx(15.0, rel=1e-3)


class TestButterworth:
    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize("order", [2.0, 5.0, 10.0])
    def test_at_the_cutoff_0_707_is_left(self, axis, order) -> None:
        given, frequency = wave(0.5, axis)
        assert amplitude(filters.butterworth(given, frequency, order), given) == pytest.approx(np.sqrt(0.5), rel=1e-6)

    @pytest.mark.parametrize("share", [0.25, 0.8, 1.3, 2.0])
    def test_elsewhere_it_follows_the_closed_form(self, share) -> None:
        given, frequency = wave(0.4)
        left = amplitude(filters.butterworth(given, frequency / share, 5.0), given)
        assert left == pytest.approx(1 / np.sqrt(1 + share**10), rel=1e-6)

    def test_it_never_goes_below_zero(self) -> None:
        values = np.zeros(GRID.shape)
        values[15, 13, 11] = 1.0
        assert float(filters.butterworth(SMALL.with_values(values), 0.4, 10.0).values.min()) == 0.0


FILTERS = {
    "gaussian": lambda volume: filters.gaussian(volume, 12.0),
    "butterworth": lambda volume: filters.butterworth(volume, 0.5, 5.0),
}


@pytest.mark.parametrize("smooth", FILTERS.values(), ids=FILTERS.keys())
class TestBoth:
    def test_the_mean_is_kept(self, smooth) -> None:
        # far from zero, where nothing is cut off
        lifted = NOISE.with_values(NOISE.values + 2.0)
        assert float(smooth(lifted).values.mean()) == pytest.approx(float(lifted.values.mean()), rel=1e-12)

    def test_a_constant_stays_as_it_is(self, smooth) -> None:
        constant = SMALL.with_values(np.full(GRID.shape, 3.0))
        np.testing.assert_allclose(np.asarray(smooth(constant)), 3.0, rtol=1e-12)

    def test_an_object_without_symmetry_stays_in_its_place(self, smooth) -> None:
        np.testing.assert_allclose(
            centroid_mm(np.asarray(smooth(SMALL)), GRID), centroid_mm(np.asarray(SMALL), GRID), atol=0.05
        )

    def test_grid_quantity_precision_and_the_original_are_kept(self, smooth) -> None:
        before = SMALL.values.copy()
        found = smooth(SMALL)
        assert (found.grid, found.quantity, found.values.dtype) == (GRID, Quantity.ACTIVITY, np.float64)
        assert np.array_equal(SMALL.values, before)
        single = smooth(SMALL.with_values(SMALL.values.astype(np.float32)))
        assert single.values.dtype == np.float32
        np.testing.assert_allclose(np.asarray(single), np.asarray(found), atol=1e-5)

    def test_noise_becomes_less(self, smooth) -> None:
        assert float(smooth(NOISE).values.std()) < 0.5 * float(NOISE.values.std())


@pytest.mark.parametrize("kind", ["gaussian", "butterworth"])
def test_a_reconstruction_is_filtered_by_its_own_settings_after_the_last_iteration(kind) -> None:
    scanner = camera(orbit(6, 180), counts=np.random.default_rng(1).random((6, 8, 10)))
    system = SystemModel(scanner, scanner.grid())
    plain = Osem(iterations=2, subsets=2).reconstruct(scanner, system)
    found = Osem(iterations=2, subsets=2, post_filter=kind, fwhm_mm=14.0, cutoff_per_cm=0.35, order=3.0)
    expected = filters.gaussian(plain, 14.0) if kind == "gaussian" else filters.butterworth(plain, 0.35, 3.0)
    assert np.array_equal(found.reconstruct(scanner, system).values, expected.values)
