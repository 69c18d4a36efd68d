"""Does the moved CT map alone give the motion away? A probe that never sees the SPECT tries to predict it.

    python benchmarks/evidence/leak.py [--cohort easy] [--train 1200] [--test 400] [-o FILE]

The map lies on the SPECT's field at the scanner position, in voxels of 13.6 mm: once cut from the CT's full field, as
this project does it, and once with zeros where a map that had been cut to the field before it was moved holds nothing.
A ridge regression and a small convolutional network are trained on each and predict the six drawn numbers of other
patients.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mureg.attenuation.hu_to_mu import choose_conversion, mu_map
from mureg.cohort.settings import CohortSettings, load_settings
from mureg.cohort.simulation import draw
from mureg.geometry import Grid
from mureg.jobs.cores import set_thread_count

GRID = Grid.centred((32, 32, 32), (13.6, 13.6, 13.6))
CENTRE = (0.0, 0.0, 0.0)
NAMES = ("tx", "ty", "tz", "rx", "ry", "rz")


def one(settings: CohortSettings, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The map cut from the full field, the map with zeros moved in, and the rigid parameters."""
    torch.set_num_threads(1)
    set_thread_count(1)
    set_thread_count(1)
    drawn = draw(settings, index)
    conversion, _ = choose_conversion(drawn.scan.manufacturer, drawn.scan.model, drawn.scan.kvp)
    breath = drawn.breathing.ct_breaths()[0]
    full = mu_map(drawn.anatomy.hounsfield(GRID, drawn.ct_from_patient.inverse(), breath), conversion).values
    # what a map cut to the SPECT's field still holds after the motion
    before = (
        drawn.motion.ct_from_spect(CENTRE).inverse().apply(GRID.points(np.indices(GRID.shape).transpose(1, 2, 3, 0)))
    )
    index = GRID.indices(before)
    held = ((index >= -0.5) & (index <= np.asarray(GRID.shape) - 0.5)).all(-1)
    six = np.asarray([*drawn.motion.translation_mm, *drawn.motion.angles_deg])
    return full, np.where(held, full, np.float32(0.0)), six


def ridge(train: np.ndarray, six: np.ndarray, test: np.ndarray, penalties: tuple[float, ...]) -> np.ndarray:
    """Predictions for `test`; the penalty is the best on the last fifth of the training set."""
    x, mean, scale = train.reshape(len(train), -1), train.mean(), train.std()
    x, z = (x - mean) / scale, (test.reshape(len(test), -1) - mean) / scale
    offset, target_mean = x.mean(0), six.mean(0)
    x, z, y = x - offset, z - offset, six - target_mean
    cut = len(x) * 4 // 5
    kernel, cross = x @ x.T, z @ x.T

    def fit(rows: slice, penalty: float) -> np.ndarray:
        inner = kernel[rows, rows]
        return np.linalg.solve(inner + penalty * np.trace(inner) / len(inner) * np.eye(len(inner)), y[rows])

    def miss(penalty: float) -> float:
        predicted = kernel[cut:, :cut] @ fit(slice(0, cut), penalty)
        return float((((predicted - y[cut:]) / y.std(0)) ** 2).mean())

    best = min(penalties, key=miss)
    return cross @ fit(slice(0, len(x)), best) + target_mean


class Probe(nn.Sequential):
    """Four strided convolutions and a linear layer: enough to see where a body lies and where a map ends."""

    def __init__(self) -> None:
        blocks: list[nn.Module] = []
        for before, after in ((1, 16), (16, 32), (32, 48), (48, 64)):
            blocks += [nn.Conv3d(before, after, 3, 2, 1), nn.BatchNorm3d(after), nn.ReLU()]
        super().__init__(*blocks, nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 8, 6))


def network(train: np.ndarray, six: np.ndarray, test: np.ndarray, epochs: int) -> np.ndarray:
    """Predictions of the epoch that is best on the last fifth of the training set."""
    torch.manual_seed(0)
    mean, scale = train.mean(), train.std()
    x, z = (torch.from_numpy((maps - mean) / scale)[:, None] for maps in (train, test))
    centre, spread = six.mean(0), six.std(0)
    y = torch.from_numpy((six - centre) / spread).float()
    cut, model = len(x) * 4 // 5, Probe()
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=epochs * math.ceil(cut / 32))
    best, predictions = math.inf, torch.zeros(len(z), 6)
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(cut).split(32):
            optimiser.zero_grad()
            nn.functional.mse_loss(model(x[rows]), y[rows]).backward()
            optimiser.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            loss = float(nn.functional.mse_loss(model(x[cut:]), y[cut:]))
            if loss < best:
                best, predictions = loss, model(z)
    return predictions.numpy() * spread + centre


def explained(predicted: np.ndarray, six: np.ndarray, train_mean: np.ndarray) -> np.ndarray:
    """Share of the variance that is predicted, per number; chance (the training mean) is 0."""
    return 1.0 - ((predicted - six) ** 2).sum(0) / ((six - train_mean) ** 2).sum(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Can the motion be guessed from the moved map alone?")
    parser.add_argument("--cohort", default="easy")
    parser.add_argument("--train", type=int, default=1200)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    started = time.perf_counter()
    settings = load_settings(arguments.cohort)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        cases = list(pool.map(partial(one, settings), range(arguments.train + arguments.test), chunksize=8))
    full, zero_filled, six = (np.stack(parts) for parts in zip(*cases, strict=True))
    print(f"{len(six)} patients of {settings.name} in {time.perf_counter() - started:.0f} s", flush=True)
    cut, answer = arguments.train, {}
    for name, maps in (("full field", full), ("zero filled", zero_filled)):
        for probe, predicted in (
            ("ridge", ridge(maps[:cut], six[:cut], maps[cut:], (1e-2, 1e-1, 1.0, 1e1, 1e2, 1e4))),
            ("network", network(maps[:cut], six[:cut], maps[cut:], arguments.epochs)),
        ):
            share = explained(predicted, six[cut:], six[:cut].mean(0))
            answer[f"{name}, {probe}"] = dict(zip(NAMES, share.round(3).tolist(), strict=True))
            words = "  ".join(f"{n} {v:+.2f}" for n, v in zip(NAMES, share, strict=True))
            print(f"{name:12} {probe:8} variance explained: {words}   mean {share.mean():+.3f}", flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
