"""Run the default of `mureg register` on virtual patients, and write down what it decided and whether that was right.

    python benchmarks/evidence/decisions.py --cohort DIR --n 60 --jobs 2 -o rows.csv
    python benchmarks/evidence/decisions.py --cohort DIR --still --without 200 240 -o still.csv
    python benchmarks/evidence/decisions.py --cohort DIR --n 60 --true-pose -o true-pose.csv

Each row is one study, registered and decided as on the command line: the decision and its grounds, the errors of the
pose that was found and of the one that was taken, whether the stated 90 % bound held, and the corrected image beside
the one corrected with the true map (NMSE over all voxels, mean over 17 segments). `--still` takes the studies whose
patient did not move, `--without A B` leaves out cases A to B - 1, which training or the interval has seen. What is in
the file already is not done again. `--true-pose` registers nothing: what it leaves in the image is what no pose mends.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from mureg.assessment.result import Assessment
from mureg.cohort.store.cohort import CASES, open_case, read_case
from mureg.comparison.images import Images, nmse_percent
from mureg.comparison.metrics import target_registration_error_mm
from mureg.errors import MuregError
from mureg.geometry import RigidTransform, Volume
from mureg.heart.axis import axis_from_wall
from mureg.heart.polar import polar_map, segment_error_percent
from mureg.jobs.tasks import shared_out
from mureg.pipeline import StudySettings, examine
from mureg.recon import Osem
from mureg.registration import NearHeart, Registrar
from mureg.registration.confidence import heart_bound_mm
from mureg.spect import Physics
from mureg.study import Case

DRAWN = ("drawn_tx_mm", "drawn_ty_mm", "drawn_tz_mm", "drawn_rx_deg", "drawn_ry_deg", "drawn_rz_deg")
RESIDUAL = ("residual_x_mm", "residual_y_mm", "residual_z_mm", "residual_x_deg", "residual_y_deg", "residual_z_deg")
NOT_MEASURED = float("nan")


@dataclass(frozen=True)
class Row:
    """One study; mm over the heart's points, percent.

    Attributes:
        case: its name.
        decision: aligned, corrected, review or refused.
        reason: the weightiest.
        unregistered_mm, found_mm, taken_mm: mean error of the scanner position, of the pose found and of that
            given out.
        found_rms_mm: root mean square error of the pose found, to be compared with the bound.
        found_move_mm, found_turn_deg: how far the pose found moves the heart, and turns it.
        residual_x_mm ... residual_z_deg: rigid parameters about the heart of the residual motion.
        bound_mm: within which 90 % of such errors should lie.
        spread_mm: of the predictions over crops and networks; dispersion_mm: with the rotation of the heart;
            disagreement_mm: distance of the results of the two starts.
        heart_confidence: of the heart finder, axis_confidence: of the long axis.
        largest_change: of relative uptake in a segment between both corrections, points.
        mismatch_header, mismatch_registered: index.
        nmse_unregistered, nmse_taken: of the corrected image against that with the true map.
        segments_unregistered, segments_taken: mean absolute error over 17 segments, percent of the brightest.
        seconds: of a processor, for the run and the decision.
    """

    case: str
    decision: str
    reason: str
    unregistered_mm: float
    found_mm: float = NOT_MEASURED
    taken_mm: float = NOT_MEASURED
    found_rms_mm: float = NOT_MEASURED
    found_move_mm: float = NOT_MEASURED
    found_turn_deg: float = NOT_MEASURED
    residual_x_mm: float = NOT_MEASURED
    residual_y_mm: float = NOT_MEASURED
    residual_z_mm: float = NOT_MEASURED
    residual_x_deg: float = NOT_MEASURED
    residual_y_deg: float = NOT_MEASURED
    residual_z_deg: float = NOT_MEASURED
    bound_mm: float = NOT_MEASURED
    spread_mm: float = NOT_MEASURED
    dispersion_mm: float = NOT_MEASURED
    disagreement_mm: float = NOT_MEASURED
    heart_confidence: float = NOT_MEASURED
    axis_confidence: float = NOT_MEASURED
    largest_change: float = NOT_MEASURED
    mismatch_header: float = NOT_MEASURED
    mismatch_registered: float = NOT_MEASURED
    nmse_unregistered: float = NOT_MEASURED
    nmse_taken: float = NOT_MEASURED
    segments_unregistered: float = NOT_MEASURED
    segments_taken: float = NOT_MEASURED
    seconds: float = NOT_MEASURED


@dataclass(frozen=True)
class Work:
    """A case, how to register it, and whether the image with the true map is made too."""

    folder: Path
    registrar: Registrar
    images: bool


def row_of(work: Work) -> Row:
    """Register and decide as the command line does, and compare with the truth."""
    case = read_case(work.folder)
    points, truth = case.truth.heart_points_mm, case.truth.ct_from_spect
    unregistered_mm = target_registration_error_mm(RigidTransform.identity(), truth, points)
    started = time.process_time()
    try:
        said = examine(case.study, StudySettings(work.registrar))
    except MuregError as refusal:
        # the map of a refused study stays where it was
        return Row(case.name, "refused", str(refusal), unregistered_mm, taken_mm=unregistered_mm)
    seconds = time.process_time() - started
    found, taken = said.registration, said.ct_from_spect
    off = found.ct_from_spect.apply(points) - truth.apply(points)
    x, y, z = points.mean(0).tolist()
    shift, angles = (found.ct_from_spect.inverse() @ truth).six((x, y, z))
    evidence, heart = found.evidence, said.perfusion
    figures: dict[str, float] = {
        "unregistered_mm": unregistered_mm,
        "found_mm": target_registration_error_mm(found.ct_from_spect, truth, points),
        "taken_mm": target_registration_error_mm(taken, truth, points),
        "found_rms_mm": float(np.sqrt((off**2).sum(-1).mean())),
        "found_move_mm": said.move_found.rms_mm,
        "found_turn_deg": said.move_found.turn_deg,
        **dict(zip(RESIDUAL, (*shift, *angles), strict=True)),
        "bound_mm": NOT_MEASURED if found.covariance is None else heart_bound_mm(found, points),
        "spread_mm": evidence.get("spread_of_crops_mm", NOT_MEASURED),
        "dispersion_mm": evidence.get("dispersion_mm", NOT_MEASURED),
        "disagreement_mm": evidence.get("disagreement_mm", NOT_MEASURED),
        "heart_confidence": evidence.get("heart_confidence", NOT_MEASURED),
        "axis_confidence": NOT_MEASURED if heart is None else heart.axis_confidence,
        "largest_change": said.figures.get("largest_segment_change", NOT_MEASURED),
        "mismatch_header": said.mismatch_percent.get("header", NOT_MEASURED),
        "mismatch_registered": said.mismatch_percent.get("registered", NOT_MEASURED),
        "seconds": seconds,
        **(images_of(case, said) if work.images else {}),
    }
    return Row(case.name, said.decision, said.reason, **figures)


def images_of(case: Case, said: Assessment) -> dict[str, float]:
    """Residual error of the image that was given out, and of the unregistered one."""
    true = Images(case, said.examination.prepared, Osem(), Physics()).reference()
    return compared(case, true, {"unregistered": said.spect_header, "taken": said.spect_corrected})


def compared(case: Case, true: Volume, images: Mapping[str, Volume | None]) -> dict[str, float]:
    """NMSE and error of segments of each image."""
    ventricle = axis_from_wall(case.truth.lv_wall)
    polar = polar_map(true, ventricle)
    figures = {}
    for name, image in images.items():
        if image is not None:
            figures[f"nmse_{name}"] = nmse_percent(image.values, true.values)
            figures[f"segments_{name}"] = segment_error_percent(polar_map(image, ventricle), polar)
    return figures


def at_true_pose(work: Work) -> Row:
    """The image corrected with the CT's map where it belongs."""
    case = read_case(work.folder)
    images, points, truth = Images.of(case), case.truth.heart_points_mm, case.truth.ct_from_spect
    unregistered_mm = target_registration_error_mm(RigidTransform.identity(), truth, points)
    figures = compared(case, images.reference(), {"taken": images.corrected_at(truth)})
    return Row(case.name, "true pose", "", unregistered_mm, found_mm=0.0, taken_mm=0.0, **figures)


def moved(folder: Path) -> bool:
    """Whether the patient moved between the scans."""
    facts = open_case(folder).header["facts"]
    return any(float(facts[name]) != 0.0 for name in DRAWN)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--still", action="store_true", help="only patients who did not move")
    parser.add_argument("--without", type=int, nargs=2, default=(0, 0), metavar=("A", "B"))
    parser.add_argument("--images", action="store_true", help="compare with the image corrected with the true map")
    parser.add_argument("--true-pose", action="store_true", help="the image with the CT's map where it belongs, alone")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args(arguments)
    folders = sorted((options.cohort / CASES).iterdir())[options.first : options.first + options.n]
    known = set()
    if options.output.exists():
        with options.output.open(newline="") as file:
            known = {line["case"] for line in csv.DictReader(file)}
    work = [
        Work(folder, NearHeart(), options.images)
        for index, folder in enumerate(folders, options.first)
        if folder.name not in known
        and not options.without[0] <= index < options.without[1]
        and not (options.still and moved(folder))
    ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        if not known:
            writer.writeheader()
        for row in shared_out(at_true_pose if options.true_pose else row_of, work, options.jobs):
            writer.writerow({k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(row).items()})
            file.flush()
            print(
                f"{row.case} {row.decision} {row.unregistered_mm:.1f} {row.taken_mm:.1f} mm: {row.reason}", flush=True
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
