"""What projections of a chest whose truth is known say against a wrong map, spacing or centre of rotation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mureg.assessment.projection_checks import (
    ProjectionEvidence,
    log_likelihoods,
    projection_evidence,
    projection_notes,
)
from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.body import emission_outline
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.notes import Rank
from mureg.recon.images import reconstruct
from mureg.registration.likelihood.profile import with_rows
from mureg.spect import SystemModel
from mureg.spect.physics import WITHOUT
from mureg.spect.system import inner_order
from mureg.study import attenuation_maps
from support.phantoms import camera, chest, measured, mu_volume, orbit, voxel_points

HEART = (38.0, -32.0, 12.0)
STILL = RigidTransform.identity()
CAMERA = camera(orbit(30, 180), rows=28, columns=34, pixel_mm=(12.0, 12.0))
CT_GRID = Grid.centred((56, 46, 46), (9.0, 9.0, 9.0))


@pytest.fixture(scope="module")
def acquisition():
    grid = CAMERA.grid()
    activity, mu = chest(voxel_points(grid), edge_mm=14.0)
    exact = measured(20 * activity, CAMERA, Volume(mu, grid, Quantity.MU_PER_CM))
    counts = np.random.default_rng(1).poisson(exact.counts.astype(np.float64))
    return replace(exact, counts=counts.astype(np.float32))


@pytest.fixture(scope="module")
def outline(acquisition):
    return emission_outline(reconstruct(acquisition, None, physics=WITHOUT))


def evidence(acquisition, outline, mu, pose=STILL):
    maps, _ = attenuation_maps(mu, acquisition.grid())
    return projection_evidence(acquisition, maps, outline, pose, HEART)


def scaled(mu: Volume, factors) -> Volume:
    """The same map on voxels of another size, about the heart."""
    scale = np.diag([*factors, 1.0])
    scale[:3, 3] = np.asarray(HEART) * (1.0 - np.asarray(factors))
    return Volume(mu.values, Grid(mu.grid.shape, scale @ mu.grid.affine), mu.quantity, mu.outside)


def sentences(found) -> str:
    notes = list(projection_notes(found, Thresholds()))
    assert all(note.rank is Rank.CHANGES_ANSWER for note in notes)
    return " ".join(notes)


def test_a_right_map_raises_nothing(acquisition, outline) -> None:
    found = evidence(acquisition, outline, mu_volume(CT_GRID))
    assert found.map_gain > 0.5
    assert max(found.stretch_gains.values()) < 0.0
    assert found.mirror_gain < -0.1
    assert sentences(found) == ""


def test_a_thin_body_under_a_broad_one_is_no_better_than_water(acquisition, outline) -> None:
    found = evidence(acquisition, outline, scaled(mu_volume(CT_GRID), (0.6, 0.6, 1.0)))
    assert found.map_gain < 0.0
    assert "another patient" in sentences(found)


@pytest.mark.parametrize("factor", [0.67, 1.5])
def test_a_wrong_slice_spacing_is_seen_with_its_sense(acquisition, outline, factor) -> None:
    """A CT written with too small a spacing fits better stretched, one with too large a spacing shrunk."""
    found = evidence(acquisition, outline, scaled(mu_volume(CT_GRID), (1.0, 1.0, factor)))
    towards, away = (1.5, 0.67) if factor < 1.0 else (0.67, 1.5)
    assert found.stretch_gains[towards] > found.stretch_gains[away]
    assert found.stretch_gains[towards] > 0.0
    (note,) = projection_notes(found, Thresholds(largest_stretch_gain=0.0))
    assert f"by {towards:g}" in note


def test_a_mirrored_map_is_seen(acquisition, outline) -> None:
    """About the middle of the grid, which is not that of the body, and moved back over it as a registrar would."""
    right = mu_volume(CT_GRID)
    found = evidence(acquisition, outline, Volume(np.flip(right.values, 0), right.grid, right.quantity, right.outside))
    assert found.mirror_gain > 0.1
    assert "left and right exchanged" in sentences(found)


@pytest.mark.parametrize("offset_mm", [-14.0, 14.0])
def test_a_wrong_centre_of_rotation_is_seen_on_its_side(acquisition, outline, offset_mm) -> None:
    wrong = replace(acquisition, column_offsets_mm=np.full(acquisition.n_views, offset_mm))
    found = evidence(wrong, outline, mu_volume(CT_GRID))
    assert np.sign(found.rotation_offset_mm) == -np.sign(offset_mm)
    assert found.rotation_offsets_mm == pytest.approx((-offset_mm, -offset_mm), abs=5.0), "each half of the rows"
    assert "centre of rotation" in sentences(found)


def test_a_shift_of_half_the_rows_is_no_wrong_centre_of_rotation(acquisition, outline) -> None:
    """A wrong centre of rotation moves all rows alike; what moves the lower ones alone has another cause."""
    counts = acquisition.counts.copy()
    lower = counts.shape[2] // 2
    counts[:, :, lower:] = np.roll(counts[:, :, lower:], 1, axis=3)
    found = evidence(replace(acquisition, counts=counts), outline, mu_volume(CT_GRID))
    assert abs(found.rotation_offset_mm) > Thresholds().rotation_centre_mm, "all rows together are deceived"
    assert "centre of rotation" not in sentences(found)


def reached_alone(acquisition, mu) -> float:
    """Four passes of six subsets with one map, written out: a uniform start, and views one block at a time."""
    system = SystemModel(acquisition, acquisition.grid(), mu)
    counts = inner_order(acquisition.photopeak_counts)
    parts = [(counts[k::6], system.block(range(k, acquisition.n_views, 6), counts)) for k in range(6)]
    x, y, _ = (system.grid.points(np.indices(system.grid.shape).transpose(1, 2, 3, 0))[..., axis] for axis in range(3))
    radius_mm = acquisition.counts.shape[3] * acquisition.pixel_mm[1] / 2
    activity = (np.hypot(x - acquisition.centre_mm[0], y - acquisition.centre_mm[1]) <= radius_mm).astype(counts.dtype)
    for _ in range(4):
        for measured_counts, block in parts:
            sensitivity = block.backproject(np.ones_like(measured_counts))
            ratio = block.backproject(measured_counts / np.maximum(block.project(activity), 1e-9))
            seen = sensitivity > 1e-6 * sensitivity.max()
            activity *= np.where(seen, ratio / np.where(seen, sensitivity, 1.0), 0.0)
    total = 0.0
    for measured_counts, block in parts:
        expected = np.maximum(block.project(activity), 1e-9)
        total += float((measured_counts * np.log(expected) - expected).sum(dtype=np.float64))
    return total


def test_each_slice_and_map_reaches_what_it_would_alone(acquisition) -> None:
    """Maps reconstructed together, and all rows at once, against each map and each half of the rows by itself."""
    grid, n_rows = acquisition.grid(), acquisition.counts.shape[2]
    mu = mu_volume(grid)
    maps = [mu, mu.with_values(0.5 * mu.values[::-1])]
    together = log_likelihoods(acquisition, maps)
    assert together.shape == (2, n_rows)
    middle = n_rows // 2
    upper, lower = with_rows(acquisition, 0, n_rows - middle), with_rows(acquisition, n_rows - middle, n_rows)
    for one, values in zip(maps, together, strict=True):
        for rows, slices in ((upper, slice(middle, None)), (lower, slice(middle))):
            on_rows = one.resampled(onto=Grid(rows.grid().shape, rows.grid().affine, one.grid.frame_of_reference))
            alone = reached_alone(rows, on_rows)
            assert values[slices].sum() == pytest.approx(alone, abs=1e-5 * abs(alone))
    assert abs(together[0].sum() - together[1].sum()) > 100.0, "the two maps differ by far more than the tolerance"


def test_vertebrae_that_confirm_the_slice_spacing_leave_a_stretch_for_the_record() -> None:
    """The depth of breath stretches the chest, a wrong header all of it."""
    found = ProjectionEvidence(3.0, {0.67: 0.6, 1.5: -2.0}, -1.0, 0.0, (0.0, 0.0))
    (alone,) = projection_notes(found, Thresholds())
    assert alone.rank is Rank.CHANGES_ANSWER
    assert "check its slice spacing" in alone
    (confirmed,) = projection_notes(found, Thresholds(), spacing_confirmed=True)
    assert confirmed.rank is Rank.RECORD
    assert "confirms its slice spacing" in confirmed
