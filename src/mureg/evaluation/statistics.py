"""How sure a figure over a cohort is: bootstrap over cases (Efron and Tibshirani 1993, chapters 13 and 8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from mureg.errors import UsageError

Statistic = Callable[[Float[np.ndarray, "*draw case"]], Float[np.ndarray, "*draw"]]
"""A figure over the last axis."""

_VALUES_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Estimate:
    """A figure over the cases at hand, and the interval in which that over all cases is expected."""

    value: float
    low: float
    high: float


def mean(values: Float[np.ndarray, "*draw case"]) -> Float[np.ndarray, "*draw"]:
    """Over the last axis."""
    return np.asarray(values.mean(-1))


def percentile_95(values: Float[np.ndarray, "*draw case"]) -> Float[np.ndarray, "*draw"]:
    """The 95th percentile over the last axis, between neighbours linearly."""
    return np.asarray(np.percentile(values, 95.0, axis=-1))


def bootstrap(
    values: npt.ArrayLike,
    statistic: Statistic,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """A figure over cases and its percentile bootstrap interval.

    Args:
        values: one number for each case, and each case independent of the others.
        statistic: the figure, such as `mean` or `percentile_95`.
        generator: draws the resamples; generators in the same state draw the same cases.
        level: of confidence.
        resamples: how many cohorts of the same size are drawn, with replacement.

    Raises:
        UsageError: no case, or a number that is not finite.
    """
    return _bootstrap(_checked(values)[None], lambda rows: statistic(rows[0]), generator, level, resamples)


def bootstrap_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    statistic: Statistic,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """What a figure of one method exceeds that of another by, the two measured on the same cases in the same order.

    Each resample takes both numbers of the cases it draws, so that what makes a case hard for both cancels. The other
    arguments are those of `bootstrap`.

    Raises:
        UsageError: unequal numbers of cases, or none.
    """
    one, other = _checked(first), _checked(second)
    if one.shape != other.shape:
        raise UsageError(f"{one.size} cases against {other.size}", "the same cases", "drop what only one of them has")
    pairs = np.stack([one, other])
    return _bootstrap(pairs, lambda rows: statistic(rows[0]) - statistic(rows[1]), generator, level, resamples)


def _bootstrap(
    methods: Float[np.ndarray, "method case"],
    figure: Statistic,
    generator: np.random.Generator,
    level: float,
    resamples: int,
) -> Estimate:
    if not 0.0 < level < 1.0 or resamples < 1:
        raise UsageError(f"level {level:g} from {resamples} resamples", "a level between 0 and 1", "correct them")
    n_cases = methods.shape[1]
    at_once = max(1, _VALUES_AT_ONCE // n_cases)
    figures = [
        figure(methods[:, generator.integers(n_cases, size=(min(at_once, resamples - start), n_cases))])
        for start in range(0, resamples, at_once)
    ]
    low, high = np.percentile(np.concatenate(figures), [50.0 * (1.0 - level), 50.0 * (1.0 + level)])
    return Estimate(float(figure(methods)), float(low), float(high))


def _checked(values: npt.ArrayLike) -> Float[np.ndarray, " case"]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise UsageError(f"values of shape {array.shape}", "one finite number for each case", "give at least one case")
    return array
