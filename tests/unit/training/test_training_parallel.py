"""Two processes do what one would do with batches of twice the size."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mureg.training.loop import train
from mureg.training.parallel import Team, joined
from support.toy_pairs import toy_examples, toy_settings
from support.train_together import BATCH, N, gradients

TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    """The folder in which two processes have trained."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join([str(TESTS), *sys.path])
    command = [sys.executable, "-m", "support.train_together", str(folder)]
    processes = [
        subprocess.Popen(command, env={**os.environ, **here, "RANK": str(rank), "PYTHONPATH": path}) for rank in (0, 1)
    ]
    try:
        assert [process.wait(120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return folder


def told(folder: Path) -> list[dict]:
    return [json.loads((folder / f"told-{rank}.json").read_text()) for rank in (0, 1)]


def test_their_gradients_are_those_of_one_process_with_the_doubled_batch(together) -> None:
    alone = gradients(Team(), 2 * BATCH)
    for rank in (0, 1):
        found = load_file(together / f"gradients-{rank}.safetensors")
        assert found.keys() == alone.keys()
        assert len({name.split("/")[0] for name in found}) == 4, "three steps, the last of one case, and what was seen"
        for name, gradient in alone.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-12)


def test_they_see_every_case_once(together) -> None:
    for rank in (0, 1):
        assert load_file(together / f"gradients-{rank}.safetensors")["seen"].tolist() == [1.0] * N


def test_the_loop_comes_to_the_same_network(together, tmp_path) -> None:
    alone = train(toy_settings(epochs=2, batch=2 * BATCH), toy_examples(N), toy_examples(3, 50), tmp_path / "run")
    for one in told(together):
        assert one["size"] == 2
        assert one["loss"] == pytest.approx([row.loss for row in alone.rows], rel=1e-4)
        assert one["heart_mm"] == pytest.approx([row.heart_mm for row in alone.rows], rel=1e-4)
    files = {file.name for file in (together / "run").iterdir()}
    assert files == {file.name for file in (tmp_path / "run").iterdir()}, "one of them writes"


def test_running_statistics_are_averaged_and_decisions_shared(together) -> None:
    assert [one["mean"] for one in told(together)] == [0.5, 0.5]
    assert [one["any"] for one in told(together)] == [True, True]


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [1, 7, 12, 13])
def test_shares_lose_and_double_nothing(size, n) -> None:
    order = list(range(n))[::-1]
    all_shares = [Team(rank, size).shares(order, 2) for rank in range(size)]
    assert len({len(shares) for shares in all_shares}) == 1, "as many steps for each"
    counted = [case for shares in all_shares for share in shares if share.counts for case in share.cases]
    assert sorted(counted) == sorted(order)
    for step in zip(*all_shares, strict=True):
        weights = [Team(rank, size).weight(share) for rank, share in enumerate(step)]
        total = sum(w * len(share.cases) for w, share in zip(weights, step, strict=True)) / size
        assert total == pytest.approx(1.0), "the average over processes is the mean over cases"


def test_alone_nothing_is_joined(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as team:
        assert (team.rank, team.size, team.leads) == (0, 1, True)
        assert not torch.distributed.is_initialized()
