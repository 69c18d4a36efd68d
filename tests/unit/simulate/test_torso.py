"""Random torsos: truths about bodies, and about rendering them."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage

from mureg.geometry import Grid, RigidTransform
from mureg.simulate.anatomy import Anatomy, Breath
from mureg.simulate.torso import TorsoRange
from mureg.simulate.torso.body import lv_volumes_ml
from mureg.simulate.torso.settings import HeartRange
from mureg.simulate.tracer import TracerRange

HERE = RigidTransform.identity()
REST = Breath()
BODY = Grid.centred((80, 56, 72), (7.0, 7.0, 7.0), (0.0, 0.0, -20.0))


def drawn(seed, **settings):
    return TorsoRange(**settings).draw(np.random.default_rng(seed), f"torso {seed}")


@pytest.fixture(scope="module")
def torso():
    return drawn(3)


@pytest.fixture(scope="module")
def tracer():
    return TracerRange(texture=0.0).draw(np.random.default_rng(5))


@pytest.fixture(scope="module")
def hu(torso):
    return torso.hounsfield(BODY, HERE, REST).values


def masks(torso, breath=REST, spacing=3.0, extent=195.0, shift=0.0, transform=HERE):
    n = int(extent / spacing)
    x, y, z = torso.ventricle.centre_mm
    grid = Grid.centred((n, n, n), (spacing,) * 3, (x - 20.0, y + 20.0, z - shift))
    return grid, *torso.heart_masks(grid, transform, breath)


def centroid(grid, mask):
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    weights = mask.numpy()[..., None]
    return (grid.points(index) * weights).sum((0, 1, 2)) / weights.sum()


def organ_centroid(torso, tracer, organ, grid=BODY):
    """Where the activity lies that one organ adds."""
    with_organ = dict.fromkeys(tracer.uptake, 0.0) | {organ: 1.0}
    lit = torso.emission(grid, HERE, REST, type(tracer)(uptake=with_organ, texture=0.0)).activity
    return centroid(grid, lit), float(lit.sum()) * grid.voxel_volume_mm3 / 1000.0


def test_it_is_an_anatomy(torso):
    assert isinstance(torso, Anatomy)
    assert {"inferior_wall", "bowel", "left_arm", "right_arm", "gallbladder"} <= set(torso.anchors)


def test_organs_lie_where_they_do_in_people(torso, tracer):
    heart, _ = organ_centroid(torso, tracer, "lv_wall")
    liver, _ = organ_centroid(torso, tracer, "liver")
    spleen, _ = organ_centroid(torso, tracer, "spleen")
    bone, _ = organ_centroid(torso, tracer, "bone")
    kidneys, _ = organ_centroid(torso, tracer, "kidney")
    lung, _ = organ_centroid(torso, tracer, "lung")
    assert heart[0] > 15.0
    assert heart[1] < -10.0
    assert liver[0] < -20.0
    assert spleen[0] > 40.0
    assert spleen[1] > 10.0
    assert bone[1] > 10.0
    assert kidneys[1] > 10.0
    assert lung[2] > heart[2] > liver[2] > kidneys[2]
    assert abs(torso.ventricle.centre_mm[2]) < 30.0
    assert torso.anchors["left_arm"][0] > 0 > torso.anchors["right_arm"][0]


def test_emission_and_ct_show_one_body(torso, tracer, hu):
    emission = torso.emission(BODY, HERE, REST, tracer)
    inside = ndimage.binary_erosion(hu > -300, iterations=2)
    assert float(emission.mu.min()) >= 0
    assert float(emission.activity.min()) >= 0
    assert float(emission.mu[torch.from_numpy(hu < -995)].abs().max()) < 0.002
    # the clinical conversion below 0 HU (0.154 1/cm for water), good to 3 % for fat
    # (away from bone and lung, which mixed in one voxel may look like soft tissue)
    away = ~ndimage.binary_dilation((hu > 80) | (hu < -130), iterations=2)
    soft = inside & away
    assert int(soft.sum()) > 5000
    assert float(np.abs(emission.mu.numpy() - 0.1538 - 1.65e-4 * hu)[soft].max()) < 0.005


def test_tissues_have_the_hounsfield_units_of_a_ct(torso, tracer, hu):
    places = {"heart": torso.ventricle.centre_mm}
    for organ in ("liver", "spleen"):
        places[organ] = tuple(organ_centroid(torso, tracer, organ)[0])
    values = {n: float(hu[tuple(np.round(BODY.indices(p)).astype(int))]) for n, p in places.items()}
    assert all(20 < value < 90 for value in values.values())
    flat = hu
    assert ((flat > -900) & (flat < -620)).sum() * BODY.voxel_volume_mm3 / 1e6 > 1.0  # lung, litres
    assert (np.abs(flat + 95) < 25).sum() * BODY.voxel_volume_mm3 / 1e6 > 1.0  # fat
    assert (np.abs(flat - 50) < 30).sum() * BODY.voxel_volume_mm3 / 1e6 > 5.0  # muscle and organs
    assert 400 < flat.max() < 1800  # bone, with partial volume
    assert flat.min() == pytest.approx(-999, abs=2)


def test_contrast_brightens_blood_alone(torso, hu):
    bright = torso.hounsfield(BODY, HERE, REST, contrast_hu=200.0).values - hu
    assert float(bright.min()) > -1e-2
    assert float(bright.max()) == pytest.approx(200.0, abs=1.0)
    assert float((bright > 100).sum()) * BODY.voxel_volume_mm3 / 1e6 < 1.5


def test_ventricle_wall_has_its_closed_form_volume():
    torso = drawn(4, deformation_mm=(0.0, 0.0))
    lv = torso.ventricle
    grid, wall, heart = masks(torso, spacing=2.0, extent=150.0)
    _, expected = lv_volumes_ml(lv.length_mm, lv.radius_mm, lv.wall_mm)
    assert float(wall.sum()) * grid.voxel_volume_mm3 / 1000 == pytest.approx(expected, rel=0.02)
    assert bool((wall <= heart + 1e-3).all())


def test_partial_volume_keeps_sums(torso, tracer):
    sums = []
    for spacing in (2.0, 4.0, 8.0):
        n = int(160 / spacing)
        grid = Grid.centred((n, n, n), (spacing,) * 3, (30.0, 0.0, -10.0))
        wall, heart = torso.heart_masks(grid, HERE, REST)
        emission = torso.emission(grid, HERE, REST, tracer)
        volume = grid.voxel_volume_mm3
        sums.append([float(v.double().sum()) * volume for v in (wall, heart, emission.mu, emission.activity)])
    finest = np.array(sums[0])
    np.testing.assert_allclose(np.array(sums[1]) / finest, 1.0, atol=0.01)
    np.testing.assert_allclose(np.array(sums[2])[1:] / finest[1:], 1.0, atol=0.01)
    assert sums[2][0] / finest[0] == pytest.approx(1.0, abs=0.015)


def test_rendering_through_a_rigid_transform_is_moving_the_body(torso):
    through = RigidTransform.from_six((9.0, -5.0, 12.0), (4.0, -3.0, 6.0), (10.0, 0.0, 0.0))
    fine = Grid.centred((110, 90, 90), (4.0, 4.0, 4.0))
    coarse = Grid.centred((50, 40, 40), (6.0, 6.0, 6.0))
    direct = torso.hounsfield(coarse, through, REST)
    moved = torso.hounsfield(fine, HERE, REST).resampled(coarse, through)
    difference = np.abs(direct.values - moved.values)
    assert float(difference.mean()) < 25.0
    correlation = np.corrcoef(direct.values.flatten(), moved.values.flatten())[0, 1]
    assert correlation > 0.99
    assert not np.corrcoef(direct.values.flatten(), torso.hounsfield(coarse, HERE, REST).values.flatten())[0, 1] > 0.97


@pytest.mark.parametrize("breath", [Breath(14.0, 0.9), Breath(45.0, 0.6), Breath(0.0, 0.9, 6.0)])
def test_heart_moves_as_breathed_says(torso, breath):
    still, wall, _ = masks(torso)
    moved, later, _ = masks(torso, breath, shift=breath.diaphragm_mm * 0.7)
    index = np.argwhere(wall.numpy() > 0.5)
    expected = torso.breathed(still.points(index), breath)
    lv = torso.breathed(np.array([torso.ventricle.centre_mm]), breath)[0] - torso.ventricle.centre_mm
    down = breath.heart_share * breath.diaphragm_mm - breath.upward_mm
    assert -lv[2] == pytest.approx(down, abs=1.0 + 0.05 * breath.diaphragm_mm)
    np.testing.assert_allclose(centroid(moved, later), expected.mean(0), atol=0.4 + 0.025 * breath.diaphragm_mm)


def test_breathing_and_its_inverse_agree_to_a_thousandth(torso):
    points = torso.heart_points_mm(50, np.random.default_rng(0))
    breath = Breath(40.0, 0.6)
    there = torso.breathed(points, breath)
    moving = torso.motion.breathed_in(breath)
    undeformed = torso.motion.undeformed(torch.from_numpy(there))
    back = torch.stack(moving.viscera(*undeformed.unbind(-1)), -1)
    np.testing.assert_allclose(torso.motion.deformed(back.numpy()), points, atol=1e-3)
    np.testing.assert_array_equal(torso.breathed(points[:5].reshape(5, 1, 3), REST).shape, (5, 1, 3))
    np.testing.assert_allclose(torso.breathed(points, REST), points, atol=1e-3)


def test_deep_breath_fills_the_lungs_and_keeps_their_mass(torso):
    deep = Breath(45.0, 0.6)
    before, after = torso.volumes_ml(REST)["lung"], torso.volumes_ml(deep)["lung"]
    assert after > 1.25 * before
    mass = []
    for breath in (REST, deep):
        values = torso.hounsfield(BODY, HERE, breath).values
        lung = (values < -620) & (values > -950)
        mass.append(float((values[lung] + 1000.0).sum()))
    assert mass[1] / mass[0] == pytest.approx(1.0, abs=0.1)


def test_heart_points_lie_in_the_heart(torso):
    points = torso.heart_points_mm(400, np.random.default_rng(1))
    grid, _, heart = masks(torso)
    index = np.round(grid.indices(points)).astype(int)
    assert (heart.numpy()[tuple(index.T)] > 0.05).mean() > 0.98


def test_liver_points_are_spread_over_what_shines_when_the_liver_alone_takes_up_tracer(torso, tracer):
    points = torso.liver_points_mm(1000, np.random.default_rng(1))
    grid = Grid.centred((80, 60, 80), (4.0,) * 3, tuple(points.mean(0)))
    with_organ = dict.fromkeys(tracer.uptake, 0.0) | {"liver": 1.0}
    lit = torso.emission(grid, HERE, REST, type(tracer)(uptake=with_organ, texture=0.0)).activity
    index = np.round(grid.indices(points)).astype(int)
    assert (lit.numpy()[tuple(index.T)] > 0.3).mean() > 0.93, "all but its vessels and its rim"
    np.testing.assert_allclose(points.mean(0), centroid(grid, lit), atol=5.0)
    assert points.mean(0)[0] < torso.ventricle.centre_mm[0] - 40.0, "to the right of the heart"
    np.testing.assert_allclose(points, torso.liver_points_mm(1000, np.random.default_rng(1)))


def test_facts_keep_to_the_literature():
    facts = [drawn(seed).facts for seed in range(20)]
    assert {fact["sex"] for fact in facts} == {"male", "female"}
    limits = {
        "bmi": (19, 45), "body_width_mm": (240, 440), "body_depth_mm": (180, 340), "lung_ml": (1300, 5500),
        "liver_ml": (800, 2800), "lv_cavity_ml": (40, 165), "lv_wall_g": (75, 225),
        "axis_aside_deg": (30, 70), "axis_down_deg": (2, 48), "fat_mm": (3, 45),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        values = np.array([fact[name] for fact in facts])
        assert values.min() >= low, name
        assert values.max() <= high, name
    assert all(10 <= fact["right_dome_mm"] - fact["left_dome_mm"] <= 25 for fact in facts)
    assert 2000 < np.mean([fact["lung_ml"] for fact in facts]) < 3800


def test_same_seed_same_torso_and_other_seeds_others(torso):
    again, other = drawn(3), drawn(4)
    grid = Grid.centred((30, 24, 24), (14.0, 14.0, 14.0))
    first = torso.hounsfield(grid, HERE, REST).values
    assert again.body == torso.body
    assert np.array_equal(again.hounsfield(grid, HERE, REST).values, first)
    assert float(np.abs(other.hounsfield(grid, HERE, REST).values - first).mean()) > 20


def test_arms_down_reach_beyond_a_spect_field_and_the_body_goes_on_above_and_below():
    grid = Grid.centred((84, 4, 100), (8.0, 20.0, 8.0), (0.0, 20.0, -50.0))
    for seed in range(3):
        torso = drawn(seed, arms_down=1.0, bmi=(26.0, 40.0))
        inside = torso.hounsfield(grid, HERE, REST).values.max(1) > -300
        x = grid.points(np.stack([np.arange(84), np.zeros(84), np.zeros(84)], -1))[:, 0]
        reach = np.abs(x[inside[:, 40:55].any(1)]).max()
        assert 217.0 < reach <= 305.0
        assert bool(inside[:, 0].any())
        assert bool(inside[:, -1].any())


def test_back_is_where_the_skin_ends(torso):
    grid = Grid.centred((50, 80, 60), (8.0, 2.0, 8.0), (0.0, torso.back_mm, 0.0))
    filled = torso.hounsfield(grid, HERE, REST).values > -500
    lowest = grid.points(np.argwhere(filled))[:, 1].max()
    assert lowest == pytest.approx(torso.back_mm, abs=3.0)


def test_nothing_inside_the_body_is_empty_but_lung_airways_and_gas():
    torso = drawn(6, share_stomach_gas=0.0, share_colon_gas=0.0)
    torso = type(torso)(torso.patient, type(torso.body)(**{**vars(torso.body), "bowel_gas": 0.0}), torso.motion)
    values = torso.hounsfield(BODY, HERE, REST).values
    inside = ndimage.binary_erosion(ndimage.binary_fill_holes(values > -500), iterations=1)
    assert (values[inside] < -920).sum() * BODY.voxel_volume_mm3 / 1000 < 30.0  # ml: trachea and main bronchi


STATES = [REST, Breath(4.0, 0.8), Breath(45.0, 0.6), Breath(17.0, 0.9), Breath(0.0, 0.9, 6.0)]
"""Shallow ones, in which skin and skeleton stand alike, and a deep one among them."""


@pytest.mark.parametrize("seed", [3, 4])
def test_painting_states_together_is_painting_each_from_scratch(seed):
    tracer = TracerRange().draw(np.random.default_rng(seed))
    through = RigidTransform.from_six((9.0, -5.0, 12.0), (4.0, -3.0, 6.0), (10.0, 0.0, 0.0))
    together = drawn(seed).emissions(BODY, through, STATES, tracer)
    scans = drawn(seed).hounsfields(BODY, through, STATES, contrast_hu=100.0)
    for breath, emission, scan in zip(STATES, together, scans, strict=True):
        alone = drawn(seed)
        expected = alone.emission(BODY, through, breath, tracer)
        assert float((emission.mu - expected.mu).abs().max()) < 1e-6
        assert float((emission.activity - expected.activity).abs().max()) < 1e-5
        hu = alone.hounsfield(BODY, through, breath, contrast_hu=100.0).values
        assert float(np.abs(scan.values - hu).max()) < 1e-2
    assert all(
        float((one.activity - other.activity).abs().max()) > 0.1 for one, other in pairwise(together)
    )  # the states differ


def test_the_chest_rises_in_a_deep_breath_alone(torso):
    rest, shallow, deep = (image.values for image in torso.hounsfields(BODY, HERE, [REST, Breath(18.0), Breath(45.0)]))
    body = ndimage.binary_fill_holes(rest > -995)
    around = ~body
    assert float(np.abs(shallow - rest)[around].max()) < 1e-2
    assert float((deep - rest)[around].max()) > 100.0
    assert float(np.abs(shallow - rest)[~around].max()) > 300.0


def test_hearts_of_wider_variety_leave_the_others_as_they_were():
    usual, same = drawn(11), drawn(11, hearts=HeartRange())
    assert usual.body == same.body
    wide = drawn(11, hearts=HeartRange(dome_gap_mm=(20.0, 25.0), rv_shift_mm=8.0, atria_shift_mm=10.0))
    assert wide.body.ventricle == usual.body.ventricle
    assert wide.body.dome_left < usual.body.dome_left - 10.0
    moved = np.subtract(wide.heart.rv.centre, usual.heart.rv.centre)
    np.testing.assert_allclose(moved, wide.body.rv_shift)
    assert 1.0 < np.linalg.norm(moved) < 30.0
