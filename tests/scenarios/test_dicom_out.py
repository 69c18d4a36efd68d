"""What a hospital asks for: the sample study through the command line, and its results as DICOM."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from mureg.cli import main as command_line
from mureg.comparison import target_registration_error_mm
from mureg.errors import RefusedError
from mureg.geometry import RigidTransform
from mureg.io import read_spect, read_study, write_nifti
from mureg.jobs.cores import set_thread_count
from mureg.sample import load_truth, sample_folder
from support import sample_run

SPECT, CT = sample_folder() / "spect.dcm", sample_folder() / "ct"
QUICK = [*sample_run.QUICK, "--threads", "1"]


@pytest.fixture(autouse=True)
def threads_as_before():
    """The command line sets thread counts for the process; later tests want theirs back."""
    yield
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


@pytest.fixture(scope="module")
def results(registered_sample) -> Path:
    return registered_sample


def register(folder: Path, *more: str, spect: Path = SPECT, ct: Path = CT) -> int:
    return command_line(["register", "--spect", str(spect), "--ct", str(ct), "-o", str(folder), *QUICK, *more])


def test_the_folder_holds_the_results_as_dicom(results) -> None:
    names = {path.relative_to(results / "dicom").as_posix() for path in (results / "dicom").rglob("*.dcm")}
    assert {"nac.dcm", "ac.dcm", "mu.dcm", "registration.dcm", "report.dcm"} < names
    assert sum(name.startswith("ct_moved/") for name in names) == len(list(CT.iterdir()))


def test_the_matrix_is_that_of_the_registration_the_other_way_round(results) -> None:
    found = np.asarray(json.loads((results / "registration.json").read_text())["ct_from_spect"])
    item = pydicom.dcmread(results / "dicom" / "registration.dcm").RegistrationSequence[1]
    matrix = item.MatrixRegistrationSequence[0].MatrixSequence[0].FrameOfReferenceTransformationMatrix
    spect_from_ct = np.asarray(matrix, dtype=float).reshape(4, 4)
    np.testing.assert_allclose(spect_from_ct @ found, np.eye(4), atol=1e-9)
    truth = load_truth()
    right, wrong = (RigidTransform(m) for m in (found, spect_from_ct))
    assert target_registration_error_mm(right, truth.ct_from_spect, truth.heart_points_mm) < 6.8
    assert target_registration_error_mm(wrong, truth.ct_from_spect, truth.heart_points_mm) > 20


def test_another_program_reads_what_nifti_holds(results) -> None:
    for dicom, nifti in (("mu", "mu_registered"), ("nac", "spect_nac"), ("ac", "spect_ac")):
        one, two = (
            sitk.ReadImage(str(results / "dicom" / f"{dicom}.dcm")),
            sitk.ReadImage(str(results / f"{nifti}.nii.gz")),
        )
        same_place = sitk.Resample(two, one, sitk.Transform(), sitk.sitkNearestNeighbor, -1.0, sitk.sitkFloat64)
        header = pydicom.dcmread(results / "dicom" / f"{dicom}.dcm", stop_before_pixels=True)
        unit = float(header.RealWorldValueMappingSequence[0].RealWorldValueSlope)
        a, b = (sitk.GetArrayFromImage(image) for image in (one, same_place))
        assert np.abs(unit * a - b).max() < 0.51 * unit, dicom
        assert unit < 1e-3 * np.abs(b).max(), "fine enough"


def test_the_registration_says_which_objects_were_written(results) -> None:
    told = json.loads((results / "registration.json").read_text())["dicom"]
    assert "new in every run" in told["note"]
    for series in told["series"]:
        path = results / "dicom" / series["name"]
        first = pydicom.dcmread(path if path.is_file() else next(path.iterdir()))
        assert (first.SeriesInstanceUID, first.SOPClassUID) == (series["series_uid"], series["sop_class_uid"])


def test_the_report_carries_its_caution_in_large_letters_on_both_pages(results) -> None:
    report = pydicom.dcmread(results / "dicom" / "report.dcm").pixel_array
    assert len(report) == 2
    for page in report:
        assert (page[:44].max(axis=2) > 180).mean() > 0.01, "words"
        assert (page[60:] == 255).all(axis=2).mean() > 0.3, "paper"
        assert page[60:].std() > 20, "pictures"


def test_without_the_wish_old_dicom_results_do_not_stay_beside_new_ones(results, tmp_path, capsys) -> None:
    folder = shutil.copytree(results, tmp_path / "results")
    assert register(folder) == 2
    assert "exists already" in capsys.readouterr().err
    assert register(folder, "--overwrite", "--no-reconstruction") == 0
    assert not (folder / "dicom").exists()
    assert "dicom" not in json.loads((folder / "registration.json").read_text())


def test_nothing_is_begun_that_cannot_end(results, tmp_path, capsys) -> None:
    """Refusals come before the work: no folder of results appears."""
    volume = read_spect(results / "dicom" / "nac.dcm")[0]
    write_nifti(volume, tmp_path / "spect.nii.gz")
    assert register(tmp_path / "a", "--dicom", spect=tmp_path / "spect.nii.gz") == 2
    assert "is NIfTI, which names no patient and no study" in capsys.readouterr().err
    mu = results / "dicom" / "mu.dcm"
    code = command_line(
        ["register", "--spect", str(SPECT), "--mu", str(mu), "-o", str(tmp_path / "b"), "--moved-ct", *QUICK]
    )
    assert code == 2
    assert "--moved-ct with a ready map" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"spect.nii.gz"}


@pytest.mark.slow
def test_a_reconstruction_and_a_ready_map_go_through_too(results, tmp_path) -> None:
    """Results of one run are a study for the next only where that is asked for: the registered map already fits."""
    made = results / "dicom"
    given = ["register", "--spect", str(made / "nac.dcm"), "--mu", str(made / "mu.dcm"), "-o", str(tmp_path / "a")]
    assert command_line([*given, *QUICK]) == 3
    assert not (tmp_path / "a").exists()
    code = command_line(
        ["register", "--spect", str(made / "nac.dcm"), "--mu", str(made / "mu.dcm"), "-o", str(tmp_path / "b"),
         "--dicom", "--allow-derived", *QUICK]
    )  # fmt: skip
    assert code == 0
    expected = {"mu.dcm", "nac_filtered.dcm", "registration.dcm", "report.dcm"}
    assert {path.name for path in (tmp_path / "b" / "dicom").iterdir()} == expected
    registration = pydicom.dcmread(tmp_path / "b" / "dicom" / "registration.dcm")
    named = registration.RegistrationSequence[1].ReferencedImageSequence[0].ReferencedSOPInstanceUID
    assert named == pydicom.dcmread(made / "mu.dcm").SOPInstanceUID


def test_the_moved_ct_is_a_ct_for_the_next_run_where_asked_for(results) -> None:
    with pytest.raises(RefusedError, match="was written by mureg"):
        read_study(SPECT, ct=results / "dicom" / "ct_moved")
    study = read_study(SPECT, ct=results / "dicom" / "ct_moved", allow_derived=True)
    assert study.attenuation.volume.grid.shape == read_study(SPECT, ct=CT).attenuation.volume.grid.shape
