"""Motion of the patient along the axis: a simulated patient who moves, one who lies still, closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mureg.geometry import Quantity, Volume
from mureg.spect import Acquisition, SystemModel
from mureg.spect.patient_motion import largest_jump
from support.phantoms import PHOTOPEAK, chest, voxel_points

N_VIEWS, N, PIXEL_MM = 32, 40, 8.0


def of_counts(counts: np.ndarray, angles_deg=None) -> Acquisition:
    n_views = counts.shape[0]
    angles = (225.0 - 180.0 / n_views * np.arange(n_views)) if angles_deg is None else angles_deg
    return Acquisition(
        counts[None].astype(np.float32), (PHOTOPEAK,), 0, angles, (PIXEL_MM, PIXEL_MM), radii_mm=np.full(n_views, 230.0)
    )


STILL = np.zeros(N_VIEWS)


def scanned(shift_head_mm=STILL, seed: int = 1) -> Acquisition:
    """A chest that is seen through its own attenuation, at a height along z of its own in every view, with noise."""
    empty = of_counts(np.zeros((N_VIEWS, N, N), dtype=np.float32))
    grid = empty.grid()
    views = np.zeros((N_VIEWS, N, N), dtype=np.float32)
    for shift in np.unique(shift_head_mm):
        activity, mu = chest(voxel_points(grid) - np.array([0.0, 0.0, shift]))
        system = SystemModel(empty, grid, mu=Volume.from_numpy(mu, grid, Quantity.MU_PER_CM))
        seen = system.project(activity.astype(np.float32))
        there = shift_head_mm == shift
        views[there] = seen[there]
    expected = np.asarray(views * (3e6 / views.sum()))
    return of_counts(np.random.default_rng(seed).poisson(expected))


@pytest.mark.parametrize("shift_mm", [12.0, -12.0, 20.0])
def test_a_patient_who_slips_along_the_table_is_caught_with_direction_place_and_size(shift_mm: float) -> None:
    jump = largest_jump(scanned(np.where(np.arange(N_VIEWS) >= 13, shift_mm, 0.0)))
    assert jump is not None
    assert jump.mm == pytest.approx(shift_mm, abs=2.5)
    assert jump.view == 14, "the first view that shows it, counted from 1"
    assert jump.is_motion
    assert jump.words().endswith(("to the head" if shift_mm > 0 else "to the foot") + " before view 14")


def test_who_lies_still_is_not_accused() -> None:
    jump = largest_jump(scanned())
    assert jump is not None
    assert not jump.is_motion
    assert abs(jump.mm) < 0.6 * PIXEL_MM


def test_views_stored_in_another_order_give_the_same_jump() -> None:
    """Two heads are often stored one after the other."""
    one = scanned(np.where(np.arange(N_VIEWS) >= 13, 16.0, 0.0))
    half = np.concatenate([np.arange(16, 32), np.arange(16)])
    other = replace(one, counts=one.counts[:, half], angles_deg=one.angles_deg[half])
    assert largest_jump(other) == largest_jump(one)


def test_unequal_times_are_no_motion() -> None:
    still = scanned()
    weights = np.linspace(0.5, 1.5, N_VIEWS)
    counts = still.counts * weights.astype(np.float32)[None, :, None, None]
    jump = largest_jump(replace(still, counts=counts, view_weights=weights))
    assert jump is not None
    assert jump.mm == pytest.approx(largest_jump(still).mm, abs=0.05)


def test_nothing_is_said_where_nothing_can_be_told() -> None:
    assert largest_jump(of_counts(np.zeros((N_VIEWS, N, N), dtype=np.float32))) is None
    assert largest_jump(of_counts(np.ones((8, N, N), dtype=np.float32))) is None
    assert largest_jump(of_counts(np.full((N_VIEWS, 12, 60), 9.0, dtype=np.float32))) is None
    assert largest_jump(of_counts(np.full((N_VIEWS, N, N), 9.0, dtype=np.float32))) is None


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_over_a_full_circle_the_step_is_where_it_happened(turn: float) -> None:
    """From the last view to the first there is a step as well: the way back, which the patient never made."""
    one = scanned(np.where(np.arange(N_VIEWS) >= 13, 16.0, 0.0))
    jump = largest_jump(replace(one, angles_deg=225.0 + turn * 360.0 / N_VIEWS * np.arange(N_VIEWS)))
    assert jump is not None
    assert (jump.view, jump.mm) == (14, pytest.approx(16.0, abs=3.0))
