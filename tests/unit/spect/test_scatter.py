"""Laws of scatter, simulated and from windows; its amounts and shapes are judged in tests/referees."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mureg.errors import UsageError
from mureg.geometry import Quantity, Volume
from mureg.spect import Acquisition, EnergyWindow, SystemModel
from mureg.spect.collimator import COLLIMATORS
from mureg.spect.compton import LINE_KEV, Crystal, into_window, sphere
from mureg.spect.flux import incoming_flux
from mureg.spect.scatter import SimulatedScatter, WindowScatter, cubic_weights, lower_window, upper_window
from mureg.spect.system import ScatterModel
from support.phantoms import PHOTOPEAK, camera, chest, ellipsoid, orbit, voxel_points

ANGLES = np.array([0.0, 90.0, 180.0, 270.0, 225.0])
SCANNER = camera(ANGLES, rows=24, columns=32, pixel_mm=(13.6, 13.6), dtype=np.float32)
GRID = SCANNER.grid()
LOWER, UPPER = EnergyWindow(114.0, 126.0, "lower"), EnergyWindow(155.0, 165.0, "upper")


def volumes(places_mm, radius_mm: float = 20.0) -> tuple[Volume, Volume]:
    """A ball of activity in the chest and the chest's attenuation."""
    points = voxel_points(GRID)
    ball = ellipsoid(points, places_mm, (radius_mm,) * 3, edge_mm=8.0)
    return (
        Volume.from_numpy(ball / ball.sum(), GRID, Quantity.ACTIVITY),
        Volume.from_numpy(chest(points)[1], GRID, Quantity.MU_PER_CM),
    )


def scattered(activity: Volume, mu: Volume, scanner: Acquisition = SCANNER, **chosen) -> np.ndarray:
    return np.asarray(SimulatedScatter(**chosen).estimate(SystemModel(scanner, scanner.grid(), mu), activity))


HEART, CHEST = volumes((40.0, -35.0, 10.0))


class TestSimulated:
    def test_it_is_a_scatter_model_and_its_settings(self) -> None:
        assert isinstance(SimulatedScatter(), ScatterModel)
        assert SimulatedScatter() == SimulatedScatter()
        assert SimulatedScatter() != SimulatedScatter(buildup=0.0)

    def test_it_is_finite_and_never_negative(self) -> None:
        found = scattered(HEART, CHEST)
        assert found.shape == SCANNER.photopeak_counts.shape
        assert np.isfinite(found).all()
        assert found.min() >= 0.0
        assert found.sum() > 0.0

    @settings(max_examples=4)
    @given(st.floats(0.1, 1e4), st.floats(0.1, 1e4))
    def test_it_is_linear_in_the_activity(self, a, b) -> None:
        other, _ = volumes((-60.0, 10.0, -40.0))
        both = HEART.with_values(a * HEART.values + b * other.values)
        expected = a * scattered(HEART, CHEST) + b * scattered(other, CHEST)
        np.testing.assert_allclose(scattered(both, CHEST), expected, rtol=1e-3, atol=1e-5 * expected.max())

    def test_no_activity_and_no_matter_mean_no_scatter(self) -> None:
        assert scattered(HEART.with_values(np.zeros(GRID.shape, dtype=np.float32)), CHEST).max() == 0.0
        assert scattered(HEART, CHEST.with_values(np.zeros(GRID.shape, dtype=np.float32))).max() == 0.0

    def test_a_little_matter_scatters_in_proportion(self) -> None:
        """Where next to nothing is absorbed, twice the matter scatters twice as much."""
        thin, twice = (scattered(HEART, CHEST.with_values(CHEST.values * share)) for share in (1e-3, 2e-3))
        np.testing.assert_allclose(twice.sum((1, 2)), 2 * thin.sum((1, 2)), rtol=5e-3)

    def test_a_map_is_needed(self) -> None:
        with pytest.raises(UsageError, match="without an attenuation map; expected a map to scatter in; give a map"):
            SimulatedScatter().estimate(SystemModel(SCANNER, GRID), HEART)

    @pytest.mark.parametrize(("side", "x_mm"), [("left", 70.0), ("right", -70.0)])
    def test_it_appears_on_the_side_of_its_source_in_each_view(self, side, x_mm) -> None:
        """A ball beside the spine: seen from behind columns run to the patient's right, from the front to the left."""
        activity, mu = volumes((x_mm, 40.0, 20.0))
        column = np.arange(32) - 15.5
        found = scattered(activity, mu)
        mean = (found.sum(1) * column).sum(-1) / found.sum((1, 2)) * 13.6
        assert np.sign(mean[0]) == -np.sign(x_mm)
        assert np.sign(mean[2]) == np.sign(x_mm)
        # at the left columns run to the back (+y), at the right to the front
        assert mean[1] > 10
        assert mean[3] < -10
        row = (11.5 - np.arange(24)) * 13.6
        assert (found.sum(2) * row).sum(-1)[0] > 0, "the source lies to the head"
        near, far = (1, 3) if side == "left" else (3, 1)
        assert found[near].sum() > 1.3 * found[far].sum()

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_a_mirrored_patient_has_mirrored_scatter(self, axis) -> None:
        """Mirroring left and right swaps the lateral views and turns each around; and so on."""
        straight = scattered(HEART, CHEST)[:4]
        mirrored = scattered(*(v.with_values(np.flip(v.values, axis)) for v in (HEART, CHEST)))[:4]
        swapped = {0: [0, 3, 2, 1], 1: [2, 1, 0, 3], 2: [0, 1, 2, 3]}[axis]
        expected = straight[swapped][:, ::-1] if axis == 2 else straight[swapped][:, :, ::-1]
        # the directions of the sphere are not mirrored with it
        assert np.abs(mirrored - expected).max() < 0.02 * straight.max()

    def test_a_patient_turned_by_a_quarter_is_seen_a_quarter_further(self) -> None:
        """A quarter turn from left to back takes the left view's picture to the back view."""
        straight = scattered(HEART, CHEST)[:4]
        # (x, y) -> (-y, x): the patient's left goes to the back
        turned = scattered(*(v.with_values(v.values.transpose(1, 0, 2)[::-1]) for v in (HEART, CHEST)))[:4]
        assert np.abs(turned - straight[[1, 2, 3, 0]]).max() < 0.02 * straight.max()

    def test_a_patient_moved_along_the_axis_moves_in_every_view(self) -> None:
        points = voxel_points(GRID)
        mu = 0.15 * ellipsoid(points, (0, 0, 0), (150, 100, 80), 20.0)
        ball = ellipsoid(points, (40, -30, 10), (25, 25, 25), 10.0)
        still, moved = (
            scattered(
                *(
                    Volume.from_numpy(np.roll(v, steps, 2), GRID, q)
                    for v, q in ((ball, Quantity.ACTIVITY), (mu, Quantity.MU_PER_CM))
                )
            )
            for steps in (0, 2)
        )
        np.testing.assert_allclose(moved, np.roll(still, -2, 1), atol=1e-4 * still.max())

    def test_the_axis_of_rotation_may_lie_anywhere(self) -> None:
        elsewhere = replace(SCANNER, centre_mm=(30.0, -210.0, 55.0))
        activity, mu = (replace(v, grid=elsewhere.grid()) for v in (HEART, CHEST))
        np.testing.assert_allclose(scattered(activity, mu, elsewhere), scattered(HEART, CHEST), atol=1e-7)

    def test_finer_pixels_see_the_same_counts_in_the_same_places(self) -> None:
        fine = camera(ANGLES, rows=48, columns=64, pixel_mm=(6.8, 6.8), dtype=np.float32)
        halved = [v.values.repeat(2, 0).repeat(2, 1).repeat(2, 2) for v in (HEART, CHEST)]
        activity = Volume(halved[0] / 8, fine.grid(), Quantity.ACTIVITY)
        mu = Volume(halved[1], fine.grid(), Quantity.MU_PER_CM)
        found = scattered(activity, mu, fine).reshape(5, 24, 2, 32, 2).sum((2, 4))
        coarse = scattered(HEART, CHEST)
        np.testing.assert_allclose(found.sum((1, 2)), coarse.sum((1, 2)), rtol=0.01)
        assert np.abs(found - coarse).max() < 0.15 * coarse.max()

    def test_odd_and_oblong_detectors_are_served(self) -> None:
        odd = camera(ANGLES, rows=33, columns=45, pixel_mm=(5.0, 6.8), dtype=np.float32)
        points = voxel_points(odd.grid())
        mu = Volume.from_numpy(chest(points)[1], odd.grid(), Quantity.MU_PER_CM)
        ball = ellipsoid(points, (40, -35, 10), (25, 25, 25), 8.0)
        found = scattered(Volume.from_numpy(ball / ball.sum(), odd.grid(), Quantity.ACTIVITY), mu, odd)
        assert found.shape == (5, 33, 45)
        assert np.isfinite(found).all()
        # counts from a source 40 mm to the left, 10 mm to the head
        column = (found[2].sum(0) * (np.arange(45) - 22)).sum() / found[2].sum() * 6.8
        assert 0 < column < 60

    def test_more_directions_change_little(self) -> None:
        usual, many = scattered(HEART, CHEST), scattered(HEART, CHEST, directions=1000)
        assert np.abs(usual - many).max() < 0.02 * many.max()

    def test_views_that_count_less_scatter_less(self) -> None:
        weights = np.array([0.5, 1.0, 1.5, 2.0, 0.25])
        found = scattered(HEART, CHEST, replace(SCANNER, view_weights=weights))
        np.testing.assert_allclose(found, weights[:, None, None] * scattered(HEART, CHEST), rtol=1e-4, atol=1e-9)

    def test_resolution_spreads_but_keeps_the_counts(self) -> None:
        scanner = replace(SCANNER, radii_mm=np.full(5, 250.0))
        system = SystemModel(scanner, GRID, CHEST, COLLIMATORS["GE LEGP"])
        blurred, sharp = np.asarray(SimulatedScatter().estimate(system, HEART)), scattered(HEART, CHEST)
        np.testing.assert_allclose(blurred.sum((1, 2)), sharp.sum((1, 2)), rtol=0.01)
        assert (blurred.max((1, 2)) < sharp.max((1, 2))).all()

    def test_a_clinical_study_takes_about_a_second_at_most(self) -> None:
        """0.2 s without and 0.4 s with resolution on one core; generous, for machines with other work."""
        scanner = camera(orbit(60, 360), rows=64, columns=64, dtype=np.float32)
        points = voxel_points(scanner.grid())
        activity, mu = chest(points)
        activity = Volume.from_numpy(activity, scanner.grid(), Quantity.ACTIVITY)
        start = time.process_time()
        scattered(activity, Volume.from_numpy(mu, scanner.grid(), Quantity.MU_PER_CM), scanner)
        assert time.process_time() - start < 5.0


class TestAmountByWindow:
    """Two windows: what the lower one measured sets the amount, not the shape."""

    @staticmethod
    def estimate(lower_counts: np.ndarray, **chosen) -> np.ndarray:
        scanner = replace(SCANNER, counts=np.stack([lower_counts, 0 * lower_counts]), windows=(LOWER, PHOTOPEAK))
        scanner = replace(scanner, photopeak=1)
        return scattered(HEART, CHEST, scanner, **chosen)

    def primary(self) -> np.ndarray:
        return SystemModel(SCANNER, GRID, CHEST).project(HEART.values)

    def spill(self) -> float:
        """Share of unscattered photons, of those in the photopeak, that the crystal's resolution puts below."""
        crystal = Crystal(0.10)
        return float(crystal.accepted(LINE_KEV, LOWER) / crystal.accepted(LINE_KEV, PHOTOPEAK))

    def test_it_grows_with_what_the_lower_window_holds_beyond_primary_photons(self) -> None:
        some = np.random.default_rng(0).random(SCANNER.photopeak_counts.shape, dtype=np.float32) * 1e-3
        once, twice = (self.estimate(self.spill() * self.primary() + k * some, amount="windows") for k in (1, 2))
        np.testing.assert_allclose(twice, 2 * once, rtol=1e-3)
        model = self.estimate(some)
        np.testing.assert_allclose(once / once.sum(), model / model.sum(), atol=1e-6)

    def test_a_lower_window_of_primary_photons_alone_means_no_scatter(self) -> None:
        assert self.estimate(0.999 * self.spill() * self.primary(), amount="windows").max() == 0.0

    def test_the_models_own_amount_does_not_matter(self) -> None:
        some = np.full(SCANNER.photopeak_counts.shape, 1e-3, dtype=np.float32)
        usual = self.estimate(some, amount="windows")
        # as much more in both windows
        more = self.estimate(some, amount="windows", multiple=1.06 * 1.5, multiple_lower=1.225 * 1.5)
        np.testing.assert_allclose(more, usual, rtol=1e-4)

    def test_a_lower_window_is_needed(self) -> None:
        with pytest.raises(UsageError, match="no energy window below the photopeak among 1; expected a scatter window"):
            scattered(HEART, CHEST, amount="windows")


class TestFlux:
    """Closed forms for what shines on a voxel."""

    def test_in_a_uniform_medium_without_edges_it_saturates(self) -> None:
        """The integral of a exp(-mu s) over a long way is a / mu, whatever the direction."""
        mu = np.full((41, 41, 41), 0.6)
        flux = incoming_flux(np.full_like(mu, 3.0), mu, (1.0, 1.0, 1.0), sphere(60))
        # a step of 1 to 1.7 cm at 0.6 per cm: the trapezium rule is a few per cent high
        np.testing.assert_allclose(flux[:, 20, 20, 20], np.full(60, 3.0 / 0.6), rtol=0.1)
        finer = incoming_flux(np.full_like(mu, 3.0), mu, (0.25, 0.25, 0.25), sphere(60))
        np.testing.assert_allclose(finer[:, 20, 20, 20], 3.0 / 0.6 * (1 - np.exp(-0.6 * 5.0)), rtol=0.06)

    def test_without_matter_it_is_the_line_integral_to_the_edge(self) -> None:
        activity = np.ones((9, 9, 9))
        along = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, 0, -1.0]])
        flux = incoming_flux(activity, np.zeros_like(activity), (2.0, 3.0, 1.0), along)
        np.testing.assert_allclose(flux[0, :, 4, 4], 2.0 * (8.5 - np.arange(9)), rtol=1e-12)
        np.testing.assert_allclose(flux[1, :, 4, 4], 2.0 * (np.arange(9) + 0.5), rtol=1e-12)
        np.testing.assert_allclose(flux[2, 4, :, 4], 3.0 * (8.5 - np.arange(9)), rtol=1e-12)
        np.testing.assert_allclose(flux[3, 4, 4, :], 1.0 * (np.arange(9) + 0.5), rtol=1e-12)

    def test_a_wall_casts_its_shadow_behind_itself(self) -> None:
        activity, mu = np.zeros((2, 21, 5, 5))
        activity[18, 2, 2], mu[10] = 1.0, 0.5
        flux = incoming_flux(activity, mu, (1.0, 1.0, 1.0), np.array([[1.0, 0, 0]]))[0, :, 2, 2]
        np.testing.assert_allclose(flux[11:18], np.ones(7), rtol=1e-12)
        np.testing.assert_allclose(flux[:10], np.full(10, np.exp(-0.5)), rtol=1e-12)
        assert float(flux[10]) == pytest.approx(np.exp(-0.25))
        assert float(flux[19:].sum()) == 0.0

    def test_a_point_shines_by_the_inverse_square(self) -> None:
        """A unit source sends 1 photon through any shell around it: their sum over a shell is its thickness."""
        activity = np.zeros((31, 31, 31))
        activity[15, 15, 15] = 1.0
        mean = np.asarray(incoming_flux(activity, np.zeros_like(activity), (1.0, 1.0, 1.0), sphere(500)).mean(0))
        radius = np.linalg.norm(np.indices((31, 31, 31)) - 15, axis=0)
        for low, high in ((3, 6), (6, 9), (9, 14)):
            shell = (radius > low) & (radius <= high)
            assert mean[shell].sum() == pytest.approx(high - low, rel=0.04)


def windowed(*windows: EnergyWindow, counts: np.ndarray | None = None) -> SystemModel:
    shape = (len(windows), 3, 16, 20)
    peak = windows.index(PHOTOPEAK)
    counts = np.ones(shape) if counts is None else counts
    scanner = Acquisition(counts, windows, peak, np.array([0.0, 90.0, 180.0]), (6.8, 6.8))
    return SystemModel(scanner, scanner.grid())


def nothing(system: SystemModel) -> Volume:
    return Volume(np.zeros(system.grid.shape), system.grid, Quantity.ACTIVITY)


class TestWindows:
    """Ogawa's trapezium: (counts below / width + counts above / width) * width of the photopeak / 2."""

    @pytest.mark.parametrize("fwhm_mm", [0.0, 16.0])
    @pytest.mark.parametrize("order", [(LOWER, PHOTOPEAK, UPPER), (PHOTOPEAK, UPPER, LOWER)])
    def test_constant_counts_give_the_closed_form(self, order, fwhm_mm) -> None:
        counts = np.empty((3, 3, 16, 20))
        for k, window in enumerate(order):
            counts[k] = {LOWER: 24.0, PHOTOPEAK: 999.0, UPPER: 5.0}[window]
        system = windowed(*order, counts=counts)
        dual = WindowScatter("dual", fwhm_mm).estimate(system, nothing(system))
        triple = WindowScatter("triple", fwhm_mm).estimate(system, nothing(system))
        np.testing.assert_allclose(dual, np.full(dual.shape, 24.0 / 12.0 * 28.0 / 2))
        np.testing.assert_allclose(triple, np.full(dual.shape, (24.0 / 12.0 + 5.0 / 10.0) * 28.0 / 2))

    def test_smoothing_keeps_the_mean_of_what_lies_inside(self) -> None:
        counts = np.zeros((2, 3, 16, 20))
        counts[0, :, 7:9, 9:12] = 60.0
        system = windowed(LOWER, PHOTOPEAK, counts=counts)
        smooth = WindowScatter("dual", 12.0).estimate(system, nothing(system))
        assert float(smooth.sum()) == pytest.approx(60.0 * 18 * 28 / 24, rel=1e-3)
        assert float(smooth.max()) < 0.9 * 60.0 * 28 / 24

    def test_smoothing_has_the_width_asked_for(self) -> None:
        counts = np.zeros((2, 3, 33, 35))
        counts[0, :, 16, 17] = 1.0
        scanner = Acquisition(counts, (LOWER, PHOTOPEAK), 1, np.array([0.0, 90.0, 180.0]), (5.0, 6.8))
        system = SystemModel(scanner, scanner.grid())
        smooth = np.asarray(WindowScatter("dual", 20.0).estimate(system, nothing(system))[0])
        for along, (n, mm) in enumerate(((33, 5.0), (35, 6.8))):
            profile, place = smooth.sum(1 - along), (np.arange(n) - n // 2) * mm
            assert np.sqrt((profile * place**2).sum() / profile.sum()) * 2.3548 == pytest.approx(20.0, rel=0.02)

    def test_the_nearest_windows_are_taken(self) -> None:
        far = EnergyWindow(80.0, 100.0)
        system = windowed(far, LOWER, PHOTOPEAK, EnergyWindow(170.0, 180.0), UPPER)
        assert (lower_window(system.acquisition), upper_window(system.acquisition)) == (1, 4)

    @pytest.mark.parametrize(
        ("method", "windows", "side"),
        [
            ("dual", (PHOTOPEAK,), "below"),
            ("dual", (PHOTOPEAK, UPPER), "below"),
            ("triple", (PHOTOPEAK, LOWER), "above"),
        ],
    )
    def test_without_the_window_it_is_refused(self, method, windows, side) -> None:
        system = windowed(*windows)
        sentence = f"no energy window {side} the photopeak among {len(windows)}; expected a scatter window; choose"
        with pytest.raises(UsageError, match=sentence):
            WindowScatter(method).estimate(system, nothing(system))


def test_every_share_of_the_sphere_that_is_counted_adds_up() -> None:
    """A window that takes every energy counts every scattered photon: the mean over the sphere is 1."""
    everything = EnergyWindow(0.0, 1000.0)
    share = into_window(sphere(20_000)[:, 2], everything, Crystal())
    assert share.mean() == pytest.approx(1.0, abs=1e-3)


class TestOnDetector:
    """From coarse pixels to fine ones."""

    def test_cubic_weights_are_those_of_pytorch(self) -> None:
        torch = pytest.importorskip("torch")
        coarse = np.random.default_rng(0).random((1, 1, 7, 12))
        fine = torch.nn.functional.interpolate(
            torch.from_numpy(coarse), size=(21, 36), mode="bicubic", align_corners=False
        ).numpy()
        rows, columns = cubic_weights(21, 7, 1 / 3), cubic_weights(36, 12, 1 / 3)
        np.testing.assert_allclose(rows @ coarse[0, 0] @ columns.T, fine[0, 0], atol=1e-12)

    def test_a_straight_line_stays_straight_and_every_row_sums_to_one(self) -> None:
        weights = cubic_weights(25, 11, 0.4)
        places = (np.arange(25) - 12) * 0.4
        inner = np.abs(places) < 3.0
        np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-12)
        np.testing.assert_allclose((weights @ (np.arange(11) - 5.0))[inner], places[inner], atol=0.11)
