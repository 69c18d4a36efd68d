"""Change one thing of the world, or one thing the registrar is told, and see by how much the pose moves.

    python benchmarks/evidence/ablations.py -o evidence/ablations                                the likelihood
    python benchmarks/evidence/ablations.py -o evidence/ablations --rows base no-scatter --cases 12
    python benchmarks/evidence/ablations.py -o evidence/ablations --registrars near-heart
    python benchmarks/evidence/ablations.py -o evidence/ablations --table                        what is there

The base is the level `clinical` with patients of its own who all move and do not breathe: half a turn, 60 views, 5
million counts, 20 mm and 5 degrees, arms up. Each row changes one thing, for the same patients, motions and starts.
Unless the row is about starts, the likelihood begins 10 mm (at the heart) and 3 degrees from the truth, in directions
drawn for each case, and its first step is shorter. Other registrars see no projections: only rows that change
their images are theirs. The rows are those of benchmarks/evidence/ablation_rows.py.

Each registrar has a file of its own, REGISTRAR.csv, a line for each row and case: the heart error in mm, the error of
the scanner position, and where the map lies too far, along and about x, y, z through the heart (to the patient's left,
back and head), in mm and degrees. A registration that is refused or crashes counts with the scanner position. What
stands there with the same settings is not measured again. Seconds are the processor's, the start included where it is
searched for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import SimpleITK as sitk
from ablation_rows import BASE, NEAR, ROWS, SCANNER, SEED, TRUE, Told, Variant, base

from mureg.cohort.settings import CohortSettings
from mureg.cohort.simulation import case_name, simulate_case
from mureg.comparison import target_registration_error_mm
from mureg.comparison.methods import Method, MethodPose, register
from mureg.comparison.statistics import Estimate, bootstrap, bootstrap_difference, mean
from mureg.comparison.table import Line, ResultTable
from mureg.geometry import RigidTransform, Volume
from mureg.jobs.cores import set_thread_count
from mureg.registration import MutualInformation, NearHeart, ProfileLikelihood
from mureg.registration.card import shipped
from mureg.registration.network import NetworkRegistrar
from mureg.spect import Acquisition
from mureg.study import Case, PreparedStudy, attenuation_maps

LIKELIHOOD = "likelihood"
NEAR_MM, NEAR_DEG = 10.0, 3.0
STEPS = ((6.0, 4.0), (6.0, 4.0), (4.0, 2.5), (4.0, 2.5))
OTHERS: dict[str, Callable[[], Any]] = {
    "near-heart": NearHeart,
    "near-heart-fast": lambda: NearHeart().quick_mode(),
    "densenet": lambda: NetworkRegistrar(shipped("densenet-small")),
    "mutual-information": MutualInformation,
}
REGISTRARS = (LIKELIHOOD, *OTHERS)
COLUMNS = ("changed", "n", "heart error, mm", "more than base", "largest", "lies off x, y, z, mm", "refused")
SIX = ("x_mm", "y_mm", "z_mm", "x_deg", "y_deg", "z_deg")


@pydantic.dataclasses.dataclass(frozen=True, config=pydantic.ConfigDict(arbitrary_types_allowed=True))
class From(ProfileLikelihood):
    """The likelihood, begun at a pose that is given."""

    pose: RigidTransform = field(default_factory=RigidTransform.identity)

    def _start(self, fixed: Volume, moving: Volume) -> tuple[RigidTransform, tuple[str, ...]]:
        return self.pose, ()


@dataclass(frozen=True)
class Measured(Line):
    """One row and case, by one registrar."""

    row: str
    case: str
    made_from: str
    settings: str
    status: str
    reason: str
    heart_error_mm: float
    unregistered_error_mm: float
    x_mm: float
    y_mm: float
    z_mm: float
    x_deg: float
    y_deg: float
    z_deg: float
    remainder_mm: float
    seconds: float

    @property
    def key(self) -> tuple[str, str]:
        return self.row, self.case


def registrar_of(name: str, variant: Variant) -> Any:
    if name != LIKELIHOOD:
        return OTHERS[name]()
    steps = STEPS if variant.start in (NEAR, TRUE) else ProfileLikelihood().steps
    return ProfileLikelihood(start=SCANNER, steps=steps, physics=variant.physics)


def fingerprint(name: str, variant: Variant) -> str:
    """Of all the settings that a line depends on, weights included, but for those of its world."""
    used = [Method.of(name, registrar_of(name, variant)).settings]
    if name == LIKELIHOOD:
        used += [f"{NEAR_MM} mm {NEAR_DEG} deg {SEED}" if variant.start == NEAR else variant.start]
        used += [Method.of(start, OTHERS[start]()).settings for start in OTHERS if start == variant.start]
    return hashlib.sha256(json.dumps(used).encode()).hexdigest()[:12]


def near(case: Case, index: int) -> RigidTransform:
    """A pose 10 mm and 3 degrees from the truth, about the middle of the heart."""
    directions = np.random.default_rng([SEED, index]).standard_normal((2, 3))
    shift, angles = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    middle = case.truth.heart_points_mm.mean(0)
    return case.truth.ct_from_spect @ RigidTransform.from_six(NEAR_MM * shift, NEAR_DEG * angles, middle)


def find(name: str, variant: Variant, case: Case, index: int, told: Told) -> MethodPose:
    """The pose by one registrar, with the start's seconds where there is one."""

    def by(registrar: Any) -> MethodPose:
        return register(
            Method(name, "", registrar), PreparedStudy(case.uncorrected, told.maps, told.acquisition), Path()
        )

    registrar = registrar_of(name, variant)
    if name != LIKELIHOOD:
        return by(registrar)
    started = time.process_time()
    places = {NEAR: near(case, index), TRUE: case.truth.ct_from_spect}
    place = places.get(variant.start, RigidTransform.identity())
    if variant.start in OTHERS:
        place = by(OTHERS[variant.start]()).ct_from_spect or place
    settings = {one.name: getattr(registrar, one.name) for one in fields(registrar)}
    return replace(by(From(**settings, pose=place)), seconds=time.process_time() - started)


def measure(name: str, row: str, case: Case, index: int) -> Measured:
    variant, truth = ROWS[row], case.truth
    maps = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0]
    assert isinstance(case.study.spect, Acquisition)
    found = find(name, variant, case, index, variant.told(Told(case.study.spect, maps)))
    pose = found.ct_from_spect or RigidTransform.identity()
    shift, angles = (pose.inverse() @ truth.ct_from_spect).six(truth.heart_points_mm.mean(0))
    heart, unregistered = (
        target_registration_error_mm(one, truth.ct_from_spect, truth.heart_points_mm)
        for one in (pose, RigidTransform.identity())
    )
    return Measured(
        row, case.name, f"{case.sources['settings_sha256']:.12}/{index}", fingerprint(name, variant), found.status,
        " ".join(found.reason.split()), round(heart, 4), round(unregistered, 4),
        *np.round((*shift, *angles), 4).tolist(),
        round(truth.remainder_mm, 4), round(found.seconds, 3),
    )  # fmt: skip


def rows_of(name: str, asked: list[str]) -> list[str]:
    """Those that can differ: what an image registrar does not see does not move it; the others are for the base."""
    if name == LIKELIHOOD:
        return asked
    return [row for row in asked if row == BASE or (name == "near-heart" and ROWS[row].seen)]


@lru_cache(maxsize=2)
def simulated(world: CohortSettings, index: int) -> Case:
    """Kept for the rows that tell the registrar something else of the same world."""
    return simulate_case(world, index)


def run(name: str, options: argparse.Namespace) -> None:
    """All rows of one case before the next, so that a run which is stopped has measured them on the same cases."""
    table = ResultTable(options.output / f"{name}.csv", Measured)
    for index in range(options.first, options.first + options.cases):
        for row in rows_of(name, options.rows):
            world = ROWS[row].world(base())
            known = table.get((row, case_name(world, index)))
            if known is None or known.settings != fingerprint(name, ROWS[row]):
                line = measure(name, row, simulated(world, index), index)
                table.append([line])
                print(
                    f"{name} {line.case} {row}: {line.heart_error_mm:.1f} mm, {line.seconds:.0f} s {line.reason}",
                    flush=True,
                )
    table.tidy()


def stayed(line: Measured) -> bool:
    """Whether the likelihood found nothing better than where it began; not known of starts that are searched for."""
    off_mm = math.hypot(line.x_mm, line.y_mm, line.z_mm)
    begun = {NEAR: (off_mm, NEAR_MM), TRUE: (off_mm, 0.0), SCANNER: (line.heart_error_mm, line.unregistered_error_mm)}
    start = ROWS[line.row].start
    return start in begun and math.isclose(*begun[start], abs_tol=1e-3)


def said(one: Estimate, form: str = ".1f") -> str:
    return f"{one.value:{form}} [{one.low:{form}}, {one.high:{form}}]"


def summary(name: str, lines: list[Measured]) -> Iterator[str]:
    """A line of the table for each row that was measured; what is compared with the base is so on the same cases."""
    nothing = {line.case: line.heart_error_mm for line in lines if line.row == BASE}
    for row, variant in ROWS.items():
        own = [line for line in lines if line.row == row]
        if not own:
            continue
        heart = [line.heart_error_mm for line in own]
        both = [(line.heart_error_mm, nothing[line.case]) for line in own if line.case in nothing]
        more = ""
        if row != BASE and both:
            more = said(bootstrap_difference(*zip(*both, strict=True), mean, np.random.default_rng(1)), "+.1f")
        lies = [np.mean([getattr(line, axis) for line in own]) for axis in SIX[:3]]
        cells = [
            variant.words,
            str(len(own)),
            said(bootstrap(heart, mean, np.random.default_rng(1))),
            more,
            f"{max(heart):.1f}",
            ", ".join(f"{value:+.1f}" for value in lies),
            str(sum(line.status != "done" for line in own)),
            *([str(sum(stayed(line) for line in own))] if name == LIKELIHOOD else []),
        ]
        yield f"| {' | '.join(cells)} |"


def show(output: Path) -> None:
    for name in REGISTRARS:
        path = output / f"{name}.csv"
        if path.exists():
            columns = [*COLUMNS, *(["stayed"] if name == LIKELIHOOD else [])]
            print(f"\n{name}\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
            print("\n".join(summary(name, ResultTable(path, Measured).rows)))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="NAME")
    parser.add_argument("--registrars", nargs="+", choices=REGISTRARS, default=[LIKELIHOOD], metavar="NAME")
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is there")
    options = parser.parse_args(arguments)
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    if not options.table:
        for name in options.registrars:
            run(name, options)
    show(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
