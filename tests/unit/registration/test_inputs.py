"""What a network is shown, against SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from mureg.errors import RegistrationError, UsageError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration.inputs import InputGrid, network_inputs
from support.phantoms import blobs, oblique_grid, voxel_points

SPECT_GRID = Grid.centred((24, 24, 24), (6.8, 6.8, 6.8), (10.0, -20.0, 300.0))
MU_GRID = oblique_grid((66, 72, 60), (3.4, 3.4, 3.4), (3.0, 5.0, -8.0), (12.0, -16.0, 295.0))
INPUT = InputGrid((12, 10, 8), 13.6)


def to_itk(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.asarray(volume).transpose(2, 1, 0)))
    image.SetSpacing(volume.grid.spacing_mm)
    image.SetOrigin(volume.grid.affine[:3, 3].tolist())
    image.SetDirection((volume.grid.affine[:3, :3] / np.asarray(volume.grid.spacing_mm)).ravel().tolist())
    return image


def by_itk(volume: Volume, factor: int, grid: Grid, transform: sitk.Transform) -> np.ndarray:
    """Whole blocks averaged, then one linear interpolation."""
    coarse = sitk.BinShrink(to_itk(volume), [factor] * 3)
    like = sitk.Image(list(grid.shape), sitk.sitkFloat32)
    like.SetSpacing(grid.spacing_mm)
    like.SetOrigin(grid.affine[:3, 3].tolist())
    moved = sitk.Resample(coarse, like, transform, sitk.sitkLinear, 0.0)
    return sitk.GetArrayFromImage(moved).transpose(2, 1, 0)


@pytest.fixture(scope="module")
def images() -> tuple[Volume, Volume]:
    about = np.asarray(SPECT_GRID.centre_mm)
    return (
        Volume.from_numpy(7.0 * blobs(voxel_points(SPECT_GRID) - about), SPECT_GRID, Quantity.COUNTS),
        Volume.from_numpy(0.15 * blobs(voxel_points(MU_GRID) - about), MU_GRID, Quantity.MU_PER_CM),
    )


@pytest.mark.parametrize("moved", [False, True])
def test_both_images_are_those_that_simpleitk_resamples(images, moved) -> None:
    spect, mu = images
    grid = INPUT.grid(SPECT_GRID)
    euler = sitk.Euler3DTransform()
    euler.SetCenter(SPECT_GRID.centre_mm)
    euler.SetComputeZYX(True)
    through = None
    if moved:
        euler.SetTranslation((9.0, -4.0, 14.0))
        euler.SetRotation(*np.radians((5.0, -3.0, 12.0)))
        through = RigidTransform.from_six((9.0, -4.0, 14.0), (5.0, -3.0, 12.0), SPECT_GRID.centre_mm)
    found_spect, found_mu = network_inputs(spect, mu, grid, through)
    expected = by_itk(spect, 2, grid, sitk.Transform())
    np.testing.assert_allclose(found_spect, expected / expected.mean(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found_mu, by_itk(mu, 4, grid, euler), atol=1e-6)


def test_the_grid_stands_about_the_centre_of_the_spect(images) -> None:
    grid = INPUT.grid(SPECT_GRID)
    assert grid.shape == INPUT.shape
    assert grid.spacing_mm == (13.6, 13.6, 13.6)
    np.testing.assert_allclose(grid.centre_mm, SPECT_GRID.centre_mm)
    assert grid.along_patient_axes
    np.testing.assert_allclose(INPUT.grid(oblique_grid()).centre_mm, (5.0, -8.0, 11.0))


def test_the_spect_comes_out_with_a_mean_of_one_whatever_its_scale(images) -> None:
    spect, mu = images
    grid = INPUT.grid(SPECT_GRID)
    one, louder = (network_inputs(s, mu, grid)[0] for s in (spect, spect.with_values(1000 * spect.values)))
    assert float(one.mean()) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(one, louder, rtol=1e-5, atol=1e-7)


def test_moving_the_map_brings_in_what_lies_beyond_the_field() -> None:
    """No black wedge where the CT goes on."""
    wide = Grid.centred((80, 80, 80), (6.8, 6.8, 6.8), SPECT_GRID.centre_mm)
    mu = Volume(np.full(wide.shape, 0.15, dtype=np.float32), wide, Quantity.MU_PER_CM)
    spect = Volume(np.ones(SPECT_GRID.shape, dtype=np.float32), SPECT_GRID, Quantity.COUNTS)
    through = RigidTransform.from_six((54.0, -54.0, 27.0), (10.0, -10.0, 30.0), SPECT_GRID.centre_mm)
    found = network_inputs(spect, mu, INPUT.grid(SPECT_GRID), through)[1]
    np.testing.assert_allclose(found, np.full(INPUT.shape, 0.15, dtype=np.float32), rtol=1e-5, atol=1e-7)


def test_refusals(images) -> None:
    spect, mu = images
    with pytest.raises(UsageError, match="1/cm"):
        network_inputs(spect, spect, INPUT.grid(SPECT_GRID))
    empty = spect.with_values(np.zeros(SPECT_GRID.shape, dtype=np.float32))
    with pytest.raises(RegistrationError, match="empty"):
        network_inputs(empty, mu, INPUT.grid(SPECT_GRID))
    with pytest.raises(ValueError, match="spacing_mm"):
        InputGrid((4, 4, 4), spacing_mm=0.0)
