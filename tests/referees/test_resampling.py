"""SimpleITK, scipy and nibabel as referees of resampling."""

from __future__ import annotations

import nibabel
import nibabel.processing
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from support.phantoms import oblique_grid
from support.strategies import triples

SOURCE = oblique_grid()
TARGETS = {
    "straight": Grid.centred((15, 14, 13), (4.0, 5.0, 6.0), (3.0, 2.0, 1.0)),
    "oblique": oblique_grid((13, 15, 14), (5.0, 4.0, 4.5), (-25.0, 8.0, 100.0), (0.0, 4.0, -6.0)),
}
motions = st.builds(RigidTransform.from_six, triples(20.0), triples(60.0), triples(30.0))
NOWHERE = -1e6


def textured(quantity: Quantity) -> Volume:
    chance = np.random.default_rng(5)
    labels = quantity is Quantity.LABEL
    values = chance.integers(0, 6, SOURCE.shape).astype(float) if labels else chance.random(SOURCE.shape)
    return Volume(values, SOURCE, quantity)


def itk_frame(image, grid: Grid):
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.affine[:3, 3].tolist())
    image.SetDirection((grid.affine[:3, :3] / np.asarray(grid.spacing_mm)).ravel().tolist())
    return image


def itk_resampled(volume: Volume, onto: Grid, through: RigidTransform, interpolator) -> np.ndarray:
    image = itk_frame(sitk.GetImageFromArray(volume.values.transpose(2, 1, 0)), volume.grid)
    reference = itk_frame(sitk.Image(*onto.shape, sitk.sitkFloat64), onto)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(through.matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(through.matrix[:3, 3].tolist())
    moved = sitk.Resample(image, reference, transform, interpolator, NOWHERE)
    return sitk.GetArrayFromImage(moved).transpose(2, 1, 0)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
@pytest.mark.parametrize(
    ("quantity", "interpolator"), [(Quantity.HU, sitk.sitkLinear), (Quantity.LABEL, sitk.sitkNearestNeighbor)]
)
@given(self_from_onto=motions)
def test_itk_agrees_on_values_and_on_what_lies_outside(target, quantity, interpolator, self_from_onto) -> None:
    ours = textured(quantity).resampled(onto=target, through=self_from_onto)
    theirs = itk_resampled(textured(quantity), target, self_from_onto, interpolator)
    outside = np.zeros(target.shape, bool) if ours.outside is None else ours.outside
    np.testing.assert_array_equal(outside, theirs == NOWHERE)
    np.testing.assert_allclose(ours.values[~outside], theirs[~outside], atol=1e-7)


@given(self_from_onto=motions)
def test_scipy_agrees_in_the_interior(self_from_onto) -> None:
    volume, target = textured(Quantity.HU), TARGETS["oblique"]
    matrix = np.linalg.inv(SOURCE.affine) @ self_from_onto.matrix @ target.affine
    index = np.einsum("rc,c...->r...", matrix[:3, :3], np.indices(target.shape)) + matrix[:3, 3, None, None, None]
    interior = ((index >= 0) & (index <= np.reshape(SOURCE.shape, (3, 1, 1, 1)) - 1)).all(0)
    expected = ndimage.map_coordinates(volume.values, index, order=1)
    ours = volume.resampled(onto=target, through=self_from_onto).values
    np.testing.assert_allclose(ours[interior], expected[interior], atol=1e-10)


@settings(max_examples=20)
@given(ct_from_spect=motions)
def test_nibabel_agrees_from_the_other_handed_world(ct_from_spect) -> None:
    """nibabel lives in RAS+ and knows no motion: the CT is first carried into SPECT space by its header."""
    ras_from_lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    volume, target = textured(Quantity.HU), TARGETS["straight"]
    carried = ras_from_lps @ ct_from_spect.inverse().matrix @ SOURCE.affine
    theirs = nibabel.processing.resample_from_to(
        nibabel.Nifti1Image(volume.values, carried),
        (target.shape, ras_from_lps @ target.affine),
        order=1,
        cval=NOWHERE,
    ).get_fdata()
    ours = volume.resampled(onto=target, through=ct_from_spect)
    # nibabel fades out beyond the outermost voxel centres, so that only the interior can be compared
    interior = theirs > -1.0
    assert ours.outside is None or not ours.outside[interior].any()
    np.testing.assert_allclose(ours.values[interior], theirs[interior], atol=1e-6)
