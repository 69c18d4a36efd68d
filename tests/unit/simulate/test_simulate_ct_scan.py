"""The simulated CT: its table, noise, field and numbers, on a cylinder whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mureg.geometry import Grid, Quantity, Volume
from mureg.simulate.ct_scan import CtRange, CtScan
from mureg.simulate.table import SHELL_MU, PatientTable, TableRange

SCAN = CtScan(2.0, 5.0, 200, 8, (0.0, 0.0, 12.0), 390.0, 20.0, 0.0, 0.0, "GE MEDICAL SYSTEMS", "Optima", 120.0, 3)


def cylinder(scan: CtScan, radius_mm: float = 100.0, hu: float = 40.0) -> Volume:
    where = scan.grid.points(np.stack(np.meshgrid(*(np.arange(n) for n in scan.grid.shape), indexing="ij"), -1))
    inside = np.hypot(where[..., 0], where[..., 1]) < radius_mm
    return Volume.from_numpy(np.where(inside, hu, -1000.0), scan.grid, Quantity.HU)


def middle(values: np.ndarray, half: int = 20) -> np.ndarray:
    n = values.shape[0] // 2
    return values[n - half : n + half, n - half : n + half]


def test_noise_has_the_strength_asked_for_and_no_bias() -> None:
    scanned = SCAN.acquire(cylinder(SCAN), None)
    inside = middle(scanned.values)
    assert float(inside.mean()) == pytest.approx(40.0, abs=1.0)
    assert 0.6 * 20 < float(inside.std()) < 1.3 * 20


def test_noise_is_stronger_in_a_thicker_body() -> None:
    thin, thick = (float(middle(SCAN.acquire(cylinder(SCAN, r), None).values).std()) for r in (80.0, 170.0))
    assert thick > 1.5 * thin


def test_streaks_run_from_side_to_side_through_a_wide_body() -> None:
    wide = Volume.from_numpy(np.full(SCAN.grid.shape, 40.0), SCAN.grid, Quantity.HU)
    streaked = replace(SCAN, streaks=1.5, noise_hu=5.0).acquire(wide, None).values
    plain = replace(SCAN, streaks=0.0, noise_hu=5.0).acquire(wide, None).values
    lines = middle(streaked - plain)
    assert float(lines.mean(0).std()) > 5 * float(lines.std(0).mean()), "constant along x, different from line to line"


def test_nothing_is_known_beyond_the_field_of_view() -> None:
    scanned = SCAN.acquire(cylinder(SCAN), None)
    assert scanned.outside is not None
    corner, edge = scanned.grid.indices([(190.0, 190.0, 12.0), (190.0, 0.0, 12.0)]).round().astype(int)
    assert bool(scanned.outside[tuple(corner)])
    assert not bool(scanned.outside[tuple(edge)])


def test_the_same_seed_gives_the_same_scan_and_another_another() -> None:
    body = cylinder(SCAN)
    assert np.array_equal(SCAN.acquire(body, None).values, SCAN.acquire(body, None).values)
    assert not np.array_equal(SCAN.acquire(body, None).values, replace(SCAN, seed=4).acquire(body, None).values)


def test_values_are_whole_hounsfield_units() -> None:
    values = SCAN.acquire(cylinder(SCAN), None).values
    assert np.array_equal(values, values.round())
    assert float(values.min()) >= -1024


def test_the_table_lies_behind_the_back_and_bends_up_at_its_edges() -> None:
    table = PatientTable(top_mm=100.0, mattress_mm=0.0, sag_mm=20.0)
    grid = Grid.centred((220, 220, 1), (2.0, 2.0, 5.0))
    mu = table.mu_per_cm(grid)[:, :, 0].numpy()
    y = grid.affine[1, 3] + 2.0 * np.arange(220)
    in_middle, near_edge = (y[np.argmax(mu[int(grid.indices((x, 0, 0))[0])] > 0.01)] for x in (0.0, 180.0))
    assert in_middle == pytest.approx(100.0, abs=2.5)
    assert near_edge == pytest.approx(100.0 - 20.0 * 0.81, abs=2.5)
    assert mu[:, y < 75].max() == 0.0, "nothing in front of the back"
    assert 0 < mu.max() <= SHELL_MU + 1e-6


def test_a_coarse_table_absorbs_as_much_as_a_fine_one() -> None:
    table = TableRange().draw(np.random.default_rng(2), 110.0)
    paths = []
    for spacing in (1.0, 4.5, 13.6):
        n = round(500 / spacing)
        grid = Grid.centred((n, n, 1), (spacing, spacing, 5.0))
        paths.append(float(table.mu_per_cm(grid)[n // 2].sum()) * spacing / 10)
    np.testing.assert_allclose(paths[1:], paths[0], rtol=0.06)
    assert 0.05 < paths[0] < 0.3, "a table takes 5 to 25 per cent of the photons"


def test_draws_describe_scanners_that_the_conversion_knows() -> None:
    for k in range(50):
        scan = CtRange().draw(np.random.default_rng(k), 7.0)
        assert 250 <= scan.matrix <= 290
        assert abs(scan.centre_mm[2] - 7.0) <= 20.0
        assert 215 <= scan.n_slices * scan.slice_mm <= 405
