"""Breathing as it was measured in a 4-D CT: the depths of a cycle, and a CT that is one phase of it or deeper."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as settings

from mureg.simulate.breathing import Breathing, BreathingRange, Range, Share, depths_of_a_breath, depths_of_a_cycle
from mureg.simulate.measured_motion import measured_breath

DEEPEST_MM, SHALLOWEST_MM = 25.0, -10.0
"""How far the domes of the CT may stand below the mean of the emission: what was asked of the registration."""
Offset = Annotated[float, Field(ge=SHALLOWEST_MM, le=DEEPEST_MM)]
# around the measured share, which is up to 0.46 (see `CtDepthRange`); chosen
HeartShare = Annotated[float, Field(ge=0.1, le=0.8)]


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class MeasuredBreathingRange:
    """Breathing that moves tissue as measured in a 4-D CT.

    The emission is the average over the cycle, the CT one phase.

    Attributes:
        amplitude_mm: excursion of the right dome in free breathing (mm).
        heart_share: motion of the heart relative to the dome, in emission and CT: least, most frequent and greatest.
        ct_offset_mm: depth of the dome in the CT below its mean in the emission (mm; deeper is above 0).
        ct_deep_mm: the same in CTs that were taken deeper.
        share_deep: share of these CTs (0 to 1).
        share_measured_cycle: share of studies with the measured times of the cycle, the others follow sin^4 (0 to 1).
        share_drawn: share of studies whose breathing is drawn (0 to 1).
        drawn: drawn breathing.
    """

    amplitude_mm: Range = (5.0, 20.0)
    heart_share: tuple[HeartShare, HeartShare, HeartShare] = (0.1, 0.45, 0.8)
    ct_offset_mm: tuple[Offset, Offset] = (-10.0, 10.0)
    ct_deep_mm: tuple[Offset, Offset] = (10.0, 25.0)
    share_deep: Share = 0.2
    share_measured_cycle: Share = 0.5
    share_drawn: Share = 0.0
    drawn: BreathingRange = BreathingRange()
    kind: Literal["measured-breathing"] = "measured-breathing"

    def draw(self, generator: np.random.Generator) -> Breathing:
        """Draw one study's breathing."""
        is_drawn, is_deep, as_measured = generator.random(3) < (
            self.share_drawn,
            self.share_deep,
            self.share_measured_cycle,
        )
        if is_drawn:
            return self.drawn.draw(generator)
        amplitude = float(generator.uniform(*self.amplitude_mm))
        share = float(generator.triangular(*self.heart_share))
        cycle = measured_breath().cycle if as_measured else ()
        depths = depths_of_a_cycle(cycle) if cycle else depths_of_a_breath()
        offset = float(generator.uniform(*(self.ct_deep_mm if is_deep else self.ct_offset_mm)))
        return Breathing(
            amplitude,
            share,
            ct_phase="one-phase",
            ct_depth_mm=amplitude * float(depths.mean()) + offset,
            ct_heart_share=share,
            measured=True,
            cycle=cycle,
        )
