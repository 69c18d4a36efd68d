"""The motion between SPECT and CT that a network is shown: the case's own, or one drawn anew each time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.simulate.misalignment import CLINICAL, PAPER, MotionRange

RANGES: dict[str, MotionRange] = {"paper": PAPER, "clinical": CLINICAL}
"""Ranges of motion by name."""

_TRIES = 50
"""Draws of a motion that keeps the heart in the field; after so many a case keeps its own. Chosen."""


def _by_name(value: Any) -> Any:
    if isinstance(value, str):
        if value not in RANGES:
            raise ValueError(f"no range of motion named {value!r}; one of {', '.join(RANGES)}, or six bounds")
        return RANGES[value]
    return value


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class AsInTheCase:
    """Every case keeps the motion it was made with, as in the paper."""

    kind: Literal["as-in-the-case"] = "as-in-the-case"

    def new_from(
        self,
        own: Float[Tensor, "4 4"],
        heart_mm: Float[Tensor, "point 3"],
        half_field_mm: Triple,
        chance: np.random.Generator,
    ) -> Float[Tensor, "4 4"] | None:
        """See `Redrawn.new_from`: never moved."""
        return None


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Redrawn:
    """A new motion each time a case is seen.

    Attributes:
        range: limits of the rigid parameters: "paper", "clinical", or a table of translation_mm and angles_deg.
        share: share of the times at which a new motion is drawn (0 to 1); otherwise the case keeps its own.
    """

    range: Annotated[MotionRange, BeforeValidator(_by_name)] = PAPER
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    kind: Literal["redrawn"] = "redrawn"

    def new_from(
        self,
        own: Float[Tensor, "4 4"],
        heart_mm: Float[Tensor, "point 3"],
        half_field_mm: Triple,
        chance: np.random.Generator,
    ) -> Float[Tensor, "4 4"] | None:
        """Draw how to move the SPECT of one case so that its motion becomes a drawn one.

        Args:
            own: ``ct_from_spect`` about the centre of the grid.
            heart_mm: from the centre of the grid; motions that carry it out of the field are drawn again.
            half_field_mm: half the edges of the field.
            chance: consumed.

        Returns:
            ``old_from_new``: the new SPECT shows at a point what the old one shows at ``old_from_new @ point``, and the
            new motion is ``own @ old_from_new``. None where the case keeps its own.
        """
        if chance.random() >= self.share:
            return None
        back = RigidTransform(own.numpy()).inverse()
        points = heart_mm.numpy()
        for _ in range(_TRIES):
            new_pose = self.range.draw(chance).ct_from_spect((0.0, 0.0, 0.0))
            old_from_new = back @ new_pose
            if (np.abs(old_from_new.inverse().apply(points)) < half_field_mm).all():
                return torch.tensor(old_from_new.matrix)
        return None


AnyMotion = Annotated[AsInTheCase | Redrawn, Field(discriminator="kind")]
