"""What is concluded from a run: whether the map had to move, how sure that is, and what it does to the heart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mureg.geometry import Volume
from mureg.geometry.rigid import Triple
from mureg.heart.polar import PolarMap
from mureg.heart.ventricle import LeftVentricle
from mureg.pipeline import Outcome

Decision = Literal["aligned", "corrected", "review", "refused"]
"""No correction needed; moved; moved but to be looked at; no answer."""


@dataclass(frozen=True)
class Confidence:
    """How far the pose can be trusted, at 90 %.

    Attributes:
        shift_mm: half-widths of the intervals of the translation about the centre of the SPECT grid.
        angles_deg: half-widths of the intervals of the angles.
        heart_mm: the target registration error over the heart stays below this.
        calibrated: whether virtual patients have shown that such statements hold; `Registration.covariance` of
            registrars that know the noise of the counts alone does not.
    """

    shift_mm: Triple
    angles_deg: Triple
    heart_mm: float
    calibrated: bool


@dataclass(frozen=True, eq=False)
class Perfusion:
    """The left ventricle in the images of one run, all along one axis.

    Attributes:
        ventricle: the axis that every map was sampled along.
        axis_confidence: 0 to 1; 1 where the axis was given by hand.
        axis_by_hand: whether it was given.
        uncorrected: polar map without attenuation correction.
        header: polar map corrected with the map where the headers have it.
        registered: polar map corrected with the registered map.
        changed: segments (1 to 17) whose relative uptake differs by more than 5 points between the corrected images.
    """

    ventricle: LeftVentricle
    axis_confidence: float
    axis_by_hand: bool
    uncorrected: PolarMap
    header: PolarMap
    registered: PolarMap
    changed: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Assessment:
    """A run and what is concluded from it.

    Attributes:
        outcome: of the run; where the decision is "aligned", its pose is exactly that of the headers.
        decision: in one word.
        reason: in one sentence.
        reasons: everything that spoke for or against it, one sentence each, the weightiest first.
        confidence: None where the registrar states no covariance.
        perfusion: None where there is no corrected image, or no ventricle was found in it.
        spect_header: reconstruction corrected with the map by the headers; None where there is no corrected image.
        mismatch_percent: published myocardium-to-mediastinum mismatch index, by "header" and "registered"; empty
            where it cannot be told.
        figures: what the decision rests on, by name.
    """

    outcome: Outcome
    decision: Decision
    reason: str
    reasons: tuple[str, ...] = ()
    confidence: Confidence | None = None
    perfusion: Perfusion | None = None
    spect_header: Volume | None = None
    mismatch_percent: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
