"""What the paper's networks and tuned classical registrars leave on anatomies of which no network has seen any.

    python benchmarks/evidence/paper_networks_table.py cases --minutes 30
    python benchmarks/evidence/paper_networks_table.py measure
    python benchmarks/evidence/paper_networks_table.py table

Cases: those of evidence/combination/part-*.jsonl whose anatomy is in the fold that paper_networks.py leaves out, or
whose patient is drawn; there stands what the classical registrars left of them. `cases` simulates them again and keeps
them in runs/. `measure` asks each network, that of the package with one pass and with three, and writes
evidence/paper-networks/rows.jsonl; a case whose error at the scanner position is not that of its classical row is
refused. The networks alone are measured on the stored emissions of the fold, too: all drawn patients of its population
are among them. `table` prints the table; intervals by anatomies (bootstrap, seed 22). ΔT and ΔR are those of the paper,
equations (12) and (13).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from combination import FIRST, read
from combination import rows as combination_rows
from left_out import settings_of
from paper_networks import LEFT_OUT_FOLD, NETWORKS, ROOT, ROWS, SHIPPED, second_stage

from mureg.cohort.folds import fold_of
from mureg.cohort.simulation import simulate_case
from mureg.cohort.store.case import is_case, read_case, write_case
from mureg.comparison.statistics import bootstrap, mean
from mureg.files.atomic import writing
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.geometry.target_error import target_registration_error_mm
from mureg.registration import NetworkRegistrar
from mureg.registration.card import read_card
from mureg.study import PreparedStudy, attenuation_maps
from mureg.training.folder import BEST, LAST
from mureg.training.heart.crops import crop_files
from mureg.training.heart.emissions import read_emission, read_patient

PASSES = (1, 3)
"""Predictions for a study: one, and one and two of the residual."""
UNREGISTERED, CLASSICAL = "unregistered", ("mutual-information", "gradient-fields")
STORED = "stored"
"""Cohort of the rows on stored emissions of the population."""
PAPER = {"unregistered": (22.78, 8.12), "mutual-information": (7.96, 2.80), "densenet": (3.88, 1.01),
         "densenet-nonlocal": (3.81, 0.70), "densenet-dusfe": (3.33, 0.61)}  # fmt: skip
"""Table 1 of the paper: ΔT in mm and ΔR in degrees."""


def left_out_rows() -> list[dict]:
    """Rows of the classical registrars on the real anatomies of the fold and on drawn patients."""
    return [row for row in combination_rows(FIRST) if row["fold"] in (LEFT_OUT_FOLD, -1) and not trained_on(row)]


def trained_on(row: dict) -> bool:
    """Whether a drawn patient belongs to a population that the networks were trained on."""
    return row["cohort"] == "population" and fold_of(row["patient"]) != LEFT_OUT_FOLD


def simulate(options: argparse.Namespace) -> None:
    """Keep the cases that are not there yet."""
    torch.set_num_threads(1)
    began = time.monotonic()
    for row in left_out_rows():
        folder = options.runs / "left-out" / row["case"]
        if is_case(folder):
            continue
        if time.monotonic() - began > 60.0 * options.minutes:
            return
        index = int(row["case"].rsplit("-", 1)[1])
        write_case(simulate_case(settings_of(row["cohort"]), index, options.ct_folder), folder)
        print(row["case"], flush=True)


@dataclass(frozen=True)
class Networks:
    """Networks that are trained to the end, by the name of their rows; that of the package with each number of passes.

    Attributes:
        registrars: by name.
        sha256: of the weights of each, the first digits.
    """

    registrars: dict[str, NetworkRegistrar]
    sha256: dict[str, str]

    @classmethod
    def of(cls, runs: Path) -> Networks:
        """Those that paper_networks.py has trained."""
        registrars, sha256 = {}, {}
        for kind in NETWORKS:
            weights = second_stage(runs, kind) / LAST
            if not weights.exists():
                print(f"{kind} is not trained to the end: paper_networks.py train", file=sys.stderr)
                continue
            for passes in PASSES if kind == SHIPPED else PASSES[:1]:
                method = f"{kind}, {passes} pass{'es' if passes > 1 else ''}"
                registrars[method] = NetworkRegistrar(weights.with_name(BEST), passes=passes)
                sha256[method] = read_card(weights.with_name(BEST)).weights_sha256[:12]
        return cls(registrars, sha256)

    def known(self, row: dict) -> bool:
        """Whether a row is of these networks, or of none."""
        return row.get("weights") == self.sha256.get(row["method"])

    def rows(
        self, study: PreparedStudy, name: str, true: tuple, facts: dict, others: dict, *, done: set[str]
    ) -> Iterator[dict]:
        """A row for each method on a case.

        Args:
            study: what the networks are shown.
            name: of the case.
            true: true pose and points of the heart.
            facts: cohort, patient, fold.
            others: poses of other methods.
            done: methods that have a row.
        """
        poses = {
            method: network.register(study).ct_from_spect
            for method, network in self.registrars.items()
            if method not in done
        }
        for method, pose in {**others, **poses}.items():
            if method in done:
                continue
            weights = {"weights": self.sha256[method]} if method in self.sha256 else {}
            result = figures(pose, *true, study.uncorrected.grid.centre_mm)
            yield {"case": name, **facts, "method": method, **weights, **result}


def figures(pose: RigidTransform, truth: RigidTransform, points: np.ndarray, centre_mm: Triple) -> dict[str, float]:
    """Heart target error (mm), and the paper's ΔT (mm) and ΔR (degrees) about the middle of the SPECT."""
    both = zip(pose.six(centre_mm), truth.six(centre_mm), strict=True)
    shifts, angles = (np.abs(np.subtract(ours, true)).mean() for ours, true in both)
    error = target_registration_error_mm(pose, truth, points)
    return {"heart_mm": round(error, 3), "shift_mm": round(float(shifts), 3), "angle_deg": round(float(angles), 4)}


def measure(options: argparse.Namespace) -> None:
    """Rows of every kept case and stored emission that has none by the present networks; the others are left out."""
    torch.set_num_threads(1)
    networks, began = Networks.of(options.runs), time.monotonic()
    rows = [row for row in read(ROWS) if networks.known(row)]
    for new in (*simulated(options), *stored(options)):
        done = {row["method"] for row in rows if row["case"] == new.name}
        if done >= set(networks.registrars):
            continue
        if time.monotonic() - began > 60.0 * options.minutes:
            break
        rows += networks.rows(*new.read(), done=done)
        write(rows)
        print(new.name, flush=True)


def write(rows: list[dict]) -> None:
    """All rows, the file whole or not at all."""
    ROWS.parent.mkdir(parents=True, exist_ok=True)
    with writing(ROWS) as scratch:
        scratch.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@dataclass(frozen=True)
class NewCase:
    """A case to be measured, and the function that reads the arguments of `Networks.rows`."""

    name: str
    read: Callable[[], tuple]


def simulated(options: argparse.Namespace) -> list[NewCase]:
    """The kept cases, those of real anatomies first."""
    known = sorted(left_out_rows(), key=lambda row: (row["fold"] < 0, row["cohort"]))
    there = [row for row in known if is_case(options.runs / "left-out" / row["case"])]
    if len(there) < len(known):
        print(f"{len(known) - len(there)} cases are not there yet: step cases", file=sys.stderr)
    return [NewCase(row["case"], partial(simulated_case, options.runs / "left-out", row)) for row in there]


def simulated_case(folder: Path, known: dict) -> tuple:
    """A kept case, with the poses of the classical registrars."""
    case = read_case(folder / known["case"])
    truth, points = case.truth.ct_from_spect, case.truth.heart_points_mm
    before = target_registration_error_mm(RigidTransform.identity(), truth, points)
    if abs(before - known["heart_mm"][UNREGISTERED]) > 0.01:
        sys.exit(f"{known['case']}: {before} mm unregistered, {known['heart_mm'][UNREGISTERED]} in its row")
    body = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0].body
    facts = {name: known[name] for name in ("cohort", "patient", "fold")}
    poses = {UNREGISTERED: RigidTransform.identity(), **classical_poses(known)}
    return PreparedStudy.from_images(case.uncorrected, body), case.name, (truth, points), facts, poses


def stored(options: argparse.Namespace) -> list[NewCase]:
    """Stored emissions of the fold."""
    files = [path for path in crop_files(options.cases) if fold_of(read_patient(path)) == LEFT_OUT_FOLD]
    return [NewCase(path.stem, partial(stored_case, path)) for path in files]


def stored_case(path: Path) -> tuple:
    """A stored emission with its first CT."""
    emission = read_emission(path)
    ct = emission.cts[0]
    facts = {"cohort": STORED, "patient": emission.patient, "fold": LEFT_OUT_FOLD}
    true = ct.ct_from_spect, emission.heart_points_mm
    study = PreparedStudy.from_images(emission.uncorrected, ct.body)
    return study, emission.name, true, facts, {UNREGISTERED: RigidTransform.identity()}


def classical_poses(known: dict) -> dict[str, RigidTransform]:
    """Poses of the classical registrars in a row, which states them from the pose of its networks."""
    reference = RigidTransform.from_six(known["reference"][:3], known["reference"][3:], known["heart"])
    return {
        name: reference @ RigidTransform.from_six(known["poses"][name][:3], known["poses"][name][3:], known["heart"])
        for name in CLASSICAL
        if name in known["poses"]
    }


GROUPS = {
    "real anatomies": lambda row: row["cohort"] != STORED and row["fold"] == LEFT_OUT_FOLD,
    "drawn torsos: population": lambda row: row["cohort"] == "population" and row["fold"] == -1,
    "drawn torsos: clinical": lambda row: row["cohort"] == "clinical",
    "drawn torsos: hard": lambda row: row["cohort"] == "hard",
    "drawn torsos: easy (motion of the paper)": lambda row: row["cohort"] == "easy",
    "stored emissions": lambda row: row["cohort"] == STORED,
}
"""Cases by what is new in them."""


def table(rows: Iterable[dict]) -> str:
    """One line a group and method."""
    rows = list(rows)
    lines = [
        "| cases | method | cases, anatomies | heart error, mm: mean [95 %] | above 6.8 mm | ΔT, mm | ΔR, degrees | "
        "paper: ΔT, ΔR |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for group, belongs in GROUPS.items():
        mine = [row for row in rows if belongs(row)]
        for method in dict.fromkeys(row["method"] for row in mine):
            lines.append(line_of(group, method, [row for row in mine if row["method"] == method]))
    return "\n".join(lines)


def line_of(group: str, method: str, rows: list[dict]) -> str:
    """One line of the table."""
    patients = [row["patient"] for row in rows]
    estimates = [estimate([row[name] for row in rows], patients) for name in ("heart_mm", "shift_mm", "angle_deg")]
    above = sum(row["heart_mm"] > 6.8 for row in rows)
    figures_of_paper = PAPER.get(method.split(",")[0])
    paper = "" if figures_of_paper is None else "{:.2f}, {:.2f}".format(*figures_of_paper)
    cells = (group, method, f"{len(rows)}, {len(set(patients))}", estimates[0], f"{100 * above / len(rows):.0f} %")
    return f"| {' | '.join((*cells, *estimates[1:], paper))} |"


def estimate(values: list[float], patients: list[str]) -> str:
    """Mean and its interval over anatomies."""
    one = bootstrap(values, mean, np.random.default_rng(22), patients=patients)
    return f"{one.value:.1f} [{one.low:.1f}, {one.high:.1f}]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("cases", "measure", "table"))
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "paper", help="runs of paper_networks.py")
    parser.add_argument("--cases", type=Path, default=ROOT / "runs" / "population" / "cases")
    parser.add_argument("--ct-folder", type=Path, default=ROOT.parent / "shared" / "data" / "ct")
    parser.add_argument("--minutes", type=float, default=30.0, help="no case is begun after this time")
    options = parser.parse_args()
    if options.step == "cases":
        simulate(options)
    elif options.step == "measure":
        measure(options)
    else:
        print(table(read(ROWS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
