"""A population of two kinds of bodies: real CTs, each bent anew, and drawn torsos."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.simulate.ct_anatomy import CtAnatomyRange
from mureg.simulate.torso import TorsoRange


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class MixedRange:
    """Anatomies of two kinds, in turn.

    Attributes:
        real: patients made from real CTs.
        drawn: drawn torsos.
        share_real: share of the patients made from real CTs (0 to 1); any first n patients keep to it within one.
    """

    real: CtAnatomyRange
    drawn: TorsoRange
    share_real: Annotated[float, Field(ge=0, le=1)] = 0.5
    kind: Literal["mixed"] = "mixed"

    def of(self, patient: int) -> tuple[CtAnatomyRange | TorsoRange, int]:
        """The kind of the patient with this number, and which of its kind it is, from 0."""
        real = int((patient + 1) * self.share_real)
        if real > int(patient * self.share_real):
            return self.real, real - 1
        return self.drawn, patient - real
