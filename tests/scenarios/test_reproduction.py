"""The comparison of benchmarks/evidence/reproduction.py is fair: who is in which set, and who gets how much."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from mureg.cli.common import parse
from mureg.cli.evaluate import Evaluate
from mureg.cli.simulate import Simulate
from mureg.cli.train import Train
from mureg.cohort.anatomies import patient_name
from mureg.cohort.settings import load_settings as load_cohort
from mureg.registration.networks import NETWORKS, n_parameters, preset
from mureg.training.logs import EpochRow, write_log
from mureg.training.motion import AsInTheCase
from mureg.training.settings import as_table, load_settings

pytestmark = pytest.mark.slow

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "evidence"))
reproduction = import_module("reproduction")
sys.path.pop(0)

VERBS = {"simulate": Simulate, "train": Train, "evaluate": Evaluate}


def work(level: str, *words: str, output: str = "nowhere"):
    options = reproduction.parse(["-o", output, "--levels", level, *words])
    return next(iter(reproduction.plan(options)))[1]


@pytest.mark.parametrize("level", reproduction.LEVELS)
class TestCohorts:
    def test_no_patient_is_in_two_sets(self, level) -> None:
        settings, full = load_cohort(str(work(level).cohort_settings)), work(level)
        patients = {
            of: [patient_name(settings, index) for index in full.cases(of)] for of in ("train", "validation", "test")
        }
        assert {of: len(set(names)) for of, names in patients.items()} == {"train": 200, "validation": 50, "test": 200}
        assert all(names.count(who) == 2 for names in patients.values() for who in names)
        assert len(set().union(*patients.values())) == 450

    def test_a_smaller_scale_moves_nobody_into_another_set(self, level) -> None:
        full, tiny = work(level), work(level, "--scale", "tiny")
        for of in ("train", "validation", "test"):
            assert set(tiny.cases(of)) <= set(full.cases(of))

    def test_it_is_the_level_with_two_studies_of_every_patient(self, level) -> None:
        ours, theirs = load_cohort(str(work(level).cohort_settings)), load_cohort(level)
        assert (ours.studies_per_patient, ours.seed == theirs.seed, ours.name == theirs.name) == (2, False, False)
        assert replace(ours, name=theirs.name, seed=theirs.seed, studies_per_patient=1) == theirs


@pytest.mark.parametrize("level", reproduction.LEVELS)
class TestTraining:
    @pytest.mark.parametrize("scale", list(reproduction.SCALES))
    def test_every_network_gets_the_same(self, level, scale) -> None:
        runs = [run for run in work(level, "--scale", scale).runs() if not run.settings.input.ablated]
        assert [run.settings.network.kind for run in runs] == list(NETWORKS)
        assert len({run.folder for run in runs}) == len(runs)
        for run in runs:
            assert run.settings.network == preset(run.settings.network.kind, "small")
        tables = [{**as_table(run.settings), "network": None} for run in runs]
        assert all(table == tables[0] for table in tables)

    @pytest.mark.parametrize("more", [(), ("--paper",)])
    def test_the_proposed_network_is_trained_ablated_on_the_motion_of_the_cases(self, level, more) -> None:
        runs = {run.name: run.settings for run in work(level, *more).runs()}
        ablated = {name: settings for name, settings in runs.items() if settings.input.ablated}
        assert set(ablated) == {f"densenet-dusfe{size}-ablated" for size in ("", *(("-80", "-64") if more else ()))}
        for name, settings in ablated.items():
            seeing = runs[name.removesuffix("-ablated")]
            assert settings.motion == AsInTheCase()
            assert replace(settings, input=seeing.input, motion=seeing.motion) == seeing

    def test_the_small_settings_are_the_shipped_ones_on_the_motion_of_the_level(self, level) -> None:
        ours, shipped = next(work(level).runs()).settings, load_settings("small")
        assert ours.samples_of(400) == shipped.samples_of(400)
        assert ours.motion.range == load_cohort(level).placement.motion
        same = {"network": shipped.network, "samples": 0, "epochs": shipped.epochs, "motion": shipped.motion}
        assert replace(ours, **same) == shipped

    def test_the_papers_settings_are_the_papers(self, level) -> None:
        runs = [run for run in work(level, "--paper").runs() if run.settings.grid.spacing_mm == 6.8]
        runs = [run for run in runs if not run.settings.input.ablated]
        assert {(run.settings.network.kind, run.settings.grid.shape) for run in runs} == {
            (kind, shape) for kind in NETWORKS for shape in ((80, 80, 40), (64, 64, 64))
        }
        shipped = load_settings("paper")
        for run in runs:
            assert run.settings.samples_of(400) == 300 * 400
            same = {"network": shipped.network, "grid": shipped.grid, "samples": 0, "epochs": shipped.epochs}
            assert replace(run.settings, **same) == shipped
        dusfe = next(run for run in runs if run.name == "densenet-dusfe-80")
        assert n_parameters(dusfe.settings.network.build()) == 11_228_541


@pytest.mark.parametrize("more", [(), ("--paper", "--minutes", "9")])
def test_the_commands_are_ones_that_mureg_takes(capsys, tmp_path, more) -> None:
    out = tmp_path / "out"
    assert reproduction.main(["-o", str(out), "--dry-run", "--peers", str(tmp_path / "none"), *more]) == 0
    lines = [line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.startswith("mureg ")]
    options = [parse(verb, words, VERBS[verb]) for verb, *words in lines]
    n_networks = (3 if more else 1) * (len(NETWORKS) + 1)
    assert [type(one) for one in options] == 2 * [*3 * [Simulate], *n_networks * [Train], Evaluate]
    for easy in (one for one in options if isinstance(one, Train)):
        assert (easy.train.name.split("-")[1], easy.validation.name.split("-")[1]) == ("train", "validation")
    assert all(one.cohorts[0].name.endswith("-test") for one in options if isinstance(one, Evaluate))
    assert not out.exists(), "a plan writes nothing"


def test_what_is_not_trained_to_the_end_is_not_compared(tmp_path) -> None:
    with pytest.raises(SystemExit, match=r"densenet.* not trained to the end"):
        reproduction.main(["-o", str(tmp_path), "--steps", "evaluate"])


def test_when_the_time_is_over_it_stops_and_says_so(tmp_path, capsys) -> None:
    assert reproduction.main(["-o", str(tmp_path), "--minutes", "1e-9"]) == reproduction.STOPPED
    assert "the same command goes on" in capsys.readouterr().out


def trained(runs) -> None:
    """Leave what mureg train leaves, as far as evidence is made from it."""
    for run in runs:
        run.folder.mkdir(parents=True)
        write_log(
            [EpochRow(1, 8, 2.0, 0.1, 8.0, 1e-3, 30.0, 0.0), EpochRow(2, 16, 4.0, 0.1, 16.0, 1e-3, 20.0, 0.0)],
            run.folder,
        )
        did = {"cases": 8, "patients": 4, "epochs": 2, "samples": 16, "seconds": 90.0, "settings_sha256": "of settings"}
        said = {"trained_on": did, "validation": {"heart_mm": 12.5}, "weights_sha256": "of weights"}
        for name in ("best", "last"):
            (run.folder / f"{name}.json").write_text(json.dumps(said), "utf-8")
            (run.folder / f"{name}.onnx").write_bytes(b"weights")
        for name in ("settings.toml", "data.json", "machines.txt"):
            (run.folder / name).write_text(run.name, "utf-8")


def test_evidence_is_small_whole_and_can_be_traced(tmp_path, capsys) -> None:
    words = ["--scale", "tiny", "--networks", "dvnet", "msreg"]
    plan = work("easy", *words, output=str(tmp_path / "out"))
    collect = ["-o", str(tmp_path / "out"), *words, "--levels", "easy", "--steps", "collect"]
    trained(plan.runs())
    plan.comparison.mkdir()
    for name in ("tables.md", "summary.csv", "summary.json", "settings.toml"):
        (plan.comparison / name).write_text(name, "utf-8")
    with pytest.raises(SystemExit, match=r"not there yet.*cases\.csv"):
        reproduction.main(collect)
    many = "a line of many\n" * 100_000
    (plan.comparison / "cases.csv").write_text(many, "utf-8")
    assert reproduction.main(collect) == 0

    evidence = plan.options.evidence / "easy"
    assert gzip.decompress((evidence / "cases.csv.gz").read_bytes()).decode() == many
    files = {str(path.relative_to(evidence)): path for path in evidence.rglob("*") if path.is_file()}
    assert not any(name.endswith((".onnx", ".safetensors")) for name in files)
    told = json.loads(files.pop("hashes.json").read_text("utf-8"))
    assert told["files"] == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert told["committed"]["small-easy.toml"]
    with files["budget.csv"].open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["kind"] for line in lines] == ["dvnet", "msreg"]
    for line in lines:
        assert (line["samples"], line["minutes"], line["weights_sha256"]) == ("16", "1.5", "of weights")
        assert line["paper_seconds_per_batch_of_4"] == "", "half the resolution is no match for it"
        assert float(line["seconds_per_batch_of_4"]) == pytest.approx(4 / 12, abs=1e-3)
    before = {name: path.read_bytes() for name, path in files.items()}
    assert reproduction.main(collect) == 0
    assert {name: files[name].read_bytes() for name in files} == before
