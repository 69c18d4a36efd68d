"""What a covariance of a pose says in millimetres and degrees, and about the heart."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from mureg.errors import UsageError
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.registration.base import Registration

Six = Float[np.ndarray, " 6"]
SixBySix = Float[np.ndarray, "6 6"]
Points = Float[np.ndarray, "point 3"]

LEVEL = 0.9
CALIBRATED = "calibrated"
"""Entry of `Registration.evidence`: 1 where virtual patients have shown that the stated intervals hold."""

_STEP = 1e-3
_NEGLIGIBLE = 1e-9


def half_widths(covariance: SixBySix, level: float = LEVEL) -> tuple[Triple, Triple]:
    """Half-widths of the intervals of each of the six numbers, taken alone, for normal errors.

    Args:
        covariance: of translation (mm) and angles (degrees), as `Registration.covariance`.
        level: share of cases in which one interval holds.

    Returns:
        Along x, y, z in mm; about x, y, z in degrees.
    """
    _check(covariance, level)
    widths = norm.ppf(0.5 + level / 2) * np.sqrt(np.diag(covariance))
    x, y, z, rx, ry, rz = (float(width) for width in widths)
    return (x, y, z), (rx, ry, rz)


def heart_bound_mm(registration: Registration, points_mm: Points, level: float = LEVEL) -> float:
    """Below which the root mean square target error over points stays with a probability, for normal errors.

    To the first order an error of the pose moves each point in proportion to it, so the mean square error over the
    points is a quadratic form of six normal numbers: a sum of chi-squares, whose distribution is known (Imhof,
    Biometrika 1961). The mean error is never larger than the root mean square.

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


def chi_square_quantile(weights: Float[np.ndarray, " term"], level: float) -> float:
    """The quantile of a sum of independent squares of standard normal numbers with these weights; 0 for no weight.

    By Imhof's integral (Biometrika 48, 1961, equation 3.2) for the distribution function.
    """
    weights = np.maximum(np.asarray(weights, dtype=np.float64), 0.0)
    largest = float(weights.max(initial=0.0))
    if largest == 0.0:
        return 0.0
    shares = weights[weights > _NEGLIGIBLE * largest] / largest
    if len(shares) == 1:
        return largest * float(norm.ppf(0.5 + level / 2)) ** 2

    def below(value: float) -> float:
        def integrand(u: float) -> float:
            phase = 0.5 * np.arctan(shares * u).sum() - 0.5 * value * u
            return float(np.sin(phase) / (u * np.prod((1.0 + (shares * u) ** 2) ** 0.25)))

        integral = quad(integrand, 1e-12, np.inf, limit=500, epsabs=1e-7, epsrel=1e-7)[0]
        return 0.5 - float(integral) / np.pi

    most = float(shares.sum() + 12.0 * np.sqrt(2.0 * (shares**2).sum()))
    return largest * float(brentq(lambda value: below(value) - level, 1e-6, most, xtol=1e-6))


def _slopes(six: Six, centre_mm: Triple, points_mm: Points) -> Float[np.ndarray, "point 3 6"]:
    """How the places of points change with each of the six numbers, mm per mm or degree."""

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
        raise UsageError("a matrix that is no covariance of six numbers", "6x6, finite", "see Registration.covariance")
    if not 0.0 < level < 1.0:
        raise UsageError(f"a level of {level:g}", "between 0 and 1", "give a probability")
