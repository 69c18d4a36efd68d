"""CT series, projections and NM volumes of any shape and place, written and read back: here, by pydicom, by SimpleITK.

Values are all different or drawn without any symmetry, so that a flip, a swap of axes or a shift by a voxel fails.
Places are compared voxel by voxel in millimetres, whatever order a reader keeps.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.io import read_ct, read_mu, read_spect, write_ct_series, write_nm_volume
from mureg.io.nm.write_tomo import write_nm_tomo
from mureg.spect import Acquisition, EnergyWindow
from mureg.study import Ct
from support.dicom import change, detector
from support.strategies import numbers, triples

NEAR_MM = 1e-4
POSITIONS = ("HFS", "FFS", "HFP", "FFP")


@st.composite
def patient_grids(draw, turn_deg: float) -> Grid:
    """Odd shapes, three different spacings, either handedness, turned by up to `turn_deg` about each axis."""
    shape = tuple(draw(st.permutations([draw(st.integers(2, 4)), draw(st.integers(5, 6)), draw(st.integers(7, 9))])))
    spacing = np.asarray(draw(st.permutations([1.25, 2.9, 6.8]))) * draw(numbers(0.8, 1.4))
    turns = tuple(draw(numbers(-turn_deg, turn_deg)) for _ in range(3))
    affine = RigidTransform.from_six((0.0, 0.0, 0.0), turns, (0.0, 0.0, 0.0)).matrix.copy()
    affine[:3, :3] *= spacing * (1.0, 1.0, draw(st.sampled_from([1.0, -1.0])))
    affine[:3, 3] = draw(triples(300.0))
    return Grid(shape, affine)


def indices(shape) -> np.ndarray:
    return np.indices(shape).reshape(len(shape), -1).T


def assert_same_voxels(grid: Grid, values, other: Grid, other_values, step: float) -> None:
    """Each voxel of one lies on a voxel of the other, which holds the same value."""
    assert sorted(grid.shape) == sorted(other.shape)
    points = grid.points(indices(grid.shape))
    there = np.rint(other.indices(points)).astype(int)
    np.testing.assert_allclose(other.points(there), points, atol=NEAR_MM)
    assert len(np.unique(there, axis=0)) == len(there)
    np.testing.assert_allclose(np.asarray(other_values)[tuple(there.T)], np.asarray(values).ravel(), atol=step)


def shuffled(shape, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape).astype(float)


@settings(max_examples=15)
@given(patient_grids(12.0), st.sampled_from(POSITIONS), st.sampled_from([1.0, 0.8, 1.6]), st.integers(-1024, -990))
def test_ct_series(grid, position, slope, intercept) -> None:
    stored = np.rint(shuffled(grid.shape, 3) * 1800 / np.prod(grid.shape))  # from air to bone
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "ct"
        files = write_ct_series(
            Ct(Volume.from_numpy(stored - 1024, grid, Quantity.HU), kvp=110.0), folder, patient_id="P1"
        )
        for file in files:  # another scanner's way to say what the same stored values mean
            change(file, PatientPosition=position, RescaleSlope=slope, RescaleIntercept=intercept)
        hounsfield = stored * slope + intercept
        ours = read_ct(folder, phantom=True)[0]  # no chest: random values
        assert ours.kvp == 110.0
        assert_same_voxels(grid, hounsfield, ours.volume.grid, ours.volume.values, 1e-3)

        for file in files:  # row direction times column number times column spacing, PS3.3 C.7.6.2.1.1
            ds = pydicom.dcmread(file)
            k = ds.InstanceNumber - 1
            row, column = np.asarray(ds.ImageOrientationPatient, float).reshape(2, 3)
            down_mm, along_mm = (float(mm) for mm in ds.PixelSpacing)
            for j, i in ((0, 0), (ds.Rows - 1, 0), (0, ds.Columns - 1)):
                place = np.asarray(ds.ImagePositionPatient, float) + i * along_mm * row + j * down_mm * column
                np.testing.assert_allclose(place, grid.points((i, j, k)), atol=NEAR_MM)
                assert ds.pixel_array[j, i] == stored[i, j, k]

        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        theirs = reader.Execute()
        assert_same_voxels(grid, hounsfield, itk_grid(theirs), sitk.GetArrayFromImage(theirs).transpose(2, 1, 0), 1e-3)


def itk_grid(image: sitk.Image) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Grid(image.GetSize(), affine)


@settings(max_examples=15)
@given(patient_grids(179.0), st.sampled_from(["EMISSION", "TRANSMISSION"]), numbers(-5.0, 5.0))
def test_nm_volumes(grid, kind, exponent) -> None:
    values = shuffled(grid.shape, 4) / np.prod(grid.shape)
    emission = kind == "EMISSION"
    values = values * 10.0**exponent if emission else 0.1 + 0.1 * values
    volume = Volume.from_numpy(values, grid, Quantity.ACTIVITY if emission else Quantity.MU_PER_CM)
    with tempfile.TemporaryDirectory() as name:
        path = write_nm_volume(volume, Path(name) / "nm.dcm", kind=kind, patient_id="P1")
        ds = pydicom.dcmread(path)
        read = (read_spect(path) if emission else read_mu(path))[0]
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    unit = float(ds.RealWorldValueMappingSequence[0].RealWorldValueSlope)
    assert unit < values.max() / 1000
    held = np.asarray(volume.values, float)

    np.testing.assert_array_equal(theirs, ds.pixel_array)
    np.testing.assert_allclose(ds.pixel_array.transpose(2, 1, 0) * unit, held, atol=0.51 * unit)
    place = ds.DetectorInformationSequence[0]
    row, column = np.asarray(place.ImageOrientationPatient, float).reshape(2, 3)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * float(ds.PixelSpacing[1]), column * float(ds.PixelSpacing[0])
    affine[:3, 2] = np.cross(row, column) * float(ds.SpacingBetweenSlices)
    affine[:3, 3] = place.ImagePositionPatient
    assert_same_voxels(grid, held, Grid(grid.shape, affine), ds.pixel_array.transpose(2, 1, 0) * unit, 0.51 * unit)

    assert_same_voxels(grid, held, read.grid, read.values, 0.51 * unit)


@settings(max_examples=15)
@given(
    st.tuples(st.integers(1, 2), st.integers(5, 11), st.integers(3, 7), st.integers(8, 12)),
    numbers(2.0, 9.0),
    triples(150.0),
    st.tuples(numbers(-350.0, 350.0), numbers(3.0, 30.0), st.sampled_from([1.0, -1.0])),
    st.sampled_from(POSITIONS),
    st.booleans(),
)
def test_projections(shape, pixel, centre_mm, rotation, position, varying) -> None:
    n_windows, n_views, rows, columns = shape
    start, step, sense = rotation
    counts = (1000 + shuffled(shape, 5)).astype(np.float32)
    radii = 200.0 + (np.arange(n_views) ** 1.5 if varying else np.zeros(n_views))
    windows = (EnergyWindow(126.5, 154.5, "photopeak"), EnergyWindow(114.0, 126.0, "scatter"))[:n_windows]
    written = Acquisition(
        counts, windows, 0, start + sense * step * np.arange(n_views), (pixel, pixel), centre_mm, radii,
        seconds_per_view=21.5, collimator="LEHR", nuclide="Tc-99m", patient_position=position,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        path = write_nm_tomo(written, Path(name) / "spect.dcm", patient_id="P1")
        ds, read = pydicom.dcmread(path), read_spect(path)[0]
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))

    np.testing.assert_array_equal(ds.pixel_array.reshape(shape), counts)
    np.testing.assert_array_equal(theirs.reshape(shape), counts)
    # the corner of frame 1 on the detector plane, as the standard's definition has it (see support.dicom)
    corner = detector(start, axis=centre_mm, radius=200.0, shape=(rows, columns), pixel=pixel).ImagePositionPatient
    stated = ds.DetectorInformationSequence[0].ImagePositionPatient
    np.testing.assert_allclose(np.asarray(stated, float), np.asarray(corner, float), atol=NEAR_MM)

    np.testing.assert_array_equal(read.counts, counts)
    turned = (np.asarray(read.angles_deg) - written.angles_deg + 180.0) % 360.0 - 180.0
    np.testing.assert_allclose(turned, 0.0, atol=1e-6)
    np.testing.assert_allclose(read.radii_mm, radii, atol=NEAR_MM)
    np.testing.assert_allclose(read.pixel_mm, written.pixel_mm, atol=1e-6)
    np.testing.assert_allclose(read.centre_mm, centre_mm, atol=NEAR_MM)
    assert read.patient_position == position
    assert read.seconds_per_view == 21.5
    assert [(w.lower_kev, w.upper_kev) for w in read.windows] == [(w.lower_kev, w.upper_kev) for w in windows]
