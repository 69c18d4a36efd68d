"""The picture of a card: one small histogram for every fact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mureg.io.atomic import writing

_DPI, _COLUMNS, _PANEL = 100, 6, (2.1, 1.45)
_BINS, _MOST_WORDS = 24, 8
_INK, _FAINT, _BARS = "#1f2328", "#8b949e", "#3b6ea8"


def draw_histograms(facts: Mapping[str, Sequence[Any]], title: str, path: Path) -> None:
    """Draw the values of each fact: numbers in bins, words as bars; the same values give the same bytes."""
    n_rows = max(1, -(-len(facts) // _COLUMNS))
    size = (_COLUMNS * _PANEL[0], n_rows * _PANEL[1] + 0.4)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10, color=_INK)
    panels = figure.subplots(n_rows, _COLUMNS, squeeze=False).ravel()
    for axes in panels[len(facts) :]:
        axes.set_axis_off()
    for axes, (name, values) in zip(panels, facts.items(), strict=False):
        _draw(axes, values)
        axes.set_title(name.replace("_", " "), fontsize=7, color=_INK, pad=3)
        axes.tick_params(labelsize=6, colors=_INK, length=2, pad=1.5)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(_FAINT)
    with writing(path) as scratch:
        figure.savefig(scratch, dpi=_DPI, facecolor="white", metadata={"Software": "mureg"})


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether all are numbers; a truth value is a word."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def as_word(value: Any) -> str:
    """A word fact as it is shown."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _draw(axes: Axes, values: Sequence[Any]) -> None:
    if are_numbers(values):
        axes.hist(np.asarray(values, dtype=np.float64), bins=_edges(values), color=_BARS)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.5g}"))
    else:
        counted = sorted(Counter(map(as_word, values)).items(), key=lambda item: (-item[1], item[0]))[:_MOST_WORDS]
        words = [said[:16].replace("$", r"\$") for said, _ in reversed(counted)]
        axes.barh(range(len(words)), [number for _, number in reversed(counted)], color=_BARS)
        axes.set_yticks(range(len(words)), words)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_tick_params(length=0)


def _edges(values: Sequence[Any]) -> Any:
    """Edges of the bins: around each whole number where there are few of them."""
    low, high = float(min(values)), float(max(values))
    if all(isinstance(value, int) for value in values) and high - low < _BINS:
        return np.arange(low - 0.5, high + 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1.0):
        return np.array([low - 0.5, high + 0.5])
    return np.linspace(low, high, _BINS + 1)
