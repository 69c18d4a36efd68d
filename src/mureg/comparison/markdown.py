"""Tables for people, shaped like Tables 1 and 2 of Chen et al., MICCAI 2022, with what those leave out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from mureg import RESEARCH_USE_ONLY
from mureg.comparison.methods import ORACLE, UNREGISTERED, WITHOUT_SPECT
from mureg.comparison.metrics import ACTION_LIMIT_MM
from mureg.comparison.summary import Figure, MethodSummary

Cell = Callable[[Figure], str]
_NAMES = {UNREGISTERED: "Baseline (no correction)", ORACLE: "Oracle (true transform)"}
_DASH = "–"


def tables(summaries: Sequence[MethodSummary], against: str, settings_sha256: str, level: float = 0.95) -> str:
    """Markdown, one section for each cohort.

    Args:
        summaries: of all methods and cohorts.
        against: the row that p-values compare with.
        settings_sha256: of the file with the settings.
        level: of the intervals.
    """
    parts = [
        "# Registration on virtual patients\n",
        f"Mean ± standard deviation over cases [{100 * level:g} % bootstrap interval of the mean, patients resampled]; "
        "the best mean in bold, without the oracle, rows with the SPECT input ablated and rows on fewer cases. "
        f"p: paired t-test over cases / Wilcoxon signed-rank test over patients, against {name_of(against)}, on the "
        "cases that both rows have. "
        "A registration that was refused or crashed counts with the error at the scanner position. "
        "ΔT and ΔR are means over three axes (equations 12 and 13 of the paper), not distances. "
        f"{RESEARCH_USE_ONLY}\n",
    ]
    for cohort in dict.fromkeys(summary.cohort for summary in summaries):
        own = [summary for summary in summaries if summary.cohort == cohort]
        parts += [
            f"## {cohort}\n",
            _spoiled(own),
            _partial(own),
            _table_1(own),
            _table_2(own),
            _table_3(own),
            _table_4(own),
        ]
    parts += ["## Programs\n", *_programs(summaries), f"\nSettings: `settings.toml`, SHA-256 `{settings_sha256}`."]
    return "\n".join(part for part in parts if part) + "\n"


def name_of(method: str) -> str:
    """Name of a row as printed in tables."""
    return _NAMES.get(method, method)


def warnings(summaries: Sequence[MethodSummary]) -> list[str]:
    """A sentence for each row that is better than it would be on new cases."""
    return [
        f"{name_of(summary.method)} was trained or chosen on {summary.seen} of the {summary.n} cases of "
        f"{summary.cohort}, going by their names: its row is no test"
        for summary in summaries
        if summary.seen
    ]


def _spoiled(summaries: list[MethodSummary]) -> str:
    return "".join(f"**{sentence}.**\n" for sentence in warnings(summaries))


def _partial(summaries: list[MethodSummary]) -> str:
    most = max(summary.n for summary in summaries)
    fewer = [f"{name_of(summary.method)} ({summary.n})" for summary in summaries if summary.n < most]
    if not fewer:
        return ""
    return (
        f"**Not on all {most} cases: {', '.join(fewer)}.** Their means are those of their own cases; the same tables "
        "over the cases of all rows follow below.\n"
    )


def _table_1(summaries: list[MethodSummary]) -> str:
    lines = []
    for summary in summaries:
        lines.append(
            [
                name_of(summary.method),
                *_cells(summaries, summary, "delta_t_mm", _spread, _p),
                *_cells(summaries, summary, "delta_r_deg", _spread, _p),
                _DASH if summary.parameters is None else f"{summary.parameters:,}",
                *_training(summary),
                _DASH if math.isnan(summary.seconds) else f"{summary.seconds:.2f} s",
                str(summary.n),
                str(summary.failed),
            ]
        )
    head = [
        "Methods",
        "ΔT (mm)",
        "p",
        "ΔR (degrees)",
        "p",
        "#Parameter",
        "Train",
        "cases seen",
        "minutes",
        "Test",
        "n",
        "failed",
    ]
    return _markdown(
        "Table 1. Registration errors of translation and rotation, number of network parameters; seconds of training "
        "for a batch of 4 cases (median over epochs, on the machine that trained), cases seen in all and minutes with "
        "validation; seconds of one processor per case without the making of the map.",
        head,
        lines,
    )


def _training(summary: MethodSummary) -> list[str]:
    """Seconds for a batch of 4, cases seen, minutes."""
    cost = summary.training
    if cost is None:
        return [_DASH] * 3
    seconds = _DASH if math.isnan(cost.batch_seconds) else f"{cost.batch_seconds:.2f} s"
    return [seconds, f"{cost.samples:,}", f"{cost.minutes:.1f}"]


def _table_2(summaries: list[MethodSummary]) -> str:
    columns = ("mu_nmse", "mu_nmae", "ac_nmse", "ac_nmae")
    lines = []
    for summary in summaries:
        cells = [cell for column in columns for cell in _cells(summaries, summary, column, _spread, _p)]
        n = [str(summary.figures[c].n) if c in summary.figures else "0" for c in ("mu_nmse", "ac_nmse")]
        lines.append([name_of(summary.method), *cells, " / ".join(n)])
    head = ["Methods"]
    for what in ("µ-map NMSE (%)", "µ-map NMAE (%)", "AC SPECT NMSE (%)", "AC SPECT NMAE (%)"):
        head += [what, "p"]
    return _markdown(
        "Table 2. The registered µ-map on the SPECT grid against the true one, averaged over the acquisition, and the "
        "AC SPECT reconstructed with it against that with the true one. The oracle has the error of interpolation, "
        "breathing and the noise of the CT; where the body breathes, another pose can fit parts of it better.",
        [*head, "n (map / AC)"],
        lines,
    )


def _table_3(summaries: list[MethodSummary]) -> str:
    lines = []
    for summary in summaries:
        cells = []
        for column in ("heart_mm", "liver_mm"):
            cells += _cells(summaries, summary, column, _interval, _median, _tail, _share, _p)
        lines.append([name_of(summary.method), *cells, str(summary.n)])
    head = ["Methods"]
    for organ in ("heart", "liver"):
        head += [f"{organ} mean (mm)", "median", "95th percentile", f"> {ACTION_LIMIT_MM} mm", "p"]
    return _markdown(
        f"Table 3. Target registration error: mean distance over points of the heart, and over {_liver(summaries)}. "
        "The truth there is the same rigid motion as for the heart.",
        [*head, "n"],
        lines,
    )


def _liver(summaries: list[MethodSummary]) -> str:
    """What stands for the liver in these cases."""
    first = max(summaries, key=lambda summary: summary.n)
    ball, points = "a ball that stands for the liver, of which these cases hold no points", "points of the liver"
    if first.liver_points in (0, first.n):
        return points if first.liver_points else ball
    return f"points of the liver in {first.liver_points} of {first.n} cases, a ball that stands for it in the others"


def _table_4(summaries: list[MethodSummary]) -> str:
    if not any("polar" in summary.figures for summary in summaries):
        return ""
    lines = [
        [name_of(summary.method), *_cells(summaries, summary, "polar", _spread, _median, _tail, _p, _n)]
        for summary in summaries
    ]
    return _markdown(
        "Table 4. Polar map of the AC SPECT: mean over the 17 segments of the absolute difference of relative uptake, "
        "in percent of the brightest segment.",
        ["Methods", "segment error (%)", "median", "95th percentile", "p", "n"],
        lines,
    )


def _cells(summaries: list[MethodSummary], summary: MethodSummary, column: str, *cells: Cell) -> list[str]:
    """The cells of a metric, the first in bold if it is the best."""
    figure = summary.figures.get(column)
    if figure is None:
        return [_DASH] * len(cells)
    texts = [cell(figure) for cell in cells]
    most = max(s.n for s in summaries)
    rivals = [s for s in summaries if s.n == most and _registers(s.method) and column in s.figures]
    if summary in rivals and len(rivals) > 1 and figure.mean == min(s.figures[column].mean for s in rivals):
        texts[0] = f"**{texts[0]}**"
    return texts


def _registers(method: str) -> bool:
    """Whether a row is that of a way to register."""
    return method != ORACLE and not method.endswith(WITHOUT_SPECT)


def _spread(figure: Figure) -> str:
    sd = "" if math.isnan(figure.sd) else f" ± {figure.sd:.2f}"
    return f"{figure.mean:.2f}{sd} [{figure.low:.2f}, {figure.high:.2f}]"


def _interval(figure: Figure) -> str:
    return f"{figure.mean:.2f} [{figure.low:.2f}, {figure.high:.2f}]"


def _median(figure: Figure) -> str:
    return f"{figure.median:.2f}"


def _tail(figure: Figure) -> str:
    return f"{figure.p95:.2f} [{figure.p95_low:.2f}, {figure.p95_high:.2f}]"


def _share(figure: Figure) -> str:
    return _DASH if math.isnan(figure.share_above) else f"{100 * figure.share_above:.0f} %"


def _n(figure: Figure) -> str:
    return str(figure.n)


def _p(figure: Figure) -> str:
    if not figure.against:
        return _DASH
    fewer = f" (n {figure.n_pairs})" if figure.n_pairs < figure.n else ""
    return f"{_probability(figure.t_p)} / {_probability(figure.wilcoxon_p)}{fewer}"


def _probability(p: float) -> str:
    if math.isnan(p):
        return _DASH
    return "<0.001" if p < 0.001 else f"{p:.3f}"  # three decimals, as journals print them


def _markdown(caption: str, head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return f"{caption}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _programs(summaries: Sequence[MethodSummary]) -> list[str]:
    programs = dict.fromkeys((name_of(s.method), version) for s in summaries for version in s.versions if version)
    return [f"- {name}: {version}" for name, version in programs]
