"""Where the decision draws its lines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.heart.find import HARD_TO_FIND

Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Thresholds:
    """Settings of the decision; see docs/concepts/decision.md.

    Attributes:
        aligned_mm: a move of less at the heart is none: the pose of the headers stays.
        least_gain: of the log-likelihood over the pose of the headers, where the registrar states it; with less, a
            move of up to `action_limit_mm` is none.
        action_limit_mm: an error of more than this, one pixel, spoils the correction.
        changed_percent: a segment whose relative uptake differs by more points between two images has changed.
        mismatch_percent: published threshold of the mismatch index (Chen et al., J Nucl Cardiol 2006).
        implausible_mm: a move of more at the heart is not believed unseen.
        implausible_deg: a turn of more is not believed unseen.
        disagreement_mm: two methods or starts that differ by more at the heart disagree.
        least_heart_confidence: with less the ventricle was hard to find, and the registrar may have looked beside it.
        least_axis_confidence: with less the long axis of the ventricle has to be looked at.
        least_lung_ml: of lung that the attenuation map has to show to be that of a chest.
    """

    aligned_mm: Positive = 4.5
    least_gain: Annotated[float, Field(ge=0)] = 10.0
    action_limit_mm: Positive = 6.8
    changed_percent: Positive = 5.0
    mismatch_percent: Positive = 3.0
    implausible_mm: Positive = 50.0
    implausible_deg: Positive = 20.0
    disagreement_mm: Positive = 10.0
    least_heart_confidence: Annotated[float, Field(ge=0, le=1)] = HARD_TO_FIND
    least_axis_confidence: Annotated[float, Field(ge=0, le=1)] = 0.3
    least_lung_ml: Annotated[float, Field(ge=0)] = 100.0
    kind: Literal["decision"] = "decision"
