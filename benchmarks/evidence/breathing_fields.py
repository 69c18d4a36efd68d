"""Displacement between the phases of a 4-D CT and end expiration, by symmetric demons in both directions.

    python benchmarks/evidence/breathing_fields.py FOLDER --fields WORK --out evidence/breathing

FOLDER holds popi_4dct_00.nii.gz to popi_4dct_90.nii.gz. The fields go to WORK (npz, millimetres LPS on a 4 mm grid of
phase 60: where the tissue of each place lies in the other phase); they are kept and read again where they are there.
Writes phases.csv: dome, heart, lung volume, inverse consistency and Jacobian of each phase; adds displacement and
residual to points.csv, in which vessel branches, a bronchus and bones were marked by eye: three planes of both phases
side by side, 64 mm wide, interpolated to 2 mm. A field that folds inside the body is refused.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

REST = 60
PHASES = (0, 10, 20, 30, 40, 50, 70, 80, 90)
VOXEL_MM = 4.0
LEVELS = ((8.0, 60, 1.5), (4.0, 40, 1.75))
"""Voxel in mm, iterations, and standard deviation in voxels of the Gaussian that smooths the field."""
HU_RANGE = (-1000.0, 150.0)
NOISE_MM = 2.5
LUNG_HU, SKIN_HU = -450.0, -300.0
HEART_BOX_MM = ((0.0, 60.0), (-35.0, 30.0), (-90.0, -55.0))
"""Inside the heart at end expiration, around the left ventricle."""
DOME_BOX_MM = ((-110.0, -50.0), (20.0, 80.0), (-108.0, -96.0))
"""The top of the liver at end expiration."""
SPINE_BOX_MM = ((-15.0, 5.0), (105.0, 130.0), (-100.0, 50.0))
MARKED = 20
"""The phase in which the points of points.csv were marked by eye, beside end expiration."""

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PhaseField:
    """Displacement of one phase against end expiration.

    Attributes:
        phase: per cent of the cycle.
        displacement_mm: [x, y, z, 3] where the tissue has gone, LPS.
        mismatch_mm: [x, y, z] length of forward and backward displacement one after the other.
        origin_mm: of voxel 0; voxels are `VOXEL_MM`.
    """

    phase: int
    displacement_mm: Array
    mismatch_mm: Array
    origin_mm: Array


def load(folder: Path, phase: int) -> sitk.Image:
    """A phase as scanned, in HU."""
    return sitk.ReadImage(str(folder / f"popi_4dct_{phase:02d}.nii.gz"), sitk.sitkFloat32)


def prepared(image: sitk.Image) -> sitk.Image:
    """Clipped to what differs between tissues, and the noise smoothed."""
    return sitk.SmoothingRecursiveGaussian(sitk.Clamp(image, sitk.sitkFloat32, *HU_RANGE), NOISE_MM)


def body_grid(image: sitk.Image, voxel_mm: float) -> sitk.Image:
    """An empty grid around the body: all slices and 16 mm of air in x and y."""
    body = np.transpose(sitk.GetArrayFromImage(image) > SKIN_HU)
    body = ndimage.binary_opening(body, iterations=2)
    low, high = [], []
    for axis in range(3):
        filled = np.flatnonzero(body.any(tuple(a for a in range(3) if a != axis)))
        around = 16.0 if axis < 2 else 0.0
        start, step = image.GetOrigin()[axis], image.GetSpacing()[axis]
        low.append(start + (filled[0] - 0.5) * step - around)
        high.append(start + (filled[-1] + 0.5) * step + around)
    size = [int(np.ceil((b - a) / voxel_mm)) for a, b in zip(low, high, strict=True)]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing((voxel_mm,) * 3)
    grid.SetOrigin([a + voxel_mm / 2 for a in low])
    return grid


def on(image: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """Linear; beyond the first and last slice as there."""
    sampler = sitk.ResampleImageFilter()
    sampler.SetReferenceImage(grid)
    sampler.SetInterpolator(sitk.sitkLinear)
    sampler.SetUseNearestNeighborExtrapolator(True)
    return sampler.Execute(image)


def demons(fixed: sitk.Image, moving: sitk.Image, grids: list[sitk.Image]) -> sitk.Image:
    """Displacement from the fixed to the moving image, coarse to fine."""
    field = None
    for grid, (_, iterations, deviation) in zip(grids, LEVELS, strict=True):
        method = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        method.SetNumberOfIterations(iterations)
        method.SmoothDisplacementFieldOn()
        method.SetStandardDeviations(deviation)
        pair = on(fixed, grid), on(moving, grid)
        if field is None:
            field = method.Execute(*pair)
        else:
            field = method.Execute(*pair, sitk.Resample(field, grid, sitk.Transform(), sitk.sitkLinear, 0.0))
    return field


def after(first: sitk.Image, second: sitk.Image) -> Array:
    """Displacement [z, y, x, 3] of the first field and then the second."""
    moved = sitk.Warp(second, first, sitk.sitkLinear, second.GetSize(), second.GetOrigin(), second.GetSpacing())
    return sitk.GetArrayFromImage(first) + sitk.GetArrayFromImage(moved)


def inverted(field: sitk.Image) -> sitk.Image:
    """The displacement that undoes a field."""
    return sitk.InvertDisplacementField(field, maximumNumberOfIterations=20, enforceBoundaryCondition=False)


def registered(folder: Path, phase: int) -> PhaseField:
    """Both directions, and the mean of the forward field and the inverse of the backward one."""
    rest, other = (prepared(load(folder, p)) for p in (REST, phase))
    grids = [body_grid(load(folder, REST), voxel_mm) for voxel_mm, _, _ in LEVELS]
    forward, backward = demons(rest, other, grids), demons(other, rest, grids)
    mismatch = np.linalg.norm(after(forward, backward), axis=-1)
    mean = (sitk.GetArrayFromImage(forward) + sitk.GetArrayFromImage(inverted(backward))) / 2
    return PhaseField(phase, mean.transpose(2, 1, 0, 3), mismatch.T, np.array(grids[-1].GetOrigin()))


def fields(folder: Path, work: Path) -> list[PhaseField]:
    """All phases; made where they are not kept yet."""
    work.mkdir(parents=True, exist_ok=True)
    result = []
    for phase in PHASES:
        path = work / f"phase_{phase:02d}.npz"
        if not path.is_file():
            start = time.perf_counter()
            one = registered(folder, phase)
            np.savez_compressed(
                path,
                displacement_mm=one.displacement_mm.astype(np.float32),
                mismatch_mm=one.mismatch_mm.astype(np.float32),
                origin_mm=one.origin_mm,
            )
            print(f"phase {phase:02d}: {time.perf_counter() - start:.0f} s", flush=True)
        kept = np.load(path)
        result.append(
            PhaseField(phase, *(kept[n].astype(float) for n in ("displacement_mm", "mismatch_mm", "origin_mm")))
        )
    return result


def at(field: PhaseField, points_mm: Array) -> Array:
    """Displacement [n, 3] at places of end expiration."""
    index = ((points_mm - field.origin_mm) / VOXEL_MM).T
    parts = [ndimage.map_coordinates(field.displacement_mm[..., k], index, order=1) for k in range(3)]
    return np.stack(parts, -1)


def places(field: PhaseField) -> Array:
    """Middles [x, y, z, 3] of the voxels."""
    axes = [field.origin_mm[k] + VOXEL_MM * np.arange(n) for k, n in enumerate(field.displacement_mm.shape[:3])]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


def jacobian(displacement_mm: Array) -> Array:
    """Volume after relative to before, from differences over two voxels."""
    columns = [np.stack(np.gradient(displacement_mm[..., k], VOXEL_MM), -1) for k in range(3)]
    return np.asarray(np.linalg.det(np.stack(columns, -2) + np.eye(3)))


def within(points_mm: Array, box: tuple[tuple[float, float], ...]) -> Mask:
    """Which places lie in a box."""
    low, high = np.array(box).T
    return np.asarray(np.all((points_mm > low) & (points_mm < high), axis=-1))


def masks(folder: Path) -> tuple[Mask, Mask]:
    """Body, and lung, at end expiration on the grid of the field."""
    image = load(folder, REST)
    hu = np.transpose(sitk.GetArrayFromImage(on(prepared(image), body_grid(image, VOXEL_MM))))
    body = ndimage.binary_opening(hu > SKIN_HU, iterations=2)
    for k in range(body.shape[2]):
        body[:, :, k] = ndimage.binary_fill_holes(body[:, :, k])
    labels, _ = ndimage.label((hu < LUNG_HU) & body)
    sizes = np.bincount(labels.ravel())
    return body, np.isin(labels, np.flatnonzero(sizes > 5000)[1:])


def lung_litres(folder: Path, phase: int) -> float:
    """Air-filled lung within the body, counted in the phase itself."""
    image = load(folder, phase)
    hu = np.transpose(sitk.GetArrayFromImage(prepared(image)))
    outside, _ = ndimage.label(hu < LUNG_HU)
    edge = np.unique(np.concatenate([outside[0].ravel(), outside[-1].ravel(), outside[:, 0].ravel()]))
    sizes = np.bincount(outside.ravel())
    lungs = [n for n in np.flatnonzero(sizes > 2000) if n and n not in edge]
    return float(np.isin(outside, lungs).sum()) * float(np.prod(image.GetSpacing())) / 1e6


def row(folder: Path, field: PhaseField, body: Mask, lung: Mask, rest_litres: float) -> dict[str, float]:
    """What is said of one phase."""
    where, moved = places(field), field.displacement_mm
    volume = jacobian(moved)
    known = body & (np.abs(where + moved)[..., 2] < 150.0)  # both ends of the displacement were scanned
    if volume[known].min() <= 0:
        raise SystemExit(f"phase {field.phase} folds: Jacobian {volume[known].min():.2f}")
    dome, heart = (moved[within(where, box)].mean(0) for box in (DOME_BOX_MM, HEART_BOX_MM))
    return {
        "phase": field.phase,
        "dome_z_mm": dome[2],
        **{f"heart_{axis}_mm": value for axis, value in zip("xyz", heart, strict=True)},
        "spine_z_mm": moved[within(where, SPINE_BOX_MM)][:, 2].mean(),
        "inverse_mean_mm": field.mismatch_mm[known].mean(),
        "inverse_p95_mm": np.percentile(field.mismatch_mm[known], 95),
        "jacobian_min": volume[known].min(),
        "jacobian_max": volume[known].max(),
        "lung_growth_field_l": float((volume[lung] - 1.0).sum()) * VOXEL_MM**3 / 1e6,
        "lung_growth_counted_l": lung_litres(folder, field.phase) - rest_litres,
    }


def residuals(path: Path, field: PhaseField) -> list[dict[str, str]]:
    """Rows of points.csv with the displacement of the field and what is missing to the marked one."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for one in rows:
        rest, seen = (np.array([float(one[f"{axis}{phase}_mm"]) for axis in "xyz"]) for phase in (REST, field.phase))
        moved = at(field, rest[None])[0]
        for axis, value in zip("xyz", moved, strict=True):
            one[f"field_{axis}_mm"] = f"{value:.1f}"
        one["marked_motion_mm"] = f"{np.linalg.norm(seen - rest):.1f}"
        one["residual_mm"] = f"{np.linalg.norm(rest + moved - seen):.1f}"
    return rows


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """Rows with the same keys as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    """Fields, phases.csv, and the residuals in points.csv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fields", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    measured = fields(given.folder, given.fields)
    body, lung = masks(given.folder)
    at_rest = lung_litres(given.folder, REST)
    table = [row(given.folder, field, body, lung, at_rest) for field in measured]
    write(given.out / "phases.csv", [{k: v if k == "phase" else f"{v:.2f}" for k, v in one.items()} for one in table])
    marked = residuals(given.out / "points.csv", next(f for f in measured if f.phase == MARKED))
    write(given.out / "points.csv", [dict(one) for one in marked])


if __name__ == "__main__":
    main()
