"""SimpleITK (GDCM, its own NIfTI reader) and nibabel agree with us on where voxels lie in the patient."""

from __future__ import annotations

import warnings

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from mureg.geometry import Grid, Quantity, Volume
from mureg.io import read_ct, write_ct_series, write_nifti
from mureg.study import Ct
from support.dicom import chest_like, write_ct


def itk_series(folder) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def marked_place(image: sitk.Image, value: float) -> np.ndarray:
    """Patient position (LPS) of the only voxel of a value."""
    k, j, i = (int(n[0]) for n in np.nonzero(sitk.GetArrayFromImage(image) == value))
    return np.asarray(image.TransformIndexToPhysicalPoint((i, j, k)))


def our_place(volume: Volume, value: float) -> np.ndarray:
    return volume.grid.points([int(n[0]) for n in np.nonzero(np.asarray(volume) == value)])


C, S = np.cos(0.25), np.sin(0.25)


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (C, S, 0, -S, C, 0), (-1, 0, 0, 0, -1, 0)])
@pytest.mark.parametrize("sense", [1, -1])
def test_ct_voxels_lie_where_gdcm_puts_them(tmp_path, orientation, sense):
    values = chest_like()
    values[4, 6, 8] = 333
    write_ct(
        tmp_path,
        values,
        orientation=orientation,
        step=(0, 0, sense * 2.5),
        order=[3, 0, 5, 1, 4, 2],
        origin=(-31.0, 12.5, -444.0),
    )
    referee, ours = itk_series(tmp_path), read_ct(tmp_path)[0].volume
    for value in (700, 333):
        assert np.allclose(our_place(ours, value), marked_place(referee, value), atol=2e-3)


def test_the_series_we_write_is_read_alike(tmp_path):
    values = np.random.default_rng(3).permutation(6 * 5 * 4).reshape(6, 5, 4).astype(float)
    grid = Grid.centred((6, 5, 4), (1.25, 2.0, 5.0), (3.0, -200.0, 77.7))
    write_ct_series(Ct(Volume.from_numpy(values, grid, Quantity.HU)), tmp_path / "ct", patient_id="P1")
    referee = itk_series(tmp_path / "ct")
    for value in (7.0, 77.0, 111.0):
        index = [int(n[0]) for n in np.nonzero(values == value)]
        assert np.allclose(marked_place(referee, value), grid.points(index), atol=1e-4)


def test_the_nifti_we_write_is_read_alike(tmp_path):
    values = np.random.default_rng(4).permutation(5 * 6 * 7).reshape(5, 6, 7).astype(float)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[C, -S, 0], [S, C, 0], [0, 0, -1]]) * (2.0, 3.0, 4.0)
    affine[:3, 3] = (12.0, -34.0, 56.0)
    volume = Volume.from_numpy(values, Grid((5, 6, 7), affine), Quantity.COUNTS)
    path = write_nifti(volume, tmp_path / "v.nii.gz")
    by_itk = sitk.ReadImage(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_nibabel = nib.load(path)
        array = by_nibabel.get_fdata()
    for value in (5.0, 99.0, 200.0):
        expected = our_place(volume, value)
        assert np.allclose(marked_place(by_itk, value), expected, atol=1e-3)
        ras = by_nibabel.affine @ [*(int(n[0]) for n in np.nonzero(array == value)), 1]
        assert np.allclose(ras[:3] * (-1, -1, 1), expected, atol=1e-3)
