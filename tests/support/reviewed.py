"""Results for a review that cost nothing to make: a ventricle, and a map with one ball where no symmetry hides it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from mureg.geometry import RigidTransform
from support.hearts import CENTRE_MM, VENTRICLE, wall_volume

BALL_MM = (70.0, -35.0, 40.0)
"""Where the map shows the ball at the scanner position: left, front and head."""
BALL_SIGMA_MM = 8.0
POSE = RigidTransform.from_six((12.0, 9.0, -7.0), (3.0, -4.0, 6.0), CENTRE_MM)


def _write(path: Path, values: np.ndarray, affine_lps: np.ndarray) -> None:
    """With plain nibabel, whose space is RAS+."""
    image = nib.Nifti1Image(values.astype(np.float32), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_lps)
    image.set_qform(image.affine, 1)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def write_result(folder: Path, found: RigidTransform = POSE, sources: str = "00") -> Path:
    """``registration.json`` and the two volumes that the page shows."""
    folder.mkdir(parents=True)
    image = wall_volume()
    _write(folder / "spect_nac.nii.gz", np.asarray(image), image.grid.affine)
    shape, spacing = (110, 90, 80), 4.0
    affine = np.diag([spacing, spacing, spacing, 1.0])
    corner = np.add(CENTRE_MM, (3.0, 1.0, 2.0))
    affine[:3, 3] = corner - spacing * (np.asarray(shape) - 1) / 2
    points = np.moveaxis(np.indices(shape), 0, -1) * spacing + affine[:3, 3]
    off = points - CENTRE_MM
    body = ((off / (150.0, 130.0, 1e6)) ** 2).sum(-1) < 1
    lung = (np.abs(off - (-90.0, 20.0, 0.0)) < (40.0, 50.0, 90.0)).all(-1)
    ball = np.exp(-((points - BALL_MM) ** 2).sum(-1) / (2 * BALL_SIGMA_MM**2))
    ball = np.where(lung, 0.04, np.where(body, 0.15, 0.0)) + 0.1 * ball
    _write(folder / "mu_header.nii.gz", ball, affine)
    table = {
        "decision": "review",
        "reason": "<b>a reason</b>",
        "reasons": ["<b>a reason</b>"],
        "heart_mm": list(CENTRE_MM),
        "pose_found_given_out": False,
        "found": {"ct_from_spect": found.matrix.tolist()},
        "interval_90": {"shift_mm": [3.0, 4.0, 5.0], "heart_mm": 6.0},
        "warnings": [{"rank": "was guessed", "text": "a warning"}],
        "limits": {"mismatch_percent": 3.0},
        "perfusion": {
            "axis": {
                "centre_mm": list(VENTRICLE.centre_mm),
                "direction": list(VENTRICLE.apex_direction),
                "length_mm": VENTRICLE.length_mm,
                "radius_mm": VENTRICLE.radius_mm,
                "wall_mm": VENTRICLE.wall_mm,
                "by_hand": False,
            }
        },
        "provenance": {"sources": [{"kind": "spect", "files": 1, "sha256": sources * 32}], "settings": {}},
    }
    (folder / "registration.json").write_text(json.dumps(table))
    return folder
