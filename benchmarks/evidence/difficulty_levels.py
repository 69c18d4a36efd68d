"""Measure classical registration on cohorts of virtual patients, one level of difficulty after the other.

    python benchmarks/evidence/difficulty_levels.py --cohorts DIR [...] -o FOLDER      table
    python benchmarks/evidence/difficulty_levels.py --tune --skip 100 --cohorts DIR [...] -o FOLDER
    python benchmarks/evidence/difficulty_levels.py --self-check      conventions of the peers

DIR is what `mureg simulate` made. Fixed is the case's uncorrected SPECT; moving is the attenuation map of the body as
`mureg.run` prepares it, the patient table taken out, over the CT's full extent. All start from the scanner position.
Errors are those of ``ct_from_spect`` against the truth: of the rigid parameters about the centre of the SPECT's grid,
and the target registration error, the mean distance over points of the heart. A registration that is refused or crashes
has failed, and counts with the error of the scanner position; what moves the map beyond mureg's own limits of the
plausible is refused, whoever found it. Seconds are the processor's, on one thread, for the registration alone; what
else a machine does hardly changes them.

FOLDER gets cases.csv, a line for each case and method, and levels.md. What stands in cases.csv is not measured again.
elastix and ANTs live in an environment of their own, made on the first run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import tomli_w

from mureg.jobs.cores import set_thread_count

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "speed"))

from phantom import CHEST, paint

import mureg
from mureg.attenuation.maps import AttenuationMap, AttenuationMaps
from mureg.cohort.store.cohort import CASES, Cohort, read_case
from mureg.comparison import ACTION_LIMIT_MM, motion_errors, share_above, target_registration_error_mm
from mureg.comparison.measure import origin
from mureg.comparison.methods import KNOWN, ORACLE, Method, MethodPose, register
from mureg.comparison.peers import PEERS, Ants, Elastix
from mureg.comparison.statistics import Estimate, bootstrap, bootstrap_difference, mean, percentile_95
from mureg.comparison.table import Line, ResultTable
from mureg.errors import MuregError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.jobs.tasks import shared_out
from mureg.registration import MutualInformation, NearHeart, ProfileLikelihood
from mureg.spect import Acquisition
from mureg.study import Case, PreparedStudy, attenuation_maps

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parents[1] / ".venv-peers" / "registration"
PYTHON = ENVIRONMENT / "bin/python"
WANTED = ("itk-elastix==0.25.4", "antspyx==0.6.3")
_AT_ONCE = 8
OWN = "mutual-information"
NEAR_HEART, PROJECTION = "near-heart", "projection"
METHODS = ("unregistered", OWN, "elastix", "ants", "oracle")
SLOW = (NEAR_HEART, PROJECTION)
"""Measured only where it is asked for by name."""
SEED = 20250301

Settings = dict[str, Any]
SETTINGS: Mapping[str, Settings] = {
    "unregistered": {},
    OWN: asdict(MutualInformation()),
    NEAR_HEART: asdict(NearHeart()),
    PROJECTION: asdict(ProfileLikelihood()),
    "elastix": asdict(Elastix()),
    "ants": asdict(Ants()),
    "oracle": {},
}

GRIDS: Mapping[str, Mapping[str, list[Any]]] = {
    "elastix": {
        "smoothing_mm": [[16.0, 10.0, 8.0], [8.0, 4.0, 0.0]],
        "map_mm": [6.8, 3.4],
        "samples": [4000, 8000],
    },
    "ants": {
        "smoothing_mm": [[16.0, 10.0, 8.0], [8.0, 4.0, 0.0]],
        "map_mm": [6.8, 3.4],
        "sampling": [0.2, 0.5],
    },
}
"""What --tune tries for each peer, every combination; a mask makes elastix fail its own self-check by 10 mm."""


def method_of(name: str, settings: Settings) -> Method:
    """A way to register, from its settings."""
    kinds = {OWN: MutualInformation, NEAR_HEART: NearHeart, PROJECTION: ProfileLikelihood, **PEERS}
    return Method(name) if name in KNOWN else Method.of(name, kinds[name](**settings))


@dataclass(frozen=True)
class Row(Line):
    """One case and method: a line of cases.csv. Errors are found less true; of a failure, unregistered less true."""

    cohort: str
    case: str
    made_from: str
    method: str
    settings: str
    version: str
    status: str
    reason: str
    tx_mm: float
    ty_mm: float
    tz_mm: float
    rx_deg: float
    ry_deg: float
    rz_deg: float
    heart_error_mm: float
    unregistered_error_mm: float
    remainder_mm: float
    seconds: float

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.cohort, self.case, self.method, self.settings

    @property
    def failed(self) -> bool:
        return self.status != "done"


def find(method: Method, case: Case, maps: AttenuationMaps | MethodPose | None) -> MethodPose:
    """Register one case one way; `maps` says instead why there are none, and is not used without registration."""
    if method.name in KNOWN:
        return MethodPose(case.truth.ct_from_spect if method.name == ORACLE else RigidTransform.identity(), 0.0, "")
    if not isinstance(maps, AttenuationMaps):
        return maps
    projections = case.study.spect if isinstance(case.study.spect, Acquisition) else None
    return register(method, PreparedStudy(case.uncorrected, maps, projections), PYTHON)


def measure(task: tuple[Path, str, list[Method]]) -> list[Row]:
    """All that is asked of one case."""
    folder, cohort, methods = task
    case, maps = read_case(folder), None
    if any(method.name not in KNOWN for method in methods):
        try:
            maps = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0]
        except MuregError as problem:
            maps = MethodPose(None, 0.0, f"mureg {mureg.__version__}", "refused", str(problem))
    return [_row(case, folder, cohort, method, find(method, case, maps)) for method in methods]


def _row(case: Case, folder: Path, cohort: str, method: Method, found: MethodPose) -> Row:
    truth, scanner_position = case.truth, RigidTransform.identity()
    taken = scanner_position if found.ct_from_spect is None else found.ct_from_spect
    shifts, angles = motion_errors(taken, truth.ct_from_spect, truth.centre_mm)
    heart, unregistered = (
        target_registration_error_mm(pose, truth.ct_from_spect, truth.heart_points_mm)
        for pose in (taken, scanner_position)
    )
    return Row(
        cohort, folder.name, origin(folder), method.name, method.settings, found.version,
        found.status, " ".join(found.reason.split()), *(round(error, 4) for error in (*shifts, *angles)),
        round(heart, 4), round(unregistered, 4), round(truth.remainder_mm, 4), round(found.seconds, 3),
    )  # fmt: skip


def chosen_cases(arguments: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Name of the cohort and folder of each case."""
    names = [folder.resolve().name for folder in arguments.cohorts]
    if len(set(names)) < len(names):
        sys.exit(f"two cohorts of one name among {', '.join(names)}: the table could not tell them apart")
    for name, folder in zip(names, arguments.cohorts, strict=True):
        cases = Cohort.open(folder).names[arguments.skip :][: arguments.limit]
        if not cases:
            sys.exit(f"no case is left in {name} after the first {arguments.skip}")
        for case in cases:
            yield name, folder / CASES / case


def measure_all(cases: list[tuple[str, Path]], methods: list[Method], table: ResultTable[Row], jobs: int) -> list[Row]:
    """Measure what is missing in the table; returns the rows of these cases and methods alone."""
    asked = {(cohort, folder.name, m.name, m.settings) for cohort, folder in cases for m in methods}
    missing = {
        (cohort, folder): [m for m in methods if table.get((cohort, folder.name, m.name, m.settings)) is None]
        for cohort, folder in cases
    }
    todo = [
        (folder, cohort, wanted[start : start + _AT_ONCE])
        for (cohort, folder), wanted in missing.items()
        for start in range(0, len(wanted), _AT_ONCE)
    ]
    for number, rows in enumerate(shared_out(measure, todo, jobs), 1):
        table.append(rows)
        errors = " ".join(f"{row.method} {row.heart_error_mm:.1f}" for row in rows[:5])
        print(f"{number}/{len(todo)} {rows[0].case}: {errors} mm", flush=True)
    return [row for row in table.rows if row.key in asked]


def in_order(rows: Iterable[Row], cohort: str, method: str) -> list[Row]:
    return sorted((row for row in rows if (row.cohort, row.method) == (cohort, method)), key=lambda row: row.case)


def summary(rows: list[Row], methods: list[str]) -> str:
    """One table for each cohort."""
    parts = [
        "# Classical registration on virtual patients\n",
        "Target registration error over the heart in mm, with 95 % bootstrap intervals (2000 resamples of cases); "
        "mean absolute error of each rigid parameter about the centre of the SPECT's grid; share of cases beyond "
        f"one pixel ({ACTION_LIMIT_MM} mm); failed: refused or crashed, counted as unregistered. "
        f"The last column is the mean less that of {OWN} on the same cases. {OWN} starts from five positions, the "
        "peers from the scanner position; seconds are the processor's, on one thread, without the making of the map.\n",
    ]
    for cohort in dict.fromkeys(row.cohort for row in rows):
        remainder = np.mean([row.remainder_mm for row in {r.case: r for r in rows if r.cohort == cohort}.values()])
        parts += [f"## {cohort}\n", _HEAD, "|---" * _HEAD.count("| ") + "|"]
        reference = in_order(rows, cohort, OWN)
        for method in methods:
            if of_method := in_order(rows, cohort, method):
                parts.append(_line(of_method, reference))
        parts.append(f"\nNo rigid motion can mend, on average over cases: {remainder:.2f} mm (root mean square).\n")
    parts.append("## Settings\n")
    used = {(row.method, row.version, row.settings) for row in rows if row.version}
    parts += [f"- {name} ({version}): `{settings}`" for name, version, settings in sorted(used)]
    return "\n".join(parts) + "\n"


_HEAD = (
    "| method | n | mean | median | 95th percentile | x mm | y mm | z mm | x ° | y ° | z ° "
    f"| > {ACTION_LIMIT_MM} mm | failed | seconds | less {OWN} |"
)


def _line(rows: list[Row], reference: list[Row]) -> str:
    heart = np.array([row.heart_error_mm for row in rows])
    six = np.abs([[row.tx_mm, row.ty_mm, row.tz_mm, row.rx_deg, row.ry_deg, row.rz_deg] for row in rows]).mean(0)
    method = rows[0].method
    against = ""
    if method not in (OWN, "oracle") and [r.case for r in rows] == [r.case for r in reference]:
        own = np.array([row.heart_error_mm for row in reference])
        against = _said(bootstrap_difference(heart, own, mean, np.random.default_rng(SEED)), "+.2f")
    cells = [
        f"oracle (remainder {np.mean([r.remainder_mm for r in rows]):.2f} mm)" if method == "oracle" else method,
        str(len(rows)),
        _said(bootstrap(heart, mean, np.random.default_rng(SEED))),
        f"{np.median(heart):.2f}",
        _said(bootstrap(heart, percentile_95, np.random.default_rng(SEED))),
        *(f"{error:.2f}" for error in six),
        f"{100 * share_above(heart):.0f} %",
        str(sum(row.failed for row in rows)),
        f"{np.mean([row.seconds for row in rows]):.1f}",
        against,
    ]
    return f"| {' | '.join(cells)} |"


def _said(estimate: Estimate, form: str = ".2f") -> str:
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def evaluate(arguments: argparse.Namespace) -> None:
    settings, tuned_on = dict(SETTINGS), set[str]()
    if arguments.settings:
        tuned = json.loads(arguments.settings.read_text(encoding="utf-8"))
        settings |= {name: tuned[name] for name in GRIDS if name in tuned}
        tuned_on = set(tuned["tuned_on"])
    cases = list(chosen_cases(arguments))
    if seen := [folder.name for _, folder in cases if origin(folder) in tuned_on]:
        sys.exit(f"the peers were tuned on {len(seen)} of these cases ({', '.join(seen[:3])}, ...): evaluate on others")
    methods = [method_of(name, settings[name]) for name in arguments.registrars]
    rows = measure_all(cases, methods, ResultTable(arguments.output / "cases.csv", Row), arguments.jobs)
    _write(arguments.output / "levels.md", summary(rows, arguments.registrars))


def tune(arguments: argparse.Namespace) -> None:
    """Try every combination of `GRIDS` and keep, for each peer, the one with the least mean error over all cases."""
    cases = list(chosen_cases(arguments))
    peers = [name for name in arguments.registrars if name in GRIDS]
    methods = [
        method_of(name, SETTINGS[name] | dict(zip(GRIDS[name], values, strict=True)))
        for name in peers
        for values in itertools.product(*GRIDS[name].values())
    ]
    rows = measure_all(cases, methods, ResultTable(arguments.output / "cases.csv", Row), arguments.jobs)
    text = ["# Settings of the peers, tried on other cases than those evaluated\n"]
    best: dict[str, Any] = {"tuned_on": sorted({origin(folder) for _, folder in cases})}
    for name in peers:
        ranked = sorted((_score(method, rows), method.settings) for method in methods if method.name == name)
        best[name] = json.loads(ranked[0][1])
        text += [f"## {name}, {len(cases)} cases\n", "| mean mm | 95th percentile mm | failed | seconds | settings |"]
        text += ["|---|---|---|---|---|"]
        for (error, p95, failed, seconds), settings in ranked:
            tried = {key: json.loads(settings)[key] for key in GRIDS[name]}
            text.append(f"| {error:.2f} | {p95:.2f} | {failed} | {seconds:.1f} | `{json.dumps(tried)}` |")
        text.append("")
    _write(arguments.output / "tuned.json", json.dumps(best, indent=2) + "\n")
    said = "# For mureg evaluate --settings, on other cases than tuned.json names.\n"
    _write(arguments.output / "tuned.toml", said + tomli_w.dumps({name: best[name] for name in peers}))
    _write(arguments.output / "tuning.md", "\n".join(text))


def _score(method: Method, rows: list[Row]) -> tuple[float, float, int, float]:
    own = [row for row in rows if (row.method, row.settings) == (method.name, method.settings)]
    heart = [row.heart_error_mm for row in own]
    return (
        float(np.mean(heart)),
        float(np.percentile(heart, 95)),
        sum(row.failed for row in own),
        float(np.mean([row.seconds for row in own])),
    )


def self_check(registrars: list[str]) -> None:
    """Find a known motion between two copies of a chest: wrong direction, centre or axes would show in centimetres."""
    n, voxel_mm = 64, 6.8
    spect_grid = Grid.centred((n, n, n), (voxel_mm,) * 3, (12.0, -25.0, 140.0))
    motion = RigidTransform.from_six((14.0, -9.0, 11.0), (3.0, -5.0, 7.0), spect_grid.centre_mm)
    fine = Grid.centred((2 * n, 2 * n, 2 * n), (voxel_mm / 2,) * 3, spect_grid.centre_mm)
    mu = Volume.from_numpy(paint(CHEST, 2 * n, voxel_mm / 2)[1], fine, Quantity.MU_PER_CM)
    fixed = mu.coarsened(voxel_mm)
    # the CT's voxels moved through space, lattice and all: no interpolation, and directions off the axes
    moving = Volume(mu.values, Grid(fine.shape, motion.matrix @ fine.affine), mu.quantity)
    heart = np.asarray(spect_grid.centre_mm) + CHEST[5, :3] + np.random.default_rng(1).normal(0.0, 20.0, (200, 3))
    case, maps = _Bare(_BareStudy(), fixed), AttenuationMaps(moving, None, AttenuationMap())
    wrong = False
    for name in (name for name in registrars if name not in (*KNOWN, *SLOW)):
        for mask in (False, True) if name in GRIDS else (None,):
            settings = SETTINGS[name] if mask is None else SETTINGS[name] | {"mask": mask}
            found = find(method_of(name, settings), case, maps)
            pose = found.ct_from_spect or RigidTransform.identity()
            error = target_registration_error_mm(pose, motion, heart)
            shifts, angles = motion_errors(pose, motion, spect_grid.centre_mm)
            ok = found.status == "done" and error < 1.5
            wrong |= not ok
            said = "".join(f" {value:+.2f}" for value in (*shifts, *angles))
            print(
                f"{name:18s} mask {mask!s:5s} {'ok   ' if ok else 'WRONG'} heart {error:.2f} mm of "
                f"{target_registration_error_mm(RigidTransform.identity(), motion, heart):.1f}, six off by{said}, "
                f"{found.seconds:.1f} s {found.reason}",
                flush=True,
            )
    sys.exit(int(wrong))


@dataclass(frozen=True)
class _BareStudy:
    """No projections."""

    spect: None = None


@dataclass(frozen=True)
class _Bare:
    """The part of a case that a registration uses."""

    study: _BareStudy
    uncorrected: Volume


def install_peers() -> None:
    marker = ENVIRONMENT / "installed.txt"
    if marker.exists() and marker.read_text(encoding="utf-8").split() == list(WANTED):
        return
    print(f"Installing {' and '.join(WANTED)} into {ENVIRONMENT} (once, some minutes)", flush=True)
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    venv.create(ENVIRONMENT, with_pip=True)
    pip = [PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, *WANTED], check=True)
    marker.write_text("\n".join(WANTED) + "\n", encoding="utf-8")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    print(f"\n{text}\n{path}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=Path, nargs="+", metavar="DIR", default=[])
    parser.add_argument("--registrars", default=",".join(METHODS), help=f"some of: %(default)s,{','.join(SLOW)}")
    parser.add_argument("--skip", type=int, default=0, help="cases of each cohort to leave out at its beginning")
    parser.add_argument("--limit", type=int, help="cases of each cohort; 100, or 3 for tuning")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--settings", type=Path, help="tuned.json of an earlier --tune; refused on the cases it saw")
    parser.add_argument("--tune", action="store_true", help="choose the settings of the peers")
    parser.add_argument("--self-check", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    arguments.registrars = [name for name in (*METHODS, *SLOW) if name in arguments.registrars.split(",")]
    arguments.limit = arguments.limit or (3 if arguments.tune else 100)
    if not arguments.self_check and not (arguments.cohorts and arguments.output):
        parser.error("name --cohorts and -o")
    if not arguments.registrars or min(arguments.skip, arguments.limit - 1, arguments.jobs - 1) < 0:
        parser.error(f"nothing to do: registrars are {', '.join((*METHODS, *SLOW))}; --limit and --jobs are at least 1")
    return arguments


def main() -> None:
    arguments = parse()
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    if set(GRIDS) & set(arguments.registrars):
        install_peers()
    if arguments.self_check:
        self_check(arguments.registrars)
    (tune if arguments.tune else evaluate)(arguments)


if __name__ == "__main__":
    main()
