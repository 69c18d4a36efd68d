"""Volumes from and to nibabel, SimpleITK and numpy: judged by these libraries, on an asymmetric object."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.processing import resample_from_to

import mureg
from mureg import Grid, Quantity, Volume
from mureg.errors import GeometryError

LEFT_BACK_HEAD = (30.0, 18.0, 45.0)
"""Where the bright voxel lies, LPS+ mm: to the patient's left, to the back, to the head."""


def turned_grid() -> Grid:
    """Voxels of three lengths, on axes that are turned, one of them against its direction, around no round centre."""
    angle = np.radians(20.0)
    axes = np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, -1.0]])
    affine = np.eye(4)
    affine[:3, :3] = axes * (4.0, 3.0, 5.0)
    affine[:3, 3] = LEFT_BACK_HEAD - affine[:3, :3] @ (2, 7, 1)
    return Grid((12, 10, 8), affine)


def one_bright_voxel() -> Volume:
    values = np.random.default_rng(1).random((12, 10, 8)).astype(np.float32)
    values[2, 7, 1] = 9.0
    return Volume.from_numpy(values, turned_grid(), Quantity.ACTIVITY)


class TestNibabel:
    def test_the_bright_voxel_lies_where_nibabel_says_right_and_front_being_negative(self) -> None:
        image = one_bright_voxel().to_nibabel()
        where = np.unravel_index(np.argmax(image.get_fdata()), image.shape)
        x, y, z = LEFT_BACK_HEAD
        np.testing.assert_allclose(nib.affines.apply_affine(image.affine, where), (-x, -y, z), atol=1e-4)
        assert nib.aff2axcodes(np.diag([4.0, 4.0, 4.0, 1.0])) == ("R", "A", "S"), "what nibabel means by positive"
        assert image.header.get_xyzt_units()[0] == "mm"
        assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)

    def test_an_image_made_in_nibabel_has_its_place_here(self) -> None:
        data = np.zeros((6, 7, 8))
        data[1, 2, 3] = 5.0
        affine = nib.affines.from_matvec(np.diag([-2.0, 3.0, 4.0]), (10.0, -20.0, 30.0))  # "LAS"
        volume = Volume.from_nibabel(nib.Nifti1Image(data[..., None], affine), Quantity.COUNTS)
        x, y, z = nib.affines.apply_affine(affine, (1, 2, 3))
        brightest = np.unravel_index(np.argmax(volume.values), volume.grid.shape)
        np.testing.assert_allclose(volume.grid.points(brightest), (-x, -y, z))
        assert volume.quantity is Quantity.COUNTS

    def test_there_and_back(self) -> None:
        volume = one_bright_voxel()
        again = Volume.from_nibabel(volume.to_nibabel(), Quantity.ACTIVITY)
        np.testing.assert_array_equal(again.values, volume.values)
        np.testing.assert_allclose(again.grid.affine, volume.grid.affine, atol=1e-5)

    def test_nibabel_resamples_it_as_we_do(self) -> None:
        volume = one_bright_voxel()
        onto = Grid.centred((6, 5, 6), (3.0, 3.0, 3.0), LEFT_BACK_HEAD)
        ours = volume.resampled(onto)
        target = Volume.from_numpy(np.zeros(onto.shape), onto, Quantity.ACTIVITY).to_nibabel()
        theirs = resample_from_to(volume.to_nibabel(), target, order=1, mode="nearest").get_fdata()
        inside = ~ours.outside if ours.outside is not None else np.ones(onto.shape, dtype=bool)
        assert inside.sum() > 50
        np.testing.assert_allclose(ours.values[inside], theirs[inside], atol=1e-3)

    def test_a_file_that_mureg_wrote_loads_as_the_same_image(self, tmp_path) -> None:
        volume = one_bright_voxel()
        path = str(tmp_path / "a.nii.gz")
        mureg.write_nifti(volume, path)
        loaded = Volume.from_nibabel(nib.load(path), Quantity.ACTIVITY)
        np.testing.assert_array_equal(loaded.values, volume.values)
        np.testing.assert_allclose(loaded.grid.affine, volume.grid.affine, atol=1e-5)

    def test_two_orientations_that_contradict_each_other(self) -> None:
        image = one_bright_voxel().to_nibabel()
        moved = image.affine.copy()
        moved[0, 3] += 25.0
        image.set_qform(moved, code=1)
        with pytest.raises(GeometryError, match="sform and qform of the nibabel image differ by up to 25 mm"):
            Volume.from_nibabel(image, Quantity.ACTIVITY)
        image.set_qform(moved, code=2)
        with pytest.raises(GeometryError, match="expected one orientation"):
            Volume.from_nibabel(image, Quantity.ACTIVITY)

    def test_no_orientation_another_unit_shear_and_four_dimensions(self) -> None:
        image = one_bright_voxel().to_nibabel()
        image.header.set_xyzt_units("micron")
        with pytest.raises(GeometryError, match="micrometres"):
            Volume.from_nibabel(image, Quantity.ACTIVITY)
        nowhere = nib.Nifti1Image(np.ones((4, 4, 4)), None)
        nowhere.set_sform(None, code=0)
        nowhere.set_qform(None, code=0)
        with pytest.raises(GeometryError, match="left and right are unknown"):
            Volume.from_nibabel(nowhere, Quantity.ACTIVITY)
        sheared = np.diag([3.0, 3.0, 3.0, 1.0])
        sheared[0, 1] = 1.0
        with pytest.raises(GeometryError, match="sheared"):
            Volume.from_nibabel(nib.Nifti1Image(np.ones((4, 4, 4)), sheared), Quantity.ACTIVITY)
        with pytest.raises(GeometryError, match=r"shape \(4, 4, 4, 2\)"):
            Volume.from_nibabel(nib.Nifti1Image(np.ones((4, 4, 4, 2)), np.eye(4)), Quantity.ACTIVITY)


class TestSimpleItk:
    def test_the_bright_voxel_lies_where_simpleitk_says(self) -> None:
        image = one_bright_voxel().to_sitk()
        assert image.GetPixel(2, 7, 1) == 9.0
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((2, 7, 1)), LEFT_BACK_HEAD)
        np.testing.assert_allclose(image.TransformPhysicalPointToContinuousIndex(LEFT_BACK_HEAD), (2, 7, 1), atol=1e-9)

    def test_an_image_made_in_simpleitk_has_its_place_here(self) -> None:
        image = sitk.Image(5, 6, 7, sitk.sitkInt16)
        image.SetSpacing((1.0, 2.0, 3.0))
        image.SetOrigin((-11.0, 12.0, 13.0))
        image.SetDirection((0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
        image.SetPixel(4, 1, 2, -700)
        volume = Volume.from_sitk(image, Quantity.HU)
        assert volume.values[4, 1, 2] == -700.0
        np.testing.assert_allclose(volume.grid.points((4, 1, 2)), image.TransformIndexToPhysicalPoint((4, 1, 2)))

    def test_there_and_back(self) -> None:
        volume = one_bright_voxel()
        again = Volume.from_sitk(volume.to_sitk(), Quantity.ACTIVITY)
        np.testing.assert_array_equal(again.values, volume.values)
        np.testing.assert_allclose(again.grid.affine, volume.grid.affine, atol=1e-12)

    def test_simpleitk_and_nibabel_agree_on_what_we_write(self, tmp_path) -> None:
        volume = one_bright_voxel()
        nib.save(volume.to_nibabel(), tmp_path / "a.nii")
        read, ours = sitk.ReadImage(str(tmp_path / "a.nii")), volume.to_sitk()
        np.testing.assert_allclose(read.GetOrigin(), ours.GetOrigin(), atol=1e-4)
        np.testing.assert_allclose(read.GetDirection(), ours.GetDirection(), atol=1e-5)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(ours))

    def test_colours_and_planes(self) -> None:
        for image in (sitk.Image([4, 4, 4], sitk.sitkVectorFloat32, 3), sitk.Image(4, 4, sitk.sitkFloat32)):
            with pytest.raises(GeometryError, match="one value a voxel"):
                Volume.from_sitk(image, Quantity.COUNTS)


class TestNumpy:
    def test_the_values_without_a_copy_and_protected(self) -> None:
        volume = one_bright_voxel()
        array = np.asarray(volume)
        assert array[2, 7, 1] == 9.0
        assert np.shares_memory(array, volume.values)
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0, 0] = 1.0

    def test_copies_and_other_types(self) -> None:
        volume = one_bright_voxel()
        copy = np.array(volume)
        copy[2, 7, 1] = 0.0
        assert volume.values[2, 7, 1] == 9.0
        assert np.asarray(volume, dtype=np.float64).dtype == np.float64
        assert np.asarray(volume, dtype=np.float32) is not None
        assert np.max(volume) == 9.0
        if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
            with pytest.raises(ValueError, match="without a copy"):
                np.asarray(volume, dtype=np.float64, copy=False)
