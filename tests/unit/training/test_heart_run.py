"""From a recipe to calibrated networks, in miniature: all steps, stops between and within them, refusals."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mureg.cli import main, train_heart
from mureg.cli.help import GROUPS, options_of
from mureg.cohort.folds import Fold
from mureg.errors import RegistrationError, UsageError
from mureg.registration import NearHeart
from mureg.registration.card import read_card
from mureg.registration.networks.together import Together
from mureg.registration.weights import SHIPPED, weights_path
from mureg.study import PreparedStudy, attenuation_maps
from mureg.training.heart import errors, fit
from mureg.training.heart import recipe as recipe_module
from mureg.training.heart.cases import CaseStore
from mureg.training.heart.errors import settings_fingerprints
from mureg.training.heart.recipe import as_toml
from mureg.training.heart.run import HeartResult, HeartRun
from mureg.training.progress import Silent
from mureg.training.weights import read_network, settings_on
from support.small_parts import small_parts
from support.tiny_cohort import tiny_case, tiny_cohort
from support.tiny_recipe import TABLE, tiny_recipe

NO_TIME = 1e-9


@pytest.fixture(scope="module", autouse=True)
def _small_parts():
    with small_parts():
        yield


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    return tiny_cohort(tmp_path_factory.mktemp("tiny") / "cohort", 6)


@pytest.fixture(scope="module")
def whole(cohort, tmp_path_factory) -> HeartResult:
    return heart_run(cohort, tmp_path_factory.mktemp("whole") / "run").work()


def heart_run(cohort: Path, folder: Path, report: Silent | None = None, **changes) -> HeartRun:
    return HeartRun(tiny_recipe(**changes), folder, CaseStore.of([cohort]), report or Silent())


def card_of(folder: Path) -> dict:
    """Without the seconds that training took, and without the checksum of a card that holds them."""
    card = json.loads((folder / "near-heart.json").read_text("utf-8"))
    del card["card_sha256"]
    for network in card["trained_on"]["networks"]:
        del network["seconds"]
    return card


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    rows = list(csv.DictReader((folder / "errors" / name).read_text("utf-8").splitlines()))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_the_result_is_a_registrar_that_states_its_covariance(whole) -> None:
    assert whole.is_finished
    assert whole.refusals == ()
    module, card = read_network(whole.weights)
    assert isinstance(module, Together)
    assert [one.norm for one in settings_on(card)] == [True, False]
    assert (card.around, card.gains) == ("heart", (0.8, 0.7, 1.0, 1.0, 1.0, 1.0))
    assert card.calibrated_for == settings_fingerprints()
    for covariance in (card.errors, card.quick_errors):
        assert np.shape(covariance) == (6, 6)
        assert np.linalg.eigvalsh(np.array(covariance)).min() > -1e-5
    assert card.trained_on["recipe_sha256"] == tiny_recipe().sha256
    assert [(group.name, group.n) for group in whole.coverage["quick"]] == [("quick-tiny", 2)]


def test_its_rows_are_what_the_registrar_does(whole) -> None:
    """The residual of a row, applied after the pose that the registrar finds, is the truth."""
    case = tiny_case(5)
    body = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0].body
    registrar = NearHeart(weights=str(whole.weights)).quick_mode()
    registration = registrar.register(PreparedStudy.from_images(case.uncorrected, body))
    assert registration.calibrated_for
    row = next(row for row in rows_of(whole.folder, "quick-tiny.csv") if row["case"] == "tiny-000005")
    points, truth = case.truth.heart_points_mm, case.truth.ct_from_spect
    apart = np.linalg.norm(registration.ct_from_spect.apply(points) - truth.apply(points), axis=1)
    assert float(row["heart_mm"]) == pytest.approx(apart.mean(), abs=1e-3)
    lever = np.array([1.0] * 3 + [np.deg2rad(float(row["heart_arm_mm"]))] * 3)
    residual = np.array([float(row[f"residual_{axis}_{unit}"]) for unit in ("mm", "deg") for axis in "xyz"])
    assert np.linalg.norm(residual * lever) == pytest.approx(np.sqrt((apart**2).mean()), rel=0.2)


def test_a_later_stage_begins_from_the_best_weights_in_half_precision(whole) -> None:
    first, second = (whole.folder / "networks" / "two-stages" / f"stage-{k}" / "best.onnx" for k in (1, 2))
    card = read_card(first)
    assert read_card(second).trained_on["begin_from"] == card.weights_sha256
    networks = [read_card(first.parent.parent.parent / name).trained_on for name in (
        "two-stages/stage-1/last.onnx", "one-stage/stage-1/last.onnx")]  # fmt: skip
    assert [trained_on["begin_from"] for trained_on in networks] == ["", ""]
    weights, _ = fit._start(whole.folder / "networks", tiny_recipe().networks[0], 1)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_model(first).graph.initializer}
    np.testing.assert_array_equal(weights["told.weight"].numpy(), stored["half/told.weight"].astype(np.float32))
    joined, last = read_network(whole.weights)[0].members[0], read_network(second)[0]
    assert torch.equal(joined.told.weight, last.told.weight), "not rounded twice"


def test_patients_who_validate_do_not_train(whole) -> None:
    data = json.loads((whole.folder / "networks" / "one-stage" / "stage-1" / "data.json").read_text("utf-8"))
    assert {name.partition("/")[0] for name in data["train"]["cases"]} == {"tiny-000002"}
    assert {name.partition("/")[0] for name in data["validation"]["cases"]} == {"tiny-000001"}


class Stops(Silent):
    """Is interrupted when it is told of something."""

    def __init__(self, at: str) -> None:
        self.at_line = at

    def say(self, line: str) -> None:
        if line.startswith(self.at_line):
            raise KeyboardInterrupt


def test_a_run_in_pieces_gives_the_same_digits(whole, cohort, tmp_path) -> None:
    folder = tmp_path / "run"
    for at in ("crops far", "network two-stages, stage 2", "errors", "coverage of tiny"):
        with pytest.raises(KeyboardInterrupt):
            heart_run(cohort, folder, Stops(at)).work()
        assert not (folder / "near-heart.json").exists()
    assert heart_run(cohort, folder).work().is_finished
    assert (folder / "near-heart.onnx").read_bytes() == whole.weights.read_bytes()
    assert card_of(folder) == card_of(whole.folder)
    for name in ("tiny.csv", "quick-tiny.csv"):
        assert rows_of(folder, name) == rows_of(whole.folder, name)


def test_a_call_without_time_does_one_piece(cohort, tmp_path) -> None:
    folder = tmp_path / "run"
    for n in (1, 2, 3):
        result = heart_run(cohort, folder).work(minutes=NO_TIME)
        assert (result.is_finished, result.step) == (False, "crops")
        assert len(list((folder / "crops").rglob("*.npz"))) == n
    assert heart_run(cohort, folder).work(["crops"]).is_finished
    result = heart_run(cohort, folder).work(minutes=NO_TIME)
    assert (result.is_finished, result.step) == (False, "networks")
    log = (folder / "networks" / "two-stages" / "stage-1" / "log.csv").read_text("utf-8")
    assert len(log.splitlines()) == 2  # one epoch


def test_networks_from_elsewhere_are_calibrated(whole, cohort, tmp_path) -> None:
    work = heart_run(cohort, tmp_path / "run")
    work.weights = whole.weights
    with pytest.raises(UsageError, match="steps that train others"):
        work.work()
    result = work.work(["errors", "card"])
    assert result.is_finished
    assert result.weights.read_bytes() == whole.weights.read_bytes()
    assert card_of(result.folder)["errors"] == card_of(whole.folder)["errors"]
    work.weights = weights_path(SHIPPED)
    with pytest.raises(UsageError, match="has other networks"):
        work.work(["errors"])


def copied(whole: HeartResult, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole.folder, tmp_path / "copy"))


def test_a_refused_case_is_reported_and_not_tried_again(whole, cohort, tmp_path, monkeypatch) -> None:
    folder = copied(whole, tmp_path)
    path = folder / "errors" / "quick-tiny.csv"
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:2]), "utf-8")
    tries = []

    def refuses(*_):
        tries.append(1)
        raise RegistrationError("a map that moves by 200 mm", "120 mm at most", "check the patient")

    monkeypatch.setattr(errors, "error_row", refuses)
    for _ in range(2):
        result = heart_run(cohort, folder).work()
        assert result.is_finished
        assert [sentence.partition(" moves")[0] for sentence in result.refusals] == [
            "quick mode, tiny-000005: a map that"
        ]
        assert result.coverage["quick"][0].n == 1
    assert len(tries) == 1


def test_what_a_killed_run_was_writing_is_cleared_away(whole, cohort, tmp_path) -> None:
    folder = copied(whole, tmp_path)
    (folder / "crops" / "near" / "tiny-000002.npz").unlink()
    scratch = [
        folder / "crops" / "near" / ".mureg-0123abcd-tiny-000002.npz",
        folder / "errors" / ".mureg-0123abcd-a.csv",
    ]
    for path in scratch:
        path.write_bytes(b"half a file")
    result = heart_run(cohort, folder).work()
    assert result.is_finished
    assert not any(path.exists() for path in scratch)
    restored = folder / "crops" / "near" / "tiny-000002.npz"
    assert restored.read_bytes() == (whole.folder / "crops" / "near" / "tiny-000002.npz").read_bytes()
    assert result.weights.read_bytes() == whole.weights.read_bytes()


def test_another_recipe_is_refused(whole, cohort, tmp_path) -> None:
    folder = copied(whole, tmp_path)
    with pytest.raises(UsageError, match=r"another recipe \(validation_every"):
        heart_run(cohort, folder, validation_every=3).work()


def test_rows_of_other_settings_are_refused(whole, cohort, tmp_path) -> None:
    """A card never names settings that its rows were not measured with."""
    folder = copied(whole, tmp_path)
    path = folder / "errors" / "settings.json"
    path.write_text(path.read_text("utf-8").replace(settings_fingerprints()["default"], "0" * 64), "utf-8")
    with pytest.raises(UsageError, match="measured with another default"):
        heart_run(cohort, folder).work()
    assert heart_run(cohort, folder).work(["card"]).is_finished
    assert card_of(folder)["calibrated_for"]["default"] == "0" * 64


def test_steps_that_lack_the_one_before_are_refused(cohort, tmp_path) -> None:
    for step, words in (("networks", "not drawn"), ("errors", "not trained"), ("card", "not measured")):
        with pytest.raises(UsageError, match=words):
            heart_run(cohort, tmp_path / "run").work([step])
    with pytest.raises(UsageError, match="'all'"):
        heart_run(cohort, tmp_path / "run").work(["all"])


def test_patients_that_were_trained_on_do_not_calibrate(whole, cohort, tmp_path) -> None:
    """Case 3 is none of the crops', but of the patient of case 2."""
    table = {"calibration": {**TABLE["calibration"], "groups": [{"population": "tiny", "first": 3, "n": 2}]}}
    folder = copied(whole, tmp_path)
    (folder / "recipe.toml").unlink()
    shutil.rmtree(folder / "errors")
    with pytest.raises(UsageError, match="tiny-000003 is of patient-1"):
        heart_run(cohort, folder, **table).work(["errors"])


def test_an_output_with_other_things_is_refused(cohort, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        heart_run(cohort, tmp_path / "mine").work()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_two_cohorts_with_one_case_are_refused(cohort) -> None:
    with pytest.raises(UsageError, match="two cohorts hold a case named tiny-000000"):
        CaseStore.of([cohort, cohort])


def test_the_command_line_goes_on_and_reports(whole, cohort, tmp_path, capsys) -> None:
    folder, recipe = copied(whole, tmp_path), tmp_path / "mine.toml"
    recipe.write_text(as_toml(tiny_recipe()), "utf-8")
    options = ["--recipe", str(recipe), "--cohort", str(cohort), "-o", str(folder)]
    before = (folder / "near-heart.onnx").read_bytes()
    assert main(["train", "near-heart", *options, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["finished"], answer["step"], answer["refusals"]) == (True, "card", [])
    assert Path(answer["weights"]).read_bytes() == before
    assert answer["coverage"]["default"][0]["n"] == 2
    assert main(["train", "-o", str(folder), "near-heart"]) == 2
    assert main(["train", "near-heart", *options[:4], "-o", str(cohort)]) == 2
    assert main(["train", "near-heart", *options, "--minutes", "-1"]) == 2
    assert "mureg train near-heart" in (folder / "recipe.toml").read_text("utf-8")


def test_the_help_shows_every_option_in_its_group(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main(["train", "near-heart", "--help"])
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 60
    for option in options_of(train_heart.OPTIONS):
        assert option.invocation in text
        assert any(option.name in names for names in GROUPS.values()), option.name
    assert "--cohort PATH ..." in text
    assert "mureg train near-heart --cohort runs/easy runs/clinical" in text


def test_crops_of_another_run_serve_and_a_fold_is_left_out(whole, cohort, tmp_path, monkeypatch) -> None:
    folds = (Fold(("patient-0",), ()), Fold(("patient-1",), ()))
    monkeypatch.setattr(recipe_module, "load_folds", lambda: folds)
    monkeypatch.setattr(fit, "load_folds", lambda: folds)
    run = HeartRun(tiny_recipe(), tmp_path / "run", CaseStore.of([cohort]), Silent(), crops_of=whole.folder)
    assert run.work(("networks",)).is_finished
    assert not (tmp_path / "run" / "crops").exists()
    data = json.loads((tmp_path / "run" / "networks" / "one-stage" / "stage-1" / "data.json").read_text("utf-8"))
    assert {name.partition("/")[0] for name in data["train"]["cases"]} == {"tiny-000002"}
    without = HeartRun(tiny_recipe(left_out_fold=1), tmp_path / "fold", CaseStore.of([cohort]), Silent())
    with pytest.raises(UsageError, match="crops of 1 patients"):
        replace(without, crops_of=whole.folder).work(("networks",))
    with pytest.raises(UsageError, match="step that draws crops"):
        replace(run, folder=tmp_path / "third").work(("crops", "networks"))
    other = tiny_recipe(crops=[{**TABLE["crops"][0], "per_case": 5}, TABLE["crops"][1]])
    with pytest.raises(UsageError, match="crops of other settings"):
        replace(run, recipe=other, folder=tmp_path / "fourth").work(("networks",))


def test_a_network_begins_from_one_of_a_file(whole, cohort, tmp_path) -> None:
    plain = {"name": "one", "changes": TABLE["networks"][1]["changes"], "stages": TABLE["networks"][1]["stages"]}
    begun = {**plain, "begins_from": str(whole.weights), "begins_with": 2}
    network = tiny_recipe(networks=[begun]).networks[0]
    weights, sha256 = fit._start(tmp_path, network, 0)
    expected = read_network(whole.weights)[0].members[1].state_dict()
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    assert sha256 == f"{read_card(whole.weights).weights_sha256}/2"
    for wrong, sentence in ((3, "expected 1 to 2"), (1, "other layers")):
        recipe = tiny_recipe(networks=[{**begun, "begins_with": wrong}])
        run = HeartRun(recipe, tmp_path / str(wrong), CaseStore.of([cohort]), Silent(), crops_of=whole.folder)
        with pytest.raises(UsageError, match=sentence):
            run.work(("networks",))
