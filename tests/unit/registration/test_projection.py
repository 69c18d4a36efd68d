"""Registration by the likelihood of the projections: a chest on a table, moved, seen by the camera's own model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mureg.attenuation.maps import AttenuationMap, AttenuationMaps
from mureg.errors import RegistrationError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.geometry.target_error import target_registration_error_mm
from mureg.registration import ProfileLikelihood
from mureg.registration.base import covariance_about
from mureg.registration.likelihood.profile import (
    Candidate,
    PosedMaps,
    air_inside,
    rebinned,
    rows_to_trust,
    wide_grid,
    with_rows,
)
from mureg.spect import Acquisition, Physics, SystemModel
from mureg.study import PreparedStudy
from support.phantoms import camera, centroid_mm, chest, mu_volume, orbit, voxel_points

prepared = PreparedStudy.from_images

PIXEL_MM = 13.6
CT = Grid.centred((64, 54, 60), (6.8, 6.8, 6.8), (0.0, 10.0, 0.0))
CAMERA = camera(
    orbit(15, 360.0, 225.0, clockwise=True), 20, 30, (PIXEL_MM, PIXEL_MM), (4.0, 6.0, 3.0), dtype=np.float32
)
TABLE_PER_CM = 0.12
HEART = np.array([38.0, -32.0, 12.0]) + np.random.default_rng(1).normal(0.0, 20.0, (100, 3))
QUICK = ProfileLikelihood(
    start="scanner-position",
    rebin=1,
    passes=20,
    subsets=5,
    steps=((6.0, 4.0), (6.0, 4.0), (4.0, 2.5)),
    physics=Physics(resolution=False, scatter="none"),
)
MOTION = RigidTransform.from_six((10.0, -6.0, 11.0), (2.0, -3.0, 3.0), CAMERA.grid().centre_mm)
OTHER = RigidTransform.from_six((-9.0, 6.0, -11.0), (-3.0, 2.0, -3.0), CAMERA.grid().centre_mm)


def table(per_cm: float = TABLE_PER_CM) -> Volume:
    points = voxel_points(CT)
    slab = (np.abs(points[..., 1] - 128.0) < 10.0) & (np.abs(points[..., 0]) < 190.0)
    return Volume.from_numpy(np.where(slab, per_cm, 0.0), CT, Quantity.MU_PER_CM)


def maps_of(motion: RigidTransform, per_cm: float = TABLE_PER_CM) -> AttenuationMaps:
    return AttenuationMaps(mu_volume(CT, motion), table(per_cm) if per_cm else None, AttenuationMap())


def activity() -> Volume:
    """Averaged over each voxel of the camera's grid."""
    grid = CAMERA.grid()
    fine = Grid.centred(tuple(3 * n for n in grid.shape), (PIXEL_MM / 3,) * 3, grid.centre_mm)
    return Volume.from_numpy(chest(voxel_points(fine))[0], fine, Quantity.ACTIVITY).coarsened(PIXEL_MM)


def seen(motion: RigidTransform, per_cm: float = TABLE_PER_CM, million: float = 3.0, seed: int = 5) -> Acquisition:
    """Poisson counts of the chest on its table."""
    maps, grid = maps_of(motion, per_cm), CAMERA.grid()
    mu = maps.on_spect(maps.attenuation_grid(grid, motion), motion)
    expected = SystemModel(CAMERA, grid, mu).project(activity().values)
    expected = expected * (million * 1e6 / float(expected.sum()))
    return replace(CAMERA, counts=np.random.default_rng(seed).poisson(expected).astype(np.float32)[None])


def found(motion: RigidTransform, maps: AttenuationMaps | None = None, settings=QUICK, per_cm: float = TABLE_PER_CM):
    maps = maps or maps_of(motion, per_cm)
    return settings.register(PreparedStudy(activity(), maps, seen(motion, per_cm)))


def heart_error_mm(pose: RigidTransform, motion: RigidTransform) -> float:
    return target_registration_error_mm(pose, motion, HEART)


@pytest.fixture(scope="module")
def moved():
    return found(MOTION)


def test_a_motion_is_found_to_a_tenth_of_a_pixel(moved) -> None:
    assert heart_error_mm(RigidTransform.identity(), MOTION) > 12.0
    assert heart_error_mm(moved.ct_from_spect, MOTION) < 1.5
    assert moved.decision == "moved"
    assert moved.evidence["gain_over_scanner_position"] > 100.0
    assert not moved.warnings


def test_the_opposite_way_is_found_as_well() -> None:
    registration = found(OTHER)
    assert heart_error_mm(registration.ct_from_spect, OTHER) < 2.0
    assert heart_error_mm(registration.ct_from_spect, OTHER.inverse()) > 15.0


def test_the_best_of_several_starts_is_climbed_from() -> None:
    study = PreparedStudy(activity(), maps_of(MOTION), seen(MOTION))
    settings = replace(QUICK, full_hessians=1)
    far = RigidTransform.from_six((0.0, 0.0, -60.0), (0.0, 0.0, 0.0), CAMERA.grid().centre_mm)
    answer = settings.maximise(study, tuple(HEART.mean(0)), [far, OTHER, RigidTransform.identity()])
    alone = settings.maximise(study, tuple(HEART.mean(0)), [RigidTransform.identity()])
    assert target_registration_error_mm(answer.candidate.ct_from_spect, MOTION, HEART) < 1.0
    assert answer.candidate.ct_from_spect.matrix == pytest.approx(alone.candidate.ct_from_spect.matrix, abs=1e-6)


def test_the_covariance_is_that_of_a_few_million_counts(moved) -> None:
    np.testing.assert_allclose(moved.covariance, moved.covariance.T)
    spread = np.sqrt(np.linalg.eigvalsh(moved.covariance))
    assert spread.min() > 0.01
    assert spread.max() < 3.0


def test_the_table_stays_while_the_body_moves_and_both_are_as_in_the_pipeline() -> None:
    maps, grid = maps_of(RigidTransform.identity()), CAMERA.grid()
    wide = wide_grid(maps, grid, MOTION)
    posed = PosedMaps.of(maps, None, grid, MOTION)
    by_pipeline = maps.on_spect(wide, MOTION)
    assert np.allclose(posed.at(wide, Candidate(MOTION)).values, by_pipeline.values, atol=1e-4)
    only_table = AttenuationMaps(maps.body.with_values(maps.body.values * 0), maps.table, maps.settings)
    posed = PosedMaps.of(only_table, None, grid, MOTION)
    at_rest = posed.at(wide, Candidate(RigidTransform.identity())).values
    assert float(at_rest.max()) > 0.05
    assert np.array_equal(posed.at(wide, Candidate(MOTION)).values, at_rest)
    assert np.allclose(posed.at(wide, Candidate(OTHER, table_share=0.5)).values, 1.5 * at_rest)


def test_air_is_found_inside_the_body_alone() -> None:
    air, points = np.asarray(air_inside(mu_volume(CT))), voxel_points(CT)
    in_lung = np.linalg.norm(points - (-80.0, 0.0, 60.0), axis=-1) < 25.0
    assert air[in_lung] == pytest.approx(1.0 - 0.035 / 0.1538, abs=0.02)
    outside = ((points[..., :2] / (180.0, 120.0)) ** 2).sum(-1) > 1.0
    assert (air[outside] == 0.0).all()
    assert (air[np.linalg.norm(points - (-58.0, -12.0, -72.0), axis=-1) < 30.0] == 0.0).all()  # liver


def test_what_the_map_lacks_of_the_table_is_found() -> None:
    registration = found(MOTION, maps_of(MOTION, TABLE_PER_CM / 1.5))
    assert registration.evidence["table_share"] == pytest.approx(0.5, abs=0.15)
    assert abs(registration.evidence["lung_per_cm"]) < 0.006
    assert heart_error_mm(registration.ct_from_spect, MOTION) < 1.5


def test_a_reconstruction_without_projections_is_refused() -> None:
    with pytest.raises(RegistrationError, match="without its projections"):
        QUICK.register(prepared(activity(), mu_volume(CT)))


def test_a_ct_that_ends_at_the_heart_is_refused() -> None:
    low = Grid.centred((64, 54, 11), CT.spacing_mm, (0.0, 10.0, 12.0))
    with pytest.raises(RegistrationError, match=r"the map covers .* mm of the projections around the heart"):
        replace(QUICK, margin_mm=28.0).register(prepared(activity(), mu_volume(low), seen(RigidTransform.identity())))


def test_the_covariance_of_a_pose_is_that_of_many_drawn() -> None:
    heart, centre = (40.0, -30.0, 20.0), (5.0, -8.0, 3.0)
    chance = np.random.default_rng(2)
    root = np.tril(chance.normal(0.0, 0.2, (6, 6))) + np.diag([0.5, 0.4, 0.8, 0.2, 0.3, 0.25])
    drawn = []
    for small in (root @ chance.normal(size=(6, 20000))).T:
        pose = MOTION @ RigidTransform.from_six(small[:3], small[3:], heart)
        drawn.append(np.concatenate(pose.six(centre)))
    stated = covariance_about(MOTION, root @ root.T, heart, centre)
    scale = np.sqrt(np.diag(stated))
    np.testing.assert_allclose(
        np.cov(np.array(drawn).T) / np.outer(scale, scale), stated / np.outer(scale, scale), atol=0.04
    )


@pytest.mark.parametrize(("rows", "columns"), [(12, 16), (13, 17)])
def test_added_up_pixels_stay_where_they_were(rows, columns) -> None:
    """A point seen by both cameras is reconstructed in one place: the middle of its back projection stays."""
    fine = camera([180.0, 90.0, 30.0], rows, columns, (5.0, 6.0), (3.0, -4.0, 7.0), dtype=np.float64)
    fine = replace(fine, pixel_mm=(6.0, 6.0))
    grid = fine.grid()
    points = voxel_points(grid)
    spot = Volume.from_numpy(
        np.exp(-((points - grid.points((6.3, 9.2, 7.4))) ** 2).sum(-1) / 200.0), grid, Quantity.ACTIVITY
    )
    counts = SystemModel(fine, grid).project(spot.values.astype(np.float64))
    coarse = rebinned(replace(fine, counts=counts[None]), 2, 1)
    assert float(coarse.counts.sum()) == pytest.approx(float(counts.sum()), rel=1e-3)
    again = SystemModel(coarse, coarse.grid()).project(
        spot.averaged(12.0).resampled(coarse.grid()).values.astype(np.float64) * 8.0
    )
    for view in range(3):
        profiles = [image[view].sum(0) for image in (coarse.counts[0], again)]
        columns_seen = [float((p * np.arange(len(p))).sum() / p.sum()) for p in profiles]
        assert columns_seen[0] == pytest.approx(columns_seen[1], abs=0.05)
        rows_seen = [
            float((p * np.arange(len(p))).sum() / p.sum()) for p in (i[view].sum(1) for i in (coarse.counts[0], again))
        ]
        assert rows_seen[0] == pytest.approx(rows_seen[1], abs=0.05)


def test_rows_that_the_ct_does_not_cover_are_left_out() -> None:
    acquisition, heart = replace(CAMERA, counts=np.ones_like(CAMERA.counts)), (38.0, -32.0, 12.0)
    short = Grid.centred((64, 54, 30), (6.8, 6.8, 6.8), (0.0, 0.0, 0.0))  # 102 mm to either side
    up = RigidTransform.from_six((0.0, 0.0, 30.0), (0, 0, 0), (0, 0, 0))  # anatomy at z lies at z + 30 in the CT
    first, end = rows_to_trust(acquisition, short, up, heart, 500.0, 10.0)
    heights = with_rows(acquisition, first, end).grid()
    z = [heights.points((0, 0, k))[2] for k in range(heights.shape[2])]
    assert max(z) + 30.0 <= 102.0 - 10.0
    assert min(z) + 30.0 >= -102.0 + 10.0
    assert max(z) + 30.0 > 102.0 - 10.0 - 2 * PIXEL_MM
    everywhere = rows_to_trust(acquisition, CT, RigidTransform.identity(), heart, 40.0, 0.0)
    near = with_rows(acquisition, *everywhere).grid()
    assert abs(near.centre_mm[2] - heart[2]) <= PIXEL_MM
    assert near.extent_mm[2] <= 80.0 + PIXEL_MM
    np.testing.assert_allclose(centroid_mm(np.ones(near.shape), near), near.centre_mm)
