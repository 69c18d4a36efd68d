"""How sure a figure over a cohort is: bootstrap over patients (Efron and Tibshirani 1993, chapters 13 and 8), tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from scipy import stats

from mureg.errors import UsageError

Statistic = Callable[[Float[np.ndarray, "*draw case"]], Float[np.ndarray, "*draw"]]
"""A figure over the last axis."""

_VALUES_AT_ONCE = 2_000_000
"""Numbers drawn together: 16 MB in double precision. Chosen."""


@dataclass(frozen=True)
class Estimate:
    """A figure over the cases at hand, and the interval in which that over all cases is expected."""

    value: float
    low: float
    high: float


def mean(values: Float[np.ndarray, "*draw case"]) -> Float[np.ndarray, "*draw"]:
    """Mean over the last axis."""
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
    patients: Sequence[str] | None = None,
) -> Estimate:
    """A figure over cases and its percentile bootstrap interval.

    Args:
        values: one number for each case.
        statistic: the figure, such as `mean` or `percentile_95`.
        generator: draws the resamples; generators in the same state draw the same cases.
        level: of confidence.
        resamples: how many cohorts of the same size are drawn, with replacement.
        patients: whose each case is: a patient is drawn with all of its cases, which are not independent of each other.
            Left out, every case is a patient.

    Raises:
        UsageError: no case, or a number that is not finite.
    """
    return _bootstrap(_checked(values)[None], lambda rows: statistic(rows[0]), generator, level, resamples, patients)


def bootstrap_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    statistic: Statistic,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
    patients: Sequence[str] | None = None,
) -> Estimate:
    """What a figure of one method exceeds that of another by, the two measured on the same cases in the same order.

    Each resample takes both numbers of the cases it draws, so that what makes a case hard for both cancels. The other
    arguments are those of `bootstrap`.

    Raises:
        UsageError: unequal numbers of cases, or none.
    """
    pairs = _paired(first, second)
    return _bootstrap(
        pairs, lambda rows: statistic(rows[0]) - statistic(rows[1]), generator, level, resamples, patients
    )


@dataclass(frozen=True)
class PairedTest:
    """A test of whether two methods differ on the same cases, two-sided.

    Attributes:
        statistic: t, or the smaller sum of ranks of Wilcoxon's test. NaN where there is nothing to test.
        p: probability of a statistic as extreme if the methods did not differ. NaN where there is nothing to test.
        n: pairs.
    """

    statistic: float
    p: float
    n: int


def paired_t_test(first: npt.ArrayLike, second: npt.ArrayLike) -> PairedTest:
    """Student's t-test of the differences case by case, as in the paper; NaN for fewer than 2 cases or no difference.

    Every case counts as independent of the others, also the second study of the same patient.

    Raises:
        UsageError: unequal numbers of cases, or none.
    """
    first_values, second_values = _paired(first, second)
    if first_values.size < 2 or np.ptp(first_values - second_values) == 0.0:
        return PairedTest(float("nan"), float("nan"), first_values.size)
    result = stats.ttest_rel(first_values, second_values)
    return PairedTest(float(result.statistic), float(result.pvalue), first_values.size)


def wilcoxon_test(first: npt.ArrayLike, second: npt.ArrayLike, patients: Sequence[str] | None = None) -> PairedTest:
    """Wilcoxon's signed-rank test of the differences, one for each patient: the mean over a patient's cases.

    Raises:
        UsageError: unequal numbers of cases, or none.
    """
    first_values, second_values = _paired(first, second)
    differences = np.array(
        [(first_values - second_values)[cases].mean() for cases in _cases_of(patients, first_values.size)]
    )
    if not differences.any():
        return PairedTest(float("nan"), float("nan"), differences.size)
    result = stats.wilcoxon(differences)
    return PairedTest(float(result.statistic), float(result.pvalue), differences.size)


def _bootstrap(
    methods: Float[np.ndarray, "method case"],
    figure: Statistic,
    generator: np.random.Generator,
    level: float,
    resamples: int,
    patients: Sequence[str] | None,
) -> Estimate:
    if not 0.0 < level < 1.0 or resamples < 1:
        raise UsageError(f"level {level:g} from {resamples} resamples", "a level between 0 and 1", "correct them")
    n_cases = methods.shape[1]
    groups = _cases_of(patients, n_cases)
    if len({len(group) for group in groups}) == 1:
        members = np.stack(groups)
        at_once = max(1, _VALUES_AT_ONCE // n_cases)
        figures = [
            figure(methods[:, members[resample].reshape(len(resample), -1)])
            for resample in (
                generator.integers(len(groups), size=(min(at_once, resamples - start), len(groups)))
                for start in range(0, resamples, at_once)
            )
        ]
    else:  # resamples of unequal size: those of one size together
        by_size: dict[int, list[Int[np.ndarray, " case"]]] = {}
        for numbers in generator.integers(len(groups), size=(resamples, len(groups))):
            cases = np.concatenate([groups[k] for k in numbers])
            by_size.setdefault(len(cases), []).append(cases)
        figures = [figure(methods[:, np.stack(alike)]) for alike in by_size.values()]
    low, high = np.percentile(np.concatenate(figures), [50.0 * (1.0 - level), 50.0 * (1.0 + level)])
    return Estimate(float(figure(methods)), float(low), float(high))


def _cases_of(patients: Sequence[str] | None, n_cases: int) -> list[Int[np.ndarray, " case"]]:
    """Numbers of each patient's cases; patients in the order in which they first appear."""
    if patients is None:
        return [np.array([k]) for k in range(n_cases)]
    if len(patients) != n_cases:
        raise UsageError(
            f"{len(patients)} patients for {n_cases} cases", "one for each", "give the patient of each case"
        )
    by_patient: dict[str, list[int]] = {}
    for number, patient in enumerate(patients):
        by_patient.setdefault(patient, []).append(number)
    return [np.array(numbers) for numbers in by_patient.values()]


def _paired(first: npt.ArrayLike, second: npt.ArrayLike) -> Float[np.ndarray, "2 case"]:
    first_values, second_values = _checked(first), _checked(second)
    if first_values.shape != second_values.shape:
        raise UsageError(
            f"{first_values.size} cases against {second_values.size}",
            "the same cases",
            "drop what only one of them has",
        )
    return np.stack([first_values, second_values])


def _checked(values: npt.ArrayLike) -> Float[np.ndarray, " case"]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise UsageError(f"values of shape {array.shape}", "one finite number for each case", "give at least one case")
    return array
