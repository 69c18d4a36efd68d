"""How poses of several registrars become one: each weighs as its errors on training patients say.

The error of each registrar is a normal number with a covariance of its own, which grows with indicators of the study: a
CT that cuts the body makes the likelihood worse, network answers that differ make networks worse. The combined pose is
the mean weighted by the inverse covariances, with less weight for what lies far from the others (as for errors with
Student's distribution). A method that is missing has no weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple

Array = npt.NDArray[np.float64]
Positive = Annotated[float, Field(gt=0)]

ITERATIONS = 25
"""Of the weights: the pose changes by less than 0.01 mm afterwards, wherever the mean begins."""
_LARGEST_LOG_VARIANCE, _SMALLEST_LOG_VARIANCE = 5.0, -3.0
"""Limits of what indicators change: standard deviations from a fifth to twelve times; chosen."""
_AXES = np.array([0, 0, 1, 2, 2, 2])
"""Which standard deviation each rigid parameter has: across the body, along it, angles."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class MethodErrors:
    """The errors of one registrar at the heart.

    Attributes:
        across_mm, axial_mm, angle_deg: standard deviations along x and y, along z, and of the angles; 1000 mm for one
            that says nothing of the axial position.
        noise_factor: multiple of the registrar's own covariance that is added; 0 where it states none.
        log_variance: change of the logarithm of the variance for each unit of an indicator, by its name.
    """

    across_mm: Positive
    axial_mm: Positive
    angle_deg: Positive
    noise_factor: Annotated[float, Field(ge=0)] = 0.0
    log_variance: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Rule:
    """What is known about the errors of the registrars that are combined.

    Attributes:
        methods: errors by kind of registrar.
        degrees_of_freedom: of Student's distribution; small numbers give outliers little weight.
        variance_factor: of the covariance of the combined pose, so that intervals hold.
        trained_on: patients, studies and how the rule was found.
        validation: figures on anatomies that were left out, by name.
        calibrated_for: fingerprints of the settings with which it was measured: `registrar`, `weights`, `attenuation`,
            `reconstructor`.
    """

    methods: dict[str, MethodErrors]
    degrees_of_freedom: Positive
    variance_factor: Positive
    trained_on: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    calibrated_for: dict[str, str] = field(default_factory=dict)


@plain_dataclass(frozen=True, eq=False)
class PoseEstimate:
    """What one registrar says of a study.

    Attributes:
        kind: of the registrar.
        ct_from_spect: its pose.
        covariance: its own, of a small motion about the heart (mm, degrees); None where it states none.
        indicators: of its quality in this study, by name.
    """

    kind: str
    ct_from_spect: RigidTransform
    covariance: Float[np.ndarray, "6 6"] | None
    indicators: Mapping[str, float]


@plain_dataclass(frozen=True, eq=False)
class CombinedPose:
    """The pose of a rule.

    Attributes:
        ct_from_spect: the pose.
        covariance: 6x6 of its error as a small motion about the heart (mm, degrees), which comes first.
        weights: share of each registrar in the axial position, by kind; they add up to 1.
    """

    ct_from_spect: RigidTransform
    covariance: Float[np.ndarray, "6 6"]
    weights: Mapping[str, float]


def shipped_rule() -> Rule:
    """The rule that comes with the package."""
    return _rule_in((files("mureg") / "data" / "weights" / "combination.json").read_bytes())


@lru_cache(maxsize=4)
def _rule_in(content: bytes) -> Rule:
    return TypeAdapter(Rule).validate_json(content)


def combined(rule: Rule, estimates: Sequence[PoseEstimate], heart_mm: Triple) -> CombinedPose:
    """The pose that a rule makes of estimates; the first one is where differences are taken.

    Args:
        rule: knows the kind of every estimate.
        estimates: one or more.
        heart_mm: in SPECT space.
    """
    reference = estimates[0].ct_from_spect
    offsets = np.array([np.concatenate((reference.inverse() @ one.ct_from_spect).six(heart_mm)) for one in estimates])
    covariances = np.array([covariance_of(rule.methods[one.kind], one.covariance, one.indicators) for one in estimates])
    middle, precision, weights = weighted_mean(offsets[None], np.linalg.inv(covariances)[None], rule.degrees_of_freedom)
    pose = reference @ RigidTransform.from_six(middle[0, :3], middle[0, 3:], heart_mm)
    axial = weights[0] / np.maximum(covariances[:, 2, 2], 1e-12)
    shares = axial / axial.sum()
    return CombinedPose(
        pose,
        rule.variance_factor * np.linalg.inv(precision[0]),
        {one.kind: float(share) for one, share in zip(estimates, shares, strict=True)},
    )


def covariance_of(
    errors: MethodErrors, own: Float[np.ndarray, "6 6"] | None, indicators: Mapping[str, float]
) -> Float[np.ndarray, "6 6"]:
    """Covariance of the error of one registrar in one study."""
    log_variance = sum(slope * indicators.get(name, 0.0) for name, slope in errors.log_variance.items())
    deviations = np.array([errors.across_mm, errors.axial_mm, errors.angle_deg])[_AXES]
    covariance = np.diag(variance_change(log_variance) * deviations**2)
    return covariance if own is None else covariance + errors.noise_factor * np.asarray(own)


def variance_change(log_variance: npt.ArrayLike) -> Array:
    """Factor of the variance, within its limits, for what indicators add to its logarithm."""
    return np.asarray(np.exp(np.clip(log_variance, _SMALLEST_LOG_VARIANCE, _LARGEST_LOG_VARIANCE)))


def weighted_mean(
    offsets: Float[np.ndarray, "study method 6"],
    precisions: Float[np.ndarray, "study method 6 6"],
    degrees_of_freedom: float,
) -> tuple[Float[np.ndarray, "study 6"], Float[np.ndarray, "study 6 6"], Float[np.ndarray, "study method"]]:
    """Means of offsets weighted by their precision (inverse covariance), fewer the farther they lie from the mean.

    The weights are those of errors with Student's distribution (iteratively reweighted; Lange, Little and Taylor, J Am
    Stat Assoc 1989). A precision of zeros takes a method out.

    Returns:
        Means, their precisions, and the weight of each method in each study.
    """
    taken = precisions[:, :, 0, 0] > 0
    middle = np.nanmedian(np.where(taken[..., None], offsets, np.nan), axis=1)
    for _ in range(ITERATIONS):
        away = offsets - middle[:, None]
        distances = np.einsum("smi,smij,smj->sm", away, precisions, away)
        weights = np.where(taken, (degrees_of_freedom + 6) / (degrees_of_freedom + distances), 0.0)
        total = np.einsum("sm,smij->sij", weights, precisions)
        pull = np.einsum("sm,smij,smj->si", weights, precisions, offsets)
        middle = np.linalg.solve(total, pull[..., None])[..., 0]
    return middle, total, weights
