"""Real CTs and their organ labels, indexed along the patient axes."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from mureg.attenuation.body import in_patient_order
from mureg.geometry import Grid, Quantity, Volume


def read_ct(path: Path, quantity: Quantity = Quantity.HU) -> Volume:
    image = nib.load(path)
    grid = Grid(image.shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine)
    return in_patient_order(Volume.from_numpy(np.asarray(image.dataobj), grid, quantity))


def read_labels(path: Path) -> npt.NDArray[np.int16]:
    return read_ct(path, Quantity.LABEL).values.astype(np.int16)


def label_names(path: Path) -> dict[int, str]:
    return {int(key): name for key, name in json.loads(path.read_text(encoding="utf-8")).items()}
