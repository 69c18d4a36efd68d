"""Paired tests against their definitions, and the bootstrap over patients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from mureg.comparison.statistics import bootstrap, bootstrap_difference, mean, paired_t_test, wilcoxon_test
from mureg.errors import UsageError

FIRST = np.array([3.1, 4.8, 2.2, 6.0, 5.1, 3.9, 7.7])
SECOND = np.array([2.0, 4.1, 2.9, 4.2, 4.4, 3.6, 6.1])


def drawn(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_students_t_is_that_of_its_definition() -> None:
    differences = FIRST - SECOND
    t = differences.mean() / (differences.std(ddof=1) / np.sqrt(len(differences)))
    test = paired_t_test(FIRST, SECOND)
    assert test.statistic == pytest.approx(t)
    assert test.p == pytest.approx(2 * stats.t.sf(abs(t), len(differences) - 1))
    assert test.n == 7
    assert paired_t_test(SECOND, FIRST).p == pytest.approx(test.p)


def test_wilcoxons_p_is_the_share_of_signs_at_least_as_extreme() -> None:
    """All 2^7 ways to give the ranks a sign are equally likely if the methods do not differ."""
    differences = FIRST - SECOND
    ranks = stats.rankdata(np.abs(differences))
    seen = min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
    sums = [sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in itertools.product((0, 1), repeat=7)]
    test = wilcoxon_test(FIRST, SECOND)
    assert test.statistic == seen
    assert test.p == pytest.approx(min(1.0, 2 * np.mean([total <= seen for total in sums])))


def test_two_studies_of_a_patient_are_one_difference_for_wilcoxon() -> None:
    patients = ["a", "b", "c", "d", "e", "f"]
    one, other = FIRST[:6], SECOND[:6]
    twice = wilcoxon_test(np.repeat(one, 2), np.repeat(other, 2), np.repeat(patients, 2).tolist())
    assert twice == wilcoxon_test(one, other)
    assert paired_t_test(np.repeat(one, 2), np.repeat(other, 2)).n == 12


def test_methods_that_do_not_differ_leave_nothing_to_test() -> None:
    for test in (paired_t_test(FIRST, FIRST), wilcoxon_test(FIRST, FIRST), paired_t_test([1.0], [2.0])):
        assert np.isnan(test.p)


def test_unequal_cases_are_refused() -> None:
    for test in (paired_t_test, wilcoxon_test):
        with pytest.raises(UsageError, match="7 cases against 3"):
            test(FIRST, SECOND[:3])


def test_a_second_study_that_equals_the_first_makes_nothing_surer() -> None:
    values = drawn(1).normal(5.0, 2.0, 60)
    once = bootstrap(values, mean, drawn())
    twice = bootstrap(np.repeat(values, 2), mean, drawn(), patients=np.repeat(np.arange(60), 2).astype(str).tolist())
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    naive = bootstrap(np.repeat(values, 2), mean, drawn())
    assert naive.high - naive.low < 0.8 * (twice.high - twice.low)


def test_patients_with_different_numbers_of_studies() -> None:
    """A few patients hold most of the cases: what counts is how many patients there are."""
    patients = ["a"] * 50 + ["b"] * 30 + ["c"] * 2
    values = np.concatenate([np.full(50, 1.0), np.full(30, 3.0), np.full(2, 9.0)])
    estimate = bootstrap(values, mean, drawn(), patients=patients)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == 1.0
    assert estimate.high > 2.5
    none = bootstrap_difference(values, values, mean, drawn(), patients=patients)
    assert (none.value, none.low, none.high) == (0.0, 0.0, 0.0)


def test_a_patient_for_each_case_is_asked_for() -> None:
    with pytest.raises(UsageError, match="2 patients for 7 cases"):
        bootstrap(FIRST, mean, drawn(), patients=["a", "b"])
