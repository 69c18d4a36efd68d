"""Words on paper: lines broken where a column ends, tables, and what finds no room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mureg.report.facts import Facts
from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.letters import advance
from mureg.report.pictures.marks import DPI

PAPER, INK = "#ffffff", "#16191d"
BOTTOM = 1145.0
"""Where the words of a sheet end, in pixels from its top."""

_LINE = "#c9ced4"


@dataclass
class Rest:
    """What did not fit.

    Attributes:
        where: it is to be found, such as "in report.html".
        sentences: in their order.
    """

    where: str
    sentences: list[str] = field(default_factory=list)


def wrapped(words: str, size: float, width: float, bold: bool = False) -> list[str]:
    """Break a sentence into lines no wider than `width` pixels, words that are too long between letters."""
    weight = "bold" if bold else "normal"

    def wide(line: str) -> float:
        return sum(advance(letter, weight) for letter in line) * size * DPI / 72

    lines, line = [], ""
    for word in words.split():
        while wide(word) > width:
            cut = next((n for n in range(len(word), 1, -1) if wide(word[:n]) <= width), 1)
            lines += [line] if line else []
            lines, line, word = [*lines, word[:cut]], "", word[cut:]
        longer = f"{line} {word}".strip()
        if wide(longer) > width:
            lines, line = [*lines, line], word
        else:
            line = longer
    return [*lines, line] if line else lines


class Column:
    """A column of text on the page, written from top to bottom."""

    def __init__(self, canvas: Canvas, left: float, top: float, width: float, bottom: float = BOTTOM) -> None:
        self.canvas, self.left, self.y, self.width, self.bottom = canvas, left, top, width, bottom

    def write(self, words: str, size: float = 7.5, *, bold: bool = False, colour: str = INK, indent: float = 0) -> bool:
        """Write a paragraph where it fits; whether it did."""
        lines, step = wrapped(words, size, self.width - indent, bold), size * DPI / 72 * 1.25
        if self.y + step * len(lines) > self.bottom:
            return False
        for line in lines:
            style = {"fontsize": size, "color": colour, "fontweight": "bold" if bold else "normal"}
            self.canvas.text(self.left + indent, self.y, line, **style)
            self.y += step
        return True

    def heading(self, words: str) -> None:
        """Write a line in bold with room above it."""
        self.y += 7
        self.write(words, 8.5, bold=True)
        self.y += 1

    def bullets(self, sentences: Sequence[str], size: float = 7.5, *, rest: Rest | None = None) -> int:
        """Write what fits, one point each; add to `rest` what does not and say where; return how many were written."""
        bottom, line = self.bottom, size * DPI / 72 * 1.25
        for number, words in enumerate(sentences):
            y, last = self.y, number == len(sentences) - 1
            self.bottom = bottom if last or rest is None else bottom - line
            fits = self.write(words, size, indent=11)
            self.bottom = bottom
            if not fits:
                if rest is not None:
                    self.write(f"and {len(sentences) - number} more {rest.where}", size, indent=11)
                    rest.sentences += sentences[number:]
                return number
            self.canvas.text(self.left + 1, y, "•", fontsize=size)
        return len(sentences)

    def row(self, cells: Sequence[str], edges: Sequence[float], *, bold: Sequence[bool] = ()) -> None:
        """One line of a table: the first cells begin at their edge, cells with a negative edge end at it."""
        for number, (words, edge) in enumerate(zip(cells, edges, strict=True)):
            weight = "bold" if bold and bold[number] else "normal"
            across = "right" if edge < 0 else "left"
            self.canvas.text(self.left + abs(edge), self.y, words, fontsize=7.5, ha=across, fontweight=weight)
        self.y += 15
        rule(self.canvas, self.left, self.y - 2, self.width)

    def pairs(self, rows: Facts, rest: Rest, size: float = 6.0) -> None:
        """Write names with their facts; add to `rest` what does not fit, and say where that is."""
        bottom, line = self.bottom, size * DPI / 72 * 1.25
        for number, (name, words) in enumerate(rows):
            y = self.y
            self.bottom = bottom if number == len(rows) - 1 else bottom - line
            fits = self.write(words, size, indent=80)
            self.bottom = bottom
            if not fits:
                self.write(f"more {rest.where}", size, indent=80)
                rest.sentences += [f"{left}: {fact}" for left, fact in rows[number:]]
                return
            self.canvas.text(self.left, y, name, fontsize=size, fontweight="bold")


def rule(canvas: Canvas, left: float, y: float, width: float) -> None:
    """Draw a thin line across, in pixels from the top left corner."""
    canvas.box((left, y, width, 0.6), _LINE)
