"""The loop: it learns, stops, goes on to the same bytes, refuses, and tells."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from mureg.errors import RefusedError, UnreadableInputError, UsageError
from mureg.registration.card import read_card
from mureg.registration.networks import initialised
from mureg.training.examples import Examples
from mureg.training.loop import train
from mureg.training.progress import Silent
from support.toy_pairs import toy_examples, toy_settings


@pytest.fixture(scope="module")
def toys() -> Examples:
    return toy_examples(22)


@pytest.fixture(scope="module")
def unseen() -> Examples:
    return toy_examples(6, 100)


class Recorder(Silent):
    """Keeps the lines of a report; interrupts the run in an epoch."""

    def __init__(self, stop_in_epoch: int = 0) -> None:
        self.lines: list[str] = []
        self.stop_in_epoch = stop_in_epoch

    def say(self, line: str) -> None:
        self.lines.append(line)
        if self.stop_in_epoch and line.startswith(f"epoch {self.stop_in_epoch - 1}:"):
            raise KeyboardInterrupt


def weights(folder):
    """As they are in the state that a stopped run goes on from: not rounded to half precision."""
    state = load_file(folder / "state.safetensors")
    return {name.removeprefix("weights/"): value for name, value in state.items() if name.startswith("weights/")}


def assert_equal_bytes(one, other) -> None:
    for name in ("last.onnx", "best.onnx"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    ours, theirs = load_file(one / "state.safetensors"), load_file(other / "state.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_it_learns_on_patients_it_has_not_seen(toys, unseen, tmp_path) -> None:
    many = toy_examples(50, 200)
    optimiser = {"learning_rate": 0.006, "betas": [0.9, 0.99], "decay": 0.95}
    trained = train(toy_settings(epochs=25, batch=10, optimiser=optimiser), many, unseen, tmp_path / "run")
    assert trained.finished
    assert trained.progress.best_mm < 0.5 * trained.unregistered.heart_mm
    assert trained.rows[-1].loss < 0.4 * trained.rows[0].loss


@pytest.mark.parametrize("loss", ["rigid-parameters", "displacement"])
def test_a_stopped_run_goes_on_to_the_same_bytes(toys, unseen, tmp_path, loss) -> None:
    """Batch norm, dropout, drawn motion, changes, a cut last epoch: all of it comes back."""
    settings = toy_settings(
        network={"kind": "tiny", "norm": True, "dropout": 0.3},
        motion={"kind": "redrawn", "range": "clinical", "share": 0.7},
        augmentation={"noise": 0.05, "gamma": 0.1, "flip": True, "shift_mm": [5.0, 5.0, 5.0]},
        loss={"kind": loss},
        epochs=0,
        samples=75,
    )
    whole = train(settings, toys, unseen, tmp_path / "whole")
    assert [row.samples for row in whole.rows] == [22, 44, 66, 75]
    pieces = [train(settings, toys, unseen, tmp_path / "pieces", minutes=0.0) for _ in range(2)]
    assert [piece.progress.epoch for piece in pieces] == [1, 2]
    assert not pieces[-1].finished
    torch.manual_seed(12345)  # what else a process has drawn must not matter
    with pytest.raises(KeyboardInterrupt):
        train(settings, toys, unseen, tmp_path / "pieces", report=Recorder(stop_in_epoch=4))
    last = train(settings, toys, unseen, tmp_path / "pieces")
    assert last.finished
    assert_equal_bytes(tmp_path / "whole", tmp_path / "pieces")
    assert [replace(row, seconds=0, data_seconds=0, cases_per_second=0, clock=0) for row in last.rows] == [
        replace(row, seconds=0, data_seconds=0, cases_per_second=0, clock=0) for row in whole.rows
    ]


def test_training_leaves_the_generators_of_others_alone(toys, unseen, tmp_path) -> None:
    before = torch.get_rng_state()
    train(toy_settings(epochs=1), toys, unseen, tmp_path / "run")
    assert torch.equal(before, torch.get_rng_state())


def test_a_longer_run_goes_on_from_a_shorter_one(toys, unseen, tmp_path) -> None:
    train(toy_settings(epochs=2), toys, unseen, tmp_path / "run")
    longer = train(toy_settings(epochs=3), toys, unseen, tmp_path / "run")
    assert [row.epoch for row in longer.rows] == [1, 2, 3]
    train(toy_settings(epochs=3), toys, unseen, tmp_path / "other")
    assert_equal_bytes(tmp_path / "run", tmp_path / "other")


def test_the_best_network_is_the_one_of_the_lowest_validation_error(toys, unseen, tmp_path) -> None:
    trained = train(toy_settings(epochs=6, validate_every=2), toys, unseen, tmp_path / "run")
    errors = {row.epoch: row.heart_mm for row in trained.rows if row.heart_mm is not None}
    assert sorted(errors) == [2, 4, 6]
    assert trained.progress.best_mm == min(errors.values())
    assert errors[trained.progress.best_epoch] == trained.progress.best_mm
    card = read_card(tmp_path / "run" / "best.onnx")
    assert card.validation["heart_mm"] == trained.progress.best_mm
    assert card.trained_on["epochs"] == trained.progress.best_epoch
    assert card.kind == "tiny"


def test_what_a_run_leaves_tells_all(toys, unseen, tmp_path) -> None:
    recorder = Recorder()
    settings = toy_settings(epochs=2)
    train(settings, toys, unseen, tmp_path / "run", report=recorder)
    assert {file.name for file in (tmp_path / "run").iterdir()} == {
        ".mureg",
        "settings.toml",
        "data.json",
        "log.csv",
        "state.safetensors",
        *(f"{which}.{ending}" for which in ("best", "last") for ending in ("onnx", "json")),
    }
    assert "22 cases of 22 patients" in recorder.lines[0]
    assert "the error at the scanner position is" in recorder.lines[0]
    assert sum(line.startswith("epoch") for line in recorder.lines) == 2
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").read_text().splitlines()))
    assert [row["samples"] for row in rows] == ["22", "44"]
    said = json.loads((tmp_path / "run" / "data.json").read_text())
    assert said["settings_sha256"] == settings.sha256
    assert said["validation"]["cases"][0] == "toy-100"


@pytest.mark.parametrize("setting", [{"bf16": True}, {"channels_last": True}])
def test_bfloat16_and_channels_last_learn_as_well(toys, unseen, tmp_path, setting) -> None:
    plain, other = (
        train(toy_settings(epochs=5, **more), toys, unseen, tmp_path / f"{len(more)}") for more in ({}, setting)
    )
    assert other.rows[-1].loss == pytest.approx(plain.rows[-1].loss, rel=0.05)
    assert all(value.dtype == torch.float32 for value in weights(tmp_path / "1").values()), "weights stay float32"


def test_a_clipped_gradient_hardly_moves_the_weights(toys, unseen, tmp_path) -> None:
    """Adam divides the gradient by its own size and 1e-8: one clipped far below that goes nowhere."""
    first = initialised(toy_settings().network, toy_settings().seed).state_dict()
    way = {}
    for name, clip in (("free", 0.0), ("held", 1e-13)):
        settings = toy_settings(epochs=1, optimiser={"clip": clip, "learning_rate": 1e-3})
        train(settings, toys, unseen, tmp_path / name)
        way[name] = max(float((value - first[k]).abs().max()) for k, value in weights(tmp_path / name).items())
    assert way["held"] < 1e-6
    assert way["free"] > 1e-3


def test_a_network_trained_ablated_learns_nothing_of_the_spect(toys, unseen, tmp_path) -> None:
    """The weights are the same whatever the SPECT shows, and so is what the validation says; the card tells."""
    settings = toy_settings(input={"ablated": True}, augmentation={"noise": 0.05, "gain": 0.1})
    for name, change in (("one", lambda x: x), ("other", lambda x: x.flip(1) ** 2)):
        changed = (replace(examples, spect=change(examples.spect)) for examples in (toys, unseen))
        train(settings, *changed, tmp_path / name)
    assert_equal_bytes(tmp_path / "one", tmp_path / "other")
    assert read_card(tmp_path / "one" / "best.onnx").ablated
    seeing = replace(settings, input=toy_settings().input, epochs=1)
    train(seeing, toys, unseen, tmp_path / "seeing")
    assert not read_card(tmp_path / "seeing" / "best.onnx").ablated
    for other, folder in ((seeing, "one"), (settings, "seeing")):
        with pytest.raises(UsageError, match="other settings of input"):
            train(other, toys, unseen, tmp_path / folder)


class TestRefusals:
    def test_another_run_in_the_folder(self, toys, unseen, tmp_path) -> None:
        train(toy_settings(epochs=1), toys, unseen, tmp_path / "run")
        before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
        for other in (toy_settings(seed=2), toy_settings(loss={"kind": "rigid-parameters"})):
            with pytest.raises(UsageError, match=r"other settings of (seed|loss)"):
                train(other, toys, unseen, tmp_path / "run")
        with pytest.raises(UsageError, match="other cases for train"):
            train(toy_settings(), toy_examples(3), unseen, tmp_path / "run")
        assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before

    def test_a_folder_of_other_things(self, toys, unseen, tmp_path) -> None:
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(UsageError, match="holds other things"):
            train(toy_settings(), toys, unseen, tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]

    def test_a_patient_in_both_sets(self, toys, tmp_path) -> None:
        with pytest.raises(UsageError, match="patients are in the sets"):
            train(toy_settings(), toys, toy_examples(2, 21), tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_aligned_pairs_that_are_never_moved(self, unseen, tmp_path) -> None:
        with pytest.raises(UsageError, match="motion to learn"):
            train(toy_settings(), toy_examples(2, aligned=True), unseen, tmp_path / "run")

    def test_a_loss_that_is_no_number_keeps_the_epoch_before(self, toys, unseen, tmp_path) -> None:
        train(toy_settings(epochs=1), toys, unseen, tmp_path / "run")
        broken = replace(toys, spect=toys.spect * float("inf"))
        state = (tmp_path / "run" / "state.safetensors").read_bytes()
        with pytest.raises(RefusedError, match="learning_rate"):
            train(toy_settings(epochs=2), broken, unseen, tmp_path / "run")
        assert (tmp_path / "run" / "state.safetensors").read_bytes() == state

    def test_a_damaged_state(self, toys, unseen, tmp_path) -> None:
        train(toy_settings(epochs=1), toys, unseen, tmp_path / "run")
        (tmp_path / "run" / "state.safetensors").write_bytes(b"nothing")
        with pytest.raises(UnreadableInputError, match=r"state\.safetensors"):
            train(toy_settings(epochs=2), toys, unseen, tmp_path / "run")
