"""benchmarks/evidence/paper_configuration.py: the paper's networks in short sittings, on one machine or on several."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from mureg.cohort.store.cohort import CASES, write_case
from mureg.errors import UnreadableInputError
from mureg.registration.networks import NETWORKS
from mureg.training.checkpoints import STATE, Progress, load_state, save_state
from mureg.training.folder import LAST
from mureg.training.settings import load_settings
from support.tiny_cohort import tiny_case
from support.tiny_network import Tiny

pytestmark = pytest.mark.slow

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "evidence"))
configuration = import_module("paper_configuration")
parts = import_module("checkpoint_parts")
reproduction = import_module("reproduction")
sys.path.pop(0)


def runs(*words: str):
    return list(configuration.work_of(configuration.parse(["-o", "nowhere", *words])).runs())


def test_it_trains_the_five_networks_as_in_the_paper() -> None:
    """300 epochs of 400 cases in batches of 4, on the field of the released code and on that of the text."""
    for size, shape in (("80", (80, 80, 40)), ("64", (64, 64, 64))):
        full = runs("--size", size)
        assert [run.settings.network.kind for run in full] == list(NETWORKS)
        paper = load_settings("paper")
        for run in full:
            ours = run.settings
            assert (ours.samples, ours.batch, ours.grid.shape) == (300 * 400, 4, shape)
            assert (ours.loss, ours.optimiser, ours.motion) == (paper.loss, paper.optimiser, paper.motion)
            assert not ours.bf16


def test_the_smallest_scale_differs_in_cases_and_voxels_alone() -> None:
    for tiny, full in zip(runs("--scale", "tiny"), runs(), strict=True):
        assert tiny.settings.samples < 100
        assert tiny.settings.network.kind == full.settings.network.kind
        field = [n * tiny.settings.grid.spacing_mm for n in tiny.settings.grid.shape]
        assert field == pytest.approx([n * full.settings.grid.spacing_mm for n in full.settings.grid.shape])
        assert (tiny.settings.loss, tiny.settings.optimiser) == (full.settings.loss, full.settings.optimiser)


def a_run(folder: Path, seed: int = 1, epoch: int = 3) -> tuple[torch.nn.Module, torch.optim.Adam]:
    """What a training of a small network leaves after some epochs."""
    torch.manual_seed(seed)
    network = Tiny(norm=True).build()
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(epoch):
        optimiser.zero_grad()
        network(torch.rand(2, 1, 12, 12, 12), torch.rand(2, 1, 12, 12, 12)).abs().mean().backward()
        optimiser.step()
    folder.mkdir(parents=True, exist_ok=True)
    save_state(folder, network, optimiser, Progress(epoch, 4 * epoch, 1.0, 1, 5.0))
    for name in ("settings.toml", "data.json", "log.csv", "machines.txt", "best.onnx", "best.json"):
        (folder / name).write_text(f"{name} of epoch {epoch}", "utf-8")
    (folder / LAST).with_suffix(".json").write_text(json.dumps({"trained_on": {"samples": 4 * epoch}}), "utf-8")
    return network, optimiser


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestParts:
    def test_the_files_come_back_to_the_byte_in_parts_below_the_limit(self, tmp_path) -> None:
        a_run(tmp_path / "one" / "net")
        assert parts.pack(tmp_path / "one" / "net", tmp_path / "parts", finished=False, part_bytes=5000) == 12
        names = sorted(path.name for path in (tmp_path / "parts").glob("*.part"))
        assert len(names) > 3
        assert all((tmp_path / "parts" / name).stat().st_size <= 5000 for name in names)
        assert parts.unpack(tmp_path / "parts", tmp_path / "other" / "net", 0) == 12
        assert listing(tmp_path / "other" / "net") == listing(tmp_path / "one" / "net")

    def test_the_usual_limit_is_16_megabytes(self) -> None:
        assert parts.PART_BYTES <= 16e6

    def test_a_later_checkpoint_takes_the_place_of_the_one_before(self, tmp_path) -> None:
        run, to = tmp_path / "net", tmp_path / "parts"
        for epoch in (1, 2):
            a_run(run, epoch=epoch)
            parts.pack(run, to, finished=False, part_bytes=5000)
        told = json.loads((to / "net.json").read_text("utf-8"))
        assert {path.name for path in to.glob("*.part")} == set(told["parts"])
        assert told["samples"] == 8

    def test_a_run_that_is_further_is_left_alone(self, tmp_path) -> None:
        a_run(tmp_path / "net", epoch=2)
        parts.pack(tmp_path / "net", tmp_path / "parts", finished=False)
        a_run(tmp_path / "net", epoch=3)
        before = listing(tmp_path / "net")
        assert parts.unpack(tmp_path / "parts", tmp_path / "net", 12) == 12
        assert listing(tmp_path / "net") == before

    @pytest.mark.parametrize("what", ["missing", "damaged"])
    def test_a_checkpoint_that_is_not_whole_is_refused_and_nothing_written(self, tmp_path, what) -> None:
        a_run(tmp_path / "one" / "net")
        parts.pack(tmp_path / "one" / "net", tmp_path / "parts", finished=False, part_bytes=5000)
        part = sorted((tmp_path / "parts").glob("*.part"))[1]
        if what == "missing":
            part.unlink()
        else:
            part.write_bytes(b"x" + part.read_bytes()[1:])
        with pytest.raises(UnreadableInputError, match=f"{part.name} of a checkpoint is {what}"):
            parts.unpack(tmp_path / "parts", tmp_path / "other" / "net", 0)
        assert not (tmp_path / "other").exists()

    def test_a_finished_run_keeps_its_best_network_and_no_state(self, tmp_path) -> None:
        a_run(tmp_path / "one" / "net")
        parts.pack(tmp_path / "one" / "net", tmp_path / "parts", finished=True)
        parts.unpack(tmp_path / "parts", tmp_path / "other" / "net", 0)
        names = set(listing(tmp_path / "other" / "net"))
        assert {"best.onnx", "best.json", "last.json", "log.csv"} <= names
        assert STATE not in names

    def test_a_compact_checkpoint_holds_the_weights_in_half_precision_and_forgets_the_moments(self, tmp_path) -> None:
        network, _ = a_run(tmp_path / "one" / "net")
        parts.pack(tmp_path / "one" / "net", tmp_path / "parts", finished=False, compact=True)
        parts.unpack(tmp_path / "parts", tmp_path / "other" / "net", 0)
        small, large = (tmp_path / where / "net" / STATE for where in ("other", "one"))
        assert small.stat().st_size < large.stat().st_size / 4
        again = Tiny(norm=True).build()
        optimiser = torch.optim.Adam(again.parameters(), 0.01)
        progress = load_state(tmp_path / "other" / "net", again, optimiser)
        assert (progress.epoch, progress.samples, progress.best_epoch, progress.best_mm) == (3, 12, 0, float("inf"))
        assert not optimiser.state_dict()["state"]
        for name, values in network.state_dict().items():
            stored = again.state_dict()[name]
            rounded = values.half().float() if values.numel() >= 1000 else values
            assert torch.equal(stored, rounded), name


def with_cohorts(output: Path) -> Path:
    """Small cohorts where the script looks for its own: two patients to train on and one to validate."""
    for of, numbers in (("train", range(4)), ("validation", range(4, 6))):
        for index in numbers:
            write_case(tiny_case(index), output / f"easy-{of}" / CASES / f"tiny-{index:06d}")
    return output


def test_sittings_on_two_machines_end_where_one_long_one_ends(tmp_path, capsys) -> None:
    """To the bit, as DVNet's weights after the same epochs; no table before every network is trained to the end."""
    checkpoints = tmp_path / "parts"
    words = ["--scale", "tiny", "--networks", "dvnet", "--jobs", "1", "--steps", "train"]
    first = with_cohorts(tmp_path / "first")
    lent = ["-o", str(first), *words, "--checkpoints", str(checkpoints), "--samples", "40000", "--minutes", "1"]
    for _ in range(5):
        assert configuration.main(lent) == reproduction.STOPPED
        if (checkpoints / "dvnet-80.json").exists():
            break
    told = json.loads((checkpoints / "dvnet-80.json").read_text("utf-8"))
    assert 0 < told["samples"] < 40000
    assert "machines.txt" in told["files"], "also of a sitting that was interrupted"
    assert all(path.stat().st_size <= 16e6 for path in checkpoints.iterdir())
    assert "the same command goes on" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="not trained to the end"):
        configuration.main([*lent[:-2], "--steps", "evaluate"])

    budget = ("--samples", str(told["samples"] + 4))
    second = with_cohorts(tmp_path / "second")
    assert configuration.main(["-o", str(second), *words, "--checkpoints", str(checkpoints), *budget]) == 0
    assert f"dvnet-80: {told['samples']} cases seen, from parts" in capsys.readouterr().out
    alone = with_cohorts(tmp_path / "alone")
    assert configuration.main(["-o", str(alone), *words, *budget]) == 0
    last = [
        json.loads((output / "easy-runs" / "dvnet-80" / "last.json").read_text("utf-8")) for output in (second, alone)
    ]
    assert last[0]["weights_sha256"] == last[1]["weights_sha256"]
    assert last[0]["trained_on"]["samples"] == told["samples"] + 4
    assert json.loads((checkpoints / "dvnet-80.json").read_text("utf-8"))["finished"]
