"""The limits of the decision, each written once; they travel with every result that used them."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.heart.find import HARD_TO_FIND

Millimetres = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Degrees = Annotated[float, Field(gt=0, le=180, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Thresholds:
    """Limits of the decision; see docs/concepts/decision.md.

    Attributes:
        aligned_mm: shifts at the heart up to this (RMS over the heart points, mm) count as aligned.
        least_gain: smallest gain of log-likelihood over the scanner position that justifies a shift up to
            action_limit_mm, where the registrar reports it.
        action_limit_mm: largest acceptable error at the heart (mm): one pixel (Chen et al., J Nucl Cardiol 2006).
        release_limit_mm: a study under review gets the registered pose only if its 90 % bound is below this (mm).
        changed_percent: a segment counts as changed if its relative uptake differs by more between two images
            (percentage points).
        mismatch_percent: threshold of the mismatch index (%; Chen et al., J Nucl Cardiol 2006).
        implausible_mm: review if the shift at the heart is above this (mm).
        implausible_deg: review if the rotation is above this (degrees).
        disagreement_mm: review if two methods or starts differ by more than this at the heart (mm); two pixels
            (docs/concepts/decision.md).
        heart_apart_mm: review if two estimates of the heart position differ by more than this (mm).
        outside_counts_percent: review if more of the SPECT counts in the heart slices come from outside the CT (%).
        extension_percent: review if more of the attenuation in the heart slices comes from beyond the CT (%).
        least_map_gain: review if the map explains the projections better than water in the outline of the emission by
            less than this (log-likelihood per thousand counts).
        largest_stretch_gain: review if the axially stretched map explains them better by more than this, unless the
            distance of the vertebrae confirms the slice spacing.
        largest_mirror_gain: review if the map with left and right exchanged explains them better by more than this.
        rotation_centre_mm: review if the centre of rotation estimated from the projections is farther from the stated
            one (mm), by all rows and by their upper and lower half alone.
        least_vertebrae_mm, largest_vertebrae_mm: review if the thoracic vertebrae are closer or farther apart than this
            by the slice spacing of the CT (mm, about T8): three and a half standard deviations of thirteen adults.
        least_heart_confidence: review if the confidence of the ventricle detection is below this.
        least_axis_confidence: review if the confidence of the ventricle's long axis is below this.
        least_lung_ml: smallest volume of lung in an attenuation map of a chest (ml).
    """

    # Round values but for one pixel and two (6.8, 13.6 mm), 5 points and 3 %; the gains of the projections, set on 27
    # virtual patients; and the vertebrae, set on 13 adults (docs/concepts/decision.md).
    aligned_mm: Millimetres = 4.5
    least_gain: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 10.0
    action_limit_mm: Millimetres = 6.8
    release_limit_mm: Millimetres = 13.6
    changed_percent: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 5.0
    mismatch_percent: Percent = 3.0
    implausible_mm: Millimetres = 50.0
    implausible_deg: Degrees = 20.0
    disagreement_mm: Millimetres = 13.6
    heart_apart_mm: Millimetres = 20.0
    outside_counts_percent: Percent = 10.0
    extension_percent: Percent = 10.0
    least_map_gain: Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)] = 0.0
    largest_stretch_gain: Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)] = 0.25
    largest_mirror_gain: Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)] = 0.1
    rotation_centre_mm: Millimetres = 3.0
    least_vertebrae_mm: Millimetres = 19.5
    largest_vertebrae_mm: Millimetres = 32.0
    least_heart_confidence: Share = HARD_TO_FIND
    least_axis_confidence: Share = 0.3
    least_lung_ml: Annotated[float, Field(ge=0, le=10000, allow_inf_nan=False)] = 100.0
    kind: Literal["decision"] = "decision"

    def changed_from_shipped(self) -> tuple[str, ...]:
        """Each limit that differs from the shipped one: "aligned_mm = 6 (shipped: 4.5)"."""
        shipped = Thresholds()
        pairs = ((entry.name, getattr(self, entry.name), getattr(shipped, entry.name)) for entry in fields(self))
        return tuple(
            f"{name} = {own_value:g} (shipped: {shipped_value:g})"
            for name, own_value, shipped_value in pairs
            if own_value != shipped_value
        )
