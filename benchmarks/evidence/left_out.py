"""Poses of every method on real and drawn anatomies, with the networks of the fold that leaves each anatomy out.

    python benchmarks/evidence/left_out.py --cohort real-same-breath --networks runs/heart --n 260 --minutes 95
    python benchmarks/evidence/left_out.py --table

A cohort is the name of a file in benchmarks/evidence/cohorts or of a difficulty level; each case is simulated,
registered by every method and forgotten, one row a case and method. `--networks` holds the runs fold-0 to fold-3 of
`mureg train near-heart` by recipes that leave a fold out; the rows of a fold without networks are made by a later call.
Rows hold the motion that each method leaves at the heart and what it reports of itself, so that a rule made of several
methods needs no case again: evidence/left-out/COHORT.csv. What is in the file is not done again. The table: errors at
the heart, intervals over the anatomies (bootstrap, seed 22), not over the cases.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mureg.cohort.folds import fold_of
from mureg.cohort.settings import load_settings
from mureg.cohort.simulation import case_name, simulate_case
from mureg.comparison.statistics import bootstrap, mean
from mureg.errors import MuregError
from mureg.files.atomic import writing
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import triple
from mureg.geometry.target_error import target_registration_error_mm
from mureg.registration import GradientFields, MutualInformation, NearHeart, ProfileLikelihood, Registrar
from mureg.spect import Acquisition
from mureg.study import Case, PreparedStudy, attenuation_maps
from mureg.training.heart.errors import RESIDUALS

ROOT = Path(__file__).resolve().parents[2]
COHORTS = ROOT / "benchmarks" / "evidence" / "cohorts"
OUTPUT = ROOT / "evidence" / "left-out"
COLUMNS = ("case", "patient", "fold", "method", "heart_mm", *RESIDUALS, "seconds", "facts")
UNREGISTERED, FOLD = "unregistered", "near-heart-fold"
METHODS: dict[str, Registrar] = {
    "mutual-information": MutualInformation(),
    "gradient-fields": GradientFields(),
    "near-heart": NearHeart(),
    "projection": ProfileLikelihood(),
}
CASE_FACTS = ("ct_depth_mm", "breathing_amplitude_mm", "breathing_heart_share", "ct_coverage_mm", "counts_photopeak")


def settings_of(name: str):
    """Of an evidence cohort or of a shipped population."""
    path = COHORTS / f"{name}.toml"
    return load_settings(str(path) if path.exists() else name)


def row_of(case: Case, fold: int, method: str, pose: RigidTransform, seconds: float, facts: dict) -> dict:
    """The motion that a pose leaves, about the middle of the heart, in SPECT space."""
    points, truth = case.truth.heart_points_mm, case.truth.ct_from_spect
    shift, angles = (pose.inverse() @ truth).six(triple(points.mean(0)))
    figures = [target_registration_error_mm(pose, truth, points), *shift, *angles, seconds]
    rounded = dict(zip(("heart_mm", *RESIDUALS, "seconds"), (round(float(value), 3) for value in figures), strict=True))
    kept = {key: round(float(value), 4) for key, value in facts.items() if isinstance(value, int | float)}
    return {
        "case": case.name,
        "patient": case.study.patient,
        "fold": fold,
        "method": method,
        **rounded,
        "facts": json.dumps(kept, sort_keys=True),
    }


def rows_of(case: Case, fold: int, methods: dict[str, Registrar]) -> Iterator[dict]:
    """A row for each method; a refusal is a row at the scanner position that says so."""
    maps, _ = attenuation_maps(case.study.attenuation, case.uncorrected.grid)
    acquisition = case.study.spect if isinstance(case.study.spect, Acquisition) else None
    study = PreparedStudy(case.uncorrected, maps, acquisition)
    for name, registrar in methods.items():
        started = time.process_time()
        try:
            answer = registrar.register(study)
            pose, facts = answer.ct_from_spect, dict(answer.evidence)
            if answer.covariance is not None:
                facts |= {f"variance_{k}": value for k, value in enumerate(np.diag(answer.covariance))}
        except MuregError:
            pose, facts = RigidTransform.identity(), {"refused": 1.0}
        yield row_of(case, fold, name, pose, time.process_time() - started, facts)


def work(options: argparse.Namespace) -> None:
    """Every case that lacks a row."""
    settings, path = settings_of(options.cohort), OUTPUT / f"{options.cohort}.csv"
    rows = read(path)
    done = {(row["case"], row["method"]) for row in rows}
    began = time.monotonic()
    for index in range(options.first, options.first + options.n):
        name = case_name(settings, index)
        weights = [options.networks / f"fold-{k}" / "uncalibrated" / "near-heart.onnx" for k in range(4)]
        wanted = [one for one in (UNREGISTERED, *METHODS, FOLD) if one in options.methods and (name, one) not in done]
        if not wanted or (wanted == [FOLD] and not any(file.exists() for file in weights)):
            continue
        if time.monotonic() - began > 60.0 * options.minutes:
            return
        case = simulate_case(settings, index, options.ct_folder)
        fold = fold_of(case.study.patient) if "real" in options.cohort else -1
        methods = {one: METHODS[one] for one in wanted if one in METHODS}
        if FOLD in wanted and weights[max(fold, 0)].exists():
            methods[FOLD] = NearHeart(weights=str(weights[max(fold, 0)]))
        if UNREGISTERED in wanted:
            facts = {key: case.facts[key] for key in CASE_FACTS if key in case.facts}
            rows.append(row_of(case, fold, UNREGISTERED, RigidTransform.identity(), 0.0, facts))
        rows += rows_of(case, fold, methods)
        write(path, rows)
        latest = {row["method"]: row["heart_mm"] for row in rows if row["case"] == name}
        print(name, case.study.patient, latest, flush=True)


def read(path: Path) -> list[dict]:
    """Rows of a file, none where there is none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict]) -> None:
    """All rows, the file whole or not at all."""
    with writing(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def table() -> str:
    """Errors by cohort and method, and the mean of the residual along z, which tells a bias."""
    lines = [
        "| cohort | method | cases | anatomies | heart error, mm: mean [95 %] | 95th percentile | "
        "residual along z, mm: mean and SD of the anatomies |",
        "|---|---|---|---|---|---|---|",
    ]
    for path in sorted(OUTPUT.glob("*.csv")):
        rows = read(path)
        for method in (UNREGISTERED, *METHODS, FOLD):
            mine = [row for row in rows if row["method"] == method]
            if not mine:
                continue
            errors, along = defaultdict(list), defaultdict(list)
            for row in mine:
                errors[row["patient"]].append(float(row["heart_mm"]))
                along[row["patient"]].append(float(row["residual_z_mm"]))
            estimate = bootstrap([np.mean(values) for values in errors.values()], mean, np.random.default_rng(22))
            p95 = np.percentile([float(row["heart_mm"]) for row in mine], 95)
            biases = [np.mean(values) for values in along.values()]
            heart = f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}] | {p95:.1f}"
            along_z = f"{np.mean(biases):.1f}, {np.std(biases):.1f}"
            lines.append(f"| {path.stem} | {method} | {len(mine)} | {len(errors)} | {heart} | {along_z} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", help="evidence cohort or difficulty level")
    parser.add_argument("--networks", type=Path, default=ROOT / "runs" / "heart", help="folder of the runs by fold")
    parser.add_argument("--ct-folder", type=Path, default=ROOT.parent / "shared" / "data" / "ct")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--n", type=int, default=260)
    parser.add_argument("--methods", nargs="+", default=[UNREGISTERED, *METHODS, FOLD])
    parser.add_argument("--minutes", type=float, default=95.0, help="no case is begun after this time")
    parser.add_argument("--table", action="store_true", help="only print the table")
    options = parser.parse_args()
    if options.cohort is None and not options.table:
        parser.error("--cohort or --table is needed")
    if not options.table:
        work(options)
    print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
