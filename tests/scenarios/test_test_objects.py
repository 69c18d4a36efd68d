"""A water cylinder through the command line: refused as a chest, taken as a phantom, its units still looked at."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from mureg.cli import main as command_line
from mureg.jobs.cores import set_thread_count
from support.dicom import detector, rotation, tomo_vectors, write_nm

N, PIXEL_MM, VIEWS = 32, 8.0, 24
RADIUS_MM, HALF_MM = 80.0, 60.0
MU_PER_CM = 0.154  # of water at 140.5 keV (NIST XCOM)
ROUGH = ("registrar.coarse.starts=1", "registrar.finish=false", "registrar.passes=1", "registrar.crops=1")
STARTS = ["--registrar", "near-heart", *(word for setting in ROUGH for word in ("--set", setting))]
QUICK = ["--threads", "1", "--set", "reconstructor.iterations=2"]


@pytest.fixture(autouse=True)
def threads_as_before():
    yield
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


@pytest.fixture(scope="module")
def cylinder(tmp_path_factory) -> Path:
    """Uniform activity in water: each pixel sees the attenuated integral along its chord, (1 - exp(-mu c)) / mu."""
    folder = tmp_path_factory.mktemp("cylinder")
    across = (np.arange(N) - (N - 1) / 2) * PIXEL_MM
    chord_cm = 2 * np.sqrt(np.clip(RADIUS_MM**2 - across**2, 0, None)) / 10
    seen = (1 - np.exp(-MU_PER_CM * chord_cm)) / MU_PER_CM
    frame = np.outer(np.abs(across) < HALF_MM, 20 * seen)
    write_nm(
        folder / "spect.dcm",
        np.repeat(np.rint(frame)[None], VIEWS, axis=0).astype(np.uint16),
        tomo_vectors(VIEWS),
        detectors=[detector(225, shape=(N, N), pixel=PIXEL_MM)],
        rotations=[rotation(225, 360 / VIEWS, VIEWS, sense="CW")],
        pixel=PIXEL_MM,
        CorrectedImage=["DECY"],
    )
    places = (np.arange(64) - 31.5) * 4.0
    x, y, z = np.meshgrid(places, places, places, indexing="ij")
    water = np.where((np.hypot(x, y) < RADIUS_MM) & (np.abs(z) < HALF_MM + 4), 0, -1000)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = places[0]
    for name, values in (("ct", water), ("stored", water + 1024)):
        image = nib.Nifti1Image(values.astype(np.int16), affine)
        image.header.set_xyzt_units("mm")
        image.set_sform(affine, 1)
        image.set_qform(affine, 1)
        nib.save(image, folder / f"{name}.nii.gz")
    return folder


def reconstruct(cylinder: Path, out: Path, ct: str, *more: str) -> int:
    given = ["--projections", str(cylinder / "spect.dcm"), "--ct", str(cylinder / f"{ct}.nii.gz"), "-o", str(out)]
    return command_line(["reconstruct", *given, *QUICK, "--set", "physics.resolution=false", *more])


def test_reconstruct_takes_it_and_finds_the_uniform_activity(cylinder, tmp_path, capsys) -> None:
    """The corrected middle is as bright as the ring around it; without correction the middle is darker."""
    assert reconstruct(cylinder, tmp_path / "ac.nii", "ct", "--phantom", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert any("the CT was given as a phantom" in w["text"] for w in said["warnings"])
    without = ["--projections", str(cylinder / "spect.dcm"), "-o", str(tmp_path / "nac.nii"), *QUICK]
    assert command_line(["reconstruct", *without]) == 0
    ratios = []
    for name in ("ac", "nac"):
        image = nib.load(tmp_path / f"{name}.nii")
        places = np.moveaxis(np.indices(image.shape), 0, -1) @ image.affine[:3, :3].T + image.affine[:3, 3]
        radius, height = np.hypot(places[..., 0], places[..., 1]), np.abs(places[..., 2])
        slab = height < HALF_MM / 2
        values = image.get_fdata()
        ratios.append(values[slab & (radius < 25)].mean() / values[slab & (radius > 35) & (radius < 60)].mean())
    assert ratios[0] == pytest.approx(1.0, abs=0.07)
    assert ratios[1] < 0.88


def test_without_the_flag_the_refusal_names_it(cylinder, tmp_path, capsys) -> None:
    assert reconstruct(cylinder, tmp_path / "ac.nii", "ct") == 3
    sentence = capsys.readouterr().err
    assert "0 ml of lung" in sentence
    assert "--phantom" in sentence
    assert not (tmp_path / "ac.nii").exists()


@pytest.mark.parametrize("flag", [[], ["--phantom"]])
def test_stored_values_are_never_hounsfield_units(flag, cylinder, tmp_path, capsys) -> None:
    assert reconstruct(cylinder, tmp_path / "ac.nii", "stored", *flag) in (3, 4)
    sentence = capsys.readouterr().err
    assert sentence.startswith("mureg: ")
    assert sentence.count("\n") == 1
    assert not (tmp_path / "ac.nii").exists()


def test_register_takes_it_and_never_gives_a_pose_out(cylinder, tmp_path) -> None:
    """No heart is there: the answer is review, it says so, and the map stays at its scanner position."""
    given = ["--spect", str(cylinder / "spect.dcm"), "--ct", str(cylinder / "ct.nii.gz"), "-o", str(tmp_path / "out")]
    assert command_line(["register", *given, "--phantom", "--no-reconstruction", *QUICK, *STARTS]) == 0
    answer = json.loads((tmp_path / "out" / "registration.json").read_text())
    assert answer["decision"] == "review"
    assert any("left ventricle was hard to find" in r or "No left ventricle was found" in r for r in answer["reasons"])
    np.testing.assert_array_equal(np.asarray(answer["ct_from_spect"]), np.eye(4))
    assert any("the CT was given as a phantom" in w["text"] for w in answer["warnings"])
