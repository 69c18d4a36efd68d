"""Figures over cases, with intervals, and tests against one row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
from jaxtyping import Float

from mureg.comparison.budget import Budget
from mureg.comparison.methods import Method
from mureg.comparison.metrics import ACTION_LIMIT_MM, share_above
from mureg.comparison.rows import POINTS, MethodRow
from mureg.comparison.settings import Resampling
from mureg.comparison.statistics import (
    bootstrap,
    bootstrap_difference,
    mean,
    paired_t_test,
    percentile_95,
    wilcoxon_test,
)
from mureg.files.cells import as_cell

_NONE = float("nan")


@dataclass(frozen=True)
class Metric:
    """A column of cases.csv that is summed up.

    Attributes:
        column: its name.
        title: for tables.
        unit: of the values.
        limit: beyond which a share is counted, None for none.
    """

    column: str
    title: str
    unit: str
    limit: float | None = None


METRICS = (
    Metric("delta_t_mm", "ΔT", "mm"),
    Metric("delta_r_deg", "ΔR", "degrees"),
    Metric("heart_mm", "heart", "mm", ACTION_LIMIT_MM),
    Metric("liver_mm", "liver", "mm", ACTION_LIMIT_MM),
    Metric("mu_nmse", "map NMSE", "%"),
    Metric("mu_nmae", "map NMAE", "%"),
    Metric("ac_nmse", "AC SPECT NMSE", "%"),
    Metric("ac_nmae", "AC SPECT NMAE", "%"),
    Metric("ac_nmse_scaled", "AC SPECT NMSE, each over its mean", "%"),
    Metric("ac_nmae_scaled", "AC SPECT NMAE, each over its mean", "%"),
    Metric("polar", "polar map", "% of the maximum"),
    *(Metric(f"t{axis}_mm", f"|{axis}|", "mm") for axis in "xyz"),
    *(Metric(f"r{axis}_deg", f"|angle {axis}|", "degrees") for axis in "xyz"),
)
"""All are taken without their sign."""


@dataclass(frozen=True)
class Figure:
    """One method and metric over the cases of a cohort; NaN where there is nothing to say.

    Attributes:
        n: cases that have the metric.
        mean, low, high: and its bootstrap interval over patients.
        sd: standard deviation over cases.
        p95, p95_low, p95_high: 95th percentile and its interval.
        share_above: of cases beyond the metric's limit.
        against: the row compared with, "" for itself.
        n_pairs: cases that both have.
        difference, difference_low, difference_high: of the means on those, less that of `against`.
        t_p: of the paired t-test, case by case.
        wilcoxon_p: of the signed-rank test, patient by patient.
    """

    cohort: str
    method: str
    metric: str
    unit: str
    n: int
    mean: float
    low: float
    high: float
    sd: float
    median: float
    p95: float
    p95_low: float
    p95_high: float
    share_above: float = _NONE
    against: str = ""
    n_pairs: int = 0
    difference: float = _NONE
    difference_low: float = _NONE
    difference_high: float = _NONE
    t_p: float = _NONE
    wilcoxon_p: float = _NONE


@dataclass(frozen=True)
class MethodSummary:
    """One method over one cohort.

    Attributes:
        cohort, method: whose.
        n, patients: how many cases, of how many patients.
        failed: cases that were refused or crashed, counted with the error at the scanner position.
        liver_points: of them, how many hold points of their liver; in the others a ball stands for it.
        seconds: of the processor, mean over cases; NaN where nothing registers.
        parameters: of the network.
        training: what its training cost.
        seen: cases of the name of one that the network was trained or chosen on; any at all spoil the comparison.
        versions: of the program.
        figures: by column of the metric.
    """

    cohort: str
    method: str
    n: int
    patients: int
    failed: int
    liver_points: int
    seconds: float
    parameters: int | None
    training: Budget | None
    seen: int
    versions: tuple[str, ...]
    figures: dict[str, Figure]


def summarise(
    rows: Sequence[MethodRow],
    methods: Sequence[Method],
    against: str,
    resampling: Resampling = Resampling(),  # noqa: B008
) -> list[MethodSummary]:
    """Sum up every method on every cohort, in the order of the rows' cohorts and of the methods."""
    summaries = []
    for cohort in dict.fromkeys(row.cohort for row in rows):
        of_cohort = [row for row in rows if row.cohort == cohort]
        against_rows = [row for row in of_cohort if row.method == against]
        for method in methods:
            own = [row for row in of_cohort if row.method == method.name]
            if own:
                summaries.append(_summary(own, method, against_rows if method.name != against else [], resampling))
    return summaries


def on_common_cases(rows: Sequence[MethodRow]) -> list[MethodRow]:
    """The rows of the cases that every method of a cohort has, under a name that says how many; none where all do."""
    common: list[MethodRow] = []
    for cohort in dict.fromkeys(row.cohort for row in rows):
        of_cohort = [row for row in rows if row.cohort == cohort]
        methods: dict[str, set[str]] = {}
        for row in of_cohort:
            methods.setdefault(row.case, set()).add(row.method)
        every = set.union(*methods.values())
        cases = [case for case, have in methods.items() if have == every]
        if cases and len(cases) < len(methods):
            name = f"{cohort}, the {len(cases)} case{'s' * (len(cases) > 1)} of all rows"
            common += [replace(row, cohort=name) for row in of_cohort if row.case in cases]
    return common


def _summary(
    own: list[MethodRow], method: Method, against_rows: list[MethodRow], resampling: Resampling
) -> MethodSummary:
    figures = {}
    for metric in METRICS:
        figure = _figure(own, against_rows, metric, resampling)
        if figure is not None:
            figures[metric.column] = figure
    return MethodSummary(
        own[0].cohort,
        method.name,
        len(own),
        len({row.patient for row in own}),
        sum(row.failed for row in own),
        sum(row.liver_from == POINTS for row in own),
        _NONE if method.registrar is None else float(np.mean([row.seconds for row in own])),
        method.parameters,
        method.training,
        sum(row.case in method.training_cases for row in own),
        tuple(sorted({row.version for row in own})),
        figures,
    )


def _figure(
    own: list[MethodRow], against_rows: list[MethodRow], metric: Metric, resampling: Resampling
) -> Figure | None:
    measured = {row.case: row for row in own if math.isfinite(getattr(row, metric.column))}
    if not measured:
        return None
    values, patients = _values(list(measured.values()), metric), [row.patient for row in measured.values()]
    level, resamples = resampling.level, resampling.resamples

    def generator() -> np.random.Generator:
        return np.random.default_rng(resampling.seed)

    average, tail = (bootstrap(values, s, generator(), level, resamples, patients) for s in (mean, percentile_95))
    figure = Figure(
        own[0].cohort, own[0].method, metric.column, metric.unit, len(values), average.value, average.low, average.high,
        float(values.std(ddof=1)) if len(values) > 1 else _NONE, float(np.median(values)), tail.value, tail.low,
        tail.high, _NONE if metric.limit is None else share_above(values, metric.limit),
    )  # fmt: skip
    pairs = [(measured[row.case], row) for row in against_rows if row.case in measured]
    pairs = [(own_row, row) for own_row, row in pairs if math.isfinite(getattr(row, metric.column))]
    if not pairs:
        return figure
    own_values, two = (_values([pair[k] for pair in pairs], metric) for k in (0, 1))
    whose = [row.patient for row, _ in pairs]
    difference = bootstrap_difference(own_values, two, mean, generator(), level, resamples, whose)
    return Figure(
        **{
            **vars(figure),
            "against": against_rows[0].method,
            "n_pairs": len(pairs),
            "difference": difference.value,
            "difference_low": difference.low,
            "difference_high": difference.high,
            "t_p": paired_t_test(own_values, two).p,
            "wilcoxon_p": wilcoxon_test(own_values, two, whose).p,
        }
    )


def _values(rows: list[MethodRow], metric: Metric) -> Float[np.ndarray, " case"]:
    return np.abs(np.array([getattr(row, metric.column) for row in rows], dtype=np.float64))


def as_csv(summaries: Sequence[MethodSummary]) -> str:
    """The summary as CSV, one line for each figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    training = [f"train_{field.name}" for field in fields(Budget)]
    writer.writerow([field.name for field in fields(Figure)] + ["failed", "seconds", "parameters", *training])
    for summary in summaries:
        cost = [""] * len(training) if summary.training is None else [_cell(v) for v in vars(summary.training).values()]
        for figure in summary.figures.values():
            cells = [as_cell(_cell(value)) for value in asdict(figure).values()]
            writer.writerow([*cells, summary.failed, _cell(summary.seconds), summary.parameters or "", *cost])
    return text.getvalue()


def as_json(summaries: Sequence[MethodSummary]) -> list[object]:
    """The same, nested, with null for what there is not."""
    return [_plain(asdict(summary)) for summary in summaries]


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: object) -> object:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"
