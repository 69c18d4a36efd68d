"""A rectangle of a canvas with coordinates of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.report.pictures.marks import Area, Colour, Mark, Pixels, Place, Polyline, Rectangle, Words

Pair = tuple[float, float]
Extent = tuple[float, float, float, float]
"""Left, right, bottom and top edge."""

_BELOW_WORDS = 0.1
"""Factor on the order of drawing: panels lie below the words of the canvas, whose order is 3."""


class Panel:
    """What is drawn in it ends at its edges, but for words.

    Attributes:
        place: left, top, width and height in pixels of the canvas.
        images: colours of what was painted, [row, column, RGBA].
        texts: words in it.
    """

    def __init__(self, marks: list[Mark], place: Place, across: Pair, upward: Pair, ground: str = "none") -> None:
        """Lay a panel into a canvas.

        Args:
            marks: of the canvas; those of the panel are added to them.
            place: where, in pixels of the canvas.
            across: coordinate at the left and at the right edge.
            upward: coordinate at the lower and at the upper edge.
            ground: its colour, or "none".
        """
        self.place = place
        self._marks, self._across, self._upward = marks, across, upward
        self.images: list[npt.NDArray[np.uint8]] = []
        self.texts: list[Words] = []
        if ground != "none":
            self.ground(ground)

    def ground(self, colour: str) -> None:
        """Paint what lies below everything else."""
        self._marks.append(Rectangle(self.place, colour, zorder=0.0))

    def frame(self, colour: str) -> None:
        """Draw a thin line around the panel."""
        self._marks.append(Rectangle(self.place, None, colour, 0.8, 2.5 * _BELOW_WORDS))

    def paint(self, colours: npt.NDArray[np.uint8], extent: Extent | None = None, order: float = 1.0) -> None:
        """Paint pixels [row, column, RGBA], row 0 at the upper edge of an extent, or of the panel if left out."""
        where = self.place
        if extent is not None:
            corners = self._on_canvas(np.array([extent[::2], extent[1::2]]))
            (left, top), (right, bottom) = corners.min(0), corners.max(0)
            where = float(left), float(top), float(right - left), float(bottom - top)
        self._marks.append(Pixels(where, colours, self.place, order * _BELOW_WORDS))
        self.images.append(colours)

    def line(
        self,
        points: npt.NDArray[np.float64],
        colour: str,
        linewidth: float = 1.5,
        dashes: tuple[float, float] | None = None,
    ) -> None:
        """Draw a line through points [n, 2]; dashes and gaps in widths of the line (points)."""
        self._marks.append(Polyline(self._on_canvas(points), colour, self.place, linewidth, dashes, 3.0 * _BELOW_WORDS))

    def area(self, points: npt.NDArray[np.float64], fill: Colour, edge: Colour, linewidth: float) -> None:
        """Fill what lies inside a closed curve through points [n, 2], and draw its edge (points)."""
        self._marks.append(Area(self._on_canvas(points), fill, edge, linewidth, self.place, _BELOW_WORDS))

    def text(self, x: float, y: float, words: str, *, in_shares: bool = False, **style: Any) -> None:
        """Write at a place, in the coordinates of the panel or in shares of its width and height."""
        left, top, width, height = self.place
        if in_shares:
            at = left + x * width, top + (1.0 - y) * height
        else:
            ((across, down),) = self._on_canvas(np.array([(x, y)]))
            at = float(across), float(down)
        written = Words(*at, words, **{"ha": "center", "va": "center", "zorder": 9.0 * _BELOW_WORDS, **style})
        self._marks.append(written)
        self.texts.append(written)

    def _on_canvas(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """From coordinates of the panel [n, 2] to pixels of the canvas, whichever way the coordinates run."""
        left, top, width, height = self.place
        x = (points[:, 0] - self._across[0]) / (self._across[1] - self._across[0])
        y = (points[:, 1] - self._upward[0]) / (self._upward[1] - self._upward[0])
        return np.stack([left + x * width, top + (1.0 - y) * height], axis=1)
