"""What is drawn, in pixels of its canvas from the top left corner: words, boxes, pixels, lines and areas.

A canvas is a list of marks. `mureg.report.pictures.painter` paints them, `mureg.report.printed` prints them as PDF.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

DPI = 100
"""Pixels an inch in which everything is laid out: A4 is 827 x 1169; a round value."""

Place = tuple[float, float, float, float]
"""Left, top, width, height in pixels, from the top left corner of the canvas."""

Colour: TypeAlias = str | Sequence[float]
"""A name, hexadecimal digits after ``#``, or red, green and blue as shares of 1."""


@dataclass(frozen=True)
class Words:
    """Words at a place; sizes in points.

    Attributes:
        x, y: the place.
        text: lines.
        color: of the letters.
        fontsize: height of the letters with their room.
        fontweight: normal or bold.
        ha, va: which part of the words lies at the place: left, center or right; top, center or bottom.
        rotation: 0, 90 or 270 degrees counter-clockwise.
        linespacing: distance of the lines, in sizes of the font.
        halo: width of the dark line around the letters; 0 for none.
        zorder: marks of a higher number cover those of a lower one.
    """

    x: float
    y: float
    text: str
    color: Colour = "#000000"
    fontsize: float = 11.0
    fontweight: str = "normal"
    ha: str = "left"
    va: str = "top"
    rotation: int = 0
    linespacing: float = 1.2
    halo: float = 0.0
    zorder: float = 3.0


@dataclass(frozen=True)
class Rectangle:
    """A rectangle, filled or with a thin edge (points)."""

    place: Place
    fill: Colour | None
    edge: Colour | None = None
    edge_points: float = 0.0
    zorder: float = 1.0


@dataclass(frozen=True, eq=False)
class Pixels:
    """Colours [row, column, RGBA], each pixel enlarged as it is; shown inside `clip` alone."""

    place: Place
    colours: npt.NDArray[np.uint8]
    clip: Place
    zorder: float = 1.0


@dataclass(frozen=True, eq=False)
class Polyline:
    """A line through points [n, 2], shown inside `clip` alone; `dashes` are lengths in widths of the line."""

    points: npt.NDArray[np.float64]
    color: Colour
    clip: Place
    linewidth: float = 1.0
    dashes: tuple[float, float] | None = None
    zorder: float = 3.0


@dataclass(frozen=True, eq=False)
class Area:
    """What lies inside a closed curve through points [n, 2], with an edge; shown inside `clip` alone."""

    points: npt.NDArray[np.float64]
    fill: Colour
    edge: Colour
    linewidth: float
    clip: Place
    zorder: float = 1.0


Mark: TypeAlias = Words | Rectangle | Pixels | Polyline | Area
