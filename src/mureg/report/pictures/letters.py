"""Letters of the pictures: the font, how long words are, and where each line of them lies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

from mureg.report.pictures.marks import DPI, Words

_FILES = {"normal": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf"}
_LARGE = 1000
"""Size in which words are measured, so that no rounding of letters matters; a round value."""
_RISE, _FALL = 0.76, 0.24
"""Of a line above and below its base line, in sizes of the font: its OS/2 table has 1556 and 492 of 2048."""
_SHARES = {"left": 0.0, "top": 0.0, "center": 0.5, "right": 1.0, "bottom": 1.0}
"""Share of the words that lies before their place."""


@lru_cache(maxsize=256)
def font(size: int, weight: str) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along, of so many pixels."""
    # letters are set one after another: no library of the system that may lack is asked to lay them out
    return ImageFont.truetype(_font_file(weight), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=2)
def _font_file(weight: str) -> str:
    """Where the font lies; matplotlib itself is loaded only where it keeps its fonts elsewhere."""
    package = find_spec("matplotlib")
    if package is not None and package.origin is not None:
        file = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / _FILES[weight]
        if file.exists():
            return str(file)
    from matplotlib.font_manager import FontProperties, findfont

    return findfont(FontProperties(family="DejaVu Sans", weight=weight))


@lru_cache(maxsize=4096)
def advance(letter: str, weight: str) -> float:
    """How far a letter moves the pen on, in sizes of the font."""
    large = font(_LARGE, weight)
    return float(large.getlength(f"x{letter}x") - large.getlength("xx")) / _LARGE


@dataclass(frozen=True)
class Layout:
    """Where the lines of some words lie, before they are turned, in pixels from their top left corner.

    Attributes:
        width, height: of all lines.
        lines: each with the left end of its base line.
    """

    width: float
    height: float
    lines: tuple[tuple[str, float, float], ...]


def layout(words: Words, size: int) -> Layout:
    """Lay out words in letters of so many pixels; accents on the first line and tails of the last one have room."""
    letters, lines = font(size, words.fontweight), words.text.split("\n")
    rise = max(-letters.getbbox(lines[0], anchor="ls")[1], _RISE * size)
    fall = max(letters.getbbox(lines[-1], anchor="ls")[3], _FALL * size)
    lengths, step = [float(letters.getlength(line)) for line in lines], words.linespacing * size
    width, share = max(lengths), _SHARES[words.ha]
    placed = tuple(
        (line, share * (width - length), rise + number * step)
        for number, (line, length) in enumerate(zip(lines, lengths, strict=True))
    )
    return Layout(width, rise + (len(lines) - 1) * step + fall, placed)


def corner(words: Words, width: float, height: float) -> tuple[float, float]:
    """Top left corner of words whose turned lines are so wide and high, in pixels of the canvas."""
    return words.x - _SHARES[words.ha] * width, words.y - _SHARES[words.va] * height


def extent(words: Words) -> tuple[float, float, float, float]:
    """Left, top, right and bottom edge of words, in pixels of the canvas."""
    size = words.fontsize * DPI / 72
    lines = layout(words, _LARGE)
    width, height = (length * size / _LARGE for length in (lines.width, lines.height))
    if words.rotation:
        width, height = height, width
    left, top = corner(words, width, height)
    return left, top, left + width, top + height
