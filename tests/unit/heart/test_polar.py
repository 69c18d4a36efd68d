"""Polar maps: walls where they are in the patient, closed forms, an independent referee, axes of virtual patients."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from mureg.errors import RefusedError, UsageError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.heart.axis import axis_by_hand, axis_from_image, axis_from_wall
from mureg.heart.polar import (
    N_ANGLES,
    PolarMap,
    polar_map,
    segment_error_percent,
    segment_means,
    short_axis,
    short_axis_grid,
)
from mureg.heart.ventricle import SEGMENTS
from mureg.simulate.anatomy import Breath
from mureg.simulate.torso import TorsoRange
from support.hearts import APEX, GRID, TOWARD, VENTRICLE, wall_share, wall_volume, with_defect


def angle_deg(one, other) -> float:
    return float(np.degrees(np.arccos(np.clip(np.dot(one, other), -1.0, 1.0))))


@pytest.mark.parametrize("wall", TOWARD)
def test_a_defect_is_seen_in_the_segments_of_its_wall_and_nowhere_else(wall) -> None:
    """Anterior is towards the head, lateral to the left and back: a mirrored map would name the opposite wall."""
    found = polar_map(with_defect(wall), VENTRICLE).relative
    expected = {
        "anterior": (1, 7, 13),
        "inferior": (4, 10, 15),
        "lateral": (5, 6, 11, 12, 16),
        "septal": (2, 3, 8, 9, 14),
    }[wall]
    beside = {
        "anterior": (2, 6, 8, 12),
        "inferior": (3, 5, 9, 11),
        "lateral": (),
        "septal": (),
    }[wall]
    for number, name in enumerate(SEGMENTS, 1):
        if number in expected:
            assert found[number - 1] < 88.0, name
        elif number not in beside and number != 17:
            assert found[number - 1] > 90.0, name
    opposite = {"anterior": 10, "inferior": 7, "lateral": 9, "septal": 11}[wall]
    assert found[opposite - 1] > found[expected[1] - 1] + 10.0


def test_an_even_wall_gives_an_even_map() -> None:
    found = polar_map(wall_volume(), VENTRICLE)
    assert found.relative.min() > 93.0
    assert all(value > 95.0 for value in found.territories.values())


def test_the_17_values_that_were_painted_come_back() -> None:
    segments = np.random.default_rng(4).uniform(0.3, 1.0, 17)
    points = GRID.points(np.moveaxis(np.indices(GRID.shape), 0, -1))
    uptake = VENTRICLE.perfusion(points, segments.tolist(), blur_mm=1.0)
    found = polar_map(Volume.from_numpy(wall_share() * uptake, GRID, Quantity.ACTIVITY), VENTRICLE)
    # edges of segments are shared out over voxels of 3.4 mm
    np.testing.assert_allclose(found.relative, 100 * segments / segments.max(), atol=5.0)


def test_a_hot_liver_beside_the_inferior_wall_is_not_taken_for_it() -> None:
    places = GRID.points(np.moveaxis(np.indices(GRID.shape), 0, -1))
    down = TOWARD["inferior"] - (TOWARD["inferior"] @ APEX) * APEX
    beside = np.asarray(VENTRICLE.centre_mm) + (VENTRICLE.radius_mm + 26.0) * down / np.linalg.norm(down)
    hot = 3.0 * (np.linalg.norm(places - beside, axis=-1) < 13.0)
    without, beside_it = (
        polar_map(Volume.from_numpy(wall_share() + more, GRID, Quantity.ACTIVITY), VENTRICLE) for more in (0.0, hot)
    )
    assert segment_error_percent(beside_it, without) < 2.0


def test_every_angle_of_a_ring_counts_once() -> None:
    """Of one bright angle the weights of the segments of its ring add up to one ring's share."""
    for angle in range(N_ANGLES):
        rings = np.zeros((12, N_ANGLES))
        rings[:, angle] = 1.0
        means = segment_means(rings, 0.0)
        for sectors, part in ((6, means[:6]), (6, means[6:12]), (4, means[12:16])):
            assert part.sum() * N_ANGLES / sectors == pytest.approx(1.0)


def test_the_mean_over_the_ring_is_that_of_its_segments() -> None:
    rings = np.random.default_rng(1).random((12, N_ANGLES))
    means = segment_means(rings, 0.7)
    assert means[:6].mean() == pytest.approx(rings[:4].mean())
    assert means[12:16].mean() == pytest.approx(rings[8:].mean())
    assert means[16] == 0.7


def test_the_error_is_the_mean_absolute_difference_of_relative_uptake() -> None:
    def of(segments) -> PolarMap:
        return PolarMap(np.ones((12, N_ANGLES)), 1.0, np.asarray(segments, dtype=np.float64))

    one, other = of([2.0] * 17), of([4.0] * 16 + [2.0])
    assert segment_error_percent(one, other) == pytest.approx(50.0 / 17)
    assert segment_error_percent(one, of([7.0] * 17)) == 0.0, "brightness as such is no error"


def test_the_short_axis_is_the_image_that_others_reorient() -> None:
    """SimpleITK resamples onto the same oblique slices; rows go to the inferior wall, columns to the lateral one."""
    spect = with_defect("lateral")
    grid = short_axis_grid(VENTRICLE)
    image = sitk.GetImageFromArray(np.ascontiguousarray(spect.values.transpose(2, 1, 0)))
    image.SetSpacing(spect.grid.spacing_mm)
    image.SetOrigin(spect.grid.affine[:3, 3].tolist())
    onto = sitk.Image(*map(int, grid.shape), sitk.sitkFloat32)
    onto.SetSpacing(grid.spacing_mm)
    onto.SetOrigin(grid.affine[:3, 3].tolist())
    onto.SetDirection((grid.affine[:3, :3] / np.asarray(grid.spacing_mm)).ravel().tolist())
    theirs = sitk.GetArrayFromImage(sitk.Resample(image, onto, sitk.Transform(), sitk.sitkLinear)).transpose(2, 1, 0)
    np.testing.assert_allclose(short_axis(spect, VENTRICLE).values, theirs, atol=2e-4)


def test_the_short_axis_shows_a_ring_with_the_lateral_wall_at_the_right() -> None:
    ours = short_axis(with_defect("lateral", uptake=0.0), VENTRICLE).values
    middle = ours[:, :, ours.shape[2] // 2]
    n = middle.shape[0]
    right, left = middle[n // 2 + 3 :].max(axis=0)[n // 2 - 2 : n // 2 + 3], middle[: n // 2 - 3].max(axis=0)
    assert right.max() < 0.3
    assert left[n // 2 - 2 : n // 2 + 3].min() > 0.7
    assert middle[n // 2, n // 2] < 0.1, "the cavity"


@pytest.mark.parametrize("turn_deg", [(0, 0, 0), (10, -8, 20), (-10, 10, -15)])
def test_the_axis_of_a_shell_is_found(turn_deg) -> None:
    apex = RigidTransform.from_six((0, 0, 0), turn_deg, (0, 0, 0)).matrix[:3, :3] @ APEX
    found = axis_from_wall(wall_volume(apex=apex))
    assert angle_deg(found.apex_direction, apex) < 2.0
    np.testing.assert_allclose(found.centre_mm, VENTRICLE.centre_mm, atol=4.0)
    assert found.length_mm == pytest.approx(VENTRICLE.length_mm, abs=6.0)
    assert found.radius_mm == pytest.approx(VENTRICLE.radius_mm, abs=3.0)


@pytest.mark.parametrize("seed", [3, 8, 21])
def test_the_axis_of_virtual_patients_is_found_within_5_degrees(seed) -> None:
    torso = TorsoRange().draw(np.random.default_rng(seed), f"torso {seed}")
    x, y, z = torso.ventricle.centre_mm
    grid = Grid.centred((28, 28, 28), (6.8, 6.8, 6.8), (x, y, z))
    wall = torso.heart_masks(grid, RigidTransform.identity(), Breath())[0].numpy()
    known = axis_from_wall(Volume(wall, grid, Quantity.ACTIVITY))
    assert angle_deg(known.apex_direction, torso.ventricle.apex_direction) < 3.0
    # as an image would show it: blurred, over a background, one wall at half its uptake
    places = grid.points(np.moveaxis(np.indices(grid.shape), 0, -1))
    beside = places @ torso.ventricle.axes[1] > np.asarray(torso.ventricle.centre_mm) @ torso.ventricle.axes[1] + 12.0
    blurred = ndimage.gaussian_filter(wall * np.where(beside, 0.6, 1.0), 12.0 / 2.355 / 6.8) + 0.03
    image = Volume.from_numpy(blurred, grid, Quantity.ACTIVITY)
    estimated = axis_from_image(image)
    assert angle_deg(estimated.ventricle.apex_direction, torso.ventricle.apex_direction) < 5.0
    assert estimated.confidence > 0.5
    by_hand = axis_by_hand(image, torso.ventricle.centre_mm, torso.ventricle.apex_direction)
    assert by_hand.ventricle.apex_direction == pytest.approx(torso.ventricle.apex_direction)
    off = np.subtract(by_hand.ventricle.centre_mm, torso.ventricle.centre_mm)
    assert np.linalg.norm(np.cross(off, torso.ventricle.apex_direction)) < 1e-6, "stays on the line"
    assert by_hand.ventricle.length_mm == pytest.approx(estimated.ventricle.length_mm, abs=8.0)


def test_an_image_of_a_ball_has_no_sure_axis() -> None:
    ball = np.linalg.norm(GRID.points(np.moveaxis(np.indices(GRID.shape), 0, -1)) - VENTRICLE.centre_mm, axis=-1) < 30.0
    image = Volume.from_numpy(ndimage.gaussian_filter(ball.astype(float), 2.0), GRID, Quantity.ACTIVITY)
    with contextlib.suppress(RefusedError):  # which is as well
        assert axis_from_image(image).confidence < 0.3


@pytest.mark.parametrize("direction", [(0.0, 0.0, 0.0), (-0.7, -0.5, -0.5), (float("nan"), 0.0, 0.0)])
def test_an_axis_by_hand_points_to_the_left(direction) -> None:
    with pytest.raises(UsageError, match="to the patient's left"):
        axis_by_hand(wall_volume(), VENTRICLE.centre_mm, direction)


def test_what_holds_no_heart_is_refused() -> None:
    nothing = Volume(np.zeros(GRID.shape), GRID, Quantity.ACTIVITY)
    with pytest.raises(RefusedError, match="0 voxels of a left-ventricular wall"):
        axis_from_wall(nothing)
    with pytest.raises(UsageError, match="no uptake in the left-ventricular wall"):
        polar_map(nothing, VENTRICLE)
