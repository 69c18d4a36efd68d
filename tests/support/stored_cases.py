"""Virtual patients in about 100 kB each: uncorrected SPECT, map of the body and where the heart really lies.

They are drawn patients, made with

    mureg simulate --cohort clinical --first 200 --n 2 -o clinical
    mureg simulate --cohort hard --first 60 --n 2 -o hard
    python -m support.stored_cases referees/data/stored-cases clinical hard    (in tests/, src on PYTHONPATH)

The images hold few levels: the SPECT 64 of its square root, on the middle 38 x 38 x 35 cm of its grid; the map 41 of
its attenuation, on voxels of about the size of those of the SPECT. Both are coarser than what the program works with.
"""

from __future__ import annotations

import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.cohort.store.case import StoredCase
from mureg.cohort.store.cohort import Cohort
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.study import PreparedStudy, attenuation_maps

SPECT_LEVELS, BODY_LEVELS = 63, 40
MIDDLE = (slice(4, 60), slice(4, 60), slice(6, 58))

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Small:
    """What a test needs of a virtual patient; `heart_mm` and `heart_in_ct_mm` are the same tissue in both spaces."""

    study: PreparedStudy
    ct_from_spect: RigidTransform
    heart_mm: Array
    heart_in_ct_mm: Array

    def error_mm(self, found: RigidTransform) -> float:
        """Mean distance at the heart."""
        return float(np.linalg.norm(found.apply(self.heart_mm) - self.heart_in_ct_mm, axis=-1).mean())


def load(path: Path) -> Small:
    with np.load(path) as arrays:
        spect = (arrays["spect"] / SPECT_LEVELS) ** 2 * arrays["spect_most"]
        body = arrays["body"] / BODY_LEVELS * arrays["body_most"]
        study = PreparedStudy.from_images(
            Volume.from_numpy(spect, Grid(spect.shape, arrays["spect_affine"]), Quantity.ACTIVITY),
            Volume.from_numpy(body, Grid(body.shape, arrays["body_affine"]), Quantity.MU_PER_CM),
        )
        pose = RigidTransform(arrays["ct_from_spect"])
        return Small(study, pose, arrays["heart_mm"], arrays["heart_in_ct_mm"])


def store(case: StoredCase, path: Path) -> None:
    spect, whole = case.uncorrected.values[MIDDLE], case.uncorrected.grid
    affine = whole.affine.copy()
    affine[:3, 3] = whole.points([part.start for part in MIDDLE])
    body = attenuation_maps(case.ct, whole)[0].body.coarsened(min(whole.spacing_mm))
    arrays = {
        "spect": np.rint(SPECT_LEVELS * np.sqrt(np.clip(spect, 0, None) / spect.max())).astype(np.uint8),
        "spect_most": spect.max(),
        "spect_affine": affine,
        "body": np.rint(BODY_LEVELS * body.values / body.values.max()).astype(np.uint8),
        "body_most": body.values.max(),
        "body_affine": body.grid.affine,
        "ct_from_spect": case.ct_from_spect.matrix,
        "heart_mm": case.array("truth.heart_points_mm")[::8],
        "heart_in_ct_mm": case.array("truth.heart_points_in_ct_mm")[::8],
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # without a time: equal cases, equal bytes
            entry.compress_type = zipfile.ZIP_LZMA
            with archive.open(entry, "w") as member:
                np.lib.format.write_array(member, np.asarray(array))


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for folder in sys.argv[2:]:
        cohort = Cohort.open(folder)
        for name in cohort.names[:2]:
            store(cohort[name], out / f"{name}.npz")
