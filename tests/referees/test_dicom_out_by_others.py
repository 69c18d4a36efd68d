"""The results written as DICOM, judged by pydicomrt, plastimatch, SimpleITK (GDCM), dciodvfy and dicom-validator."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from mureg.io import write_transform
from support.dicom import change
from support.dicom_study import POSE, results, study
from support.programs import program
from support.tiny_cohort import tiny_case

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return study(tmp_path_factory.mktemp("source") / "study")


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "dicom"
    results(source, folder, moved_ct=True)
    return folder


def by_pydicomrt(folder) -> np.ndarray:
    """The matrix as pydicomrt reads it: moving (CT) to fixed (SPECT)."""
    reg = pytest.importorskip("pydicomrt.reg")
    ds = pydicom.dcmread(folder / "registration.dcm")
    frame = ds.FrameOfReferenceUID
    return np.asarray(reg.get_spatial_registrations(ds)[frame][frame]).reshape(4, 4)


def itk_series(folder) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def transform_of(matrix: np.ndarray) -> sitk.AffineTransform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def disagreement(ct: sitk.Image, spect: sitk.Image, ct_from_spect: np.ndarray) -> float:
    """Mean difference (1/cm) between a CT resampled on the SPECT grid by ITK and the map that was true in the emission.

    ITK asks for each voxel of the SPECT where to look in the CT. HU become attenuation by water alone.
    """
    laid = sitk.Resample(ct, spect, transform_of(ct_from_spect), sitk.sitkLinear, -1000.0, sitk.sitkFloat32)
    mu = np.clip(0.154 * (1 + sitk.GetArrayFromImage(laid).astype(float) / 1000), 0, 0.25)
    true = tiny_case(0).truth.mu.values.transpose(2, 1, 0)
    middle = np.s_[6:-6, 6:-6, 6:-6]
    return float(np.abs(mu - true)[middle].mean())


def test_pydicomrt_reads_the_matrix_in_its_direction(folder) -> None:
    check = pytest.importorskip("pydicomrt.reg.check")
    assert check.check_spatial_reg_iod(pydicom.dcmread(folder / "registration.dcm")) == {"result": True, "content": []}
    assert np.abs(by_pydicomrt(folder) @ POSE.matrix - np.eye(4)).max() < 1e-6


def test_plastimatch_writes_the_same_matrices_for_the_same_pose(source, folder, tmp_path) -> None:
    """plastimatch turns our ITK transform (fixed to moving) into a Spatial Registration object of its own."""
    write_transform(POSE, tmp_path / "ct_from_spect.tfm", (3.0, -20.0, 7.0))
    subprocess.run(
        [program("plastimatch"), "xf-convert", "--input", "ct_from_spect.tfm", "--output-dicom", "out",
         "--fixed-rcs", str(folder / "ct_moved"), "--moving-rcs", str(source / "ct")],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    theirs, ours = (
        [
            np.asarray(item.MatrixRegistrationSequence[0].MatrixSequence[0].FrameOfReferenceTransformationMatrix, float)
            for item in pydicom.dcmread(path).RegistrationSequence
        ]
        for path in (next((tmp_path / "out").glob("*.dcm")), folder / "registration.dcm")
    )
    assert len(theirs) == len(ours) == 2
    assert np.abs(np.asarray(theirs) - np.asarray(ours)).max() < 1e-4


def test_plastimatch_finds_the_volumes_where_they_are(folder) -> None:
    for name, expected in (("mu.dcm", tiny_case(0).truth.mu.grid.affine), ("ct_moved", None)):
        said = subprocess.run(
            [program("plastimatch"), "header", name], cwd=folder, check=True, capture_output=True, text=True
        ).stdout
        found = {
            line.split("=")[0].strip(): np.array(line.split("=")[1].split(), dtype=float)
            for line in said.splitlines()
            if "=" in line and not line.startswith("Type")
        }
        if expected is None:
            first = pydicom.dcmread(folder / "ct_moved" / "ct_0001.dcm")
            expected = np.eye(4)
            turned = POSE.matrix[:3, :3].T
            expected[:3, :3] = turned * 7.0
            expected[:3, 3] = first.ImagePositionPatient
        directions = found["Direction"].reshape(3, 3)
        assert np.abs(directions * found["Spacing"] - expected[:3, :3]).max() < 1e-3, name
        assert np.abs(found["Origin"] - expected[:3, 3]).max() < 1e-3, name


def test_applied_by_another_program_it_improves_the_match_and_the_wrong_way_spoils_it(source, folder) -> None:
    ct, spect = itk_series(source / "ct"), sitk.ReadImage(str(folder / "mu.dcm"))
    spect_from_ct = by_pydicomrt(folder)
    unregistered = disagreement(ct, spect, np.eye(4))
    right = disagreement(ct, spect, np.linalg.inv(spect_from_ct))
    wrong = disagreement(ct, spect, spect_from_ct)
    assert right < 0.5 * unregistered
    assert wrong > 1.3 * unregistered


def test_the_moved_ct_lies_on_the_spect_without_any_transform(source, folder) -> None:
    spect = sitk.ReadImage(str(folder / "mu.dcm"))
    before, moved = itk_series(source / "ct"), itk_series(folder / "ct_moved")
    unregistered = disagreement(before, spect, np.eye(4))
    alone = disagreement(moved, spect, np.eye(4))
    registered = disagreement(before, spect, np.linalg.inv(by_pydicomrt(folder)))
    assert alone == pytest.approx(registered, abs=1e-4)
    assert alone < 0.5 * unregistered
    assert disagreement(moved, spect, np.linalg.inv(by_pydicomrt(folder))) > unregistered, "moved twice"
    np.testing.assert_array_equal(sitk.GetArrayFromImage(moved), sitk.GetArrayFromImage(before))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_map_would_be_noticed(folder, axis) -> None:
    true = tiny_case(0).truth.mu.values.transpose(2, 1, 0)
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "mu.dcm"))) / 100_000
    middle = np.s_[6:-6, 6:-6, 6:-6]
    upright = np.abs(written - true)[middle].mean()
    assert np.abs(np.flip(written, axis) - true)[middle].mean() > 2 * upright


def test_itk_reads_volumes_on_the_grid_of_the_spect(folder) -> None:
    grid = tiny_case(0).truth.mu.grid
    for name in ("nac.dcm", "ac.dcm", "mu.dcm"):
        image = sitk.ReadImage(str(folder / name))
        assert image.GetSize() == grid.shape
        np.testing.assert_allclose(image.GetSpacing(), grid.spacing_mm, atol=1e-6)
        for index in ((0, 0, 0), (31, 0, 0), (0, 31, 0), (0, 0, 31)):
            np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), grid.points(index), atol=1e-4)


def test_dciodvfy_finds_no_error(folder) -> None:
    for path in sorted(folder.glob("*.dcm")):
        said = subprocess.run([program("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False)
        assert [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")] == [], path.name


def test_dciodvfy_finds_no_more_in_a_moved_slice_than_in_its_source(source, folder) -> None:
    found = []
    for path in (source / "ct" / "ct_0001.dcm", folder / "ct_moved" / "ct_0001.dcm"):
        said = subprocess.run([program("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False)
        found.append({line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")})
    assert found[1] <= found[0]


def faults(path: Path) -> set[str]:
    """What dicom-validator objects to: names of the attributes."""
    for referee in ("dicom_validator", "highdicom"):
        pytest.importorskip(referee, reason=f"{referee} is not installed (it comes with the extra dev)")
    from dicom_validator.validator.iod_validator import IODValidator

    from support.dicom_standard import dicom_info

    info = dicom_info()
    result = IODValidator(pydicom.dcmread(path), info, log_level=logging.CRITICAL).validate()
    tags = [tag.tag for errors in result.module_errors.values() for tag in errors]
    return {info.dictionary[f"({tag >> 16:04X},{tag & 0xFFFF:04X})"]["name"] for tag in tags}


def test_dicom_validator_finds_nothing(folder) -> None:
    for path in (*sorted(folder.glob("*.dcm")), folder / "ct_moved" / "ct_0001.dcm"):
        assert faults(path) == set(), path.name


def test_dicom_validator_bites(folder, tmp_path) -> None:
    ds = pydicom.dcmread(folder / "registration.dcm")
    del (
        ds.RegistrationSequence[1]
        .MatrixRegistrationSequence[0]
        .MatrixSequence[0]
        .FrameOfReferenceTransformationMatrixType
    )
    del ds.ContentLabel
    ds.SliceThickness = "3"
    ds.save_as(tmp_path / "bad.dcm")
    assert faults(tmp_path / "bad.dcm") == {
        "Frame of Reference Transformation Matrix Type", "Content Label", "Slice Thickness"
    }  # fmt: skip


@pytest.mark.shared_data
def test_a_real_header_is_carried_over_without_error(source, tmp_path, shared_data) -> None:
    """A clinical SPECT object (180 degrees, feet first), with a CT that says it is of the same patient."""
    real = shutil.copytree(source, tmp_path / "real")
    shutil.copy(shared_data / "nm" / "mpi_stress_tomo_180deg_30views.dcm", real / "spect.dcm")
    spect = pydicom.dcmread(real / "spect.dcm")
    for path in (real / "ct").iterdir():
        change(path, PatientID=spect.PatientID)
    results(real, tmp_path / "dicom", moved_ct=True)
    for path in sorted((tmp_path / "dicom").glob("*.dcm")):
        ds = pydicom.dcmread(path)
        for keyword in ("PatientID", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
            assert ds.get(keyword, "") == spect.get(keyword, ""), (path.name, keyword)
        assert not any(element.tag.is_private for element in ds.iterall()), path.name
        assert sitk.ReadImage(str(path)).GetSize()[0] in (32, 40) if "PixelData" in ds else True
        said = subprocess.run([program("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False)
        assert [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")] == [], path.name
