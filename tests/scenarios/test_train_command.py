"""mureg train and mureg finetune as a user types them, on chests that cost nothing to make."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mureg
from mureg.cli import main
from mureg.registration.card import read_card
from mureg.registration.network import NetworkRegistrar
from mureg.registration.networks import NETWORKS
from mureg.study import Study
from mureg.training.settings import as_toml, settings_from
from mureg.training.weights import read_network
from support.chest_cases import CT_GRID, chest_spect, motion, write_chest_cohort, write_pairs
from support.phantoms import mu_volume
from support.tiny_network import ALL

pytestmark = pytest.mark.usefixtures("remembered_ventricles")

TABLE = {
    "network": {"kind": "tiny"},
    "grid": {"shape": [12, 12, 12], "spacing_mm": 30.0},
    "motion": {"kind": "redrawn", "range": {"translation_mm": [20.0, 20.0, 20.0], "angles_deg": [5.0, 5.0, 5.0]}},
    "optimiser": {"learning_rate": 2e-3, "betas": [0.9, 0.99]},
    "epochs": 3,
}


@pytest.fixture(autouse=True)
def _tiny_networks(monkeypatch) -> None:
    for kind, settings in ALL.items():
        monkeypatch.setitem(NETWORKS, kind, settings)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    return write_chest_cohort(tmp_path_factory.mktemp("chests"), 20)


@pytest.fixture(scope="module")
def trained(cohort, tmp_path_factory) -> Path:
    """One run of the whole training, for tests that begin from its weights; not to be changed."""
    place = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patched:
        for kind, one in ALL.items():
            patched.setitem(NETWORKS, kind, one)
        command = ["train", written(place / "mine.toml"), "--cohort", str(cohort), "-o", str(place / "run")]
        assert main([*command, "--threads", "1"]) == 0
    return place / "run"


@pytest.fixture
def settings(tmp_path) -> str:
    return written(tmp_path / "mine.toml")


def written(path: Path, **changes) -> str:
    """A settings file; `settings_from` needs the small networks, which only stand in the catalogue inside a test."""
    path.write_text(as_toml(settings_from({**TABLE, **changes}, path.name)), "utf-8")
    return str(path)


def told(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_train_resume_and_use(cohort, settings, tmp_path, capsys) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    command = ["train", settings, "--cohort", str(cohort), "-o", str(run), "--cache", str(cache), "--threads", "1"]
    assert main([*command, "--minutes", "0.0001"]) == 0
    out, err = capsys.readouterr()
    assert "not finished: the same command continues" in out
    assert "the error at the scanner position is" in err
    assert "epoch 1:" in err
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert "going on after epoch 1" in err
    assert (answer["finished"], answer["epochs"]) == (True, 3)
    assert answer["best_heart_mm"] > 0
    assert not (run / "examples").exists(), "the cache was given"
    registration = mureg.register(
        chest_spect(), mu_volume(CT_GRID, motion(1)), NetworkRegistrar(weights=run / "best.onnx")
    )
    assert registration.weights_sha256 == read_card(run / "best.onnx").weights_sha256


def test_it_learns_to_lay_the_map_onto_the_spect(cohort, tmp_path, capsys) -> None:
    """The tiny end to end: from cases on disk to a registrar that does better than no registration."""
    optimiser = {"learning_rate": 5e-3, "betas": [0.9, 0.99], "decay": 0.95}
    settings = written(tmp_path / "longer.toml", epochs=40, batch=5, validate_every=5, optimiser=optimiser)
    unseen = write_chest_cohort(tmp_path / "unseen", 6, 40)
    sets = ["--train", str(cohort), "--validation", str(unseen)]
    assert main(["train", settings, *sets, "-o", str(tmp_path / "run"), "--json", "--threads", "1"]) == 0
    answer = told(capsys)
    assert answer["best_heart_mm"] < 0.65 * answer["unregistered"]["heart_mm"]
    truth = motion(77)
    study = Study(chest_spect(), mu_volume(CT_GRID, truth))
    found = mureg.examine(
        study, mureg.StudySettings(registrar=NetworkRegistrar(weights=Path(answer["weights"])))
    ).registration.ct_from_spect
    heart = np.array([(38.0, -32.0, 12.0), (60.0, -50.0, 0.0), (20.0, -20.0, 30.0)])
    left = np.linalg.norm(found.apply(heart) - truth.apply(heart), axis=1).mean()
    assert left < 0.75 * np.linalg.norm(heart - truth.apply(heart), axis=1).mean()


@pytest.mark.parametrize("transforms", [False, True])
def test_finetune_on_a_hospitals_list(trained, tmp_path, capsys, transforms) -> None:
    pairs = write_pairs(tmp_path / "hospital", 6, transforms=transforms)
    capsys.readouterr()
    weights = trained / "best.onnx"
    command = ["finetune", "--weights", str(weights), "--pairs", str(pairs), "-o", str(tmp_path / "tuned")]
    assert main([*command, "--epochs", "2", "--json", "--threads", "1"]) == 0
    answer = told(capsys)
    assert answer["epochs"] == 2
    before, after = read_card(weights), read_card(Path(answer["weights"]))
    assert after.trained_on["begin_from"] == before.weights_sha256
    assert after.network == before.network
    assert (tmp_path / "tuned" / "examples").is_dir()
    assert main([*command, "--epochs", "3", "--json", "--threads", "1"]) == 0
    assert told(capsys)["epochs"] == 3


def test_finetuning_begins_where_the_weights_are(cohort, trained, tmp_path, capsys) -> None:
    """With a learning rate of next to nothing the weights stay what they were."""
    still = tmp_path / "still.toml"
    still.write_text("epochs = 1\n[optimiser]\nlearning_rate = 1e-12\n[motion]\nkind = 'redrawn'\n", "utf-8")
    command = [
        "finetune",
        "--weights",
        str(trained / "best.onnx"),
        "--cohort",
        str(cohort),
        "-o",
        str(tmp_path / "t"),
    ]
    assert main([*command, "--settings", str(still), "--threads", "1"]) == 0
    before, after = (read_network(f / "best.onnx")[0].state_dict() for f in (trained, tmp_path / "t"))
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=1e-8)


def test_finetuning_keeps_ablated_weights_ablated(cohort, tmp_path, capsys) -> None:
    run, ablated = tmp_path / "run", written(tmp_path / "ablated.toml", epochs=1, input={"ablated": True})
    assert main(["train", ablated, "--cohort", str(cohort), "-o", str(run), "--threads", "1"]) == 0
    command = ["finetune", "--weights", str(run / "best.onnx"), "--cohort", str(cohort), "--epochs", "1"]
    assert main([*command, "-o", str(tmp_path / "tuned"), "--threads", "1"]) == 0
    assert read_card(tmp_path / "tuned" / "best.onnx").ablated


class TestRefusals:
    def refused(self, capsys, *arguments: str) -> tuple[int, str]:
        code = main(arguments)
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.strip().splitlines()) == 1, err
        return code, err

    def test_no_cases_named(self, settings, tmp_path, capsys) -> None:
        code, said = self.refused(capsys, "train", settings, "-o", str(tmp_path / "run"))
        assert code == 2
        assert "--cohort" in said
        assert not (tmp_path / "run").exists()

    def test_cases_named_twice(self, settings, cohort, tmp_path, capsys) -> None:
        both = ["--cohort", str(cohort), "--pairs", str(cohort)]
        assert self.refused(capsys, "train", settings, *both, "-o", str(tmp_path / "run"))[0] == 2
        half = ["--train", str(cohort)]
        assert self.refused(capsys, "train", settings, *half, "-o", str(tmp_path / "run"))[0] == 2

    def test_another_run_in_the_folder(self, cohort, trained, tmp_path, capsys) -> None:
        run = shutil.copytree(trained, tmp_path / "run")
        capsys.readouterr()
        other = written(tmp_path / "other.toml", seed=9)
        before = {file: file.read_bytes() for file in run.iterdir() if file.is_file()}
        code, said = self.refused(capsys, "train", other, "--cohort", str(cohort), "-o", str(run))
        assert code == 2
        assert "other settings of seed" in said
        assert {file: file.read_bytes() for file in run.iterdir() if file.is_file()} == before

    def test_a_cohort_that_is_none(self, settings, tmp_path, capsys) -> None:
        (tmp_path / "none").mkdir()
        code, said = self.refused(
            capsys, "train", settings, "--cohort", str(tmp_path / "none"), "-o", str(tmp_path / "run")
        )
        assert code == 4
        assert "no cases" in said
        assert not (tmp_path / "run").exists()

    def test_weights_that_are_none(self, cohort, tmp_path, capsys) -> None:
        weights = str(tmp_path / "none.onnx")
        code, said = self.refused(
            capsys, "finetune", "--weights", weights, "--cohort", str(cohort), "-o", str(tmp_path / "run")
        )
        assert code == 4
        assert "none.onnx" in said


def test_a_terminal_shows_how_far_it_is() -> None:
    code = (
        "from mureg.cli.messages import Messages\n"
        "from mureg.cli.training import _display\n"
        "import time\n"
        "with _display(Messages()) as shown:\n"
        "    shown.preparing(1, 3)\n"
        "    shown.say('epoch 1: well')\n"
        "    for done in range(4):\n"
        "        shown.at(done, 3, 1.5)\n"
        "        time.sleep(0.2)\n"
    )
    master, slave = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stderr=slave, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(slave)
        seen = b""
        while chunk := _read(master):
            seen += chunk
    os.close(master)
    assert process.returncode == 0
    for words in (b"training, loss 1.50", b"3/3", b"epoch 1: well"):
        assert words in seen


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end is gone
        return b""


def test_help_names_the_verbs(capsys) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    assert "train " in overview
    assert "finetune" in overview
