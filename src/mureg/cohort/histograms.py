"""The picture of a card: one small histogram for every fact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from mureg.files.atomic import writing

# the page in inches, at 100 points an inch: a display choice, as are the letters' sizes and gaps below
_DPI, _COLUMNS, _PANEL, _HEAD = 100, 6, (2.1, 1.35), 0.4
_LEFT, _BELOW, _WIDE, _HIGH = 0.3, 0.22, 1.65, 0.85
_BINS, _MOST_WORDS = 24, 8  # what a panel has room for
_INK, _FAINT, _BARS = "#1f2328", "#8b949e", "#3b6ea8"

Bar = list[tuple[float, float]]


def draw_histograms(facts: Mapping[str, Sequence[Any]], title: str, path: Path) -> None:
    """Draw the values of each fact: numbers in bins, words as bars; the same values give the same bytes.

    One drawing area in inches serves all panels: a set of axes for each would take most of a minute.
    """
    n_rows = max(1, -(-len(facts) // _COLUMNS))
    width, height = _COLUMNS * _PANEL[0], n_rows * _PANEL[1] + _HEAD
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    page = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    page.set_axis_off()
    page.set_xlim(0.0, width)
    page.set_ylim(0.0, height)
    page.text(width / 2, height - _HEAD / 2, title, fontsize=10, color=_INK, ha="center", va="center")
    bars: list[Bar] = []
    lines = []
    for number, (name, values) in enumerate(facts.items()):
        row, column = divmod(number, _COLUMNS)
        panel = _Panel(page, column * _PANEL[0] + _LEFT, height - _HEAD - (row + 1) * _PANEL[1] + _BELOW)
        panel.write(0.5, _HIGH + 0.06, name.replace("_", " "), fontsize=7, ha="center", va="bottom")
        bars += panel.numbers(values) if are_numbers(values) else panel.words(values)
        lines += [((panel.x, panel.y + _HIGH), (panel.x, panel.y), (panel.x + _WIDE, panel.y))]
    page.add_collection(PolyCollection(bars, facecolors=_BARS, linewidths=0))
    page.add_collection(LineCollection(lines, colors=_FAINT, linewidths=0.6))
    with writing(path) as scratch:
        figure.savefig(scratch, dpi=_DPI, facecolor="white", metadata={"Software": "mureg"})


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether all are numbers; a truth value is a word."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def as_word(value: Any) -> str:
    """A word fact as it is shown."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class _Panel:
    """One histogram, its lower left corner in inches from that of the page."""

    page: Axes
    x: float
    y: float

    def write(self, across: float, up: float, words: str, **how: Any) -> None:
        """A text at a share of the width and a height in inches."""
        self.page.text(self.x + across * _WIDE, self.y + up, words.replace("$", r"\$"), color=_INK, **how)

    def numbers(self, values: Sequence[Any]) -> list[Bar]:
        """Counts in bins; the ends and the middle of the range below, the largest count beside."""
        counts, edges = np.histogram(np.asarray(values, dtype=np.float64), bins=_edges(values))
        low, high = float(edges[0]), float(edges[-1])
        for share, side in ((0.0, "left"), (0.5, "center"), (1.0, "right")):
            self.write(share, -0.05, f"{low + share * (high - low):.4g}", fontsize=6, ha=side, va="top")
        self.write(-0.02, _HIGH, f"{counts.max()}", fontsize=6, ha="right", va="top")
        across = (edges - low) / (high - low) * _WIDE
        tall = counts / max(1, counts.max()) * _HIGH
        return [self._bar(a, b, 0.0, up) for a, b, up in zip(across[:-1], across[1:], tall, strict=True) if up > 0]

    def words(self, values: Sequence[Any]) -> list[Bar]:
        """A bar and a count for each word, the most frequent on top."""
        word_counts = sorted(Counter(map(as_word, values)).items(), key=lambda item: (-item[1], item[0]))[:_MOST_WORDS]
        step, most = _HIGH / len(word_counts), word_counts[0][1]
        bars = []
        for place, (word, count) in enumerate(word_counts):
            low = _HIGH - (place + 1) * step
            middle = low + step / 2
            bars.append(self._bar(0.0, 0.45 * _WIDE * count / most, low + 0.15 * step, low + 0.85 * step))
            self.write(0.48, middle, f"{word[:16]}  {count}", fontsize=6, va="center")
        return bars

    def _bar(self, left: float, right: float, low: float, high: float) -> Bar:
        x, y = self.x, self.y
        return [(x + left, y + low), (x + right, y + low), (x + right, y + high), (x + left, y + high)]


def _edges(values: Sequence[Any]) -> Any:
    """Edges of the bins: around each whole number where there are few of them."""
    low, high = float(min(values)), float(max(values))
    if all(isinstance(value, int) for value in values) and high - low < _BINS:
        return np.arange(low - 0.5, high + 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1.0):
        return np.array([low - 0.5, high + 0.5])
    return np.linspace(low, high, _BINS + 1)
