"""`mureg reconstruct --transform`: every form gives one image, and a note says which form it was."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from mureg.cli import main as command_line
from mureg.io.dicom.registration_write import write_spatial_registration
from mureg.jobs.cores import set_thread_count
from support.dicom import change
from support.dicom_study import POSE, study

FORMS = {
    "matrix.txt": "is a plain 4x4 matrix, which does not say its direction: taken for ct_from_spect",
    "frames.dcm": "is a DICOM Spatial Registration; identified by the frames of reference it names",
}
NAMED = "is a DICOM Spatial Registration; identified by the images it names"


@pytest.fixture(autouse=True)
def threads_as_before():
    yield
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A study whose CT has a frame of reference of its own, and its true pose in every form."""
    folder = study(tmp_path_factory.mktemp("source") / "study")
    for path in (folder / "ct").iterdir():
        change(path, FrameOfReferenceUID="1.2.3.4")
    np.savetxt(folder / "matrix.txt", POSE.matrix)
    spect, ct = pydicom.dcmread(folder / "spect.dcm"), pydicom.dcmread(next((folder / "ct").iterdir()))
    path = write_spatial_registration(
        POSE,
        folder / "named.dcm",
        spect=[spect],
        ct=[ct],
        frame_of_reference=str(spect.FrameOfReferenceUID),
        made_at=datetime(2026, 1, 1),
    )
    bare = pydicom.dcmread(path)
    for item, one in zip(bare.RegistrationSequence, (spect, ct), strict=True):
        del item.ReferencedImageSequence
        item.FrameOfReferenceUID = one.FrameOfReferenceUID
    bare.save_as(folder / "frames.dcm")
    return folder


def reconstruct(source: Path, out: Path, *more: str) -> int:
    given = ["--projections", str(source / "spect.dcm"), "--ct", str(source / "ct"), "-o", str(out)]
    quick = ["--threads", "1"]
    for setting in ("reconstructor.iterations=1", "physics.resolution=false", "physics.scatter=none"):
        quick += ["--set", setting]
    return command_line(["reconstruct", *given, *quick, *more])


def test_each_form_moves_the_map_alike_and_is_named_in_a_note(source, tmp_path, capsys) -> None:
    """The forms themselves are judged by others elsewhere; here the command line must use and name them."""
    images = {}
    for name in (None, *FORMS):
        given = [] if name is None else ["--transform", str(source / name)]
        assert reconstruct(source, tmp_path / "a.nii", *given, "--overwrite") == 0
        images[name] = nib.load(tmp_path / "a.nii").get_fdata().copy()
        printed = capsys.readouterr().out
        if name is not None:
            line = next(line for line in printed.splitlines() if f"{name} {FORMS[name]}" in line)
            assert "[for the record]" in line
            np.testing.assert_allclose(images[name], images["matrix.txt"], atol=1e-4 * images[name].max())
    assert np.abs(images["matrix.txt"] - images[None]).max() > 0.05 * images[None].max(), "the map has moved"


def test_the_note_stands_in_the_json_with_a_fingerprint_of_the_file(source, tmp_path, capsys) -> None:
    assert reconstruct(source, tmp_path / "a.nii", "--transform", str(source / "named.dcm"), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert any(w["text"].startswith(f"named.dcm {NAMED}") for w in said["warnings"])
    (used,) = (one for one in said["provenance"]["sources"] if one["kind"] == "transform")
    assert used["files"] == 1
    assert len(used["sha256"]) == 64
