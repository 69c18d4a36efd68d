"""`mureg register --pose` and `--nudge`: the whole result for a pose that a reader sets."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

import mureg
from mureg.cli import main as command_line
from mureg.geometry import RigidTransform
from mureg.io.dicom.registration_write import write_spatial_registration
from mureg.jobs.cores import set_thread_count
from mureg.sample import sample_folder

SPECT, CT = sample_folder() / "spect.dcm", sample_folder() / "ct"
QUICK = ["--threads", "1", "--set", "reconstructor.iterations=1", "--set", "physics.scatter=none"]
POSE = RigidTransform.from_six((9.0, -7.0, 12.0), (1.5, -2.0, 3.0), (20.0, -10.0, 5.0))
"""ct_from_spect: the map's anatomy moves the other way, to the right, back and feet."""


@pytest.fixture(autouse=True)
def threads_as_before():
    yield
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def register(folder: Path, *more: str) -> int:
    return command_line(["register", "--spect", str(SPECT), "--ct", str(CT), "-o", str(folder), *QUICK, *more])


def by_others(path: Path, name_images: bool) -> None:
    """A Spatial Registration as another program writes it: the CT is the registered frame, one matrix for the SPECT."""
    spect, ct = pydicom.dcmread(SPECT), pydicom.dcmread(min(CT.iterdir()))
    reg = pydicom.Dataset()
    reg.SOPClassUID, reg.SOPInstanceUID, reg.Modality = pydicom.uid.SpatialRegistrationStorage, "1.2.3", "REG"
    reg.FrameOfReferenceUID = str(ct.FrameOfReferenceUID)
    items = []
    for image, matrix in ((spect, POSE.matrix), (ct, np.eye(4))):
        one, registration, item = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        one.FrameOfReferenceTransformationMatrixType = "RIGID"
        one.FrameOfReferenceTransformationMatrix = [f"{value:.12g}"[:16] for value in matrix.ravel()]
        registration.MatrixSequence = [one]
        item.FrameOfReferenceUID = str(image.FrameOfReferenceUID)
        if name_images:
            named = pydicom.Dataset()
            named.ReferencedSOPClassUID, named.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
            item.ReferencedImageSequence = [named]
        item.MatrixRegistrationSequence = [registration]
        items.append(item)
    reg.RegistrationSequence = items
    reg.file_meta = pydicom.dataset.FileMetaDataset()
    reg.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    reg.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def forms(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("poses")
    euler = sitk.Euler3DTransform()
    euler.SetMatrix(POSE.matrix[:3, :3].ravel().tolist())
    euler.SetTranslation(POSE.matrix[:3, 3].tolist())
    sitk.WriteTransform(euler, str(folder / "pose.tfm"))
    np.savetxt(folder / "pose.txt", POSE.matrix)
    (folder / "registration.json").write_text(json.dumps({"ct_from_spect": POSE.matrix.tolist()}))
    by_others(folder / "others.dcm", True)
    write_spatial_registration(
        POSE,
        folder / "ours.dcm",
        spect=[pydicom.dcmread(SPECT)],
        ct=[pydicom.dcmread(min(CT.iterdir()))],
        frame_of_reference=str(pydicom.dcmread(SPECT).FrameOfReferenceUID),
        made_at=datetime(2026, 1, 1),
    )
    return folder


@pytest.fixture(scope="module")
def result(forms, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("by-hand") / "result"
    assert register(folder, "--pose", str(forms / "pose.tfm"), "--dicom") == 0
    return folder


def test_the_result_is_whole_and_says_that_a_reader_set_the_pose(result) -> None:
    names = {path.name for path in result.iterdir()}
    assert {"report.html", "qc.png", "ct_from_spect.tfm", "mu_registered.nii.gz", "spect_ac.nii.gz", "dicom"} < names
    table = json.loads((result / "registration.json").read_text())
    assert table["decision"] == "by-hand"
    assert table["reasons"][0].startswith("A reader set the pose")
    assert table["registrar"] == "by-hand"
    assert table["interval_90"] is None
    assert not any("states no covariance" in reason for reason in table["reasons"])
    assert len(table["perfusion"]["segments_percent"]["registered"]) == 17
    np.testing.assert_allclose(table["ct_from_spect"], POSE.matrix, atol=1e-12)
    report = (result / "report.html").read_text()
    assert "BY HAND" in report
    assert "A reader set the pose" in report
    transform = next(source for source in table["provenance"]["sources"] if source["kind"] == "transform")
    assert len(transform["sha256"]) == 64


def test_simpleitk_and_pydicom_read_the_same_pose(result) -> None:
    itk = sitk.ReadTransform(str(result / "ct_from_spect.tfm"))
    point = (31.0, -47.0, 12.5)
    np.testing.assert_allclose(itk.TransformPoint(point), POSE.apply(point), atol=1e-6)
    reg = pydicom.dcmread(result / "dicom" / "registration.dcm")
    matrix = reg.RegistrationSequence[1].MatrixRegistrationSequence[0].MatrixSequence[0]
    spect_from_ct = np.array(matrix.FrameOfReferenceTransformationMatrix, dtype=float).reshape(4, 4)
    np.testing.assert_allclose(spect_from_ct @ POSE.matrix, np.eye(4), atol=1e-6)
    assert reg.SeriesDescription.startswith("BY HAND")


def test_its_settings_make_the_result_again(result, tmp_path) -> None:
    assert register(tmp_path / "again", "--settings", str(result / "settings.toml"), "--no-reconstruction") == 0
    table = json.loads((tmp_path / "again" / "registration.json").read_text())
    assert table["decision"] == "by-hand"
    np.testing.assert_array_equal(
        table["ct_from_spect"], json.loads((result / "registration.json").read_text())["ct_from_spect"]
    )


@pytest.mark.parametrize("name", ["pose.txt", "registration.json", "others.dcm", "ours.dcm"])
def test_every_form_of_a_pose_is_taken(forms, tmp_path, name) -> None:
    assert register(tmp_path / "out", "--pose", str(forms / name), "--no-reconstruction") == 0
    table = json.loads((tmp_path / "out" / "registration.json").read_text())
    np.testing.assert_allclose(table["ct_from_spect"], POSE.matrix, atol=1e-6)
    assert any(warning["text"].startswith(name) for warning in table["warnings"])


def test_a_nudge_moves_the_map_the_way_it_says_and_python_agrees(tmp_path) -> None:
    """The warped map is compared with the one at the scanner position: shifted by whole voxels of the SPECT."""
    study = mureg.read_study(SPECT, ct=CT)
    prepared = mureg.prepare(study, mureg.StudySettings(reconstructor=mureg.Osem(iterations=1)))
    x, y, z = prepared.uncorrected.grid.spacing_mm
    words = f"{2 * x} mm left, {y} mm front, {3 * z} mm head"
    assert register(tmp_path / "out", "--nudge", words, "--no-reconstruction") == 0
    before, after = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / name)))
        for name in ("mu_header.nii.gz", "mu_registered.nii.gz")
    )  # [z, y, x], as SimpleITK reads it in LPS
    image = sitk.ReadImage(str(tmp_path / "out" / "mu_header.nii.gz"))
    steps = np.rint(np.array(image.GetDirection()).reshape(3, 3).T @ (2 * x, -y, 3 * z) / image.GetSpacing()).astype(
        int
    )
    moved = np.roll(before, tuple(steps[::-1]), axis=(0, 1, 2))
    middle = tuple(slice(n // 4, 3 * n // 4) for n in before.shape)
    right = np.abs(after - moved)[middle].mean()
    wrong = np.abs(after - np.roll(before, tuple(-steps[::-1]), axis=(0, 1, 2)))[middle].mean()
    assert right < 0.1 * wrong
    settings = mureg.StudySettings(mureg.PoseByHand(nudge=words), mureg.Osem(iterations=1))
    answer = mureg.examine(study, settings, correct=False)
    table = json.loads((tmp_path / "out" / "registration.json").read_text())
    np.testing.assert_allclose(answer.ct_from_spect.matrix, table["ct_from_spect"], atol=1e-12)
    assert answer.decision == "by-hand"
    assert "the pose was set by a reader" in answer.bound_in_words()
    np.testing.assert_allclose(answer.move.mean_mm, (2 * x, -y, 3 * z), atol=1e-6)


@pytest.mark.parametrize(
    "more",
    [
        ["--nudge", "3 mm up"],
        ["--nudge", "3 mm head", "--fast"],
        ["--nudge", "3 mm head", "--registrar", "near-heart"],
        ["--nudge", "3 mm head", "--set", "registrar.passes=3"],
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_read(tmp_path, capsys, more) -> None:
    assert register(tmp_path / "out", *more) == 2
    assert "expected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_batch_does_not_take_the_pose_of_one_study(result, tmp_path, capsys) -> None:
    (tmp_path / "list.csv").write_text(f"name,spect,ct\na,{SPECT},{CT}\n")
    settings = ["--settings", str(result / "settings.toml")]
    assert command_line(["batch", str(tmp_path / "list.csv"), "-o", str(tmp_path / "out"), *settings]) == 2
    assert "the settings of one study" in capsys.readouterr().err
