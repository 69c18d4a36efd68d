"""Networks around the heart, trained further: what is held out, what is measured, what the new card states."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from mureg.cli import main
from mureg.cli.held_out import table_of, warnings
from mureg.errors import UsageError
from mureg.geometry import RigidTransform
from mureg.io import write_transform
from mureg.registration import NearHeart, NetworkRegistrar
from mureg.registration.card import Card, read_card
from mureg.registration.card_parts import MotionSize
from mureg.registration.inputs import InputGrid
from mureg.registration.networks import initialised
from mureg.registration.networks.together import Together
from mureg.sample import sample_folder
from mureg.study import PreparedStudy, attenuation_maps
from mureg.training import sources as sources_module
from mureg.training.before_after import LEAST_PATIENTS, HeldOutError
from mureg.training.heart import own_errors
from mureg.training.heart.calibration import Residuals
from mureg.training.heart.errors import COLUMNS, RESIDUALS, settings_fingerprints, write_rows
from mureg.training.heart.own_errors import with_interval
from mureg.training.sources import hold_out, open_sources
from mureg.training.weights import read_network, save_network
from support.chest_cases import write_pairs
from support.dicom import change
from support.small_parts import HEART, small_parts
from support.tiny_cohort import tiny_case, tiny_cohort
from support.tiny_network import Tiny

ERRORS = tuple(map(tuple, np.diag([1.0, 1.0, 1.0, 0.1, 0.1, 0.1]).tolist()))
GRID = InputGrid((12, 12, 12), 20.0)


@pytest.fixture(scope="module", autouse=True)
def _small_parts():
    with small_parts():
        yield


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Six cases of three patients."""
    return tiny_cohort(tmp_path_factory.mktemp("tiny") / "cohort", 6)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Two networks around the heart that were calibrated."""
    path = tmp_path_factory.mktemp("before") / "before.onnx"
    card = Card(
        asdict(Tiny()),
        GRID,
        others=(asdict(Tiny()),),
        around="heart",
        licence="CC0-1.0",
        motion=MotionSize(1.0, 2.0, 0.1, 0.2),
        errors=ERRORS,
        errors_grow_mm=1.0,
        quick_errors=ERRORS,
        quick_errors_grow_mm=1.0,
        calibrated_for=settings_fingerprints(),
    )
    save_network(path, Together([initialised(Tiny(), seed) for seed in (3, 4)]), card)
    return path


def command(cohort: Path, weights: Path, output: Path) -> list[str]:
    cases = ["--cohort", str(cohort), "--weights", str(weights), "--epochs", "2", "--threads", "1"]
    return ["finetune", *cases, "-o", str(output), "--json"]


@pytest.fixture(scope="module")
def run(cohort, weights, tmp_path_factory) -> Path:
    """A run that was stopped after the first case and goes on."""
    output = tmp_path_factory.mktemp("ours") / "run"
    assert main([*command(cohort, weights, output), "--minutes", "0.00001"]) == 0
    assert not (output / "near-heart.onnx").exists()
    assert main(command(cohort, weights, output)) == 0
    return output


def held_out_rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "held-out.csv").read_text("utf-8").splitlines()))


def test_no_patient_is_in_both_sets(run) -> None:
    rows = held_out_rows(run)
    (patient,) = {row["patient"] for row in rows}
    assert len(rows) == 2
    data = json.loads((run / "networks" / "1" / "data.json").read_text("utf-8"))
    names = {tiny_case(k).name: tiny_case(k).study.patient for k in range(6)}
    of = {
        part: {names[case.partition("/")[0].rpartition("-")[0]] for case in data[part]["cases"]}
        for part in data
        if part in ("train", "validation")
    }
    assert of["validation"] == {patient}
    assert of["train"] == set(names.values()) - {patient}


def test_the_table_is_what_the_registrar_does_with_either_weights(run, weights) -> None:
    """Distances of the heart points are computed here, from the pose."""
    for row in held_out_rows(run):
        case = tiny_case(int(row["case"][-1]))
        body = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0].body
        study, points = PreparedStudy.from_images(case.uncorrected, body), case.truth.heart_points_mm
        truth = case.truth.ct_from_spect.apply(points)
        for name, used in (("before_mm", weights), ("after_mm", run / "near-heart.onnx")):
            pose = NetworkRegistrar(used).register(study).ct_from_spect
            apart = np.linalg.norm(pose.apply(points) - truth, axis=1).mean()
            assert float(row[name]) == pytest.approx(apart, abs=1e-3)
        assert float(row["unregistered_mm"]) == pytest.approx(np.linalg.norm(points - truth, axis=1).mean(), abs=1e-3)


def test_the_network_of_the_last_epoch_counts(run) -> None:
    """The cases held out judge; they choose nothing."""
    for number, member in enumerate(read_network(run / "near-heart.onnx")[0].members, 1):
        last = read_network(run / "networks" / str(number) / "last.onnx")[0].state_dict()
        assert all(bool((value == last[name]).all()) for name, value in member.state_dict().items())


def test_the_new_card(run, weights) -> None:
    before, after = read_card(weights), read_card(run / "near-heart.onnx")
    assert after.trained_on["begin_from"] == before.weights_sha256 != after.weights_sha256
    assert [part["begin_from"] for part in after.trained_on["networks"]] == [
        f"{before.weights_sha256}/{number}" for number in (1, 2)
    ]
    assert (after.around, after.licence, after.grid) == ("heart", "CC0-1.0", before.grid)
    assert after.motion.largest_shift_mm > before.motion.largest_shift_mm, "crops lack up to 30 mm"
    rows = held_out_rows(run)
    assert after.validation["heart_mm"] == pytest.approx(np.mean([float(row["after_mm"]) for row in rows]), abs=1e-3)
    assert after.calibrated_for == {}, "one patient calibrates nothing"


def test_the_result_is_not_taken_for_calibrated(run) -> None:
    case = tiny_case(0)
    body = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0].body
    registration = NetworkRegistrar(run / "near-heart.onnx").register(PreparedStudy.from_images(case.uncorrected, body))
    assert registration.covariance is not None
    assert registration.calibrated_for == {}


def test_the_answer_names_what_to_do_next(cohort, weights, run, capsys) -> None:
    """The finished run is given again: nothing is trained, everything is said."""
    before = {path: path.read_bytes() for path in run.rglob("*.onnx")}
    words = [word for word in command(cohort, weights, run) if word != "--json"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert {path: path.read_bytes() for path in run.rglob("*.onnx")} == before
    assert f"use        mureg register --spect SPECT --ct CT -o RESULT --weights {run / 'near-heart.onnx'}" in text
    assert f"warning    3 patients, fewer than the {LEAST_PATIENTS}" in text
    assert "interval   not calibrated: 1 patients held out, fewer than 40" in text
    for words_ in ("scanner position", "before", "after", "change"):
        assert f"  {words_} " in text


def rows_of(path: Path, n: int, size_mm: float) -> Path:
    """Residuals that are large along x and small in every other parameter, without dispersion."""
    scale, rows = np.array([size_mm, 0.1, 0.1, 0.1, 0.1, 0.1]), []
    for k, residual in enumerate(scale * np.random.default_rng(5).choice([-1.0, 1.0], (n, 6))):
        row = dict.fromkeys(COLUMNS, 0.0) | dict(zip(RESIDUALS, residual, strict=True))
        row |= {"case": f"case-{k:02d}", "heart_arm_mm": 40.0}
        rows.append(tuple(row[name] for name in COLUMNS))
    write_rows(path, rows)
    return path


class TestInterval:
    card = Card(
        {}, GRID, errors=ERRORS, errors_grow_mm=1.0, quick_errors=ERRORS, calibrated_for=settings_fingerprints()
    )

    def test_few_patients_enlarge_it_until_it_holds(self, tmp_path) -> None:
        path = rows_of(tmp_path / "rows.csv", 5, 20.0)
        card, sentence = with_interval(replace(self.card, calibrated_for={}), path, {"a", "b"})
        assert "not calibrated: 2 patients" in sentence
        assert card.calibrated_for == {}
        ratios = Residuals.of(path, 1.0).ratios(np.asarray(card.errors))
        assert ratios.max() == pytest.approx(1.0)
        factor = card.errors[0][0] / ERRORS[0][0]
        assert factor > 1.0
        np.testing.assert_allclose(card.quick_errors, factor * np.asarray(ERRORS))

    def test_small_errors_of_few_patients_do_not_shrink_it(self, tmp_path) -> None:
        card, _ = with_interval(self.card, rows_of(tmp_path / "rows.csv", 5, 0.01), {"a", "b"})
        assert card.errors == ERRORS

    def test_many_patients_calibrate_the_default_mode(self, tmp_path) -> None:
        path = rows_of(tmp_path / "rows.csv", own_errors.LEAST_FOR_INTERVAL, 5.0)
        patients = {f"p{k}" for k in range(own_errors.LEAST_FOR_INTERVAL)}
        card, sentence = with_interval(self.card, path, patients)
        assert "calibrated on 40 patients" in sentence
        assert set(card.calibrated_for) == {"default", "attenuation", "reconstructor"}
        assert NearHeart()._calibrated_for(card)
        assert NearHeart().quick_mode()._calibrated_for(card) == {}
        assert card.errors[0][0] > card.errors[1][1], "the errors lie along x"


class TestTable:
    errors = tuple(HeldOutError(f"case-{k}", f"p{k // 2}", 20.0 + k, 3.0 + k % 3, 2.0 + k % 3) for k in range(10))

    def test_means_and_intervals(self) -> None:
        answer, lines = table_of(self.errors)
        held_out = answer["held_out"]
        assert (held_out["patients"], held_out["cases"]) == (5, 10)
        assert held_out["heart_mm"]["before"]["value"] == pytest.approx(np.mean([e.before_mm for e in self.errors]))
        assert held_out["change_mm"]["value"] == pytest.approx(-1.0)
        assert [held_out["change_mm"][end] for end in ("low", "high")] == pytest.approx([-1.0, -1.0])
        assert any("-1.00 [-1.00, -1.00]" in line for line in lines)

    def test_warnings(self) -> None:
        assert warnings(self.errors, LEAST_PATIENTS) == []
        assert "fewer than" in warnings(self.errors, LEAST_PATIENTS - 1)[0]
        worse = tuple(replace(error, after_mm=error.before_mm + 1.0) for error in self.errors)
        assert "keep the old weights" in warnings(worse, LEAST_PATIENTS)[0]
        assert "3 cases have no transform" in warnings(self.errors, LEAST_PATIENTS, 3)[0]


class TestPairs:
    def test_the_share_of_few_patients_is_held_out(self, cohort) -> None:
        sources = open_sources(cohort)
        for share, n_patients in ((0.01, 1), (0.25, 1), (0.67, 2), (1.0, 2)):
            training, held_out = hold_out(sources, share, 1)
            assert len({source.patient for source in held_out}) == n_patients
            assert not {source.patient for source in held_out} & {source.patient for source in training}
        with pytest.raises(UsageError, match="cases of 1 patient"):
            hold_out(sources[:2], 0.25, 1)

    def test_a_registration_under_review_is_not_trusted(self, tmp_path) -> None:
        pairs = write_pairs(tmp_path, 1, transforms=True)
        matrix = RigidTransform.from_six((3.0, 0.0, 0.0), (0, 0, 0), (0, 0, 0)).matrix.tolist()
        text = pairs.read_text("utf-8").replace("0.tfm", "0.json")
        pairs.write_text(text, "utf-8")
        for decision in ("review", "moved"):
            answer = {"ct_from_spect": matrix, "decision": decision}
            (tmp_path / "0.json").write_text(json.dumps(answer), "utf-8")
            (source,) = open_sources(pairs)
            if decision == "review":
                with pytest.raises(UsageError, match=r"line 2: 0\.json states the decision review"):
                    source.read()
            else:
                assert source.read().ct_from_spect == RigidTransform(np.array(matrix))
        write_transform(RigidTransform(np.array(matrix)), tmp_path / "0.tfm")


@pytest.mark.parametrize("names_images", [True, False], ids=["names images", "names frames alone"])
def test_a_spatial_registration_of_another_program_is_trusted(names_images, tmp_path, monkeypatch) -> None:
    """pydicomrt writes it: its matrix maps the CT, which moves, into the frame of the SPECT."""
    reg = pytest.importorskip("pydicomrt.reg", reason="pydicomrt is not installed (it comes with the extra dev)")
    shutil.copytree(sample_folder() / "ct", tmp_path / "ct")
    for path in (tmp_path / "ct").iterdir():
        change(path, FrameOfReferenceUID="1.2.3.4")
    spect = [pydicom.dcmread(sample_folder() / "spect.dcm")]
    ct = [pydicom.dcmread(path) for path in sorted((tmp_path / "ct").iterdir())]
    pose = RigidTransform.from_six((12.0, -7.0, 21.0), (2.0, -1.0, 3.0), (5.0, 6.0, 7.0))
    matrix = pose.inverse().matrix.ravel().tolist()
    built = reg.SpatialRegistrationBuilder(spect).add_registration(ct, matrix).build()
    for item in () if names_images else built.RegistrationSequence:
        item.pop("ReferencedImageSequence", None)
    built.save_as(tmp_path / "reg.dcm", enforce_file_format=True)
    line = f"p1,{sample_folder() / 'spect.dcm'},ct,reg.dcm"
    (tmp_path / "pairs.csv").write_text(f"patient,spect,ct,transform\n{line}\n", "utf-8")
    monkeypatch.setattr(sources_module, "find_left_ventricle", lambda *_: HEART)
    (source,) = open_sources(tmp_path / "pairs.csv")
    np.testing.assert_allclose(source.read().ct_from_spect.matrix, pose.matrix, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "no cases to train on"),
        (["--cache", "c", "--cohort", "x"], "--cache with networks around the heart"),
        (["--cohort", "x", "--pairs", "y"], "both --cohort and --pairs"),
        (["--cohort", "x", "--weights", "dusfe-of-nobody"], "neither a name nor a file"),
    ],
    ids=["no cases", "cache", "two lists", "no weights"],
)
def test_refusals(words, sentence, tmp_path, capsys) -> None:
    assert main(["finetune", "-o", str(tmp_path / "run"), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
