"""DenseNet, non-local and DuSFE for the whole field on one budget, trained without a fold of anatomies.

    python benchmarks/evidence/paper_networks.py train --minutes 30
    python benchmarks/evidence/paper_networks_table.py cases
    python benchmarks/evidence/paper_networks_table.py measure
    python benchmarks/evidence/paper_networks.py ship

`train` gives each network the same cases in the same order (paper_networks.toml), first stage and second, in which the
learning rate falls faster; a run that was stopped goes on. The anatomies of fold 0 are left out, among them that of the
sample study. `ship` puts the network with DuSFE into the package.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from mureg.cohort.folds import load_folds
from mureg.files.atomic import writing
from mureg.registration.card import card_path, read_card, read_weights, shipped, with_hash
from mureg.registration.weights import DUSFE
from mureg.training.examples import prepare
from mureg.training.folder import BEST, LAST
from mureg.training.heart.whole_field import cases_outside_fold
from mureg.training.loop import train
from mureg.training.settings import Table, TrainingSettings, load_settings, read_table
from mureg.training.sources import hold_out
from mureg.training.weights import read_network

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SETTINGS = HERE / "paper_networks.toml"
NETWORKS = ("densenet-dusfe", "densenet", "densenet-nonlocal")
LEFT_OUT_FOLD = 0
CTS = 3
"""Of each emission of the population."""
SECOND = {"epochs": 3, "batch": 8, "validate_every": 1, "optimiser": {"learning_rate": 4e-4, "decay": 0.35}}
"""What is different in the second stage, which begins with the weights that the first ended with."""
VALIDATION_SHARE, VALIDATION_SEED = 0.08, 22
"""Patients that choose the epoch: of the other folds, one real anatomy among them."""
SHIPPED = "densenet-dusfe"
"""The network of the package; for a study it predicts once, since more passes left more (paper_networks_table.py)."""
ROWS = ROOT / "evidence" / "paper-networks" / "rows.jsonl"
LEFT_OUT_GROUPS = {
    "heart_mm": lambda row: row["cohort"] in ("real-same-breath", "real-other-breath"),
    "drawn_torsos_mm": lambda row: row["cohort"] == "clinical",
}
"""Errors on the card: on left-out real anatomies, which are nearest to patients, and on drawn torsos."""


class Lines:
    """Prints the progress."""

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)

    def at(self, n_done: int, of: int, loss: float) -> None:
        """Print nothing between epochs."""


def settings_of(kind: str, second: Table | None = None) -> TrainingSettings:
    """Training settings of one network, and what is different in its second stage."""
    table = read_table(str(SETTINGS))
    changes = {**(second or {}), "network": {**table["network"], "kind": kind}}
    if second:
        changes["optimiser"] = {**table["optimiser"], **second["optimiser"]}
    return load_settings(str(SETTINGS), changes)


def train_networks(options: argparse.Namespace) -> None:
    """Train one network after the other until the time is over, the first stage of all before the second of any."""
    torch.set_num_threads(1)
    until = time.monotonic() + 60.0 * options.minutes
    cases = cases_outside_fold(options.cases, LEFT_OUT_FOLD, CTS)
    train_cases, validation_cases = hold_out(cases, VALIDATION_SHARE, VALIDATION_SEED)
    grid, cache = settings_of(NETWORKS[0]).grid, options.runs / "prepared"
    sets = [prepare(sources, grid, cache) for sources in (train_cases, validation_cases)]
    for kind in options.networks:
        print(kind, flush=True)
        if not train(settings_of(kind), *sets, options.runs / kind, minutes=left(until), report=Lines()).finished:
            return
    for kind in options.networks:
        print(f"{kind}, second stage", flush=True)
        module, card = read_network(options.runs / kind / LAST)
        settings = settings_of(kind, {**SECOND, "begin_from": card.weights_sha256})
        folder, weights = second_stage(options.runs, kind), module.state_dict()
        if not train(settings, *sets, folder, weights=weights, minutes=left(until), report=Lines()).finished:
            return


def left(until: float) -> float:
    """Minutes until then, more than none."""
    return max((until - time.monotonic()) / 60.0, 0.01)


def second_stage(runs: Path, kind: str) -> Path:
    """Folder of the run of the second stage, after a first one as long as the settings say."""
    return runs / f"{kind}-{settings_of(kind).epochs}-second"


def ship(options: argparse.Namespace) -> None:
    """Copy the network with DuSFE into the package, its card with what was left out and the error there."""
    rows = [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]
    errors = {
        name: [row["heart_mm"] for row in rows if row["method"] == f"{SHIPPED}, 1 pass" and belongs(row)]
        for name, belongs in LEFT_OUT_GROUPS.items()
    }
    contents, card = read_weights(second_stage(options.runs, SHIPPED) / BEST)
    stages = read_card(options.runs / SHIPPED / LAST).trained_on, card.trained_on
    fold = load_folds()[LEFT_OUT_FOLD]
    card = replace(
        card,
        trained_on={
            **card.trained_on,
            **{name: round(sum(one[name] for one in stages), 1) for name in ("epochs", "samples", "seconds")},
            "begin_from": "",
            "population": "population",
            "stages": [{name: one[name] for name in ("settings_sha256", "epochs")} for one in stages],
            "left_out": [*fold.anatomies, *(f"torsos of seed {seed}" for seed in fold.torso_seeds)],
            "command": "benchmarks/evidence/paper_networks.py",
        },
        validation={name: round(sum(values) / len(values), 2) for name, values in errors.items() if values},
    )
    content = with_hash(card, contents)[1]
    for path, values in ((shipped(DUSFE), contents[0]), (card_path(shipped(DUSFE)), content)):
        with writing(path) as scratch:
            scratch.write_bytes(values)
    print(content.decode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("train", "ship"))
    parser.add_argument("--cases", type=Path, default=ROOT / "runs" / "population" / "cases")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "paper", help="folder of the training runs")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--minutes", type=float, default=30.0, help="no epoch is begun after this time")
    options = parser.parse_args()
    if options.step == "train":
        train_networks(options)
    else:
        ship(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
