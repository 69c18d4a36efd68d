"""Measure classical registration on cohorts of virtual patients, one rung of difficulty after the other.

    .venv/bin/python benchmarks/rungs.py --cohorts DIR [DIR ...] -o FOLDER             the table
    .venv/bin/python benchmarks/rungs.py --tune --skip 100 --cohorts DIR [...] -o FOLDER  settings of the peers
    .venv/bin/python benchmarks/rungs.py --self-check                                  do the peers speak our language?

DIR is what `mureg simulate` made. Fixed is the case's uncorrected SPECT; moving is the attenuation map of the body as
`mureg.run` prepares it, the patient table taken out, over the CT's full extent. All start from the headers. Errors are
those of ``ct_from_spect`` against the truth: of the six numbers about the centre of the SPECT's grid, and the target
registration error, the mean distance over points of the heart. A registration that is refused or crashes has failed,
and counts with the error that the headers leave; what moves the map beyond mureg's own limits of the plausible is
refused, whoever found it. Seconds are the processor's, on one thread, for the registration alone; what else a machine
does hardly changes them.

FOLDER gets cases.csv, a line for each case and method, and rungs.md. What stands in cases.csv is not measured again.
elastix and ANTs live in an environment of their own, made on the first run.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, astuple, dataclass, fields
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from phantom import CHEST, paint

import mureg
from mureg.errors import MuregError
from mureg.evaluation import (
    ACTION_LIMIT_MM,
    Estimate,
    bootstrap,
    bootstrap_difference,
    mean,
    motion_errors,
    percentile_95,
    share_above,
    target_registration_error_mm,
)
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.io.store import CASES, Cohort, open_case, read_case
from mureg.pipeline import attenuation_maps
from mureg.registration import MutualInformation
from mureg.registration.mutual_information import without_hot_spots
from mureg.spect.body import emission_outline
from mureg.study import Case

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".venv-peers" / "registration"
WANTED = ("itk-elastix==0.25.4", "antspyx==0.6.3")
PATIENCE_S = 300.0
_AT_ONCE = 8
OWN = "mutual-information"
METHODS = ("headers", OWN, "elastix", "ants", "oracle")
KNOWN = ("headers", "oracle")
SEED = 20250301

Settings = dict[str, Any]
SETTINGS: Mapping[str, Settings] = {
    "headers": {},
    OWN: asdict(MutualInformation()),
    "elastix": {
        "map_mm": 6.8, "mask": False, "bins": 32, "samples": 4000, "iterations": 300, "shrink": [4, 2, 1],
        "smoothing_mm": [16.0, 10.0, 8.0], "seed": 1,
    },
    "ants": {
        "map_mm": 3.4, "mask": False, "bins": 32, "sampling": 0.5, "iterations": [200, 200, 100], "shrink": [4, 2, 1],
        "smoothing_mm": [16.0, 10.0, 8.0], "seed": 1,
    },
    "oracle": {},
}  # fmt: skip
"""`map_mm`: the map is averaged to voxels of this size first; `mask`: look only where the SPECT shows a body."""

GRIDS: Mapping[str, Mapping[str, list[Any]]] = {
    "elastix": {
        "smoothing_mm": [[16.0, 10.0, 8.0], [16.0, 8.0, 4.0], [8.0, 4.0, 0.0]],
        "mask": [False, True],
        "map_mm": [6.8, 3.4],
        "samples": [4000, 8000],
    },
    "ants": {
        "smoothing_mm": [[16.0, 10.0, 8.0], [16.0, 8.0, 4.0], [8.0, 4.0, 0.0]],
        "mask": [False, True],
        "map_mm": [6.8, 3.4],
        "sampling": [0.2, 0.5],
    },
}
"""What --tune tries for each peer, every combination."""


@dataclass(frozen=True)
class Method:
    """A way to register, and its settings as JSON."""

    name: str
    settings: str

    @classmethod
    def of(cls, name: str, settings: Settings) -> Method:
        return cls(name, json.dumps(settings, sort_keys=True))


@dataclass(frozen=True)
class Row:
    """One case and method: a line of cases.csv. Errors are found less true; of a failure, the headers'."""

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
    headers_error_mm: float
    remainder_mm: float
    seconds: float

    @classmethod
    def parse(cls, line: Mapping[str, str]) -> Row:
        return cls(**{f.name: (float if f.type == "float" else str)(line[f.name]) for f in fields(cls)})

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.cohort, self.case, self.method, self.settings

    @property
    def failed(self) -> bool:
        return self.status != "done"


@dataclass(frozen=True)
class Found:
    """What a method gave: a pose, or why there is none."""

    ct_from_spect: RigidTransform | None
    seconds: float
    version: str
    status: str = "done"
    reason: str = ""


class Peers:
    """elastix and ANTs in a process of their own, started when first asked and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.versions: dict[str, str] = {}

    def register(self, program: str, settings: Settings, images: Mapping[str, Volume]) -> dict[str, Any]:
        """The answer of `with_elastix_and_ants.py`; "crashed" says how where there is none."""
        process = self._running()
        packed = io.BytesIO()
        np.savez(
            packed,
            **{name: volume.numpy() for name, volume in images.items()},
            **{f"{name}_affine": volume.grid.affine for name, volume in images.items()},
        )
        question = {"program": program, "settings": settings, "bytes": packed.tell()}
        started = time.perf_counter()
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n" + packed.getvalue())
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
            answer = process.stdout.readline() if ready else b""
        except BrokenPipeError:
            answer = b""
        if answer:
            return json.loads(answer)
        process.kill()
        self._process = None
        return {"crashed": f"no answer, ended with {process.wait()}", "seconds": time.perf_counter() - started}

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [PEERS / "bin/python", "-W", "ignore", HERE / "with_elastix_and_ants.py"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            hello = self._process.stdout.readline()
            if not hello:
                raise RuntimeError(f"the peers do not start in {PEERS}; remove it to have it made again")
            self.versions = json.loads(hello)
        return self._process


PROGRAMS = Peers()
"""Of this process; each worker has its own."""


def find(method: Method, case: Case, body: Volume | Found | None) -> Found:
    """Register one case one way; `body` says instead why there is no map, and is not looked at without registration."""
    if method.name in KNOWN:
        return Found(case.truth.ct_from_spect if method.name == "oracle" else RigidTransform.identity(), 0.0, "")
    if not isinstance(body, Volume):
        return body
    settings = json.loads(method.settings)
    found = _find_own(settings, case, body) if method.name == OWN else _find_peer(method.name, settings, case, body)
    return found if found.ct_from_spect is None else _plausible(found, case.uncorrected.grid)


def _find_own(settings: Settings, case: Case, body: Volume) -> Found:
    version, started = f"mureg {mureg.__version__}", time.process_time()
    try:
        registration = MutualInformation(**settings).register(case.uncorrected, body)
    except MuregError as problem:
        return Found(None, time.process_time() - started, version, "refused", str(problem))
    except Exception as problem:  # whatever it is, it is counted
        return Found(None, time.process_time() - started, version, "crashed", f"{type(problem).__name__}: {problem}")
    return Found(registration.ct_from_spect, time.process_time() - started, version)


def _find_peer(program: str, settings: Settings, case: Case, body: Volume) -> Found:
    started = time.process_time()
    # what helps our own metric is given to the others as well
    images = {
        "fixed": without_hot_spots(case.uncorrected, MutualInformation().brightest),
        "moving": body.coarsened(settings["map_mm"]),
    }
    if settings["mask"]:
        images["mask"] = emission_outline(case.uncorrected)
    prepared_s = time.process_time() - started
    answer = PROGRAMS.register(program, settings, images)
    seconds, version = prepared_s + answer["seconds"], PROGRAMS.versions[program]
    if "crashed" in answer:
        return Found(None, seconds, version, "crashed", answer["crashed"])
    return Found(RigidTransform(np.array(answer["matrix"])), seconds, version)


def _plausible(found: Found, grid: Grid) -> Found:
    """The same limits for everybody."""
    limits, shift_mm = MutualInformation(), float(np.linalg.norm(found.ct_from_spect.six(grid.centre_mm)[0]))
    angle_deg = found.ct_from_spect.rotation_deg
    if shift_mm <= limits.largest_shift_mm and angle_deg <= limits.largest_angle_deg:
        return found
    reason = f"moves the map by {shift_mm:.0f} mm and {angle_deg:.0f} degrees"
    return Found(None, found.seconds, found.version, "refused", reason)


def measure(folder: Path, cohort: str, methods: list[Method]) -> list[Row]:
    """All that is asked of one case."""
    case, body = read_case(folder), None
    if any(method.name not in KNOWN for method in methods):
        try:
            body = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0].body
        except MuregError as problem:
            body = Found(None, 0.0, f"mureg {mureg.__version__}", "refused", str(problem))
    return [_row(case, folder, cohort, method, find(method, case, body)) for method in methods]


def _row(case: Case, folder: Path, cohort: str, method: Method, found: Found) -> Row:
    truth, headers = case.truth, RigidTransform.identity()
    taken = headers if found.ct_from_spect is None else found.ct_from_spect
    shifts, angles = motion_errors(taken, truth.ct_from_spect, truth.centre_mm)
    heart, by_headers = (
        target_registration_error_mm(pose, truth.ct_from_spect, truth.heart_points_mm) for pose in (taken, headers)
    )
    return Row(
        cohort, folder.name, origin(folder), method.name, method.settings, found.version,
        found.status, " ".join(found.reason.split()), *(round(error, 4) for error in (*shifts, *angles)),
        round(heart, 4), round(by_headers, 4), round(truth.remainder_mm, 4), round(found.seconds, 3),
    )  # fmt: skip


def origin(folder: Path) -> str:
    """What makes a case the same wherever it lies: the settings of its cohort, seed included, and its number."""
    sources = open_case(folder).header["sources"]
    return f"{str(sources.get('settings_sha256', folder.parent.parent.name))[:12]}/{sources.get('index', folder.name)}"


class Table:
    """cases.csv: read once, then only appended to, case by case."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, list[Row]()
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.read_bytes() if path.exists() else b""
        kept = whole[: whole.rfind(b"\n") + 1]  # a run that was killed may leave half a line
        if kept != whole:
            os.truncate(path, len(kept))
        if not kept:
            self._append([[f.name for f in fields(Row)]])
        self.rows = [Row.parse(line) for line in csv.DictReader(io.StringIO(kept.decode()))]

    def append(self, rows: list[Row]) -> None:
        self._append([astuple(row) for row in rows])
        self.rows += rows

    def _append(self, lines: Iterable[Iterable[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        with self.path.open("ab", buffering=0) as file:
            file.write(text.getvalue().encode())
            os.fsync(file.fileno())


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


def measure_all(cases: list[tuple[str, Path]], methods: list[Method], table: Table, jobs: int) -> list[Row]:
    """Measure what is missing in the table; returns the rows of these cases and methods alone."""
    done = {row.key for row in table.rows}
    missing = {
        (cohort, folder): [m for m in methods if (cohort, folder.name, m.name, m.settings) not in done]
        for cohort, folder in cases
    }
    todo = [
        (folder, cohort, wanted[start : start + _AT_ONCE])
        for (cohort, folder), wanted in missing.items()
        for start in range(0, len(wanted), _AT_ONCE)
    ]
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _start_worker)
    try:
        tasks = [pool.submit(measure, *task) for task in todo]
        for number, task in enumerate(as_completed(tasks), 1):
            rows = task.result()
            table.append(rows)
            errors = " ".join(f"{row.method} {row.heart_error_mm:.1f}" for row in rows[:5])
            print(f"{number}/{len(todo)} {rows[0].case}: {errors} mm", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    asked = {(cohort, folder.name, m.name, m.settings) for cohort, folder in cases for m in methods}
    return [row for row in table.rows if row.key in asked]


def _start_worker() -> None:
    """On one thread, and gone as soon as the run is, however it ends."""
    _one_thread()

    def leave() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def _one_thread() -> None:
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def in_order(rows: Iterable[Row], cohort: str, method: str) -> list[Row]:
    return sorted((row for row in rows if (row.cohort, row.method) == (cohort, method)), key=lambda row: row.case)


def summary(rows: list[Row], methods: list[str]) -> str:
    """One table for each cohort."""
    parts = [
        "# Classical registration on virtual patients\n",
        "Target registration error over the heart in mm, with 95 % bootstrap intervals (2000 resamples of cases); "
        "mean absolute error of each of the six numbers about the centre of the SPECT's grid; share of cases beyond "
        f"one pixel ({ACTION_LIMIT_MM} mm); failed: refused or crashed, counted with the error of the headers. "
        f"The last column is the mean less that of {OWN} on the same cases. {OWN} starts from five positions, the "
        "peers from the headers' own; seconds are the processor's, on one thread, without the making of the map.\n",
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
    methods = [Method.of(name, settings[name]) for name in arguments.registrars]
    rows = measure_all(cases, methods, Table(arguments.output / "cases.csv"), arguments.jobs)
    _write(arguments.output / "rungs.md", summary(rows, arguments.registrars))


def tune(arguments: argparse.Namespace) -> None:
    """Try every combination of `GRIDS` and keep, for each peer, the one with the least mean error over all cases."""
    cases = list(chosen_cases(arguments))
    peers = [name for name in arguments.registrars if name in GRIDS]
    methods = [
        Method.of(name, SETTINGS[name] | dict(zip(GRIDS[name], values, strict=True)))
        for name in peers
        for values in itertools.product(*GRIDS[name].values())
    ]
    rows = measure_all(cases, methods, Table(arguments.output / "cases.csv"), arguments.jobs)
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
    case = _Bare(fixed)
    wrong = False
    for name in (name for name in registrars if name not in KNOWN):
        for mask in (False, True) if name in GRIDS else (None,):
            settings = SETTINGS[name] if mask is None else SETTINGS[name] | {"mask": mask}
            found = find(Method.of(name, settings), case, moving)
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
class _Bare:
    """As much of a case as a registration looks at."""

    uncorrected: Volume


def install_peers() -> None:
    marker = PEERS / "installed.txt"
    if marker.exists() and marker.read_text(encoding="utf-8").split() == list(WANTED):
        return
    print(f"Installing {' and '.join(WANTED)} into {PEERS} (once, some minutes)", flush=True)
    shutil.rmtree(PEERS, ignore_errors=True)
    PEERS.parent.mkdir(exist_ok=True)
    venv.create(PEERS, with_pip=True)
    pip = [PEERS / "bin/python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, *WANTED], check=True)
    marker.write_text("\n".join(WANTED) + "\n", encoding="utf-8")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    print(f"\n{text}\n{path}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=Path, nargs="+", metavar="DIR", default=[])
    parser.add_argument("--registrars", default=",".join(METHODS), help="some of: %(default)s")
    parser.add_argument("--skip", type=int, default=0, help="cases of each cohort to leave out at its beginning")
    parser.add_argument("--limit", type=int, help="cases of each cohort; 100, or 3 for tuning")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--settings", type=Path, help="tuned.json of an earlier --tune; refused on the cases it saw")
    parser.add_argument("--tune", action="store_true", help="choose the settings of the peers")
    parser.add_argument("--self-check", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    arguments.registrars = [name for name in METHODS if name in arguments.registrars.split(",")]
    arguments.limit = arguments.limit or (3 if arguments.tune else 100)
    if not arguments.self_check and not (arguments.cohorts and arguments.output):
        parser.error("name --cohorts and -o")
    if not arguments.registrars or min(arguments.skip, arguments.limit - 1, arguments.jobs - 1) < 0:
        parser.error(f"nothing to do: registrars are {', '.join(METHODS)}; --limit and --jobs are at least 1")
    return arguments


def main() -> None:
    arguments = parse()
    single = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    os.environ |= dict.fromkeys(single, "1")
    _one_thread()
    if set(GRIDS) & set(arguments.registrars):
        install_peers()
    if arguments.self_check:
        self_check(arguments.registrars)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.output, prefix=".scratch-") as scratch:
        os.environ["TMPDIR"] = scratch  # ANTs passes its result through a file
        (tune if arguments.tune else evaluate)(arguments)


if __name__ == "__main__":
    main()
