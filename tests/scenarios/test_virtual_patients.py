"""What a medical physicist would check on simulated studies before believing anything that rests on them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from mureg.attenuation.maps import AttenuationMap
from mureg.cohort.settings import CohortSettings, Placement, load_settings
from mureg.cohort.simulation import Exposure, exposure, simulate_case
from mureg.geometry import RigidTransform, Volume
from mureg.simulate.breathing import BreathingRange
from mureg.simulate.misalignment import MotionRange
from mureg.spect import Acquisition, SystemModel
from mureg.spect.collimator import choose_collimator
from mureg.study import Case, Ct

pytestmark = pytest.mark.slow

CASES = (0, 1, 2)


@cache
def clinical(index: int) -> Case:
    return simulate_case(load_settings("clinical"), index)


@cache
def seen(index: int) -> Exposure:
    return exposure(load_settings("clinical"), index)


def still() -> CohortSettings:
    """A patient who neither breathes nor moves, with an ordinary tracer: a study whose every step has a closed form."""
    quiet = BreathingRange(
        amplitude_mm=(0.0, 0.0), share_creep=0.0, end_expiration=1.0, mid=0.0, average=0.0, deep_inspiration=0.0
    )
    placement = Placement(MotionRange((15.0, 15.0, 15.0), (4.0, 4.0, 4.0)))
    return replace(load_settings("clinical"), name="still", breathing=quiet, placement=placement)


def acquisition(case: Case) -> Acquisition:
    assert isinstance(case.study.spect, Acquisition)
    return case.study.spect


def ct(case: Case) -> Ct:
    assert isinstance(case.study.attenuation, Ct)
    return case.study.attenuation


def at(volume: Volume, points_mm: np.ndarray) -> np.ndarray:
    """Nearest values; what lies outside is left out."""
    index = np.round(volume.grid.indices(points_mm)).astype(int)
    inside = ((index >= 0) & (index < volume.grid.shape)).all(-1)
    return volume.values[tuple(index[inside].T)]


def inner_part(mask: np.ndarray) -> np.ndarray:
    """The inside of the largest piece: lung without its border, and without skin, mattress and foam."""
    pieces, _ = ndimage.label(ndimage.binary_erosion(mask))
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])


@pytest.mark.parametrize("index", CASES)
def test_noise_is_poisson(index: int) -> None:
    counts, expected = acquisition(clinical(index)).counts, seen(index).expected.numpy()
    many = expected > 5
    score = (counts - expected)[many] / np.sqrt(expected[many])
    n = int(many.sum())
    assert abs(float(score.mean())) < 4 / np.sqrt(n)
    # the variance of a squared score is 2 + 1/expected
    spread = np.sqrt(float((2 + 1 / expected[many]).mean()) / n)
    assert abs(float((score**2).mean()) - 1) < 4 * spread
    neighbours = (score[1:] * score[:-1]).mean()
    assert abs(neighbours) < 4 / np.sqrt(n), "independent from pixel to pixel"


@pytest.mark.parametrize("index", CASES)
def test_counts_are_those_asked_for(index: int) -> None:
    counts = acquisition(clinical(index)).counts
    assert float(counts[0].sum()) == pytest.approx(5e6, abs=5 * np.sqrt(5e6))
    per_view = counts[0].sum((1, 2)) / float(counts[0].sum())
    n = len(per_view)
    assert 0.3 / n < float(per_view.min()) <= float(per_view.max()) < 3.0 / n
    assert np.array_equal(counts, counts.round())


@pytest.mark.parametrize("index", CASES)
def test_a_quarter_to_two_fifths_of_the_photopeak_is_scatter(index: int) -> None:
    case = clinical(index)
    assert 0.25 <= float(case.facts["scatter_fraction"]) <= 0.40
    assert float(seen(index).scatter[0].sum() / seen(index).expected[0].sum()) == case.facts["scatter_fraction"]
    # the lower window is nearly all scatter
    assert float(seen(index).scatter[1].sum() / seen(index).expected[1].sum()) > 0.7


@pytest.mark.parametrize("index", CASES)
def test_tissues_have_their_hounsfield_units_and_attenuation(index: int) -> None:
    case = clinical(index)
    scan = ct(case)
    heart_hu = at(scan.volume, case.truth.heart_points_in_ct_mm)
    assert 25 < np.mean(heart_hu) < 60
    body_mu = AttenuationMap().prepare(scan.volume, scan.conversion()[0]).body
    heart_mu = at(body_mu, case.truth.heart_points_in_ct_mm)
    assert 0.150 < np.mean(heart_mu) < 0.162
    lung = inner_part((body_mu.values > 0.015) & (body_mu.values < 0.075))
    assert 0.025 < np.median(body_mu.values[lung]) < 0.055
    assert -850 < np.median(scan.volume.values[lung]) < -650
    true_heart_mu = at(case.truth.mu, case.truth.heart_points_mm)
    assert np.mean(heart_mu) == pytest.approx(np.mean(true_heart_mu), rel=0.08)


@pytest.mark.parametrize("index", CASES)
def test_organs_take_up_what_was_drawn(index: int) -> None:
    case, exposed = clinical(index), seen(index)
    uptake = exposed.case_draw.tracer.uptake
    wall = case.truth.lv_wall.values > 0.6
    activity = case.truth.activity.values
    perfusion = np.mean(exposed.case_draw.tracer.segments)
    assert activity[wall].mean() == pytest.approx(perfusion, rel=0.3), "myocardium is the unit"
    lung = inner_part((case.truth.mu.values > 0.02) & (case.truth.mu.values < 0.06))
    assert np.median(activity[lung]) == pytest.approx(uptake["lung"], rel=0.35)
    assert activity[wall].mean() / np.median(activity[lung]) > 6


@pytest.mark.parametrize("index", CASES)
def test_the_ventricle_has_the_size_and_direction_of_a_heart(index: int) -> None:
    case, ventricle = clinical(index), seen(index).case_draw.anatomy.ventricle
    weights = case.truth.lv_wall.values
    volume_ml = weights.sum() * case.truth.lv_wall.grid.voxel_volume_mm3 / 1000
    assert volume_ml == pytest.approx(float(case.facts["anatomy_lv_wall_ml"]), rel=0.06)
    assert 85 < volume_ml < 215
    assert 8 <= ventricle.wall_mm <= 14
    where = case.truth.lv_wall.grid.points(np.argwhere(weights > 0.3))
    centre = np.average(where, axis=0, weights=weights[weights > 0.3])
    # the open base has no wall: from the middle of the outline to the centroid of the wall is towards the apex
    back = seen(index).case_draw.patient_from_spect.apply(centre)
    assert (back - np.asarray(ventricle.centre_mm)) @ np.asarray(ventricle.apex_direction) > -8
    apex = np.asarray(ventricle.apex_direction)
    assert apex[0] > 0.5, "to the left"
    assert apex[1] < -0.3, "to the front"
    assert apex[2] < -0.1, "to the feet"
    assert centre[0] > -20, "left of the middle"


def test_heart_liver_and_spine_lie_where_they_do_in_people() -> None:
    drawn = seen(0).case_draw
    activity = simulate_case(still(), 0).truth.activity
    assert drawn.anatomy.ventricle.centre_mm[0] > 15
    assert drawn.anatomy.ventricle.centre_mm[1] < 10
    assert drawn.anatomy.anchors["gallbladder"][0] < 0, "on the right"
    assert drawn.anatomy.anchors["gallbladder"][2] < drawn.anatomy.ventricle.centre_mm[2], "below the heart"
    assert activity.grid.shape == (64, 64, 64)


def test_the_projections_are_those_of_the_truth_by_an_independent_projector() -> None:
    """Orientation of everything at once: activity, attenuation, angles, rows and columns."""
    settings = still()
    case, exposed = simulate_case(settings, 3), exposure(settings, 3)
    spect = acquisition(case)
    collimator = choose_collimator(spect.collimator, spect.manufacturer)[0]
    system = SystemModel(spect, spect.grid(), case.truth.mu, collimator)
    modelled = system.project(case.truth.activity.values)
    primary = (exposed.expected[0] - exposed.scatter[0]).numpy()
    modelled = modelled * (primary.sum() / modelled.sum())
    difference = np.linalg.norm(modelled - primary) / np.linalg.norm(primary)
    assert difference < 0.05
    for wrong in (np.flip(modelled, axis) for axis in (-1, -2, 0)):
        assert np.linalg.norm(wrong - primary) / np.linalg.norm(primary) > 5 * difference


@pytest.mark.parametrize("index", CASES)
def test_the_true_pose_lays_the_map_where_the_emission_saw_it(index: int) -> None:
    case = clinical(index)
    body = AttenuationMap(table="drop").prepare(ct(case).volume, ct(case).conversion()[0]).body
    near = (
        np.linalg.norm(
            case.truth.mu.grid.points(np.indices(case.truth.mu.grid.shape).transpose(1, 2, 3, 0))
            - case.truth.heart_points_mm.mean(0),
            axis=-1,
        )
        < 90
    )

    def misfit(transform: RigidTransform) -> float:
        laid = body.coarsened(6.8).resampled(case.truth.mu.grid, transform)
        known = near if laid.outside is None else near & ~laid.outside
        return float(np.abs(laid.values - case.truth.mu.values)[known].mean())

    right = misfit(case.truth.ct_from_spect)
    assert right < 0.012
    if float(case.facts["heart_displacement_mm"]) > 8:
        assert misfit(RigidTransform.identity()) > 1.3 * right
        assert misfit(case.truth.ct_from_spect.inverse()) > 1.3 * right, "the direction of the transform"


def test_a_patient_who_lies_still_has_exactly_the_motion_that_was_drawn() -> None:
    case = simulate_case(still(), 1)
    drawn = exposure(still(), 1).case_draw.motion
    translation, angles = case.truth.ct_from_spect.six(case.truth.centre_mm)
    np.testing.assert_allclose(translation, drawn.translation_mm, atol=1e-3)
    np.testing.assert_allclose(angles, drawn.angles_deg, atol=1e-3)
    assert case.truth.remainder_mm < 1e-3


def test_the_table_stays_with_the_scanner_while_the_patient_moves() -> None:
    """In SPECT space and in CT space it lies at one place, whatever the motion."""
    settings = still()
    case, exposed = simulate_case(settings, 2), exposure(settings, 2)
    table = exposed.case_draw.table
    below = np.array([[table.middle_mm + x, table.top_mm + table.mattress_mm + 1.2, 0.0] for x in range(-60, 61, 5)])
    below[:, 1] -= table.sag_mm * (np.linspace(-60, 60, 25) / (table.width_mm / 2)) ** 2
    in_ct = at(ct(case).volume, below)
    assert np.median(in_ct) > -700, "the shell, thinner than a voxel"
    fine = Volume(exposed.scene.mu[0].numpy(), exposed.scene.grid, case.truth.mu.quantity)
    assert np.median(at(fine, below)) > 0.03


def test_the_same_number_gives_the_same_case_and_another_another() -> None:
    settings = still()
    first, second, other = simulate_case(settings, 4), simulate_case(settings, 4), simulate_case(settings, 5)
    assert np.array_equal(acquisition(first).counts, acquisition(second).counts)
    assert np.array_equal(ct(first).volume.values, ct(second).volume.values)
    assert first.facts == second.facts
    assert first.facts != other.facts
    assert first.study.patient != other.study.patient


def test_studies_of_one_patient_share_the_body_and_nothing_else() -> None:
    settings = replace(still(), studies_per_patient=2)
    rest, stress = exposure(settings, 6).case_draw, exposure(settings, 7).case_draw
    assert rest.anatomy.patient == stress.anatomy.patient
    assert rest.anatomy.ventricle == stress.anatomy.ventricle
    assert rest.motion != stress.motion
    assert rest.tracer != stress.tracer
