"""What benchmarks/evidence/reproduction.py keeps: small files, each with its hash, and what every network cost."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mureg.registration.networks import initialised, n_parameters, preset
from mureg.training.folder import BEST, DATA, LAST, SETTINGS
from mureg.training.logs import CSV, read_log
from mureg.training.settings import TrainingSettings

PAPER_SECONDS = {
    "dvnet": 0.48,
    "msreg": 0.88,
    "densenet": 1.08,
    "densenet-nonlocal": 1.19,
    "densenet-dusfe": 1.25,
}
"""Table 1, "Train": seconds a batch of 4 on a Quadro RTX 8000; given beside runs of the released code's size alone."""
LARGE_BYTES = 1_000_000
MACHINES = "machines.txt"
COMPARISON = ("tables.md", "summary.csv", "summary.json", "cases.csv", "settings.toml")


@dataclass(frozen=True)
class Trained:
    """A network, trained or to be trained: the name of its row, its settings, the folder of its run."""

    name: str
    settings: TrainingSettings
    folder: Path


def card(run: Trained, weights: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((run.folder / weights).with_suffix(".json").read_text("utf-8"))
    return said


def seen(run: Trained) -> int:
    """How many cases it had seen when its last sitting ended."""
    there = (run.folder / LAST).with_suffix(".json").exists()
    return int(card(run, LAST)["trained_on"]["samples"]) if there else 0


def note_machine(folder: Path, threads: int) -> None:
    """On what it was trained: a line for each kind of machine that had a part in it."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else f"no GPU, {threads} threads"
    line = f"{gpu}; {platform.machine()}, {os.cpu_count()} cores; torch {torch.__version__}"
    path = folder / MACHINES
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    path.write_text("\n".join(dict.fromkeys((*lines, line))) + "\n", "utf-8")


def write_evidence(
    to: Path, comparison: Path, runs: Sequence[Trained], cohort: Path, committed: Mapping[str, Path]
) -> None:
    """Replace a folder of evidence: a comparison, the log and cards of every network, budget.csv, hashes.json."""
    named = {name: comparison / name for name in COMPARISON} | {"cohort.toml": cohort}
    for run in runs:
        for name in (SETTINGS, DATA, CSV, MACHINES, *(Path(w).with_suffix(".json").name for w in (BEST, LAST))):
            named[f"runs/{run.name}/{name}"] = run.folder / name
    if missing := [str(source) for source in named.values() if not source.is_file()]:
        sys.exit(f"not there yet: {', '.join(missing)}; run the steps before")
    shutil.rmtree(to, ignore_errors=True)
    for name, source in named.items():
        content = source.read_bytes()
        large = len(content) > LARGE_BYTES
        target = to / (f"{name}.gz" if large else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(content, mtime=0) if large else content)
    lines = [_cost(run) for run in runs]
    with (to / "budget.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(lines)
    hashes = {
        "files": {str(path.relative_to(to)): _sha256(path) for path in sorted(to.rglob("*")) if path.is_file()},
        "committed": {name: _sha256(path) for name, path in committed.items()},
    }
    (to / "hashes.json").write_text(json.dumps(hashes, indent=2) + "\n", "utf-8")
    for line in lines:
        paper = line["paper_seconds_per_batch_of_4"]
        print(
            f"  {line['name']}: {line['samples']} cases seen in {line['minutes']} minutes, "
            f"{line['seconds_per_batch_of_4']} s a batch of 4{f' (paper {paper} s)' if paper else ''}"
        )


def _cost(run: Trained) -> dict[str, Any]:
    best, did = card(run, BEST), card(run, LAST)["trained_on"]
    kind = run.settings.network.kind
    pace = statistics.median(row.cases_per_second for row in read_log(run.folder, did["epochs"]))
    return {
        "name": run.name,
        "kind": kind,
        "voxels": "x".join(map(str, run.settings.grid.shape)),
        "parameters": n_parameters(initialised(run.settings.network, run.settings.seed)),
        **{name: did[name] for name in ("cases", "patients", "epochs", "samples")},
        "minutes": round(did["seconds"] / 60, 2),
        "seconds_per_batch_of_4": round(4 / pace, 3),
        "paper_seconds_per_batch_of_4": PAPER_SECONDS[kind] if run.settings.network == preset(kind, "paper") else "",
        "best_epoch": best["trained_on"]["epochs"],
        "validation_heart_mm": round(best["validation"]["heart_mm"], 3),
        "settings_sha256": did["settings_sha256"],
        "weights_sha256": best["weights_sha256"],
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
