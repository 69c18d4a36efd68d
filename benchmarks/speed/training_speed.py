"""Measure the training loop against a bare one on the same tensors, and how long it waits for data.

    python benchmarks/speed/training_speed.py [--settings small] [--cases 48] [--threads 1 2] [--repeats 3]

The reference is what one would write in a notebook: index the tensors, forward, loss, backward, step; no motion drawn,
no logs, no checkpoints. The loop runs as `mureg train` does, with motion as in the case (the same work) and drawn anew
(what a run does). Each is run in turn, `--repeats` times; the best of each counts, since a shared machine only ever
slows down. Cases are random images of the right shape: values do not change the time. Prints a table; -o writes JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch.optim import Adam

from mureg.registration.networks import initialised
from mureg.training.batches import order_of
from mureg.training.examples import Examples
from mureg.training.loop import train
from mureg.training.motion import AsInTheCase, Redrawn
from mureg.training.parallel import Team
from mureg.training.pose import rigid_parameters
from mureg.training.settings import TrainingSettings, load_settings


def random_cases(settings: TrainingSettings, n: int, first: int = 0) -> Examples:
    chance = torch.Generator().manual_seed(first)
    shape = settings.grid.shape
    pose = torch.eye(4, dtype=torch.float64).repeat(n, 1, 1)
    pose[:, :3, 3] = 20 * torch.randn(n, 3, generator=chance, dtype=torch.float64)
    return Examples(
        tuple(f"{first + k}" for k in range(n)),
        tuple(f"{first + k}" for k in range(n)),
        torch.rand(n, *shape, generator=chance) * 2,
        torch.rand(n, *shape, generator=chance) * 0.15,
        pose,
        30 * torch.randn(n, 64, 3, generator=chance, dtype=torch.float64),
        30 * torch.randn(n, 32, 3, generator=chance, dtype=torch.float64),
        torch.zeros(n, dtype=torch.bool),
        settings.grid.spacing_mm,
        "random",
    )


def bare(settings: TrainingSettings, cases: Examples, device: str) -> float:
    """Seconds of one epoch, written out; L1 on the rigid parameters."""
    network = initialised(settings.network, 1).to(device).train()
    optimiser = Adam(network.parameters(), settings.optimiser.learning_rate, settings.optimiser.betas)
    spect, mu = cases.spect[:, None].to(device), cases.mu[:, None].to(device)
    six = rigid_parameters(cases.ct_from_spect).float().to(device)
    order = torch.tensor(order_of(len(cases), 1, 1), device=device)
    started = time.perf_counter()
    for start in range(0, len(order), settings.batch):
        index = order[start : start + settings.batch]
        optimiser.zero_grad(set_to_none=True)
        loss = (network(spect[index], mu[index]) - six[index]).abs().mean()
        loss.backward()
        if settings.optimiser.clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.optimiser.clip)
        optimiser.step()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def ours(settings: TrainingSettings, cases: Examples, device: str) -> tuple[float, float]:
    """Seconds of one epoch of the loop, and those of them spent on making batches."""
    few = random_cases(settings, 1, 10_000)
    with tempfile.TemporaryDirectory() as folder:
        trained = train(settings, cases, few, Path(folder) / "run", team=Team(device=device))
    row = trained.rows[0]
    return len(cases) / row.cases_per_second, row.data_seconds


def measured(settings: TrainingSettings, cases: Examples, threads: int, repeats: int, device: str) -> dict[str, float]:
    torch.set_num_threads(threads)
    ways = {"as in the case": AsInTheCase(), "drawn anew": Redrawn()}
    times: dict[str, list[float]] = {"bare": [], **{name: [] for name in ways}}
    data: dict[str, list[float]] = {name: [] for name in ways}
    bare(settings, cases, device)  # warm
    for _ in range(repeats):
        times["bare"].append(bare(settings, cases, device))
        for name, motion in ways.items():
            seconds, waited = ours(replace(settings, motion=motion), cases, device)
            times[name].append(seconds)
            data[name].append(waited)
    best = {name: min(found) for name, found in times.items()}
    return {
        "threads": threads,
        "bare_cases_per_second": len(cases) / best["bare"],
        **{f"{name}_cases_per_second": len(cases) / best[name] for name in ways},
        **{f"{name}_overhead_percent": 100 * (best[name] / best["bare"] - 1) for name in ways},
        **{f"{name}_data_seconds_of_epoch": min(data[name]) for name in ways},
        "epoch_seconds": best["as in the case"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", default="small")
    parser.add_argument("--cases", type=int, default=48)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    settings = replace(load_settings(arguments.settings), epochs=1, samples=0)
    cases = random_cases(settings, arguments.cases)
    print(f"{settings.network.kind}, {settings.grid.shape} voxels, batch {settings.batch}, {arguments.device}")
    rows = []
    for threads in arguments.threads:
        row = measured(settings, cases, threads, arguments.repeats, arguments.device)
        rows.append(row)
        print(f"{threads} threads: bare {row['bare_cases_per_second']:.2f} cases/s")
        for name in ("as in the case", "drawn anew"):
            print(
                f"  loop, motion {name}: {row[f'{name}_cases_per_second']:.2f} cases/s, "
                f"{row[f'{name}_overhead_percent']:+.1f} %, {row[f'{name}_data_seconds_of_epoch']:.2f} s of an epoch "
                "on batches",
                flush=True,
            )
    if arguments.output:
        answer = {"python": platform.python_version(), "torch": torch.__version__, "rows": rows}
        arguments.output.write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
