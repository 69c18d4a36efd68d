"""The rule of the registrar `combination`, found from what its registrars said of studies with a known pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from scipy import optimize
from scipy.stats import chi2

from mureg.registration.combination.parts import FIELDS, LIKELIHOOD, NETWORKS, TRANSVERSE
from mureg.registration.combination.rule import (
    MethodErrors,
    PoseEstimate,
    Rule,
    covariance_of,
    variance_change,
    weighted_mean,
)
from mureg.registration.confidence import LEVEL

Array = npt.NDArray[np.float64]

INDICATORS = {
    NETWORKS: ("log_dispersion", "cut", "uncovered"),
    FIELDS: ("cut", "uncovered"),
    LIKELIHOOD: ("cut", "uncovered", "in_lung"),
    TRANSVERSE: ("cut", "uncovered"),
}
"""Indicators that may change the variance of each registrar."""
_UNITS = {"log_dispersion": 1.0, "cut": 0.2, "uncovered": 0.3, "in_lung": 0.1}
"""Of the indicators in the fit, so that one penalty fits all: about a standard deviation over the population."""
_NO_AXIAL_MM = 1000.0
"""Standard deviation of what says nothing of the axial position: far above any error; chosen."""
_BEGIN = {
    NETWORKS: (2.0, 4.0, 1.0),
    FIELDS: (2.0, 5.0, 1.5),
    LIKELIHOOD: (2.0, 3.0, 1.0),
    TRANSVERSE: (1.5, _NO_AXIAL_MM, 1.0),
}
"""Where the search begins, see below: standard deviations across and along the body (mm) and of angles (degrees)."""
_NOISE_FACTOR, _DEGREES, _FACTOR = 1.5, 6.0, 1.5
"""Where the search begins, and towards which a small penalty pulls: mm, mm and degrees; chosen before any fit."""
_TAIL = 6.0
"""Degrees of freedom of the errors of the combined pose in the likelihood: single failures do not decide; chosen."""
_DIGITS = 4
"""Decimals in the file of the rule: far below what some hundred studies tell."""
_PENALTY, _INDICATOR_PENALTY = 0.5, 2.0
"""Half the inverse variance of the logarithms; chosen on the first hundred studies."""


@dataclass(frozen=True, eq=False)
class KnownStudy:
    """What registrars said of a study whose pose is known.

    Attributes:
        patient: pseudonym or name of the anatomy; weights and folds go by it.
        offsets: small motion about the heart (mm, degrees) from the first pose to each pose, by kind.
        truth: the same to the true pose.
        estimates: of each registrar.
    """

    patient: str
    offsets: dict[str, Float[np.ndarray, " 6"]]
    truth: Float[np.ndarray, " 6"]
    estimates: tuple[PoseEstimate, ...]


def fit_rule(studies: Sequence[KnownStudy]) -> Rule:
    """The rule whose combined poses make the true ones likeliest; every patient counts by the root of its studies."""
    table = _Table(studies)
    begin = table.begin()

    def cost(numbers: Array) -> float:
        return table.cost(numbers) + _penalty(numbers - begin, table.n_plain)

    best = optimize.minimize(cost, begin, method="L-BFGS-B", options={"maxiter": 60}).x
    # the density has heavier tails than the normal one whose intervals are stated
    rule = table.rule(best)
    factor = float(np.quantile(table.distances(rule, best), LEVEL)) / float(chi2.ppf(LEVEL, 6))
    return _rounded(replace(rule, variance_factor=factor * rule.variance_factor))


def _rounded(rule: Rule) -> Rule:
    methods = {
        kind: MethodErrors(
            round(one.across_mm, _DIGITS),
            round(one.axial_mm, _DIGITS),
            round(one.angle_deg, _DIGITS),
            round(one.noise_factor, _DIGITS),
            {name: round(slope, _DIGITS) for name, slope in one.log_variance.items()},
        )
        for kind, one in rule.methods.items()
    }
    return Rule(methods, round(rule.degrees_of_freedom, _DIGITS), round(rule.variance_factor, _DIGITS))


def _penalty(change: Array, n_plain: int) -> float:
    return float(_PENALTY * (change[:n_plain] ** 2).sum() + _INDICATOR_PENALTY * (change[n_plain:] ** 2).sum())


class _Table:
    """The studies side by side in arrays."""

    def __init__(self, studies: Sequence[KnownStudy]) -> None:
        self._kinds = [kind for kind in INDICATORS if any(kind in study.offsets for study in studies)]
        self._slots = [(kind, name) for kind in self._kinds for name in INDICATORS[kind]]
        self.n_plain = 3 * len(self._kinds) + 3
        n = len(studies)
        self._truth = np.array([study.truth for study in studies])
        self._offsets = np.zeros((n, len(self._kinds), 6))
        self._given = np.zeros((n, len(self._kinds)), bool)
        self._own = np.zeros((n, len(self._kinds), 6, 6))
        self._indicators = np.zeros((n, len(self._slots)))
        for i, study in enumerate(studies):
            for estimate in study.estimates:
                k = self._kinds.index(estimate.kind)
                self._given[i, k], self._offsets[i, k] = True, study.offsets[estimate.kind]
                if estimate.covariance is not None:
                    self._own[i, k] = estimate.covariance
                for s, (kind, name) in enumerate(self._slots):
                    if kind == estimate.kind:
                        self._indicators[i, s] = estimate.indicators.get(name, 0.0) / _UNITS[name]
        names = [study.patient for study in studies]
        _, index, counts = np.unique(names, return_inverse=True, return_counts=True)
        weights = 1.0 / np.sqrt(counts[index])
        self._weights = weights * n / weights.sum()

    def begin(self) -> Array:
        """Logarithms of the standard deviations, of the noise factor, degrees and variance factor; zeros."""
        deviations = [value for kind in self._kinds for value in _BEGIN[kind]]
        return np.concatenate((np.log([*deviations, _NOISE_FACTOR, _DEGREES, _FACTOR]), np.zeros(len(self._slots))))

    def rule(self, numbers: Array) -> Rule:
        """The rule that numbers of the search mean."""
        plain, slopes = np.exp(numbers[: self.n_plain]), numbers[self.n_plain :]
        methods = {}
        for k, kind in enumerate(self._kinds):
            across, axial, angle = (float(value) for value in plain[3 * k : 3 * k + 3])
            if kind == TRANSVERSE:
                axial = _NO_AXIAL_MM
            log_variance = {
                name: float(slope) / _UNITS[name]
                for (owner, name), slope in zip(self._slots, slopes, strict=True)
                if owner == kind
            }
            noise = float(plain[-3]) if kind == LIKELIHOOD else 0.0
            methods[kind] = MethodErrors(across, axial, angle, noise, log_variance)
        return Rule(methods, float(plain[-2]), float(plain[-1]))

    def cost(self, numbers: Array) -> float:
        """Minus the logarithm of the likelihood of the true poses."""
        rule = self.rule(numbers)
        distance, precision = self._distances(rule, numbers)
        density = -0.5 * np.linalg.slogdet(precision)[1] + 0.5 * (_TAIL + 6) * np.log1p(distance / _TAIL)
        return float((self._weights * density).sum())

    def distances(self, rule: Rule, numbers: Array) -> Array:
        """Squared distance of each true pose from the combined one, in units of its covariance."""
        return self._distances(rule, numbers)[0]

    def _distances(self, rule: Rule, numbers: Array) -> tuple[Array, Array]:
        precisions = np.zeros_like(self._own)
        for k, kind in enumerate(self._kinds):
            base = covariance_of(rule.methods[kind], None, {})
            change = sum(
                numbers[self.n_plain + s] * self._indicators[:, s]
                for s, (owner, _) in enumerate(self._slots)
                if owner == kind
            )
            covariances = (
                variance_change(change)[:, None, None] * base + rule.methods[kind].noise_factor * self._own[:, k]
            )
            precisions[:, k] = np.linalg.inv(covariances) * self._given[:, k, None, None]
        middle, total, _ = weighted_mean(self._offsets, precisions, rule.degrees_of_freedom)
        error = self._truth - middle
        precision = total / rule.variance_factor
        return np.einsum("si,sij,sj->s", error, precision, error), precision
