"""A case that goes out as DICOM comes back through the ordinary door as the same counts, HU and geometry."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from mureg import read_study
from mureg.cohort.export import export_case
from mureg.errors import UsageError
from mureg.geometry import Grid, Volume
from mureg.io import read_transform
from mureg.spect.collimator import choose_collimator
from support.small_cases import files_of, small_case, small_settings

CASE = small_case(small_settings(), 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export_case(CASE, tmp_path_factory.mktemp("export") / "case")


@pytest.fixture(scope="module")
def study(folder):
    return read_study(folder / "spect.dcm", ct=folder / "ct")


def same_grid(one: Grid, other: Grid) -> None:
    assert one.shape == other.shape
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-9)
    assert one.frame_of_reference == other.frame_of_reference


def test_projections_come_back(study) -> None:
    found, case = study.spect, CASE.study.spect
    assert np.array_equal(found.counts, case.counts)
    assert [(w.lower_kev, w.upper_kev) for w in found.windows] == [(w.lower_kev, w.upper_kev) for w in case.windows]
    np.testing.assert_allclose(found.angles_deg, case.angles_deg, atol=1e-9)
    np.testing.assert_allclose(found.radii_mm, case.radii_mm, atol=1e-9)
    assert (found.photopeak, found.pixel_mm, found.seconds_per_view) == (0, case.pixel_mm, 20.0)
    same_grid(found.grid(), case.grid())


def test_no_guess_is_left_about_the_camera(study) -> None:
    assert study.spect.notes == ()
    true, found = (choose_collimator(one.collimator, one.manufacturer) for one in (CASE.study.spect, study.spect))
    assert true == found
    assert found[1] == ""


def test_the_ct_comes_back(study) -> None:
    found, case = study.attenuation, CASE.study.attenuation
    same_grid(found.volume.grid, case.volume.grid)
    assert np.array_equal(found.volume.outside, case.volume.outside)
    known = ~case.volume.outside
    np.testing.assert_allclose(found.volume.values[known], case.volume.values[known], atol=0.5, rtol=0)
    assert (found.manufacturer, found.model, found.kvp) == (case.manufacturer, case.model, case.kvp)


def test_another_program_sees_the_ct_at_the_same_place(folder) -> None:
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder / "ct")))
    grid = CASE.study.attenuation.volume.grid
    assert image.GetSize() == grid.shape
    for index in ((0, 0, 0), (19, 0, 0), (0, 17, 0), (0, 0, 13), (4, 9, 11)):
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), grid.points(index), atol=1e-6)
        if not CASE.study.attenuation.volume.outside[index]:
            assert abs(image[index] - float(CASE.study.attenuation.volume.values[index])) <= 0.5


def test_the_truth_lies_beside_it(folder) -> None:
    said = json.loads((folder / "truth.json").read_text())
    for name in ("truth.json", "truth.tfm"):
        np.testing.assert_allclose(read_transform(folder / name)[0].matrix, CASE.truth.ct_from_spect.matrix, atol=1e-9)
    translation, angles = CASE.truth.ct_from_spect.six(CASE.truth.centre_mm)
    np.testing.assert_allclose([*said["translation_mm"], *said["angles_deg"]], [*translation, *angles])
    np.testing.assert_array_equal(said["heart_points_in_ct_mm"], CASE.truth.heart_points_in_ct_mm)
    assert said["facts"]["views"] == 12


def test_itk_sends_the_heart_to_its_place_in_the_ct(folder) -> None:
    transform = sitk.ReadTransform(str(folder / "truth.tfm"))
    for point in CASE.truth.heart_points_mm[:5]:
        np.testing.assert_allclose(transform.TransformPoint(point), CASE.truth.ct_from_spect.apply(point), atol=1e-6)


def test_both_belong_to_one_visit_of_one_patient(folder) -> None:
    nm, ct = (pydicom.dcmread(folder / name) for name in ("spect.dcm", "ct/ct_0001.dcm"))
    for name in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert nm[name].value == ct[name].value
    assert nm.PatientID == "patient-0001"
    assert nm.SeriesInstanceUID != ct.SeriesInstanceUID


def test_the_same_case_gives_the_same_bytes_and_another_other_identifiers(folder, tmp_path) -> None:
    assert files_of(export_case(CASE, tmp_path / "again")) == files_of(folder)
    other = export_case(replace(CASE, name="small-000099"), tmp_path / "other")
    one, two = (pydicom.dcmread(where / "spect.dcm") for where in (folder, other))
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert one[name].value != two[name].value


def test_a_case_without_a_frame_of_reference_gets_one(tmp_path) -> None:
    ct = CASE.study.attenuation
    grid = Grid(ct.volume.grid.shape, ct.volume.grid.affine)
    volume = Volume(ct.volume.values, grid, ct.volume.quantity, ct.volume.outside)
    spect = replace(CASE.study.spect, frame_of_reference="")
    bare = replace(CASE, study=replace(CASE.study, spect=spect, attenuation=replace(ct, volume=volume)))
    folder = export_case(bare, tmp_path / "bare")
    found = read_study(folder / "spect.dcm", ct=folder / "ct")
    assert found.spect.frame_of_reference == found.attenuation.volume.grid.frame_of_reference != ""


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(folder, tmp_path) -> None:
    with pytest.raises(UsageError, match="holds other things"):
        export_case(CASE, folder)
    fractional = replace(CASE.study.spect, counts=CASE.study.spect.counts + 0.5)
    with pytest.raises(Exception, match="not whole"):
        export_case(replace(CASE, study=replace(CASE.study, spect=fractional)), tmp_path / "bad")
    assert list(tmp_path.iterdir()) == []
