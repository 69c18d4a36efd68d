"""Places set by hand on real CTs: the left ventricle, the diaphragm, organs; shipped in `data/hearts.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from mureg.geometry.rigid import Triple
from mureg.heart.ventricle import LeftVentricle

Ellipsoids = tuple[tuple[float, float, float, float, float, float], ...]
Line = tuple[tuple[float, float, float, float], ...]

ORGANS = ("heart", "liver", "gallbladder", "spleen", "kidney", "stomach", "bowel")
"""Organs that are given as ellipsoids."""
_WITH_HEART = ("heart",)


class CtLandmarks(BaseModel):
    """Places set by hand on one CT, mm LPS+ of its own frame.

    Attributes:
        base_mm, apex_mm: ends of the left ventricle's long axis: middle of the base plane, outside of the tip.
        radius_mm, wall_mm: of the left ventricle (see `LeftVentricle`).
        dome_z_mm: between the tops of the two domes of the diaphragm.
        as_scanned_mm: how far below end expiration the domes are taken to stand in this CT.
        as_scanned_share: how far the middle of the heart has followed them.
        seen_by: what the ventricle was placed by: contrast medium in its cavity, or the shadow of the heart alone.
        source, licence: of the CT.
        heart, liver, gallbladder, spleen, kidney, stomach, bowel: ellipsoids (x, y, z, three semi-axes).
        vessels: lines of balls (x, y, z, radius).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_mm: Triple
    apex_mm: Triple
    radius_mm: float
    wall_mm: float
    dome_z_mm: float
    as_scanned_mm: float
    as_scanned_share: float
    seen_by: Literal["contrast", "shadow"] = "shadow"
    source: str = ""
    licence: str = ""
    heart: Ellipsoids = ()
    liver: Ellipsoids = ()
    gallbladder: Ellipsoids = ()
    spleen: Ellipsoids = ()
    kidney: Ellipsoids = ()
    stomach: Ellipsoids = ()
    bowel: Ellipsoids = ()
    vessels: tuple[Line, ...] = ()

    @property
    def ventricle(self) -> LeftVentricle:
        """The left ventricle in the CT's own frame, as scanned."""
        return ventricle_between(self.base_mm, self.apex_mm, self.radius_mm, self.wall_mm)


class CtPhase(BaseModel):
    """Another breathing phase of a CT that has landmarks, in the same frame.

    Attributes:
        phase_of: name of the CT with landmarks, taken at end expiration.
        heart_shift_mm: of the heart since then.
        dome_shift_mm: of the diaphragm and the organs under it since then, along z; below 0 towards the feet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase_of: str
    heart_shift_mm: Triple
    dome_shift_mm: float

    def moved(self, reference: CtLandmarks) -> CtLandmarks:
        """Landmarks of this phase: heart and ventricle moved with the one, organs and dome with the other shift."""
        x, y, z = self.heart_shift_mm
        organs: dict[str, Any] = {}
        for name in ORGANS:
            dx, dy, dz = (x, y, z) if name in _WITH_HEART else (0.0, 0.0, self.dome_shift_mm)
            ellipsoids: Ellipsoids = getattr(reference, name)
            organs[name] = tuple((a + dx, b + dy, c + dz, *semi) for a, b, c, *semi in ellipsoids)
        share = z / self.dome_shift_mm if self.dome_shift_mm else 0.0
        return reference.model_copy(
            update={
                "base_mm": _shifted(reference.base_mm, self.heart_shift_mm),
                "apex_mm": _shifted(reference.apex_mm, self.heart_shift_mm),
                "dome_z_mm": reference.dome_z_mm + self.dome_shift_mm,
                "as_scanned_mm": reference.as_scanned_mm - self.dome_shift_mm,
                "as_scanned_share": float(np.clip(share, 0.0, 1.0)),
                **organs,
            }
        )


def ventricle_between(
    base_mm: npt.ArrayLike, apex_mm: npt.ArrayLike, radius_mm: float, wall_mm: float
) -> LeftVentricle:
    """A left ventricle from the two ends of its long axis."""
    base, apex = np.asarray(base_mm, dtype=np.float64), np.asarray(apex_mm, dtype=np.float64)
    length = float(np.linalg.norm(apex - base))
    x, y, z = (float(v) for v in (base + apex) / 2)
    u, v, w = (float(d) for d in (apex - base) / length)
    return LeftVentricle((x, y, z), (u, v, w), length, radius_mm, wall_mm)


def load_landmarks() -> Mapping[str, CtLandmarks]:
    """The shipped landmarks, by the name of the CT; phases of one patient are spelled out."""
    text = resources.files("mureg.data").joinpath("hearts.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    own_landmarks = {n: CtLandmarks.model_validate(t) for n, t in tables.items() if "phase_of" not in t}
    phases = {n: CtPhase.model_validate(t) for n, t in tables.items() if "phase_of" in t}
    return own_landmarks | {name: phase.moved(own_landmarks[phase.phase_of]) for name, phase in phases.items()}


@cache
def _patients() -> Mapping[str, str]:
    """Of every CT with landmarks whose it is: phases of one patient share the name before the last underscore."""
    tables = tomllib.loads(resources.files("mureg.data").joinpath("hearts.toml").read_text(encoding="utf-8"))
    with_phases = {table["phase_of"] for table in tables.values() if "phase_of" in table}
    return {n: n.rpartition("_")[0] if n in with_phases or "phase_of" in t else n for n, t in tables.items()}


def patient_of(ct: str) -> str:
    """Whose CT this is: CTs of one patient, such as phases of breathing, are one anatomy."""
    return _patients().get(ct, ct)


def _shifted(place: Triple, by: Triple) -> Triple:
    return place[0] + by[0], place[1] + by[1], place[2] + by[2]
