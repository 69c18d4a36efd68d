"""Gradient fields: slopes, refusals, settings; SimpleITK says where the anatomy went."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydantic
import pytest
import SimpleITK as sitk

from mureg.errors import RegistrationError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration import GradientFields
from mureg.registration.gradient_fields import GradientAgreement, noise_of_gradients, normalised_gradients
from mureg.registration.levels import Level
from mureg.study import PreparedStudy
from support.phantoms import chest, mu_volume, voxel_points

prepared = PreparedStudy.from_images

SPECT_GRID = Grid.centred((36, 34, 32), (9.0, 9.0, 9.0), (12.0, -8.0, 20.0))
CT_GRID = Grid.centred((54, 46, 44), (7.0, 7.5, 8.0), (0.0, 5.0, 10.0))
MOTION = RigidTransform.from_six((17.0, -11.0, 9.0), (4.0, -3.0, 6.0), SPECT_GRID.centre_mm)
ALONE = GradientFields(with_mutual_information=False)


@pytest.fixture(scope="module")
def spect() -> Volume:
    """Edges where the map has them, with another contrast: lungs bright, bone dark, and air dark."""
    mu = chest(voxel_points(SPECT_GRID), edge_mm=10.0)[1]
    return Volume.from_numpy(mu * np.exp(-((mu / 0.08) ** 2)), SPECT_GRID, Quantity.ACTIVITY)


def levels(spect: Volume, moving: Volume, sigma_mm: float = 9.0) -> tuple[Level, Level]:
    return Level.of(spect, sigma_mm), Level.of(moving, sigma_mm)


def scaled_by(factor: float, volume: Volume) -> Volume:
    return Volume.from_numpy(factor * np.asarray(volume), volume.grid, volume.quantity)


def in_itk(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(np.asarray(volume).transpose(2, 1, 0))
    image.SetSpacing(volume.grid.spacing_mm)
    image.SetOrigin(volume.grid.affine[:3, 3].tolist())
    return image


def moved_by_itk(volume: Volume, shift_mm, angles_deg, centre_mm) -> Volume:
    """The map of a patient who moved by this in the CT, resampled by SimpleITK."""
    spect_to_ct = sitk.Euler3DTransform()
    spect_to_ct.SetComputeZYX(True)
    spect_to_ct.SetCenter(centre_mm)
    spect_to_ct.SetRotation(*np.radians(angles_deg).tolist())
    spect_to_ct.SetTranslation(shift_mm)
    image = in_itk(volume)
    moved = sitk.Resample(image, image, spect_to_ct.GetInverse(), sitk.sitkLinear, 0.0)
    return Volume.from_numpy(sitk.GetArrayFromImage(moved).transpose(2, 1, 0), volume.grid, volume.quantity)


def test_a_motion_that_simpleitk_applied_is_found_and_not_its_inverse(spect) -> None:
    shift, angles = (17.0, -11.0, 9.0), (4.0, -3.0, 6.0)
    ct = moved_by_itk(mu_volume(CT_GRID), shift, angles, SPECT_GRID.centre_mm)
    found = ALONE.register(prepared(spect, ct))
    np.testing.assert_allclose(found.shift_mm, shift, atol=2.5)
    np.testing.assert_allclose(found.angles_deg, angles, atol=1.5)


def test_the_slope_is_that_of_finite_differences(spect) -> None:
    """Trilinear samples have kinks at cell borders, so the mean over a step is compared, at general poses."""
    measure = GradientAgreement.of(
        *levels(spect, mu_volume(CT_GRID, MOTION)), 6000, SPECT_GRID.centre_mm, edge=0.5, noise=0.5
    )
    poses = np.random.default_rng(3).normal(0.0, 8.0, (4, 6))
    step_mm = 0.02
    numeric = [(measure(poses + step_mm * e)[0] - measure(poses - step_mm * e)[0]) / (2 * step_mm) for e in np.eye(6)]
    slope = measure(poses)[1]
    np.testing.assert_allclose(slope, np.stack(numeric, axis=1), atol=0.02 * np.abs(slope).max())


def test_starts_that_are_searched_together_end_where_each_ends_alone(spect) -> None:
    """To half a millimetre: starts that meet on the coarse level go on as one."""
    study = prepared(spect, mu_volume(CT_GRID, MOTION))
    together = ALONE.register(study).ct_from_spect
    each = [
        GradientFields(with_mutual_information=False, axial_starts_mm=(z,)).register(study)
        for z in ALONE.axial_starts_mm
    ]
    best = max(each, key=lambda r: r.evidence["gradient_agreement_at_optimum"]).ct_from_spect
    np.testing.assert_allclose(together.apply(np.eye(3) * 80.0), best.apply(np.eye(3) * 80.0), atol=0.5)


def test_scale_and_sign_of_the_intensities_do_not_matter(spect) -> None:
    """Edges count by place and direction alone."""
    pose = np.array([[5.0, 3.0, -4.0, 2.0, 1.0, -3.0]])

    def agreement(fixed: Volume, moving: Volume) -> GradientAgreement:
        return GradientAgreement.of(*levels(fixed, moving), 6000, SPECT_GRID.centre_mm, edge=0.5, noise=0.5)

    moving = mu_volume(CT_GRID, MOTION)
    plain = agreement(spect, moving)
    scaled = agreement(scaled_by(7.0, spect), scaled_by(0.2, moving))
    inverted = replace(plain, fixed=-plain.fixed)
    assert plain(pose)[0] < -0.02
    np.testing.assert_allclose(scaled(pose)[0], plain(pose)[0], rtol=1e-4)
    np.testing.assert_array_equal(inverted(pose)[0], plain(pose)[0])


def test_an_edge_of_the_known_part_is_no_edge_of_the_patient(spect) -> None:
    """A map without structure, cut by an unknown region, has no gradient anywhere."""
    values = np.full(CT_GRID.shape, 0.15)
    outside = np.zeros(CT_GRID.shape, bool)
    outside[:, :, :12] = True
    values[outside] = 0.0
    level = Level.of(Volume.from_numpy(values, CT_GRID, Quantity.MU_PER_CM, outside), 9.0)
    measure = GradientAgreement.of(Level.of(spect, 9.0), level, 6000, SPECT_GRID.centre_mm, edge=0.5, noise=0.0)
    value, slope = measure(np.zeros((1, 6)))
    np.testing.assert_allclose(value, 0.0, atol=1e-6)
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)


def test_a_map_moved_out_of_the_field_has_no_agreement(spect) -> None:
    measure = GradientAgreement.of(*levels(spect, mu_volume(CT_GRID)), 6000, SPECT_GRID.centre_mm, edge=0.5, noise=0.0)
    here, gone = measure(np.array([[0.0] * 6, [900.0, 0.0, 0.0, 0.0, 0.0, 0.0]]))[0]
    assert gone == 0.0
    assert here < -0.1


def test_the_noise_of_a_gradient_is_that_of_smoothed_white_noise() -> None:
    grid = Grid.centred((64, 64, 64), (5.0, 5.0, 5.0))
    noise = np.random.default_rng(5).normal(10.0, 2.0, grid.shape)
    level = Level.of(Volume.from_numpy(noise, grid, Quantity.ACTIVITY), 10.0)
    inside = np.zeros(grid.shape, bool)
    inside[8:-8, 8:-8, 8:-8] = True
    measured = np.sqrt((level.gradient() ** 2).sum(0)[inside].mean())
    assert noise_of_gradients(level, inside) == pytest.approx(measured, rel=0.15)


def test_noise_makes_edges_count_less(spect) -> None:
    noisy = np.asarray(spect) + np.random.default_rng(1).normal(0.0, 0.2, SPECT_GRID.shape)
    level = Level.of(Volume.from_numpy(noisy, SPECT_GRID, Quantity.ACTIVITY), 9.0)
    plain, cautious = ((normalised_gradients(level, 0.5, noise) ** 2).sum(0).mean() for noise in (0.0, 3.0))
    assert cautious < 0.8 * plain


def test_a_start_that_slides_along_the_body_is_not_used(spect) -> None:
    settings = GradientFields(with_mutual_information=False, axial_starts_mm=(0.0,), farthest_axial_mm=2.0)
    with pytest.raises(RegistrationError, match="slid by more than 2 mm along z"):
        settings.register(prepared(spect, mu_volume(CT_GRID, MOTION)))


def test_the_same_pose_is_found_wherever_the_scanner_puts_its_origin(spect) -> None:
    together = np.array((300.0, -200.0, 1000.0))
    mu = mu_volume(CT_GRID, MOTION)
    moved = [
        Volume.from_numpy(
            np.asarray(v), Grid.centred(v.grid.shape, v.grid.spacing_mm, tuple(together + v.grid.centre_mm)), v.quantity
        )
        for v in (spect, mu)
    ]
    here, there = ALONE.register(prepared(spect, mu)), ALONE.register(prepared(*moved))
    np.testing.assert_allclose(there.shift_mm, here.shift_mm, atol=0.3)  # single precision on a flat optimum
    np.testing.assert_allclose(there.angles_deg, here.angles_deg, atol=0.3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": (3000,)},
        {"voxel_mm": (), "smoothing_mm": (), "points": ()},
        {"axial_starts_mm": (), "with_mutual_information": False},
        {"edge": 0.0},
        {"noise": -1.0},
        {"brightest": 0.2},
        {"kind": "mutual-information"},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong) -> None:
    with pytest.raises(pydantic.ValidationError):
        GradientFields(**wrong)
