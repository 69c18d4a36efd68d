"""Bootstrap over cases: closed forms, coverage, pairing, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mureg.comparison.statistics import bootstrap, bootstrap_difference, mean, percentile_95
from mureg.errors import UsageError


def drawn(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_interval_of_a_mean_is_that_of_the_central_limit() -> None:
    values = drawn(1).normal(5.0, 2.0, 400)
    estimate = bootstrap(values, mean, drawn(), resamples=20_000)
    half = stats.norm.ppf(0.975) * values.std() / np.sqrt(len(values))
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.03 * half)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.03 * half)


def test_the_interval_of_a_percentile_is_that_of_order_statistics() -> None:
    """How many of n values lie below a percentile is binomial: ranks bound it without any assumption."""
    values = np.sort(drawn(2).gamma(2.0, 2.0, 500))
    estimate = bootstrap(values, percentile_95, drawn(), resamples=4000)
    low, high = stats.binom.ppf([0.025, 0.975], len(values), 0.95).astype(int)
    assert estimate.value == pytest.approx(np.percentile(values, 95))
    assert values[low - 5] <= estimate.low <= values[low + 5]
    assert values[high - 5] <= estimate.high <= values[min(high + 5, len(values) - 1)]


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(400):
        values = drawn(seed).exponential(1.0, 100)
        estimate = bootstrap(values, mean, drawn(seed + 1000), level=0.9, resamples=400)
        held += estimate.low <= 1.0 <= estimate.high
    assert 0.84 < held / 400 < 0.94


def test_many_cases_in_several_draws_make_one_interval() -> None:
    """More values than are drawn at once: the resamples add up all the same."""
    values = drawn(4).normal(0.0, 1.0, 3000)
    estimate = bootstrap(values, mean, drawn(), resamples=2000)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 / np.sqrt(3000), rel=0.08)


def test_equal_cases_have_no_spread() -> None:
    for statistic in (mean, percentile_95):
        estimate = bootstrap(np.full(7, 2.5), statistic, drawn())
        assert (estimate.value, estimate.low, estimate.high) == (2.5, 2.5, 2.5)


def test_one_case_is_its_own_interval() -> None:
    estimate = bootstrap([4.0], mean, drawn())
    assert (estimate.low, estimate.high) == (4.0, 4.0)


def test_the_generator_alone_decides() -> None:
    values = drawn(5).normal(size=40)
    assert bootstrap(values, mean, drawn(7)) == bootstrap(values, mean, drawn(7))
    assert bootstrap(values, mean, drawn(7)) != bootstrap(values, mean, drawn(8))


def test_a_constant_gain_on_hard_and_easy_cases_is_certain() -> None:
    """Cases differ by centimetres, the methods by 1 mm on each: paired, the difference has no spread."""
    hard_and_easy = drawn(6).gamma(1.0, 20.0, 50)
    gain = bootstrap_difference(hard_and_easy + 1.0, hard_and_easy, mean, drawn())
    assert (gain.value, gain.low, gain.high) == pytest.approx((1.0, 1.0, 1.0))


def test_the_difference_of_means_is_the_mean_of_differences() -> None:
    first, second = drawn(7).normal(3, 1, 60), drawn(8).normal(2, 1, 60)
    paired = bootstrap_difference(first, second, mean, drawn())
    alone = bootstrap(first - second, mean, drawn())
    assert (paired.value, paired.low, paired.high) == pytest.approx((alone.value, alone.low, alone.high))


def test_swapping_the_methods_swaps_the_sign() -> None:
    first, second = drawn(9).gamma(2, 2, 60), drawn(10).gamma(2, 3, 60)
    one = bootstrap_difference(first, second, percentile_95, drawn())
    other = bootstrap_difference(second, first, percentile_95, drawn())
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf], [[1.0, 2.0]], 3.0])
def test_what_is_no_number_for_each_case_is_refused(values) -> None:
    with pytest.raises(UsageError, match="one finite number for each case"):
        bootstrap(values, mean, drawn())


def test_methods_measured_on_different_cases_are_refused() -> None:
    with pytest.raises(UsageError, match="3 cases against 2"):
        bootstrap_difference([1.0, 2.0, 3.0], [1.0, 2.0], mean, drawn())


@pytest.mark.parametrize("wrong", [{"level": 0.0}, {"level": 1.0}, {"resamples": 0}])
def test_settings_that_mean_nothing_are_refused(wrong) -> None:
    with pytest.raises(UsageError, match="a level between 0 and 1"):
        bootstrap([1.0, 2.0], mean, drawn(), **wrong)
