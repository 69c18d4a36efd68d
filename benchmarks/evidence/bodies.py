"""Patients of the confident-and-wrong benchmark: four real CTs and two drawn torsos, and what the camera sees of them.

Every emission is simulated by the package's own camera without a move between the scans: `clinical` settings, 5 million
counts, half a turn, free breathing of 8 mm in both scans. The left ventricle of a real CT is a parametric one laid into
its heart by hand (src/mureg/data/hearts.toml and hearts.toml beside this file).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as settings
from scipy import ndimage

from mureg.cohort.settings import CohortSettings, Placement, load_settings
from mureg.cohort.simulation import draw, exposure, simulate_case
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.io import read_ct
from mureg.io.nifti import read_nifti
from mureg.simulate.anatomy import Anatomy
from mureg.simulate.breathing import Array, Breathing, BreathingRange, BreathPose
from mureg.simulate.ct_anatomy import CtAnatomy, CtBase, CtLandmarks, load_landmarks
from mureg.simulate.misalignment import MotionRange
from mureg.simulate.torso import TorsoRange
from mureg.study import Case, Ct

CT_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "ct"
_AMPLITUDE_MM, _HEART_SHARE = 8.0, 0.85
_DRIFT_STEP_MM = 7.0


@dataclass(frozen=True)
class Body:
    """One patient.

    Attributes:
        name: as in the table.
        ct: name of the real CT that it is made from; "" for a drawn torso.
        index: number of the case, from which tracer, orbit, table and CT are drawn; of a torso the body too.
        known: what the shipped networks or their intervals had to do with it before.
    """

    name: str
    ct: str
    index: int
    known: str


BODIES = {
    body.name: body
    for body in (
        Body("cptac", "CPTAC-C3N-00249", 10, "bent copies of this CT: choice of networks, interval"),
        Body("lungdx", "LungDx-A0001", 11, "bent copies of this CT: choice of networks, interval"),
        Body("acrin", "acrin_flt_breast_013", 12, "new"),
        Body("cort", "cort_liver", 13, "new"),
        Body("torso-a", "", 901_001, "new, but drawn as the training patients were"),
        Body("torso-b", "", 901_004, "new, but drawn as the training patients were"),
    )
}
SAMPLE = "sample"
SAMPLE_KNOWN = "LIDC-IDRI-0001: bent copies of its CT: choice of networks, interval"


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class GivenBody(TorsoRange):
    """A population of one: the real CT of that name as it was scanned."""

    ct: str = ""

    def draw(self, generator: np.random.Generator, patient: str) -> Anatomy:
        return CtAnatomy(patient, _base(self.ct))


@dataclass(frozen=True)
class MovingPatient(Breathing):
    """Breathing, and a patient who moves by `shift_mm` during the scan: in one step, or evenly from end to end."""

    drift: bool = False

    def poses(self, n_views: int) -> tuple[list[BreathPose], Array]:
        if not self.drift:
            return super().poses(n_views)
        still, shares = replace(self, drift=False, shift_mm=(0.0, 0.0, 0.0)).poses(n_views)
        shift = np.asarray(self.shift_mm)
        n = max(2, int(np.ceil(np.linalg.norm(shift) / _DRIFT_STEP_MM)) + 1)
        place = (np.arange(n_views) + 0.5) / n_views * (n - 1)
        weights = np.clip(1.0 - np.abs(place[:, None] - np.arange(n)), 0.0, None)
        poses = [
            BreathPose(pose.breath, tuple((shift * k / (n - 1)).tolist()))  # type: ignore[arg-type]
            for k in range(n)
            for pose in still
        ]
        return poses, np.einsum("vk,vs->vks", weights, shares).reshape(n_views, -1)


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class GivenBreathing(BreathingRange):
    """The same breath for every patient in both scans, and a stated motion during the emission."""

    moved_mm: Triple = (0.0, 0.0, 0.0)
    drift: bool = False

    def draw(self, generator: np.random.Generator) -> Breathing:
        ct = {"ct_phase": "average", "ct_depth_mm": _AMPLITUDE_MM, "ct_heart_share": _HEART_SHARE}
        return MovingPatient(_AMPLITUDE_MM, _HEART_SHARE, **ct, shift_mm=self.moved_mm, shift_at=0.5, drift=self.drift)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Emission:
    """What the camera saw of a body.

    Attributes:
        body: by name.
        moved_mm: of the patient during the scan, in SPECT space.
        motion: "step" in the middle of the scan, or "drift" over all of it.
        rotation_centre_mm: by how much every view is shifted along the detector's columns, unknown to the header.
    """

    body: str
    moved_mm: Triple = (0.0, 0.0, 0.0)
    motion: Literal["still", "step", "drift"] = "still"
    rotation_centre_mm: float = 0.0

    @property
    def name(self) -> str:
        moved = "" if self.motion == "still" else f"-{self.motion}-" + "_".join(f"{mm:g}" for mm in self.moved_mm)
        centre = f"-centre-{self.rotation_centre_mm:g}" if self.rotation_centre_mm else ""
        return f"{self.body}{moved}{centre}"


def population(emission: Emission) -> CohortSettings:
    """Settings that always draw this body with this motion."""
    body = BODIES[emission.body]
    return replace(
        load_settings("clinical"),
        name="confident-and-wrong",
        anatomy=GivenBody(ct=body.ct) if body.ct else TorsoRange(bmi=(22.0, 34.0), arms_down=0.0),
        placement=Placement(MotionRange((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)), share_without_motion=1.0),
        breathing=GivenBreathing(moved_mm=emission.moved_mm, drift=emission.motion == "drift"),
    )


def simulated(emission: Emission) -> Case:
    """The case with this emission, the CT as the patient lay when the scan began."""
    cohort, index = population(emission), BODIES[emission.body].index
    case = simulate_case(cohort, index)
    if not emission.rotation_centre_mm:
        return case
    seen = exposure(cohort, index).expected.double().numpy()
    pixels = emission.rotation_centre_mm / cohort.orbit.pixel_mm
    # the blur of the collimator keeps a projection below half its sampling rate: a cubic spline may shift it
    expected = ndimage.shift(seen, (0, 0, 0, pixels), order=3, mode="constant").clip(0.0)
    counts = np.random.default_rng([18, index]).poisson(expected).astype(np.float32)
    acquisition = case.study.spect
    return replace(case, study=replace(case.study, spect=replace(acquisition, counts=counts)))


def turned_ct(body: str, turn: RigidTransform) -> Ct:
    """The CT of the patient lying turned by `turn` (of the CT's space) on the same table."""
    emission = Emission(body)
    drawn = draw(population(emission), BODIES[body].index)
    patient_from_ct = (turn @ drawn.ct_from_patient).inverse()
    scan = drawn.scan
    bodies = drawn.anatomy.hounsfields(scan.grid, patient_from_ct, drawn.breathing.ct_breaths(), scan.contrast_hu)
    values = sum(one.values for one in bodies) / len(bodies)
    return Ct(scan.acquire(replace(bodies[0], values=values), drawn.table), scan.manufacturer, scan.model, scan.kvp)


@lru_cache(maxsize=1)
def _base(name: str) -> CtBase:
    ct, _ = read_ct(CT_FOLDER / f"{name}.nii.gz")
    labels, names = None, None
    path = CT_FOLDER / f"{name}_labels.nii.gz"
    if path.is_file():
        labels = read_nifti(path, "labels")
        names = {
            int(k): str(v) for k, v in json.loads(path.with_name(f"{name}_labels.json").read_text("utf-8")).items()
        }
    return CtBase.prepare(name, ct.volume, landmarks()[name], labels, names)


@lru_cache(maxsize=1)
def landmarks() -> Mapping[str, CtLandmarks]:
    """Those of the package and those beside this file."""
    own = tomllib.loads(Path(__file__).with_name("hearts.toml").read_text("utf-8"))
    return {**load_landmarks(), **{name: CtLandmarks.model_validate(table) for name, table in own.items()}}
