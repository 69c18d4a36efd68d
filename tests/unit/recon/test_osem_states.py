"""Runs that go on, stop early, start elsewhere, go together; and counts with holes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import xlogy

from mureg.geometry import Quantity, Volume
from mureg.recon import Osem
from mureg.recon.osem import OsemState
from mureg.spect import Acquisition, EnergyWindow, SystemModel
from mureg.spect.collimator import COLLIMATORS
from mureg.spect.expectation import expected_scatter, start_image
from mureg.spect.scatter import SimulatedScatter, WindowScatter
from support.phantoms import PHOTOPEAK, camera, centroid_mm, ellipsoid, orbit, voxel_points

LOWER = EnergyWindow(114.0, 126.0, "lower")
LEHR = COLLIMATORS["GE LEHR"]
SCATTERS = {"none": None, "simulated": SimulatedScatter(directions=60), "windows": WindowScatter("dual")}


def study(
    seed: int = 0, shift_mm: float = 0.0, views: int = 12, scatter: str = "none"
) -> tuple[Acquisition, SystemModel]:
    """Noisy counts of a crescent in a body, in two windows, and the whole model of them."""
    scanner = replace(camera(orbit(views, 180), rows=10, columns=20), radii_mm=np.full(views, 150.0))
    grid = scanner.grid()
    points = voxel_points(grid) - (shift_mm, 0.0, 0.0)
    body = ellipsoid(points, (0, 0, 0), (55, 45, 1e4), 8.0)
    heart = ellipsoid(points, (18, -14, 5), (22, 20, 20), 8.0) - ellipsoid(points, (12, -8, 5), (10, 10, 10), 8.0)
    activity = 5.0 * body + 60.0 * heart
    mu = Volume((0.15 * body), grid, Quantity.MU_PER_CM)
    expected = SystemModel(scanner, grid, mu, LEHR).project(activity)
    both = np.stack([1.25 * expected, 0.3 * expected])
    counts = np.random.default_rng(seed).poisson(both).astype(np.float64)
    acquisition = replace(scanner, counts=counts, windows=(PHOTOPEAK, LOWER))
    return acquisition, SystemModel(acquisition, grid, mu, LEHR, SCATTERS[scatter])


class TestGoingOn:
    @pytest.mark.parametrize("scatter", SCATTERS)
    @pytest.mark.parametrize("stop", [1, 2, 5])
    def test_a_run_continued_is_one_long_run_bit_for_bit(self, scatter, stop) -> None:
        acquisition, system = study(scatter=scatter)
        whole = Osem(iterations=12, subsets=4).run(acquisition, system)
        part = Osem(iterations=stop, subsets=4).run(acquisition, system)
        assert part.iteration == stop
        assert (part.scatter is None) == (scatter == "none" or (scatter == "simulated" and stop == 1))
        on = Osem(iterations=12, subsets=4).run(acquisition, system, part)
        assert np.array_equal(on.activity.values, whole.activity.values)
        assert on.iteration == whole.iteration == 12
        if whole.scatter is not None:
            assert np.array_equal(on.scatter, whole.scatter)

    def test_a_run_does_not_change_the_state_it_starts_from(self) -> None:
        acquisition, system = study()
        state = Osem(iterations=2, subsets=4).run(acquisition, system)
        before = state.activity.values.copy()
        Osem(iterations=4, subsets=4).run(acquisition, system, state)
        assert np.array_equal(state.activity.values, before)

    def test_nothing_is_left_to_do_for_a_finished_run(self) -> None:
        acquisition, system = study()
        state = Osem(iterations=3, subsets=4).run(acquisition, system)
        again = Osem(iterations=3, subsets=4).run(acquisition, system, state)
        assert np.array_equal(again.activity.values, state.activity.values)

    def test_the_post_filter_touches_the_result_only(self) -> None:
        acquisition, system = study()
        plain, smooth = (Osem(iterations=3, subsets=4, post_filter=kind) for kind in ("none", "gaussian"))
        without, filtered = (osem.run(acquisition, system).activity.values for osem in (plain, smooth))
        assert np.array_equal(without, filtered)


class TestStart:
    def test_a_voxel_that_starts_empty_stays_empty(self) -> None:
        acquisition, system = study()
        values = start_image(acquisition, system.grid).values
        values[8:12, 8:12] = 0.0
        found = Osem(iterations=3, subsets=4).run(
            acquisition, system, OsemState(Volume(values, system.grid, Quantity.ACTIVITY))
        )
        assert np.abs(found.activity.values[8:12, 8:12]).sum() == 0.0
        assert float(found.activity.values.sum()) > 0.0

    def test_the_level_of_the_start_does_not_matter(self) -> None:
        acquisition, system = study()
        uniform = start_image(acquisition, system.grid)
        low, high = (
            Osem(iterations=2, subsets=4).run(acquisition, system, OsemState(uniform.with_values(s * uniform.values)))
            for s in (0.01, 100.0)
        )
        np.testing.assert_allclose(low.activity.values, high.activity.values, rtol=1e-9, atol=1e-12)

    def test_the_truth_as_a_start_stays_the_truth_without_noise(self) -> None:
        acquisition, system = study()
        truth = start_image(acquisition, system.grid)
        truth = truth.with_values(truth.values * np.random.default_rng(2).random(system.grid.shape, dtype=np.float32))
        ideal = replace(acquisition, counts=np.stack([system.project(truth.values)] * 2))
        found = Osem(iterations=2, subsets=4).run(ideal, system, OsemState(truth))
        np.testing.assert_allclose(found.activity.values, truth.values, rtol=1e-6, atol=1e-6)


class TestStoppingAndProgress:
    def test_it_stops_once_an_iteration_changes_little(self) -> None:
        acquisition, system = study()
        done: list[int] = []
        early = Osem(iterations=200, subsets=1, stop_below=0.05).run(acquisition, system, progress=done.append)
        assert 2 <= early.iteration < 200
        assert done == list(range(1, early.iteration + 1))
        last, before = (
            Osem(iterations=early.iteration - k, subsets=1).run(acquisition, system).activity.values for k in (0, 1)
        )
        assert np.array_equal(last, early.activity.values)
        assert np.linalg.norm(last - before) < 0.05 * np.linalg.norm(last)
        earlier = Osem(iterations=early.iteration - 2, subsets=1).run(acquisition, system).activity.values
        assert np.linalg.norm(before - earlier) >= 0.05 * np.linalg.norm(before)

    def test_progress_goes_on_counting(self) -> None:
        acquisition, system = study()
        state, done = Osem(iterations=2, subsets=3).run(acquisition, system), []
        Osem(iterations=5, subsets=3).run(acquisition, system, state, done.append)
        assert done == [3, 4, 5]


class TestHoles:
    @pytest.mark.parametrize("scatter", SCATTERS)
    @pytest.mark.parametrize("hole", ["everything", "a view", "a row", "a column", "all but one pixel"])
    def test_activity_stays_finite_and_never_negative(self, hole, scatter) -> None:
        acquisition, system = study(scatter=scatter)
        counts = acquisition.counts.copy()
        if hole == "everything":
            counts[:] = 0.0
        elif hole == "a view":
            counts[:, 3] = 0.0
        elif hole == "a row":
            counts[:, :, 4] = 0.0
        elif hole == "a column":
            counts[:, :, :, 9] = 0.0
        else:
            kept = counts[0, 5, 5, 10].copy() + 1.0
            counts[:] = 0.0
            counts[0, 5, 5, 10] = kept
        acquisition = replace(acquisition, counts=counts)
        system = replace(system, acquisition=acquisition)
        found = Osem(iterations=5, subsets=6).reconstruct(acquisition, system)
        assert bool(np.isfinite(found.values).all())
        assert float(found.values.min()) >= 0.0
        if hole == "everything":
            assert float(found.values.max()) == 0.0


class TestOrbits:
    @pytest.mark.parametrize("what", ["view_weights", "column_offsets_mm"])
    def test_the_truth_explains_counts_of_an_uneven_orbit_only_if_the_orbit_is_known(self, what) -> None:
        acquisition, system = study()
        uneven = replace(acquisition, **{what: np.linspace(0.5, 1.5, 12) * (1 if what == "view_weights" else 6.0)})
        truth = start_image(acquisition, system.grid)
        truth = truth.with_values(truth.values * (1.0 + system.mu.values))
        uneven = replace(uneven, counts=np.stack([replace(system, acquisition=uneven).project(truth.values)] * 2))
        known, forgotten = (
            Osem(iterations=3, subsets=4).run(uneven, model, OsemState(truth)).activity.values
            for model in (replace(system, acquisition=uneven), system)
        )
        np.testing.assert_allclose(known, truth.values, rtol=1e-6, atol=1e-6)
        assert np.abs(forgotten - truth.values).max() > 0.05 * float(truth.values.max())

    def test_a_column_offset_that_is_known_does_not_move_the_heart(self) -> None:
        acquisition, system = study()
        truth = start_image(acquisition, system.grid)
        points = voxel_points(system.grid)
        truth = truth.with_values(ellipsoid(points, (14, -10, 4), (16, 14, 14), 8.0))
        off = replace(acquisition, column_offsets_mm=np.full(12, 9.0))
        off = replace(off, counts=np.stack([replace(system, acquisition=off).project(truth.values)] * 2))
        known = Osem(iterations=8, subsets=4).reconstruct(off, replace(system, acquisition=off))
        unknown = Osem(iterations=8, subsets=4).reconstruct(off, system)
        place = centroid_mm(np.asarray(truth), truth.grid)
        assert np.abs(centroid_mm(np.asarray(known), known.grid) - place).max() < 0.7
        assert np.linalg.norm(centroid_mm(np.asarray(unknown), unknown.grid) - place) > 3.0


def test_the_balance_of_scatter_needs_no_projection_where_the_sensitivity_is_known() -> None:
    """The counts expected in all views are the activity times the sensitivity: the transpose, written twice."""
    acquisition, system = study(scatter="simulated")
    activity = Volume(np.random.default_rng(3).random(system.grid.shape), system.grid, Quantity.ACTIVITY)
    seen = system.backproject(np.ones(acquisition.counts.shape[1:]))
    projected, multiplied = (expected_scatter(acquisition, system, activity, known) for known in (None, seen))
    np.testing.assert_allclose(multiplied, projected, rtol=1e-12)


def test_with_resolution_and_a_fixed_scatter_the_likelihood_never_falls() -> None:
    acquisition, system = study(scatter="windows")
    background = WindowScatter("dual").estimate(system, start_image(acquisition, system.grid))
    y, state, reached = acquisition.photopeak_counts, None, []
    for iterations in range(1, 16):
        state = Osem(iterations=iterations, subsets=1).run(acquisition, system, state)
        expected = system.project(state.activity.values) + background
        reached.append(float((xlogy(y, expected) - expected).sum()))
    assert all(later > earlier for earlier, later in pairwise(reached))
