"""How well the left-ventricular axis and the 17 segments are found in virtual patients, one line a case.

The image is the SPECT corrected with the CT's map at the true pose; the true axis is fitted to the true wall.

    python benchmarks/evidence/axis.py --cohort DIR/clinical --skip 40 --limit 60 -o evidence/axis/clinical.csv
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mureg.cohort.store.cohort import Cohort, read_case
from mureg.comparison.images import Images
from mureg.errors import MuregError
from mureg.geometry import Volume
from mureg.heart.axis import axis_from_image, axis_from_wall
from mureg.heart.polar import polar_map

COLUMNS = (
    *("case", "status", "axis_deg", "centre_mm", "length_mm", "confidence", "segments_mean", "segments_worst"),
    *("correlation", "mirrored", "upside_down", "deepest_segment", "deepest_painted", "deepest_found"),
)
SEPTUM_FOR_LATERAL = np.array([1, 6, 5, 4, 3, 2, 7, 12, 11, 10, 9, 8, 13, 16, 15, 14, 17]) - 1
INFERIOR_FOR_ANTERIOR = np.array([4, 3, 2, 1, 6, 5, 10, 9, 8, 7, 12, 11, 15, 14, 13, 16, 17]) - 1


def row_of(name: str, image: Volume, mu: Volume | None, wall: Volume, activity: Volume) -> dict[str, object]:
    """Figures of one case; segments in points of the brightest one."""
    true = axis_from_wall(wall)
    along_true = polar_map(image, true)
    try:
        found = axis_from_image(image, mu)
        seen = polar_map(image, found.ventricle)
    except MuregError as refusal:
        return {"case": name, "status": f"refused: {refusal.found}"}
    off = np.abs(seen.relative - along_true.relative)
    cosine = float(np.dot(found.ventricle.apex_direction, true.apex_direction))
    painted = painted_segments(activity, wall)
    deepest = int(np.argmin(painted))
    return {
        "case": name,
        "status": "done",
        "axis_deg": round(float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))), 2),
        "centre_mm": round(float(np.linalg.norm(np.subtract(found.ventricle.centre_mm, true.centre_mm))), 2),
        "length_mm": round(found.ventricle.length_mm - true.length_mm, 2),
        "confidence": found.confidence,
        "segments_mean": round(float(off.mean()), 2),
        "segments_worst": round(float(off.max()), 2),
        "correlation": round(float(np.corrcoef(seen.relative, painted)[0, 1]), 3),
        "mirrored": round(float(np.corrcoef(seen.relative, painted[SEPTUM_FOR_LATERAL])[0, 1]), 3),
        "upside_down": round(float(np.corrcoef(seen.relative, painted[INFERIOR_FOR_ANTERIOR])[0, 1]), 3),
        "deepest_segment": deepest + 1,
        "deepest_painted": round(float(painted[deepest]), 1),
        "deepest_found": round(float(seen.relative[deepest]), 1),
    }


def painted_segments(activity: Volume, wall: Volume) -> np.ndarray:
    """Uptake of the wall in each segment as it was painted, in percent of the highest; voxels that are mostly wall."""
    true, share = axis_from_wall(wall), wall.values
    inside = share > 0.5
    places = wall.grid.points(np.argwhere(inside)) - np.asarray(true.centre_mm)
    anterior, lateral, along = (places @ axis for axis in true.axes)
    height = (along + true.length_mm / 2) / (true.length_mm - true.wall_mm)
    towards_septum = np.degrees(np.arctan2(-lateral, anterior)) % 360.0
    ring = np.clip(np.floor(3.0 * height), 0, 3).astype(int)
    segment = np.select(
        [ring == 0, ring == 1, ring == 2],
        [sector(towards_septum, 6), 6 + sector(towards_septum, 6), 12 + sector(towards_septum, 4)],
        16,
    )
    values, weights = activity.values[inside], share[inside]
    means = [
        np.average(values[segment == k], weights=weights[segment == k]) if (segment == k).any() else np.nan
        for k in range(17)
    ]
    filled = np.where(np.isnan(means), np.nanmean(means), means)
    return np.asarray(100.0 * filled / filled.max())


def sector(angle_deg: np.ndarray, sectors: int) -> np.ndarray:
    """Number of the sector, the first one in the middle of the anterior wall."""
    return (np.floor(angle_deg * sectors / 360.0 + 0.5) % sectors).astype(int)


def summary(rows: list[Mapping[str, str]]) -> str:
    """The bars, in a few lines."""
    done = [row for row in rows if row["status"] == "done"]
    axis, means = (np.array([float(row[name]) for row in done]) for name in ("axis_deg", "segments_mean"))
    sure = np.array([float(row["confidence"]) for row in done]) >= 0.3
    clear = [row for row in done if float(row["deepest_painted"]) < 70.0]
    right = sum(float(row["correlation"]) > max(float(row["mirrored"]), float(row["upside_down"])) for row in clear)
    lower = sum(float(row["deepest_found"]) < 80.0 for row in clear)
    return (
        f"{len(rows)} cases, {len(rows) - len(done)} refused\n"
        f"axis within 5 degrees: {(axis <= 5).sum()} of {len(rows)}; "
        f"median {np.median(axis):.2f}, largest {axis.max():.1f}\n"
        f"mean of 17 segments within 3 points: {(means <= 3).sum()} of {len(rows)}; median {np.median(means):.2f}\n"
        f"confidence 0.3 or more: {sure.sum()}; of these within 5 degrees {(axis[sure] <= 5).sum()}; "
        f"of the others {(axis[~sure] <= 5).sum()} of {(~sure).sum()}\n"
        f"defects below 70 %: {len(clear)}; the right way round {right}; seen below 80 % in their segment {lower}"
    )


def main() -> None:
    """Measure what is missing in the file, then say how it stands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    cohort = Cohort.open(options.cohort)
    rows = []
    if options.output.exists():
        with options.output.open(newline="") as file:
            rows = list(csv.DictReader(file))
    known = {row["case"] for row in rows}
    for name in cohort.names[options.skip : options.skip + options.limit]:
        if name not in known:
            case = read_case(cohort.folder / "cases" / name)
            images, truth = Images.of(case), case.truth
            image, mu = images.corrected_at(truth.ct_from_spect), images.map_at(truth.ct_from_spect)
            rows.append(row_of(name, image, mu, truth.lv_wall, truth.activity))
            write(rows, options.output)
    print(summary(rows))


def write(rows: list[Mapping[str, object]], path: Path) -> None:
    """All rows, in the order of the cases."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(sorted(rows, key=lambda row: str(row["case"])))


if __name__ == "__main__":
    main()
