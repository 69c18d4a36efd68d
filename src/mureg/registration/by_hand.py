"""A pose that a reader gives: nothing is searched."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np
from pydantic import ConfigDict, field_validator
from pydantic.dataclasses import dataclass

from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.heart.find import HEART_MM, find_left_ventricle
from mureg.notes import Note, Rank
from mureg.registration.base import Registration, refuse_blank, refuse_overlap
from mureg.registration.nudge import Nudge
from mureg.study import PreparedStudy

Row = tuple[float, float, float, float]
_IDENTITY: tuple[Row, Row, Row, Row] = (
    (1.0, 0.0, 0.0, 0.0),
    (0.0, 1.0, 0.0, 0.0),
    (0.0, 0.0, 1.0, 0.0),
    (0.0, 0.0, 0.0, 1.0),
)
"""The scanner position."""
BY_HAND: Literal["by-hand"] = "by-hand"
"""Kind of this registrar, and the decision of its results."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PoseByHand:
    """A pose set by a reader, and a nudge on top of it in words; the decision is then "by-hand".

    Attributes:
        ct_from_spect: 4x4 matrix, LPS mm; the scanner position by default.
        nudge: how the map is moved from there, as the reader sees it: "3 mm head, 1 degree front to left".
        heart_mm: about which the nudge turns, in SPECT space; found in the uncorrected SPECT where it is left out.
    """

    ct_from_spect: tuple[Row, Row, Row, Row] = _IDENTITY
    nudge: str = ""
    heart_mm: Triple | None = None
    kind: Literal["by-hand"] = BY_HAND

    @field_validator("ct_from_spect")
    @classmethod
    def _is_rigid(cls, value: tuple[Row, Row, Row, Row]) -> tuple[Row, Row, Row, Row]:
        RigidTransform(np.asarray(value, dtype=np.float64))  # raises GeometryError
        return value

    @classmethod
    def at(cls, ct_from_spect: RigidTransform, nudge: str = "", heart_mm: Triple | None = None) -> PoseByHand:
        """The registrar that gives out a transform."""
        a, b, c, d = ((float(w), float(x), float(y), float(z)) for w, x, y, z in ct_from_spect.matrix)
        return cls((a, b, c, d), nudge, heart_mm)

    def register(self, study: PreparedStudy) -> Registration:
        """See `Registrar.register`; refused only where too little of the emission lies inside the map at this pose."""
        started = time.perf_counter()
        fixed, moving = study.uncorrected, study.body
        refuse_blank(fixed, "SPECT")
        refuse_blank(moving, "attenuation map")
        pose, heart_mm = RigidTransform(np.asarray(self.ct_from_spect)), self.heart_mm
        notes: tuple[str, ...] = ()
        if self.nudge:
            nudge = Nudge.from_words(self.nudge)
            if heart_mm is None and nudge.turns:
                mu = moving.resampled(fixed.grid, pose)
                heart_mm = find_left_ventricle(fixed, mu).centre_mm
            pose = nudge.applied(pose, heart_mm or fixed.grid.centre_mm)
            about = "" if heart_mm is None else f" about the heart at {', '.join(f'{mm:.1f}' for mm in heart_mm)} mm"
            notes = (Note(f'the pose given was nudged by "{self.nudge}"{about if nudge.turns else ""}', Rank.RECORD),)
        refuse_overlap(fixed, moving, pose, "at the pose given")
        return Registration(
            pose,
            fixed.grid.centre_mm,
            self.kind,
            "moved",
            {} if heart_mm is None else dict(zip(HEART_MM, heart_mm, strict=True)),
            seconds=time.perf_counter() - started,
            notes=notes,
        )
