"""Classical registration of virtual patients: error at the heart and seconds, one line a case and step.

    python benchmarks/speed/classical.py --cohorts DIR/clinical DIR/hard --first 0 --n 30 \
        --steps own-coarse,simpleitk-coarse -o evidence/classical/rows.csv
    python benchmarks/speed/classical.py --table -o evidence/classical/rows.csv

What stands in the file is not measured again. Steps: `coarse`, `transverse`, `fine` are those of the default registrar,
`five-starts` is the registrar `mutual-information`; each by `own` and by `simpleitk`. `fine` starts 4 mm along z from
the true pose, the axial error being kept: it finds the transverse pose alone.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from simpleitk_information import SimpleItkInformation

from mureg.cohort.store.cohort import read_case
from mureg.comparison.images import Images
from mureg.errors import MuregError
from mureg.geometry import RigidTransform
from mureg.geometry.target_error import target_registration_error_mm
from mureg.io import read_study
from mureg.pipeline import prepare
from mureg.registration import GradientFields, MutualInformation, NearHeart
from mureg.sample import load_truth, sample_folder
from mureg.study import PreparedStudy

COLUMNS = ("cohort", "case", "step", "heart_error_mm", "off_x_mm", "off_y_mm", "off_z_mm", "seconds", "status")
OLD_COARSE = SimpleItkInformation(
    starts=3, finish=1, sampling=0.5, voxel_mm=13.6, shrink_factors=(2, 1), smoothing_mm=(16.0, 10.0)
)
OLD_FINE = SimpleItkInformation(starts=1, finish=1, shrink_factors=(1,), smoothing_mm=(8.0,))
PAIRS = (
    *((f"own-{step}", f"simpleitk-{step}") for step in ("coarse", "transverse", "fine", "five-starts")),
    *(("gradient-fields", f"{by}-five-starts") for by in ("own", "simpleitk")),
)
FLOOR = {
    f"floor-{name}-{points}-{bins}": (settings, points, bins)
    for name, settings in (("coarse", NearHeart().coarse), ("fine", NearHeart().fine))
    for points, bins in ((1000, 32), (2000, 32), (4000, 32), (8000, 32), (16000, 32), (4000, 16), (4000, 64))
}
"""Points and bins of each level of the default registrar."""
Points = np.ndarray
Pose = Callable[[], RigidTransform]


def steps(study: PreparedStudy, true: RigidTransform, heart_mm: Points) -> dict[str, Pose]:
    """What can be measured of a case, by name."""
    spect, body, here = study.uncorrected, study.body, RigidTransform.identity()
    near = true @ RigidTransform.from_six((0.0, 0.0, 4.0), (0.0, 0.0, 0.0), heart_mm.mean(0))
    new = NearHeart()
    result: dict[str, Pose] = {
        "unregistered": lambda: here,
        "own-coarse": lambda: new.coarse.register(study).ct_from_spect,
        "simpleitk-coarse": lambda: OLD_COARSE.pose(study),
        "own-transverse": lambda: new.coarse.across(spect, body, here),
        "simpleitk-transverse": lambda: OLD_COARSE.across(spect, body, here),
        "own-fine": lambda: new.fine.across(spect, body, near),
        "simpleitk-fine": lambda: OLD_FINE.across(spect, body, near),
        "own-five-starts": lambda: MutualInformation().register(study).ct_from_spect,
        "simpleitk-five-starts": lambda: SimpleItkInformation().pose(study),
        "gradient-fields": lambda: GradientFields().register(study).ct_from_spect,
    }
    for name, (settings, points, bins) in FLOOR.items():
        changed = _with_points(settings, spect, points, bins)
        if settings.starts > 1:
            result[name] = lambda c=changed: c.register(study).ct_from_spect
        else:
            result[name] = lambda c=changed: c.across(spect, body, near)
    return result


def _with_points(settings: MutualInformation, spect: object, points: int, bins: int) -> MutualInformation:
    voxels = spect.coarsened(settings.voxel_mm).grid.shape  # type: ignore[attr-defined]
    return replace(settings, sampling=min(1.0, points / float(np.prod(voxels))), bins=bins)


def row(cohort: str, case: str, step: str, pose: Pose, true: RigidTransform, heart_mm: Points) -> dict[str, object]:
    """Measure one step; a refused registration counts with the unregistered pose."""
    started, status = time.process_time(), "done"
    try:
        found = pose()
    except MuregError as refusal:
        found, status = RigidTransform.identity(), f"refused: {refusal.found}"
    seconds = time.process_time() - started
    off = (found.apply(heart_mm) - true.apply(heart_mm)).mean(0)
    error = target_registration_error_mm(found, true, heart_mm)
    figures = (error, *off, seconds)
    return dict(zip(COLUMNS, (cohort, case, step, *(round(float(f), 4) for f in figures), status), strict=True))


def cases(folders: list[Path], first: int, n: int) -> list[tuple[str, str, Path]]:
    """Cohort, case and folder, the cohorts in turn; the sample study where no cohort is given."""
    listed = [sorted((folder / "cases").iterdir())[first : first + n] for folder in folders]
    return [(case.parent.parent.name, case.name, case) for together in zip(*listed, strict=False) for case in together]


def loaded(folder: Path | None) -> tuple[PreparedStudy, RigidTransform, Points]:
    """Study, true pose and points of the heart of a stored case, or of the sample."""
    if folder is None:
        truth, files = load_truth(), sample_folder()
        study = read_study(files / "spect.dcm", ct=files / "ct")
        return prepare(study), truth.ct_from_spect, truth.heart_points_mm
    case = read_case(folder)
    return Images.of(case).prepared, case.truth.ct_from_spect, case.truth.heart_points_mm


def measure(options: argparse.Namespace) -> None:
    """Append what is missing in the file."""
    known = _rows(options.output)
    present = {(r["case"], r["step"]) for r in known}
    wanted = [name for name in options.steps.split(",") if name]
    todo: list[tuple[str, str, Path | None]] = [*cases(options.cohorts, options.first, options.n)]
    if options.sample:
        todo.insert(0, ("sample", "sample", None))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if not known:
            writer.writeheader()
        for cohort, case, folder in todo:
            missing = [name for name in wanted if (case, name) not in present]
            if not missing:
                continue
            study, true, heart_mm = loaded(folder)
            poses = steps(study, true, heart_mm)
            for name in missing:
                writer.writerow(row(cohort, case, name, poses[name], true, heart_mm))
                file.flush()


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(path: Path) -> str:
    """Each pair of steps on the cases that both have, and each step alone."""
    by: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for r in _rows(path):
        by.setdefault(r["cohort"], {}).setdefault(r["step"], {})[r["case"]] = r
    lines = [
        "| cohort | step | n | mean mm | median | largest | transverse mm | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cohort, named in by.items():
        for step, rows in named.items():
            errors = _column(rows.values(), "heart_error_mm")
            across = np.hypot(_column(rows.values(), "off_x_mm"), _column(rows.values(), "off_y_mm"))
            seconds = _column(rows.values(), "seconds").mean()
            lines.append(
                f"| {cohort} | {step} | {len(errors)} | {errors.mean():.2f} | {np.median(errors):.2f} | "
                f"{errors.max():.1f} | {across.mean():.2f} | {seconds:.2f} |"
            )
    lines += ["", "| cohort | first - second | n | difference mm [95 %] | seconds, second over first |"]
    lines.append("|---|---|---|---|---|")
    generator = np.random.default_rng(20250301)
    for cohort, named in by.items():
        for one, other in PAIRS:
            common = sorted(set(named.get(one, ())) & set(named.get(other, ())))
            if len(common) < 2:
                continue
            first, second = ([named[s][c] for c in common] for s in (one, other))
            gap = _column(first, "heart_error_mm") - _column(second, "heart_error_mm")
            means = gap[generator.integers(0, len(gap), (4000, len(gap)))].mean(1)
            low, high = np.percentile(means, [2.5, 97.5])
            ratio = _column(second, "seconds").sum() / _column(first, "seconds").sum()
            difference = f"{gap.mean():+.2f} [{low:+.2f}, {high:+.2f}]"
            lines.append(f"| {cohort} | {one} - {other} | {len(gap)} | {difference} | {ratio:.1f} |")
    return "\n".join(lines)


def _column(rows: object, name: str) -> np.ndarray:
    return np.array([float(r[name]) for r in rows])  # type: ignore[attr-defined]


def main() -> None:
    """Measure, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=Path, nargs="*", default=[])
    parser.add_argument("--sample", action="store_true", help="the sample study as well")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--n", type=int, default=30)
    parser.add_argument("--steps", default=",".join(name for pair in PAIRS for name in pair))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if options.table:
        print(table(options.output))
    else:
        measure(options)


if __name__ == "__main__":
    main()
