"""How far the left ventricle's wall lies from lung, diaphragm and sternum: real CTs and drawn torsos, by one measure.

    python benchmarks/evidence/anatomy_distances.py --ct-folder FOLDER --out evidence/anatomies

Writes one row an anatomy to distances.csv and prints mean, standard deviation and range of both kinds.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from mureg.cohort.anatomies import anatomy_of, ct_base
from mureg.cohort.settings import load_settings
from mureg.geometry import Grid, RigidTransform
from mureg.heart.ventricle import LeftVentricle
from mureg.jobs.cores import set_thread_count
from mureg.simulate.anatomy import Anatomy
from mureg.simulate.ct_anatomy import REST, CtAnatomy, load_landmarks
from mureg.simulate.ct_anatomy.shell import outer_distance_mm, wall_distance_mm
from mureg.simulate.torso import Torso
from mureg.simulate.tracer import ORGANS, Tracer

VOXEL_MM = 4.0
LUNG_HU, BONE_HU = -450.0, 150.0
MYOCARDIUM_DENSITY = 1.05
STERNUM_HALF_MM = 30.0
ABDOMEN = ("liver", "stomach", "stomach_wall", "spleen", "bowel")
COLUMNS = {
    "lung_lateral_mm": "middle of the free wall to the nearest lung, median over the lateral third",
    "lung_apex_mm": "apex to the nearest lung",
    "sternum_mm": "wall to the nearest bone in front, within 30 mm of the middle",
    "organs_mm": "wall to the nearest liver, stomach, spleen or bowel",
    "above_dome_mm": "lowest point of the wall above the mean of the tops of both domes",
    "above_dome_as_scanned_mm": "the same in the breath in which the CT was taken",
    "beside_middle_mm": "centre of the ventricle to the left of the middle of the chest",
    "aside_deg": "axis from the sagittal plane to the left",
    "down_deg": "axis below the horizontal",
    "length_mm": "outer length",
    "radius_mm": "outer radius",
    "wall_g": "mass of the wall",
}


def measures(anatomy: Anatomy, dome_z_mm: float) -> dict[str, float]:
    """The columns for one anatomy at end expiration; `dome_z_mm` is the mean top of both domes in patient space."""
    ventricle = anatomy.ventricle
    grid = Grid.centred((60, 60, 52), (VOXEL_MM,) * 3, ventricle.centre_mm)
    here = RigidTransform.identity()
    hu = anatomy.hounsfield(grid, here, REST)
    values = np.where(hu.outside, 0.0, hu.values) if hu.outside is not None else hu.values
    only = Tracer({name: float(name in ABDOMEN) for name in ORGANS}, texture=0.0)
    organs = anatomy.emission(grid, here, REST, only).activity.values > 0.5
    surface, lateral = surface_points(ventricle)
    apex = np.asarray(ventricle.centre_mm) + ventricle.length_mm / 2 * ventricle.axes[2]
    x, y, _ = np.moveaxis(grid.points(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)), -1, 0)
    front = float(surface[:, 1].min())
    sternum = (values > BONE_HU) & (abs(x) < STERNUM_HALF_MM) & (y < front + 10.0)
    lung = _lungs(values)
    from_lung, from_sternum, from_organs = (_distance(mask, grid) for mask in (lung, sternum, organs))
    u, v, w = ventricle.apex_direction
    return {
        "lung_lateral_mm": float(np.median(_at(from_lung, grid, lateral))),
        "lung_apex_mm": float(_at(from_lung, grid, apex[None])[0]),
        "sternum_mm": float(_at(from_sternum, grid, surface).min()),
        "organs_mm": float(_at(from_organs, grid, surface).min()),
        "above_dome_mm": float(surface[:, 2].min()) - dome_z_mm,
        "above_dome_as_scanned_mm": np.nan,
        "beside_middle_mm": ventricle.centre_mm[0],
        "aside_deg": float(np.degrees(np.arctan2(u, -v))),
        "down_deg": float(np.degrees(np.arcsin(-w))),
        "length_mm": ventricle.length_mm,
        "radius_mm": ventricle.radius_mm,
        "wall_g": wall_ml(ventricle) * MYOCARDIUM_DENSITY,
    }


def surface_points(ventricle: LeftVentricle) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points of the outer surface [n, 3], and those of its lateral third between base and apical quarter [m, 3]."""
    points, distance = _around(ventricle, outer_distance_mm)
    place = ventricle.coordinates(points)
    on = np.abs(distance) < 1.0
    angle = np.abs(np.arctan2(place[:, 0], place[:, 1]))
    lateral = on & (angle < np.pi / 3) & (np.abs(place[:, 2]) < ventricle.length_mm / 4)
    return points[on], points[lateral]


def wall_ml(ventricle: LeftVentricle) -> float:
    """Volume of the wall, by counting voxels of 2 mm."""
    _, distance = _around(ventricle, wall_distance_mm)
    return float((distance < 0).sum()) * 8.0 / 1000.0


def _around(ventricle: LeftVentricle, distance_mm: object) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    reach = np.arange(-66.0, 66.1, 2.0)
    points = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3) + ventricle.centre_mm
    return points, distance_mm(ventricle, torch.from_numpy(points)).numpy()  # type: ignore[operator]


def _lungs(values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Large pieces of low density that are not the air around the body, which is -1000 HU without noise."""
    light = values < LUNG_HU
    pieces, n = ndimage.label(ndimage.binary_opening(light))
    sizes = np.bincount(pieces.ravel(), minlength=n + 1) * VOXEL_MM**3 / 1000.0
    inside = ndimage.mean(values > -980.0, pieces, range(n + 1)) > 0.5
    keep = (sizes > 60.0) & inside
    keep[0] = False
    return np.asarray(keep[pieces] & (values > -985.0))


def _distance(mask: npt.NDArray[np.bool_], grid: Grid) -> npt.NDArray[np.float64]:
    if not mask.any():
        return np.full(grid.shape, np.nan)
    outside: npt.NDArray[np.float64] = ndimage.distance_transform_edt(~mask, sampling=grid.spacing_mm)
    inside = ndimage.distance_transform_edt(mask, sampling=grid.spacing_mm)
    return np.where(mask, VOXEL_MM / 2 - inside, outside - VOXEL_MM / 2)


def _at(values: npt.NDArray[np.float64], grid: Grid, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = ndimage.map_coordinates(values, grid.indices(points).T, order=1, mode="nearest")
    return found


def of_cts(folder: Path) -> dict[str, dict[str, float]]:
    """Rows of the CTs with landmarks in a folder; of a patient in several phases end expiration alone."""
    rows = {}
    for path in sorted([*folder.glob("*.nii.gz"), *folder.glob("*/popi_4dct_60.nii.gz")]):
        name = path.name.removesuffix(".nii.gz")
        if name in load_landmarks():
            anatomy = CtAnatomy(name, ct_base(path))
            marks = anatomy.base.landmarks
            # from the scan to end expiration the domes rise by more than the heart
            nearer = marks.as_scanned_mm * (1.0 - marks.as_scanned_share)
            dome_z = marks.dome_z_mm - marks.ventricle.centre_mm[2] + anatomy.ventricle.centre_mm[2] + nearer
            row = measures(anatomy, dome_z)
            rows[name] = row | {"above_dome_as_scanned_mm": row["above_dome_mm"] + nearer}
            print(name, {k: round(v, 1) for k, v in rows[name].items()}, flush=True)
    return rows


def of_torsos(cohort: str, n: int) -> dict[str, dict[str, float]]:
    """Rows of drawn torsos of a shipped cohort."""
    rows = {}
    settings = load_settings(cohort)
    for index in range(n):
        torso = anatomy_of(settings, index)
        if not isinstance(torso, Torso):
            raise SystemExit(f"{cohort} holds no drawn torsos")
        body = torso.body
        shift = torso.ventricle.centre_mm[2] - body.ventricle.centre_mm[2]
        rows[torso.patient] = measures(torso, (body.dome_left + body.dome_right) / 2 + shift)
    return rows


def summary(rows: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[float, float, float, float]]:
    """Mean, standard deviation, least and greatest of each column."""
    result = {}
    for column in COLUMNS:
        values = np.array([row[column] for row in rows.values()])
        values = values[np.isfinite(values)]
        if not values.size:
            continue
        result[column] = (values.mean(), values.std(ddof=1), values.min(), values.max())
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ct-folder", type=Path, required=True)
    parser.add_argument("--cohort", default="clinical")
    parser.add_argument("--torsos", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    set_thread_count(1)
    kinds = {"real": of_cts(given.ct_folder), given.cohort: of_torsos(given.cohort, given.torsos)}
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "distances.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["kind", "anatomy", *COLUMNS])
        for kind, rows in kinds.items():
            for name, row in rows.items():
                writer.writerow([kind, name, *(f"{row[column]:.1f}" for column in COLUMNS)])
    summaries = {kind: summary(rows) for kind, rows in kinds.items()}
    for column in COLUMNS:
        print(column)
        for kind, of in summaries.items():
            if column in of:
                print("  {}: {:.1f} +- {:.1f} ({:.1f} to {:.1f})".format(kind, *of[column]))


if __name__ == "__main__":
    main()
