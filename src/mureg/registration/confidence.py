"""What a covariance of a pose says in millimetres and degrees, and about the heart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import gammainc, gammaincinv, ndtri

from mureg.errors import UsageError
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.registration.base import Registration

Six = Float[np.ndarray, " 6"]
SixBySix = Float[np.ndarray, "6 6"]
Points = Float[np.ndarray, "point 3"]

LEVEL = 0.9
"""Probability of the reported intervals (docs/concepts/decision.md)."""
_STEP = 1e-3
"""Of the differences, mm and degrees: rounding and curvature are both below 1e-6 of a slope."""
_SMALL = 0.02
"""Weights below this share of the largest enter by their mean: their series would be long, their spread is small."""
_LEFT_OVER, _MOST_SHARES = 1e-6, 3000
"""The series ends when all but a millionth of the probability is in it: after 600 to 900 terms for six weights of which
some are a fiftieth of the largest; and in any case after so many terms."""
_HALVINGS = 40
"""Of the interval that holds a quantile: to 1e-12 of it. A root finder of SciPy takes a tenth of a second to load."""


def half_widths(covariance: SixBySix, level: float = LEVEL) -> tuple[Triple, Triple]:
    """Half-widths of the intervals of each of the rigid parameters, taken alone, for normal errors.

    Args:
        covariance: of translation (mm) and angles (degrees), as `Registration.covariance`.
        level: share of cases in which one interval holds.

    Returns:
        Along x, y, z in mm; about x, y, z in degrees.
    """
    _check(covariance, level)
    widths = ndtri(0.5 + level / 2) * np.sqrt(np.diag(covariance))
    x, y, z, rx, ry, rz = (float(width) for width in widths)
    return (x, y, z), (rx, ry, rz)


def heart_bound_mm(registration: Registration, points_mm: Points, level: float = LEVEL) -> float:
    """Below which the root mean square target error over points stays with a probability, for normal errors.

    To the first order an error of the pose moves each point in proportion to it, so the mean square error over the
    points is a quadratic form of six normal numbers: a weighted sum of chi-squares, see `chi_square_quantile`. The mean
    error is never larger than the root mean square.

    Args:
        registration: with a covariance.
        points_mm: of the heart, in SPECT space.
        level: the probability.

    Raises:
        UsageError: a registration without a covariance.
    """
    covariance = registration.covariance
    if covariance is None:
        raise UsageError("a registration without a covariance", "one that states it", "choose another registrar")
    _check(covariance, level)
    shift, angles = registration.ct_from_spect.six(registration.centre_mm)
    slopes = _slopes(np.array([*shift, *angles]), registration.centre_mm, points_mm)
    form = np.einsum("pki,pkj->ij", slopes, slopes) / len(points_mm)
    # the form in independent numbers of variance one
    root = _root(covariance)
    return float(np.sqrt(chi_square_quantile(np.linalg.eigvalsh(root @ form @ root), level)))


def place_half_widths_mm(registration: Registration, place_mm: Triple, level: float = LEVEL) -> Triple:
    """Half-widths of the intervals of where a point of SPECT space lies, along x, y, z, each taken alone.

    To the first order the place moves in proportion to an error of the pose, so its covariance is that of the pose seen
    through these slopes; unlike the translation about a distant centre it holds at the place itself.

    Raises:
        UsageError: a registration without a covariance.
    """
    covariance = registration.covariance
    if covariance is None:
        raise UsageError("a registration without a covariance", "one that states it", "choose another registrar")
    _check(covariance, level)
    shift, angles = registration.ct_from_spect.six(registration.centre_mm)
    slopes = _slopes(np.array([*shift, *angles]), registration.centre_mm, np.array([place_mm]))[0]
    x, y, z = ndtri(0.5 + level / 2) * np.sqrt(np.diag(slopes @ covariance @ slopes.T))
    return float(x), float(y), float(z)


def settings_sha256(settings: Mapping[str, Any]) -> str:
    """A fingerprint of settings, whatever their order: equal for equal settings alone."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def chi_square_quantile(weights: Float[np.ndarray, " term"], level: float) -> float:
    """The quantile of a sum of independent squares of standard normal numbers with these weights; 0 for no weight.

    The sum is a mixture of chi-squares of growing degrees, with shares that are all positive and add up to 1 (Ruben,
    Ann Math Stat 33, 1962). Weights below a fiftieth of the largest enter by their mean.
    """
    weights = np.maximum(np.asarray(weights, dtype=np.float64), 0.0)
    largest = float(weights.max(initial=0.0))
    if largest == 0.0:
        return 0.0
    large = weights >= _SMALL * largest
    small_sum, terms = float(weights[~large].sum()), weights[large]
    unit = float(terms.min())
    shares = _mixture(unit / terms)
    degrees = len(terms) + 2.0 * np.arange(len(shares))

    def below(value: float) -> float:
        return float(shares @ gammainc(degrees / 2, value / unit / 2))

    most = 2.0 * float(gammaincinv(len(terms) / 2, level)) * largest
    # `most` is a bound; 1 % for its own rounding
    low, high = 0.0, 1.01 * most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < level else (low, middle)
    return small_sum + (low + high) / 2


def _mixture(ratios: Float[np.ndarray, " term"]) -> Float[np.ndarray, " degree"]:
    """Ruben's shares for smallest weight over weight, until all but a millionth is there."""
    shares = [float(np.sqrt(ratios).prod())]
    powers: list[float] = []
    while sum(shares) < 1.0 - _LEFT_OVER and len(shares) < _MOST_SHARES:
        powers.append(0.5 * float(((1.0 - ratios) ** (len(powers) + 1)).sum()))
        shares.append(float(np.dot(powers[::-1], shares)) / len(shares))
    result = np.array(shares)
    return np.asarray(result / result.sum())


def _slopes(six: Six, centre_mm: Triple, points_mm: Points) -> Float[np.ndarray, "point 3 6"]:
    """How the places of points change with each of the rigid parameters, mm per mm or degree."""

    def places(numbers: Six) -> Points:
        moved = RigidTransform.from_six(numbers[:3], numbers[3:], centre_mm).apply(points_mm)
        return np.asarray(moved, dtype=np.float64)

    columns = [(places(six + step) - places(six - step)) / (2 * _STEP) for step in _STEP * np.eye(6)]
    return np.stack(columns, axis=-1)


def _root(covariance: SixBySix) -> SixBySix:
    values, vectors = np.linalg.eigh(covariance)
    result: SixBySix = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return result


def _check(covariance: SixBySix, level: float) -> None:
    covariance = np.asarray(covariance)
    if covariance.shape != (6, 6) or not np.isfinite(covariance).all() or (np.diag(covariance) < 0).any():
        raise UsageError("a matrix that is no covariance of a pose", "6x6, finite", "see Registration.covariance")
    if not 0.0 < level < 1.0:
        raise UsageError(f"a level of {level:g}", "between 0 and 1", "give a probability")
