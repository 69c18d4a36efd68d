"""What a user types, what comes back: the sample study through every verb, and every way of getting it wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image

import mureg
from mureg import RigidTransform
from mureg.cli import main as command_line
from mureg.cli.algorithms import algorithms_from
from mureg.comparison import target_registration_error_mm
from mureg.io import read_nifti
from mureg.jobs.cores import set_thread_count
from mureg.results import as_json
from mureg.sample import load_truth, sample_folder
from support import dicom
from support.sample_run import QUICK

SPECT, CT = str(sample_folder() / "spect.dcm"), str(sample_folder() / "ct")


@pytest.fixture(scope="module")
def results(registered_sample) -> Path:
    """One full run of the main job, looked at by many tests."""
    return registered_sample


def main(arguments: list[str] | tuple[str, ...]) -> int:
    """The command line on one thread, unless the test says otherwise: tests run side by side."""
    threads = [] if "--threads" in arguments or arguments[0] == "align" else ["--threads", "1"]
    return command_line([*arguments, *threads])


@pytest.fixture(autouse=True)
def threads_as_before():
    """The command line sets thread counts for the process; later tests want theirs back."""
    yield
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def refusal(capsys, *arguments: str) -> tuple[int, str]:
    """Exit code and the one sentence on standard error; nothing on standard output."""
    capsys.readouterr()
    code = main(arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    return code, err


def test_the_folder_holds_every_result_and_nothing_else(results) -> None:
    names = "registration.json ct_from_spect.tfm mu_registered.nii.gz mu_header.nii.gz spect_nac.nii.gz spect_ac.nii.gz"
    assert {file.name for file in results.iterdir()} == {
        *names.split(),
        "qc.png",
        "report.html",
        "settings.toml",
        "dicom",
        ".mureg",
    }


def test_the_pose_is_within_a_pixel_of_the_truth(results) -> None:
    truth, found = load_truth(), json.loads((results / "registration.json").read_text())
    matrix = RigidTransform(np.array(found["ct_from_spect"]))
    assert target_registration_error_mm(matrix, truth.ct_from_spect, truth.heart_points_mm) < 6.8
    wrong_way = matrix.inverse()
    assert target_registration_error_mm(wrong_way, truth.ct_from_spect, truth.heart_points_mm) > 20


def test_python_gives_the_same_answer(results) -> None:
    """`mureg.examine` and the command line: one pose, one decision, one number for the move, to the last digit."""
    written = json.loads((results / "registration.json").read_text())
    method = algorithms_from(results / "settings.toml")
    study = mureg.read_study(sample_folder() / "spect.dcm", ct=sample_folder() / "ct")
    settings = mureg.StudySettings(
        method.registrar, method.reconstructor, method.physics, method.attenuation, limits=method.decision
    )
    answer = mureg.examine(study, settings)
    again = as_json(answer)
    for key in (
        "decision",
        "reasons",
        "move_at_heart",
        "ct_from_spect",
        "interval_90",
        "perfusion",
        "warnings",
        "found",
    ):
        assert json.loads(json.dumps(again[key])) == written[key], key
    image = read_nifti(results / "spect_ac.nii.gz", "spect")
    np.testing.assert_array_equal(answer.spect_corrected.values, image.values)
    np.testing.assert_allclose(answer.spect_corrected.grid.affine, image.grid.affine, atol=1e-4)


def test_json_tells_all_that_was_promised(results) -> None:
    found = json.loads((results / "registration.json").read_text())
    for key in (
        "decision",
        "reason",
        "reasons",
        "move_at_heart",
        "pose_found_given_out",
        "found",
        "limits",
        "interval_90",
        "mismatch_percent",
        "perfusion",
        "ct_from_spect",
        "shift_mm",
        "angles_deg",
        "centre_mm",
        "registrar",
        "seconds",
        "warnings",
        "provenance",
    ):
        assert key in found
    assert found["decision"] in ("moved", "review"), "the sample was moved by more than two pixels"
    assert found["reason"] == found["reasons"][0]
    assert all(len(values) == 17 for values in found["perfusion"]["segments_percent"].values())
    assert found["mismatch_percent"]["registered"] < 3.0 < found["mismatch_percent"]["header"]
    six = RigidTransform.from_six(found["shift_mm"], found["angles_deg"], found["centre_mm"])
    np.testing.assert_allclose(six.matrix, found["ct_from_spect"], atol=1e-9)
    assert {"versions", "settings", "sources", "seconds"} <= found["provenance"].keys()
    assert all(len(source["sha256"]) == 64 for source in found["provenance"]["sources"])
    assert "MUREG^SAMPLE" not in json.dumps(found), "no patient names"


def test_simpleitk_opens_the_transform_in_the_same_direction(results) -> None:
    found = json.loads((results / "registration.json").read_text())
    transform = sitk.ReadTransform(str(results / "ct_from_spect.tfm"))
    for point in ((0.0, 0.0, 0.0), (50.0, -30.0, -180.0)):
        expected = (np.array(found["ct_from_spect"]) @ [*point, 1.0])[:3]
        np.testing.assert_allclose(transform.TransformPoint(point), expected, atol=1e-5)


def test_simpleitk_resamples_the_header_map_onto_the_registered_one(results) -> None:
    """The written map, moved by the written transform with another program, is the written registered map."""
    transform = sitk.ReadTransform(str(results / "ct_from_spect.tfm"))
    header, registered = (sitk.ReadImage(str(results / f"mu_{name}.nii.gz")) for name in ("header", "registered"))
    moved = sitk.GetArrayFromImage(sitk.Resample(header, registered, transform, sitk.sitkLinear, 0.0))
    wrong = sitk.GetArrayFromImage(sitk.Resample(header, registered, transform.GetInverse(), sitk.sitkLinear, 0.0))
    expected = sitk.GetArrayFromImage(registered)
    middle = np.s_[22:40, 16:48, 16:48]  # z y x, away from the ends of the CT
    right, left = (np.abs(a[middle] - expected[middle]).mean() for a in (moved, wrong))
    assert right < 0.01, "two interpolations instead of one leave a little"
    assert left > 3 * right


def test_images_are_on_the_spect_grid_in_ras_millimetres(results) -> None:
    images = {name: nib.load(results / f"{name}.nii.gz") for name in ("mu_registered", "spect_nac", "spect_ac")}
    for image in images.values():
        assert image.shape == (64, 64, 64)
        np.testing.assert_allclose(nib.affines.voxel_sizes(image.affine), 6.8, rtol=1e-5)
        assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    soft_tissue = np.median(images["mu_registered"].get_fdata()[images["mu_registered"].get_fdata() > 0.12])
    assert 0.14 < soft_tissue < 0.165
    ac, nac = (images[name].get_fdata() for name in ("spect_ac", "spect_nac"))
    assert ac.sum() > 2 * nac.sum(), "corrected counts exceed uncorrected ones several times"


@pytest.mark.slow
def test_settings_read_back_give_the_same_run(results, tmp_path, capsys) -> None:
    settings = tomllib.loads((results / "settings.toml").read_text())
    assert settings["registrar"]["coarse"]["starts"] == 1
    assert settings["reconstructor"]["iterations"] == 2
    again = tmp_path / "again"
    arguments = ["--spect", SPECT, "--ct", CT, "-o", str(again), "--settings", str(results / "settings.toml")]
    assert main(["register", *arguments, "--no-reconstruction", "--threads", "2", "--json"]) == 0
    out, err = capsys.readouterr()
    first = json.loads((results / "registration.json").read_text())
    assert json.loads(out)["ct_from_spect"] == first["ct_from_spect"], "two runs, one and two threads"
    # no progress bar where there is no terminal; one line a minute on a slow machine
    assert all(re.fullmatch(r"mureg: .* \(\d+ min\)", line) for line in err.splitlines())
    assert not (again / "spect_ac.nii.gz").exists()


def test_a_fast_run_gives_pose_and_maps_without_pictures(results, tmp_path, capsys) -> None:
    capsys.readouterr()
    out = tmp_path / "fast"
    assert main(["register", "--spect", SPECT, "--ct", CT, "-o", str(out), "--fast", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    left_out = {"qc.png", "report.html", "spect_ac.nii.gz", "dicom"}
    truth, found = load_truth(), RigidTransform(np.array(said["found"]["ct_from_spect"]))
    assert target_registration_error_mm(found, truth.ct_from_spect, truth.heart_points_mm) < 6.8
    assert said["decision"] in ("moved", "review")
    withheld = said["ct_from_spect"] != said["found"]["ct_from_spect"]
    assert not withheld or (said["decision"], said["ct_from_spect"]) == ("review", np.eye(4).tolist())
    names = {f.name for f in results.iterdir()} - left_out | ({"ct_from_spect_found.tfm"} if withheld else set())
    assert {f.name for f in out.iterdir()} == names
    assert said["use"]


def test_picture_is_a_whole_png(results) -> None:
    with Image.open(results / "qc.png") as picture:
        picture.verify()
        assert min(picture.size) > 600


def test_reconstruct_repeats_the_corrected_image(results, tmp_path, capsys) -> None:
    image = tmp_path / "ac.nii.gz"
    arguments = [
        "--projections",
        SPECT,
        "--ct",
        CT,
        "--transform",
        str(results / "ct_from_spect.tfm"),
        "-o",
        str(image),
    ]
    assert main(["reconstruct", *arguments, "--set", "reconstructor.iterations=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["attenuation_corrected"] is True
    again, first = (nib.load(file).get_fdata() for file in (image, results / "spect_ac.nii.gz"))
    # the file ends where the SPECT field does, the patient's left side does not: the last 40 mm there are off by more
    inner = np.s_[6:-6, :, :]
    np.testing.assert_allclose(again[inner], first[inner], rtol=1e-3, atol=1e-3 * first.max())
    np.testing.assert_allclose(again, first, atol=5e-3 * first.max())


def test_a_ready_map_serves_as_well_as_the_ct(results, tmp_path) -> None:
    image = tmp_path / "ac.nii"
    arguments = ["--projections", SPECT, "--mu", str(results / "mu_registered.nii.gz"), "-o", str(image)]
    assert main(["reconstruct", *arguments, "--set", "reconstructor.iterations=2"]) == 0
    again, first = (nib.load(file).get_fdata() for file in (image, results / "spect_ac.nii.gz"))
    # the file ends where the SPECT field does, the patient's left side does not: off by more are its last 40 mm, and
    # at the shoulder 70 mm
    for inner, within in ((np.s_[:-6, :, :48], 3e-4), (np.s_[:-10], 1e-3)):
        np.testing.assert_allclose(again[inner], first[inner], rtol=1e-3, atol=within * first.max())
    np.testing.assert_allclose(again, first, atol=5e-3 * first.max())


def test_one_gate_alone_holds_its_own_counts(tmp_path, capsys) -> None:
    """Eight gates of falling counts: the third alone, and all of them summed."""
    n_gates, n_views, shape = 8, 12, (16, 16)
    place = dicom.project_point((15.0, -10.0, 5.0), 225.0 - 15.0 * np.arange(n_views), shape=shape)
    frames = np.concatenate(
        [place[view : view + 1] * (n_gates - gate) for gate in range(n_gates) for view in range(n_views)]
    )
    vectors = dicom.tomo_vectors(n_views)
    path = dicom.write_nm(
        tmp_path / "gated.dcm",
        frames,
        {name: vector * n_gates for name, vector in vectors.items() if name != "AngularViewVector"}
        | {
            "RRIntervalVector": [1] * len(frames),
            "TimeSlotVector": [gate + 1 for gate in range(n_gates) for _ in range(n_views)],
            "AngularViewVector": vectors["AngularViewVector"] * n_gates,
        },
        kind="GATED TOMO",
        windows=[(126.5, 154.5)],
        detectors=[dicom.detector(225.0, shape=shape)],
        rotations=[dicom.rotation(225.0, 15.0, n_views, sense="CW")],
    )
    counts = {}
    for name, gate in (("third", ["--gate", "3"]), ("all", [])):
        image = str(tmp_path / f"{name}.nii")
        arguments = [
            "reconstruct",
            "--projections",
            str(path),
            "-o",
            image,
            "--set",
            "reconstructor.subsets=4",
            "--json",
            *gate,
        ]
        assert main(arguments) == 0
        counts[name] = json.loads(capsys.readouterr().out)["counts"]
    assert counts["third"] == n_views * 100 * 6
    assert counts["all"] == n_views * 100 * sum(range(1, n_gates + 1))


def test_inspect_says_what_is_there_and_draws_it(tmp_path, capsys) -> None:
    assert main(["inspect", str(sample_folder()), "-o", str(tmp_path / "look.png")]) == 0
    out = capsys.readouterr().out
    for words in ("CT", "projections", "126.5", "clockwise", "i to left, j to back, k to head", "LEHR", "Research use"):
        assert words in out
    assert {file.name for file in tmp_path.iterdir()} == {"look.png", "look-2.png"}


@pytest.mark.slow
def test_demo_compares_with_the_truth(tmp_path, capsys) -> None:
    assert main(["demo", "-o", str(tmp_path / "demo"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["heart_error_found_mm"] <= 6.8 < told["heart_error_unregistered_mm"]
    given = "heart_error_found_mm" if told["pose_found_given_out"] else "heart_error_unregistered_mm"
    assert told["heart_error_mm"] == told[given]
    np.testing.assert_allclose(told["shift_true_mm"], load_truth().translation_mm, atol=1e-6)


class TestRefusals:
    """One clear sentence, the right exit code, nothing left behind."""

    def test_results_are_not_overwritten(self, results, capsys) -> None:
        before = {file: file.read_bytes() for file in results.rglob("*") if file.is_file()}
        code, sentence = refusal(capsys, "register", "--spect", SPECT, "--ct", CT, "-o", str(results), *QUICK)
        assert code == 2
        assert "exists already" in sentence
        assert {file: file.read_bytes() for file in results.rglob("*") if file.is_file()} == before

    @pytest.mark.parametrize("extra", [[], ["--ct", CT, "--mu", CT]])
    def test_exactly_one_map(self, extra, tmp_path, capsys) -> None:
        code, sentence = refusal(capsys, "register", "--spect", SPECT, "-o", str(tmp_path / "out"), *extra)
        assert code == 2
        assert "--ct" in sentence

    @pytest.mark.parametrize("slow", [["--registrar", "projection"], ["--dicom"], ["--pdf"]])
    def test_a_fast_run_with_what_takes_time(self, slow, tmp_path, capsys) -> None:
        out = tmp_path / "out"
        code, sentence = refusal(capsys, "register", "--spect", SPECT, "--ct", CT, "-o", str(out), "--fast", *slow)
        assert code == 2
        assert slow[0] in sentence
        assert not out.exists()

    def test_no_overlap(self, tmp_path, capsys) -> None:
        far = tmp_path / "far.nii"
        shades = np.linspace(0.14, 0.16, 27000, dtype=np.float32).reshape(30, 30, 30)
        shades[8:20, 8:20, 8:20] = 0.045  # a lung, so that it passes for a chest
        image = nib.Nifti1Image(shades, np.diag([5.0, 5, 5, 1]))
        image.affine[:3, 3] = 3000
        image.set_sform(image.affine, code=1)
        nib.save(image, far)
        out = tmp_path / "out"
        code, sentence = refusal(capsys, "register", "--spect", SPECT, "--mu", str(far), "-o", str(out), *QUICK)
        assert code == 3
        assert "decision refused" in sentence
        assert "no overlap" in sentence
        assert not out.exists()

    def test_missing_input(self, tmp_path, capsys) -> None:
        code, sentence = refusal(
            capsys, "register", "--spect", str(tmp_path / "none"), "--ct", CT, "-o", str(tmp_path / "out")
        )
        assert code == 4
        assert "none" in sentence
        assert not (tmp_path / "out").exists()

    def test_projections_where_a_ct_belongs(self, tmp_path, capsys) -> None:
        code, _ = refusal(capsys, "register", "--spect", SPECT, "--ct", SPECT, "-o", str(tmp_path / "out"))
        assert code == 4

    def test_a_damaged_transform(self, tmp_path, capsys) -> None:
        bad = tmp_path / "bad.tfm"
        bad.write_text("nothing")
        code, sentence = refusal(
            capsys,
            "reconstruct",
            "--projections",
            SPECT,
            "--ct",
            CT,
            "--transform",
            str(bad),
            "-o",
            str(tmp_path / "a.nii"),
        )
        assert code == 4
        assert "bad.tfm" in sentence

    def test_output_that_is_no_nifti(self, tmp_path, capsys) -> None:
        code, sentence = refusal(capsys, "reconstruct", "--projections", SPECT, "-o", str(tmp_path / "image.dcm"))
        assert code == 2
        assert ".nii" in sentence

    def test_a_gate_of_an_ungated_study(self, tmp_path, capsys) -> None:
        code, sentence = refusal(
            capsys, "reconstruct", "--projections", SPECT, "--gate", "1", "-o", str(tmp_path / "gate.nii")
        )
        assert code == 4
        assert "gated" in sentence

    def test_settings_that_are_none(self, tmp_path, capsys) -> None:
        settings = tmp_path / "settings.toml"
        settings.write_text('[reconstructor]\nkind = "osem"\niterations = -1\n')
        code, sentence = refusal(
            capsys, "register", "--spect", SPECT, "--ct", CT, "-o", str(tmp_path / "o"), "--settings", str(settings)
        )
        assert code == 2
        assert "iterations" in sentence

    def test_cuda_where_there_is_none(self, tmp_path, capsys) -> None:
        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
        code, sentence = refusal(capsys, "train", "small", "--device", "cuda", "-o", str(tmp_path / "o"))
        assert code == 2
        assert "--device cuda on a machine without a usable GPU" in sentence

    def test_the_clinical_verbs_have_no_device(self, tmp_path, capsys) -> None:
        code, sentence = refusal(capsys, "demo", "--device", "cpu", "-o", str(tmp_path / "o"))
        assert (code, "no option --device" in sentence) == (2, True)

    def test_unknown_verb(self, capsys) -> None:
        assert refusal(capsys, "align")[0] == 2

    def test_a_folder_that_cannot_be_written(self, tmp_path, capsys) -> None:
        (tmp_path / "file").write_text("in the way")
        image = tmp_path / "file" / "image.nii"
        code, _ = refusal(
            capsys, "reconstruct", "--projections", SPECT, "-o", str(image), "--set", "reconstructor.iterations=1"
        )
        assert code == 2


def test_help_answers_at_once() -> None:
    command = shutil.which("mureg", path=str(Path(sys.executable).parent)) or "mureg"
    started = time.perf_counter()
    answer = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    assert "register" in answer.stdout
    assert "Research use only" in answer.stdout
    assert seconds < 1.5
    loaded = "import sys, mureg.cli; mureg.cli.overview(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], check=True)
