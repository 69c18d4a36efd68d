"""The rule of the registrar `combination`: what its registrars say of cases, the rule, and tables by left-out anatomy.

    python benchmarks/evidence/combination.py measure --part 0 2 --minutes 95
    python benchmarks/evidence/combination.py measure --second-camera --cohorts real-same-breath
    python benchmarks/evidence/combination.py measure --part 2 3 --cohorts easy clinical hard
    python benchmarks/evidence/combination.py fit

`measure` simulates cases of `real-same-breath`, `real-other-breath` and `population` in turns, asks every registrar and
writes one line a case to evidence/combination/PART.jsonl; what is there is not done again. `fit` finds the rule on all
cases and writes it into the package, and writes evidence/combination/table.md: there one of the folds of anatomies is
left out at a time (`mureg.cohort.folds`; drawn patients are divided by their name), the rule is found on the others and
applied to the fold. `measure` takes the networks that were trained without the fold (`--fold-networks`, made by `mureg
train near-heart` with recipes/population.toml and left_out_fold); the shipped ones are trained on all anatomies. With
`--second-camera` the projections come from the second simulator of the tests (second-PART.jsonl): no rule is ever found
on them, they stand in the table alone. Intervals: anatomies resampled (bootstrap, seed 22).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from mureg.cohort.folds import fold_of
from mureg.cohort.simulation import case_name, simulate_case
from mureg.comparison.statistics import bootstrap, mean
from mureg.errors import MuregError
from mureg.files.atomic import writing
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import triple
from mureg.geometry.target_error import target_registration_error_mm
from mureg.pipeline import StudySettings, recorded_settings
from mureg.registration.base import Registration, covariance_about
from mureg.registration.card import read_card
from mureg.registration.combination.parts import TRANSVERSE, Parts
from mureg.registration.combination.registrar import Combination
from mureg.registration.combination.rule import CombinedPose, PoseEstimate, Rule, combined
from mureg.registration.confidence import LEVEL, heart_bound_mm, settings_sha256
from mureg.registration.mutual_information import MutualInformation
from mureg.registration.near_heart import NearHeart
from mureg.registration.weights import weights_path
from mureg.spect import Acquisition
from mureg.study import Case, PreparedStudy, attenuation_maps
from mureg.training.combination import KnownStudy, fit_rule
from mureg.training.heart.run import UNCALIBRATED, WEIGHTS_FILE

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from left_out import settings_of

from support.second_study import second_case

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "evidence" / "combination"
PLAN = {"real-same-breath": 0, "real-other-breath": 0, "population": 1500, "easy": 400, "clinical": 400, "hard": 400}
"""Cohorts and the first case of each, which no network was trained or calibrated on."""
USUAL = ("real-same-breath", "real-other-breath", "population")
FIRST, SECOND = "part", "second"
"""Files of rows by the package's simulator and by the second one of the tests."""
BLOCK = 13
"""Cases of a cohort in a row: as many as there are real anatomies."""
POINTS = 12
"""Of the heart, in each row."""
FACTS = ("ct_depth_mm", "ct_coverage_mm", "counts_photopeak", "breathing_heart_share", "anatomy_arms_down")


def cases(cohorts: Iterable[str], blocks: int) -> Iterator[tuple[str, int]]:
    """Cohort and number of every case, the cohorts in turns."""
    for block in range(blocks):
        for cohort in cohorts:
            for number in range(BLOCK):
                yield cohort, PLAN[cohort] + block * BLOCK + number


def measure(options: argparse.Namespace) -> None:
    """Ask the registrars about every case of a part that has no line."""
    part, parts = options.part
    path = OUTPUT / f"{SECOND if options.second_camera else FIRST}-{part}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {row["case"] for row in read(path)}
    began = time.monotonic()
    for place, (cohort, index) in enumerate(cases(options.cohorts, options.blocks)):
        settings = settings_of(cohort)
        name = case_name(settings, index)
        if place % parts != part or name in done:
            continue
        if time.monotonic() - began > 60.0 * options.minutes:
            return
        simulate = second_case if options.second_camera else simulate_case
        case = simulate(settings, index, options.ct_folder)
        networks = fold_networks(case, options.fold_networks)
        row = {"case": name, "cohort": cohort, "patient": case.study.patient, **row_of(case, networks)}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(name, case.study.patient, row.get("refused", row.get("heart_mm")), flush=True)


def fold_of_case(case: Case) -> int:
    """Fold of the real anatomy of a case, -1 for drawn patients."""
    return fold_of(case.study.patient) if "anatomy_ct" in case.facts else -1


def fold_networks(case: Case, folder: Path) -> str:
    """Networks that have not seen the anatomy of a case."""
    k = fold({"fold": fold_of_case(case), "patient": case.study.patient})
    return str(folder / f"fold-{k}" / UNCALIBRATED / WEIGHTS_FILE)


def row_of(case: Case, networks: str) -> dict[str, object]:
    """What the registrars say of a case, about the heart, and the truth; `networks` is a file of weights."""
    maps, _ = attenuation_maps(case.study.attenuation, case.uncorrected.grid)
    acquisition = case.study.spect if isinstance(case.study.spect, Acquisition) else None
    study = PreparedStudy(case.uncorrected, maps, acquisition)
    started = time.process_time()
    try:
        parts = Combination(near_heart=NearHeart(weights=networks)).parts(study)
    except MuregError as refusal:
        return {"refused": str(refusal)}
    seconds = time.process_time() - started
    estimates = parts.estimates(study)
    truth, points = case.truth.ct_from_spect, case.truth.heart_points_mm
    poses = {**parts.poses, "unregistered": RigidTransform.identity()}
    try:
        poses["mutual-information"] = MutualInformation().register(study).ct_from_spect
    except MuregError:
        poses["mutual-information"] = RigidTransform.identity()
    chosen = points[np.linspace(0, len(points) - 1, POINTS).round().astype(int)]
    return {
        "fold": fold_of_case(case),
        "heart": rounded(parts.heart_mm, 2),
        "points": [rounded(point, 1) for point in chosen],
        "truth": rounded(motion(parts, truth)),
        "poses": {kind: rounded(motion(parts, pose)) for kind, pose in poses.items()},
        "reference": rounded(parts.networks.ct_from_spect.six(parts.heart_mm)),
        "indicators": {one.kind: {k: round(v, 4) for k, v in one.indicators.items()} for one in estimates},
        "covariance": [] if parts.likelihood is None else rounded(parts.likelihood.covariance.ravel()),
        "heart_mm": {kind: round(target_registration_error_mm(pose, truth, points), 3) for kind, pose in poses.items()},
        "facts": {name: case.facts[name] for name in FACTS if name in case.facts},
        "seconds": round(seconds, 2),
    }


def motion(parts: Parts, pose: RigidTransform) -> np.ndarray:
    """The small motion about the heart that leads from the pose of the networks to another."""
    return np.concatenate((parts.networks.ct_from_spect.inverse() @ pose).six(parts.heart_mm))


def rounded(values: Iterable, digits: int = 5) -> list[float]:
    """Numbers of a row, arrays one after another."""
    return [round(float(value), digits) for value in np.hstack(list(values))]


def read(path: Path) -> list[dict]:
    """Rows of a file, none where there is none."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def rows(kind: str = FIRST) -> list[dict]:
    """Rows of all parts by one simulator that were not refused, in the order of the cases."""
    found = [row for path in sorted(OUTPUT.glob(f"{kind}-*.jsonl")) for row in read(path) if "refused" not in row]
    return sorted(found, key=lambda row: row["case"])


@dataclass(frozen=True, eq=False)
class Known:
    """A row as the fit and the table take it."""

    row: dict
    study: KnownStudy
    heart_mm: tuple[float, float, float]
    reference: RigidTransform

    @classmethod
    def of(cls, row: dict) -> Known:
        heart_mm = triple(np.array(row["heart"]))
        reference = RigidTransform.from_six(row["reference"][:3], row["reference"][3:], heart_mm)
        own = np.array(row["covariance"]).reshape(6, 6) if row["covariance"] else None
        estimates = tuple(
            PoseEstimate(
                kind,
                reference @ RigidTransform.from_six(row["poses"][kind][:3], row["poses"][kind][3:], heart_mm),
                own if kind == "projection" else None,
                row["indicators"][kind],
            )
            for kind in row["indicators"]
        )
        offsets = {kind: np.array(row["poses"][kind]) for kind in row["indicators"]}
        study = KnownStudy(row["patient"], offsets, np.array(row["truth"]), estimates)
        return cls(row, study, heart_mm, reference)

    def outcome(self, rule: Rule, kinds: tuple[str, ...] = ()) -> tuple[float, float, np.ndarray]:
        """Heart error (mm), bound of it (90 %, mm) and residual of the pose of a rule; `kinds` alone take part."""
        estimates = [one for one in self.study.estimates if not kinds or one.kind in kinds]
        answer = combined(rule, estimates, self.heart_mm)
        truth = self.reference @ RigidTransform.from_six(self.row["truth"][:3], self.row["truth"][3:], self.heart_mm)
        points = np.array(self.row["points"])
        error = target_registration_error_mm(answer.ct_from_spect, truth, points)
        residual = np.concatenate((answer.ct_from_spect.inverse() @ truth).six(self.heart_mm))
        return error, bound_mm(answer, self.heart_mm, points), residual


def bound_mm(answer: CombinedPose, heart_mm: tuple[float, float, float], points_mm: np.ndarray) -> float:
    """The bound that the program states for the pose over these points, without its floor."""
    pose = answer.ct_from_spect
    covariance = covariance_about(pose, answer.covariance, heart_mm, heart_mm)
    return heart_bound_mm(Registration(pose, heart_mm, "combination", "moved", covariance=covariance), points_mm)


def fold(row: dict, level: int = 0) -> int:
    """Of the anatomy; drawn patients, and all patients within a fold (`level` 1), are divided by the pseudonym."""
    if level == 0 and row["fold"] >= 0:
        return int(row["fold"])
    return int(hashlib.sha256(f"{level} {row['patient']}".encode()).hexdigest(), 16) % 4


def rules_of(known: list[Known]) -> list[Rule]:
    """For each fold the calibrated rule of the others."""
    return [calibrated([one for one in known if fold(one.row) != k]) for k in range(4)]


def calibrated(known: list[Known]) -> Rule:
    """The rule of some rows; its intervals hold for patients it was not found on (cross-conformal, four parts)."""
    ratios = []
    for k in range(4):
        inner = fit_rule([one.study for one in known if fold(one.row, 1) != k])
        outcomes = [one.outcome(inner) for one in known if fold(one.row, 1) == k]
        ratios += [(error / bound) ** 2 * inner.variance_factor for error, bound, _ in outcomes]
    rank = min(LEVEL * (1 + 1 / len(ratios)), 1.0)
    return replace(fit_rule([one.study for one in known]), variance_factor=round(float(np.quantile(ratios, rank)), 4))


def table(known: list[Known], rules: list[Rule]) -> str:
    """Errors, bounds and coverage by cohort, and errors by anatomy; each row by the rule that left its fold out."""
    second = [Known.of({**row, "cohort": f"{row['cohort']}, second camera"}) for row in rows(SECOND)]
    every = (*known, *second)
    cohorts = list(dict.fromkeys(one.row["cohort"] for one in every))
    lines = [
        "| cohort | method | cases | anatomies | heart error, mm: mean [95 %] | 95th percentile | above 6.8 mm | "
        "median bound, mm | within it |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ways = {"combination": (), "combination without the likelihood": ("near-heart", "gradient-fields", TRANSVERSE)}
    outcomes = {
        name: [(one, one.outcome(rules[fold(one.row)], kinds)) for one in every] for name, kinds in ways.items()
    }
    for cohort in cohorts:
        mine = [one for one in every if one.row["cohort"] == cohort]
        for method in ("unregistered", "mutual-information", "gradient-fields", "near-heart", "projection"):
            errors = [
                (one.row["patient"], one.row["heart_mm"][method]) for one in mine if method in one.row["heart_mm"]
            ]
            lines.append(line_of(cohort, method, errors))
        for name, found in outcomes.items():
            here = [(one, result) for one, result in found if one.row["cohort"] == cohort]
            errors = [(one.row["patient"], result[0]) for one, result in here]
            bounds = np.array([result[1] for _, result in here])
            within = np.mean([result[0] <= max(result[1], 2.0) for _, result in here])
            lines.append(line_of(cohort, name, errors, f"{np.median(bounds):.1f} | {100 * within:.0f} %"))
    lines += [
        "",
        "| anatomy | " + " | ".join(f"{cohort}: combination, near-heart, likelihood" for cohort in cohorts) + " |",
    ]
    lines.append("|---|" + "---|" * len(cohorts))
    for patient in sorted({one.row["patient"] for one in known if one.row["fold"] >= 0}):
        cells = []
        for cohort in cohorts:
            here = [
                (result[0], one.row["heart_mm"]["near-heart"], one.row["heart_mm"].get("projection", np.nan))
                for one, result in outcomes["combination"]
                if one.row["patient"] == patient and one.row["cohort"] == cohort
            ]
            cells.append(
                ", ".join(f"{value:.1f}" for value in np.nanmean(np.array(here), axis=0)) + f" ({len(here)})"
                if here
                else ""
            )
        lines.append(f"| `{patient}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def line_of(cohort: str, method: str, errors: list[tuple[str, float]], rest: str = " | ") -> str:
    """One line of the table; errors with the anatomy or patient of each."""
    groups = defaultdict(list)
    for patient, error in errors:
        groups[patient].append(error)
    means = np.array([np.mean(values) for values in groups.values()])
    every = np.array([error for _, error in errors])
    interval = bootstrap(means, mean, np.random.default_rng(22))
    return (
        f"| {cohort} | {method} | {len(every)} | {len(groups)} | {every.mean():.1f} [{interval.low:.1f}, "
        f"{interval.high:.1f}] | {np.quantile(every, 0.95):.1f} | {(every > 6.8).sum()} | {rest} |"
    )


def fit(options: argparse.Namespace) -> None:
    """The rule of all rows, with the settings it holds for."""
    known = [Known.of(row) for row in rows()]
    rule, rules = calibrated(known), rules_of(known)
    outcomes = [(one, one.outcome(rules[fold(one.row)])) for one in known]
    validation = {}
    for cohort in dict.fromkeys(one.row["cohort"] for one in known):
        errors = np.array([result[0] for one, result in outcomes if one.row["cohort"] == cohort])
        bounds = np.array([max(result[1], 2.0) for one, result in outcomes if one.row["cohort"] == cohort])
        validation[f"{cohort}_mean_mm"] = round(float(errors.mean()), 2)
        validation[f"{cohort}_within_bound"] = round(float((errors <= bounds).mean()), 3)

    settings = StudySettings()
    finished = replace(
        rule,
        trained_on={
            "studies": len(known),
            "patients": len({one.row["patient"] for one in known}),
            "real anatomies": len({one.row["patient"] for one in known if one.row["fold"] >= 0}),
            "command": "benchmarks/evidence/combination.py fit",
        },
        validation=validation,
        calibrated_for={
            "registrar": Combination().settings_sha256(),
            "weights": read_card(weights_path("shipped")).weights_sha256,
            "attenuation": settings_sha256(asdict(settings.attenuation)),
            "reconstructor": settings_sha256(recorded_settings(settings.reconstructor)),
        },
    )
    with writing(options.output) as scratch:
        scratch.write_text(json.dumps(asdict(finished), indent=2) + "\n", "utf-8")
    print(json.dumps(asdict(finished), indent=2))
    text = table(known, rules)
    with writing(OUTPUT / "table.md") as scratch:
        scratch.write_text(text + "\n", "utf-8")
    print(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("measure", "fit"))
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="number of this part, and of all parts")
    parser.add_argument("--second-camera", action="store_true", help="projections by the second simulator of the tests")
    parser.add_argument("--cohorts", nargs="+", choices=PLAN, default=USUAL)
    parser.add_argument("--blocks", type=int, default=20, help="of 13 cases of each cohort")
    parser.add_argument(
        "--fold-networks", type=Path, default=ROOT / "runs" / "heart-folds", help="folder with a run for each fold"
    )
    parser.add_argument("--minutes", type=float, default=95.0, help="no case is begun after this time")
    parser.add_argument("--ct-folder", type=Path, default=ROOT.parent / "shared" / "data" / "ct")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "src/mureg/data/weights/combination.json")
    options = parser.parse_args()
    if options.step == "measure":
        measure(options)
    else:
        fit(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
