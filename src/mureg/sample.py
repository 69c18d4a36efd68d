"""The sample study that is shipped with the package, and what is known about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mureg.errors import UnreadableInputError
from mureg.geometry import RigidTransform

Triple = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class SampleTruth:
    """What the simulation knows of the sample study.

    Attributes:
        ct_from_spect: the rigid motion that best carries the heart from where the emission saw it, averaged over the
            acquisition, to where it lies in the CT.
        centre_mm: of the SPECT grid, the centre of the rigid parameters.
        translation_mm, angles_deg: the rigid parameters.
        heart_points_mm: points [n, 3] in SPECT space all over the heart, for the target registration error.
        heart_points_in_ct_mm: where the same tissue lies in the CT.
        residual_mm: non-rigid residual of the heart, RMS over these points, mm.
        lv_wall_points_mm: points [n, 3] in SPECT space spread over the left-ventricular wall.
        lv_wall_centroid_mm: its centroid in SPECT space.
        photopeak_counts: recorded in the photopeak window.
        scatter_fraction: scattered over unscattered expected counts in the photopeak window.
    """

    ct_from_spect: RigidTransform
    centre_mm: Triple
    translation_mm: Triple
    angles_deg: Triple
    heart_points_mm: npt.NDArray[np.float64]
    heart_points_in_ct_mm: npt.NDArray[np.float64]
    residual_mm: float
    lv_wall_points_mm: npt.NDArray[np.float64]
    lv_wall_centroid_mm: Triple
    photopeak_counts: int
    scatter_fraction: float


def sample_folder() -> Path:
    """The folder that holds ``ct/`` (a DICOM series), ``spect.dcm`` (NM TOMO), ``truth.json``, ``ATTRIBUTION.md``."""
    folder = Path(str(files("mureg"))) / "data" / "sample"
    if not (folder / "truth.json").is_file():
        raise UnreadableInputError(
            "no sample study in this installation",
            "mureg/data/sample",
            "install the package again, or run scripts/make_sample.py",
        )
    return folder


def load_truth() -> SampleTruth:
    """Read what is known about the sample study."""
    truth_table = json.loads((sample_folder() / "truth.json").read_text(encoding="utf-8"))
    return SampleTruth(
        ct_from_spect=RigidTransform(np.asarray(truth_table["ct_from_spect"])),
        centre_mm=_triple(truth_table["centre_mm"]),
        translation_mm=_triple(truth_table["translation_mm"]),
        angles_deg=_triple(truth_table["angles_deg"]),
        heart_points_mm=np.asarray(truth_table["heart_points_mm"], dtype=np.float64),
        heart_points_in_ct_mm=np.asarray(truth_table["heart_points_in_ct_mm"], dtype=np.float64),
        residual_mm=float(truth_table["residual_mm"]),
        lv_wall_points_mm=np.asarray(truth_table["lv_wall_points_mm"], dtype=np.float64),
        lv_wall_centroid_mm=_triple(truth_table["lv_wall_centroid_mm"]),
        photopeak_counts=int(truth_table["photopeak_counts"]),
        scatter_fraction=float(truth_table["scatter_fraction"]),
    )


def _triple(values: list[float]) -> Triple:
    x, y, z = values
    return float(x), float(y), float(z)
