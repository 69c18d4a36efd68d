"""Chests with known motion, as a cohort on disk and as a hospital's list of pairs; no physics, coarse and quick."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mureg.cohort.store.cohort import CASES, write_case
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.io import write_nifti, write_transform
from mureg.study import Ct
from support.phantoms import chest, mu_volume, voxel_points
from support.small_cases import small_case, small_settings

SPECT_GRID = Grid.centred((30, 30, 30), (12.0, 12.0, 12.0), (10.0, -20.0, 30.0))
CT_GRID = Grid.centred((48, 42, 40), (10.0, 10.0, 10.0), (0.0, 0.0, 20.0))


def motion(seed: int) -> RigidTransform:
    chance = np.random.default_rng([3, seed])
    return RigidTransform.from_six(chance.uniform(-15, 15, 3), chance.uniform(-6, 6, 3), SPECT_GRID.centre_mm)


def chest_spect() -> Volume:
    return Volume.from_numpy(chest(voxel_points(SPECT_GRID), edge_mm=16.0)[0], SPECT_GRID, Quantity.ACTIVITY)


def write_chest_cohort(folder: Path, n: int, first: int = 0) -> Path:
    """`n` cases of `n` patients; all are one chest, moved in different ways."""
    for k in range(first, first + n):
        case, moved = small_case(small_settings(), k), motion(k)
        mu = mu_volume(CT_GRID, moved)
        hounsfield = np.where(mu.values < 0.15, (mu.values - 0.15) / 1.5e-4, (mu.values - 0.15) / 1.1e-4)
        ct = Ct(Volume.from_numpy(hounsfield, CT_GRID, Quantity.HU), "GE MEDICAL SYSTEMS", "Infinia", 140.0)
        points = np.random.default_rng(1).normal((38.0, -32.0, 12.0), 20.0, (80, 3))
        truth = replace(
            case.truth,
            ct_from_spect=moved,
            centre_mm=SPECT_GRID.centre_mm,
            heart_points_mm=points,
            heart_points_in_ct_mm=moved.apply(points),
        )
        study = replace(case.study, attenuation=ct, patient=f"person-{k}")
        whole = replace(case, study=study, truth=truth, uncorrected=chest_spect())
        write_case(whole, folder / CASES / whole.name)
    return folder


def write_pairs(folder: Path, n: int, *, transforms: bool, name: str = "pairs.csv", first: int = 0) -> Path:
    """`n` pairs as NIfTI and the list of them, with or without the transforms."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["patient,spect,mu" + (",transform" if transforms else "")]
    for k in range(first, first + n):
        moved = motion(k) if transforms else RigidTransform.identity()
        write_nifti(chest_spect(), folder / f"spect-{k}.nii.gz")
        write_nifti(mu_volume(CT_GRID, moved), folder / f"mu-{k}.nii.gz")
        line = f"person-{k},spect-{k}.nii.gz,mu-{k}.nii.gz"
        if transforms:
            write_transform(moved, folder / f"{k}.tfm", SPECT_GRID.centre_mm)
            line += f",{k}.tfm"
        lines.append(line)
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name
