"""Laws of expectation maximisation, and that the object stays where it was."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import xlogy

from mureg.errors import UsageError
from mureg.geometry import Quantity, Volume
from mureg.recon import Osem, Reconstructor
from mureg.spect import SystemModel
from support.phantoms import camera, centroid_mm, ellipsoid, measured, orbit, voxel_points


def phantom(scanner) -> tuple[np.ndarray, Volume]:
    """A bright crescent without symmetry in a warm body, and the body's attenuation."""
    grid = scanner.grid()
    points = voxel_points(grid) - scanner.centre_mm
    body = ellipsoid(points, (0, 0, 0), (75, 60, 1e4), 8.0)
    heart = ellipsoid(points, (28, -18, 8), (24, 20, 20), 8.0) - ellipsoid(points, (22, -12, 8), (12, 10, 10), 8.0)
    activity = 0.05 * body + heart + 0.6 * ellipsoid(points, (-34, 8, -16), (18, 20, 14), 8.0)
    mu = Volume(0.15 * body, grid, Quantity.MU_PER_CM)
    return activity, mu


def phantom_counts(angles, **where) -> tuple[np.ndarray, Volume, object]:
    scanner = camera(angles, rows=12, columns=28, **where)
    activity, mu = phantom(scanner)
    return activity, mu, measured(activity, scanner, mu)


ORBITS = {
    "half a turn, counter-clockwise": orbit(32, 180, 135),
    "half a turn, clockwise": orbit(32, 180, 315, clockwise=True),
    "half a turn, 30 views": orbit(30, 180, 135),
    "half a turn, an odd number of views": orbit(31, 180, 135),
    "whole turn, counter-clockwise": orbit(40, 360, 0),
    "whole turn, clockwise, an odd number of views": orbit(37, 360, 20, clockwise=True),
}


@pytest.mark.parametrize("angles", ORBITS.values(), ids=ORBITS.keys())
def test_noise_free_counts_give_the_object_back_in_its_place(angles) -> None:
    activity, mu, acquisition = phantom_counts(angles, centre_mm=(40.0, -30.0, 200.0))
    system = SystemModel(acquisition, acquisition.grid(), mu)
    found = Osem(iterations=10, subsets=6).reconstruct(acquisition, system)
    assert found.quantity is Quantity.ACTIVITY
    assert found.grid == acquisition.grid()
    offset_mm = centroid_mm(np.asarray(found), found.grid) - centroid_mm(activity, found.grid)
    assert np.abs(offset_mm).max() < 6.8 / 4
    hot = np.asarray(found) * (np.asarray(activity) > 0.3)
    offset_mm = centroid_mm(hot, found.grid) - centroid_mm(activity * (activity > 0.3), found.grid)
    assert np.abs(offset_mm).max() < 6.8 / 4
    error = np.sqrt(((np.asarray(found) - np.asarray(activity)) ** 2).mean() / (np.asarray(activity) ** 2).mean())
    assert error < 0.15
    assert float(found.values.sum()) == pytest.approx(float(activity.sum()), rel=0.03)


def test_the_likelihood_never_falls() -> None:
    _, mu, acquisition = phantom_counts(orbit(12, 180))
    noisy = np.random.default_rng(0).poisson(20 * acquisition.counts).astype(np.float64)
    acquisition = replace(acquisition, counts=noisy)
    system = SystemModel(acquisition, acquisition.grid(), mu)
    y = acquisition.photopeak_counts

    def log_likelihood(iterations: int) -> float:
        expected = system.project(Osem(iterations=iterations, subsets=1).reconstruct(acquisition, system).values)
        return float((xlogy(y, expected) - expected).sum())

    rising = [log_likelihood(n) for n in range(1, 12)]
    assert all(later > earlier for earlier, later in pairwise(rising))


@pytest.mark.parametrize("attenuated", [False, True])
@pytest.mark.parametrize("iterations", [1, 4])
def test_an_em_iteration_expects_as_many_counts_as_were_measured(attenuated, iterations) -> None:
    _, mu, acquisition = phantom_counts(orbit(10, 360))
    system = SystemModel(acquisition, acquisition.grid(), mu if attenuated else None)
    found = Osem(iterations=iterations, subsets=1).reconstruct(acquisition, system)
    assert float(system.project(found.values).sum()) == pytest.approx(float(acquisition.counts.sum()), rel=1e-9)


@settings(max_examples=5)
@given(st.floats(1e-3, 1e5))
def test_twice_the_counts_mean_twice_the_activity(scale) -> None:
    _, mu, acquisition = phantom_counts(orbit(8, 360))
    more = replace(acquisition, counts=scale * acquisition.counts)
    system = SystemModel(acquisition, acquisition.grid(), mu)
    algorithm = Osem(iterations=2, subsets=4)
    one, other = algorithm.reconstruct(acquisition, system), algorithm.reconstruct(more, system)
    np.testing.assert_allclose(other.values, scale * one.values, rtol=1e-6, atol=1e-9 * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_counts_mean_no_activity(dtype) -> None:
    scanner = camera(orbit(10, 180), rows=3, columns=12, dtype=dtype)
    found = Osem(iterations=3, subsets=5).reconstruct(scanner, SystemModel(scanner, scanner.grid()))
    assert np.array_equal(found.values, np.zeros((12, 12, 3), dtype=dtype))


def test_activity_is_never_negative_and_keeps_within_the_cylinder_that_every_view_sees() -> None:
    scanner = camera(orbit(10, 180), rows=3, columns=12)
    noise = np.random.default_rng(1).poisson(np.full((1, 10, 3, 12), 0.5, dtype=np.float32)).astype(np.float64)
    acquisition = replace(scanner, counts=noise)
    found = Osem(iterations=5, subsets=5).reconstruct(acquisition, SystemModel(acquisition, acquisition.grid()))
    assert float(found.values.min()) >= 0.0
    points = voxel_points(found.grid)
    beyond = np.hypot(points[..., 0], points[..., 1]) > 12 * 6.8 / 2
    assert float(found.values[beyond].sum()) == 0.0


def test_without_correction_the_middle_of_a_body_looks_too_cold() -> None:
    scanner = camera(orbit(32, 360), rows=3, columns=40)
    grid = scanner.grid()
    body = ellipsoid(voxel_points(grid), (0, 0, 0), (110, 110, 1e4), 8.0)
    mu = Volume(0.15 * body, grid, Quantity.MU_PER_CM)
    acquisition = measured(body, scanner, mu)

    def middle_to_edge(system_mu) -> float:
        values = np.asarray(
            Osem(iterations=8, subsets=8).reconstruct(acquisition, SystemModel(acquisition, grid, system_mu))
        )
        radius = np.hypot(*np.moveaxis(voxel_points(grid)[..., :2], -1, 0))
        return float(values[radius < 25].mean() / values[(radius > 75) & (radius < 95)].mean())

    assert middle_to_edge(mu) == pytest.approx(1.0, abs=0.05)
    # 0.19 of the photons leave the very middle (exp(-0.15 x 11)), about twice as many a place near the edge
    assert middle_to_edge(None) < 0.75


def test_two_runs_are_equal_bit_for_bit() -> None:
    _, mu, acquisition = phantom_counts(orbit(12, 180))
    acquisition = replace(acquisition, counts=acquisition.counts.astype(np.float32))
    system = SystemModel(acquisition, acquisition.grid(), mu)
    runs = [Osem(iterations=3, subsets=4).reconstruct(acquisition, system).values for _ in range(2)]
    assert np.array_equal(*runs)
    assert runs[0].dtype == np.float32


def test_the_counts_are_left_as_they_were() -> None:
    _, mu, acquisition = phantom_counts(orbit(8, 180))
    before = acquisition.counts.copy()
    Osem(iterations=2, subsets=2).reconstruct(acquisition, SystemModel(acquisition, acquisition.grid(), mu))
    assert np.array_equal(acquisition.counts, before)


def test_progress_is_told_after_each_iteration() -> None:
    scanner, done = camera(orbit(4, 180), rows=2, columns=4), []
    Osem(iterations=3, subsets=2).reconstruct(scanner, SystemModel(scanner, scanner.grid()), done.append)
    assert done == [1, 2, 3]


def test_more_subsets_than_views_are_refused() -> None:
    scanner = camera(orbit(9, 180), rows=2, columns=4)
    with pytest.raises(UsageError, match="10 subsets for 9 views; expected at most 9 subsets"):
        Osem(subsets=10).reconstruct(scanner, SystemModel(scanner, scanner.grid()))


class TestSettings:
    def test_the_object_is_a_reconstructor_and_its_settings(self) -> None:
        assert isinstance(Osem(), Reconstructor)
        assert Osem(iterations=3) == Osem(iterations=3)
        assert Osem(iterations=3) != Osem(iterations=4)
        assert (Osem().iterations, Osem().subsets) == (12, 10)

    @given(st.integers(1, 1000), st.integers(1, 512))
    def test_they_survive_being_written_down(self, iterations, subsets) -> None:
        chosen = Osem(iterations=iterations, subsets=subsets)
        assert Osem(**asdict(chosen)) == chosen

    @pytest.mark.parametrize(
        "wrong",
        [{"iterations": 0}, {"subsets": 0}, {"iterations": 2.5}, {"subsets": "many"}, {"kind": "mlem"}, {"beta": 1}],
    )
    def test_what_means_nothing_is_refused(self, wrong) -> None:
        with pytest.raises(pydantic.ValidationError):
            Osem(**wrong)

    def test_they_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            Osem().iterations = 3
