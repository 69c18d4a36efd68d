"""A rectangle of a figure with coordinates of its own, without the ticks and frames of matplotlib's axes.

A result has thirty panels. As axes they would take a third of the time of its pictures, mostly for ticks that are
never drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox, BboxTransform, BboxTransformTo, TransformedBbox

Pair = tuple[float, float]
Extent = tuple[float, float, float, float]
"""Left, right, bottom and top edge."""

_BELOW_WORDS = 0.1
"""Factor on the order of drawing: panels lie below the words of the canvas, whose order is 3."""


class _Pixels(BboxImage):
    """Pixels [row, column, RGBA] enlarged to a box, row 0 at its upper edge; each stays as it is.

    matplotlib's own way to enlarge pictures takes ten times as long: it makes masked arrays of them.
    """

    def __init__(self, bbox: TransformedBbox, colours: npt.NDArray[np.uint8]) -> None:
        super().__init__(bbox)
        self._colours = colours

    def get_array(self) -> npt.NDArray[np.uint8]:
        """The pixels as they were given."""
        return self._colours

    def make_image(
        self, renderer: Any, magnification: float = 1.0, _unsampled: bool = False
    ) -> tuple[npt.NDArray[np.uint8], float, float, Affine2D]:
        """The enlarged pixels, row 0 at the lower edge, and where their lower left corner lies (pixels)."""
        box = self.get_window_extent(renderer)
        rows, columns, _ = self._colours.shape
        across = _sources(box.x0, box.x1, columns, magnification)
        upward = rows - 1 - _sources(box.y0, box.y1, rows, magnification)
        return self._colours[upward[:, None], across], np.floor(box.x0 + 0.5), np.floor(box.y0 + 0.5), Affine2D()


def _sources(first: float, last: float, n: int, magnification: float) -> npt.NDArray[np.intp]:
    """For every pixel of the picture from one edge of a box to the other, which of the `n` enlarged ones it shows."""
    start, stop = (int(np.floor(edge + 0.5)) for edge in (first, last))
    middles = start + (np.arange(max(1, round((stop - start) * magnification))) + 0.5) / magnification
    return np.clip(((middles - first) / (last - first) * n).astype(np.intp), 0, n - 1)


class Panel:
    """What is drawn in it ends at its edges, but for words.

    Attributes:
        bbox: in pixels of the figure.
        images: colours of what was painted, [row, column, RGBA].
        texts: words in it.
    """

    def __init__(self, figure: Figure, place: Extent, across: Pair, upward: Pair, ground: str = "none") -> None:
        """Lay a panel into a figure.

        Args:
            figure: it is drawn in.
            place: left, bottom, width and height as shares of the figure.
            across: coordinate at the left and at the right edge.
            upward: coordinate at the lower and at the upper edge.
            ground: its colour.
        """
        self._figure, self._across, self._upward = figure, across, upward
        self.bbox = TransformedBbox(Bbox.from_bounds(*place), figure.transFigure)
        self._to_figure = BboxTransform(Bbox.from_extents(across[0], upward[0], across[1], upward[1]), self.bbox)
        self._shares = BboxTransformTo(self.bbox)
        self._ground = Rectangle((0.0, 0.0), 1.0, 1.0, facecolor=ground, edgecolor="none", transform=self._shares)
        self._add(self._ground, 0.0)
        self.images: list[npt.NDArray[np.uint8]] = []
        self.texts: list[Text] = []

    def ground(self, colour: str) -> None:
        """Paint what lies below everything else."""
        self._ground.set_facecolor(colour)

    def frame(self, colour: str) -> None:
        """Draw a thin line around the panel."""
        edge = Rectangle((0.0, 0.0), 1.0, 1.0, fill=False, edgecolor=colour, linewidth=0.8, transform=self._shares)
        self._add(edge, 2.5, clipped=False)

    def paint(self, colours: npt.NDArray[np.uint8], extent: Extent | None = None, order: float = 1.0) -> None:
        """Paint pixels [row, column, RGBA], row 0 at the upper edge of an extent, or of the panel if left out."""
        where = self.bbox if extent is None else TransformedBbox(self._in_shares(extent), self._shares)
        self._add(_Pixels(where, colours), order)
        self.images.append(colours)

    def line(self, points: npt.NDArray[np.float64], colour: str, **style: Any) -> None:
        """Draw a line through points [n, 2]."""
        self._add(Line2D(points[:, 0], points[:, 1], color=colour, transform=self._to_figure, **style), 3.0)

    def patch(self, patch: Any) -> None:
        """Draw a patch of matplotlib."""
        patch.set_transform(self._to_figure)
        self._add(patch, 1.0)

    def text(self, x: float, y: float, words: str, *, in_shares: bool = False, **style: Any) -> None:
        """Write at a place, in the coordinates of the panel or in shares of its width and height."""
        at = self._shares if in_shares else self._to_figure
        text = Text(x, y, words, transform=at, **{"ha": "center", "va": "center", **style})
        self._add(text, 9.0, clipped=False)
        self.texts.append(text)

    def _in_shares(self, extent: Extent) -> Bbox:
        """An extent in shares of the panel, from left to right and bottom to top, whichever way coordinates run."""
        (first, last), (lower, upper) = self._across, self._upward
        left, right = ((x - first) / (last - first) for x in extent[:2])
        bottom, top = ((y - lower) / (upper - lower) for y in extent[2:])
        return Bbox.from_extents(left, bottom, right, top)

    def _add(self, artist: Artist, order: float, *, clipped: bool = True) -> None:
        artist.set_zorder(_BELOW_WORDS * order)
        self._figure.add_artist(artist, clip=False)
        if clipped:
            artist.set_clip_box(self.bbox)
