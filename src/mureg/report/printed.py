"""Prints canvases as pages of a PDF by matplotlib, with letters, lines and areas as such."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import patches
from matplotlib.artist import Artist
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox, Transform, TransformedBbox

from mureg.files.atomic import writing
from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.marks import DPI, Area, Mark, Pixels, Place, Polyline, Rectangle, Words


def write_pdf(sheets: Sequence[Canvas], path: Path, headline: str, use: str) -> None:
    """Write a page for each canvas, whole or not at all; `headline` and `use` stand in the properties of the file."""
    about = {"Title": f"mureg report: {headline}", "Subject": use, "Creator": "mureg"}
    about |= {"Producer": None, "CreationDate": None}  # type: ignore[dict-item]
    with writing(path) as scratch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script the font lacks is drawn as boxes
        with PdfPages(scratch, metadata=about) as pdf:
            for sheet in sheets:
                pdf.savefig(_figure(sheet), dpi=2 * DPI)


def _figure(canvas: Canvas) -> Figure:
    """The marks of a canvas as a figure of matplotlib."""
    figure = Figure(figsize=(canvas.width / DPI, canvas.height / DPI), dpi=DPI, facecolor=canvas.paper)
    shares = Affine2D().scale(1 / canvas.width, -1 / canvas.height).translate(0.0, 1.0)
    pixels = shares + figure.transFigure
    for mark in canvas.marks:
        artist = _artist(mark, pixels)
        artist.set_zorder(mark.zorder)
        figure.add_artist(artist, clip=False)
        if isinstance(mark, Pixels | Polyline | Area):
            artist.set_clip_box(TransformedBbox(_bbox(mark.clip), pixels))
    return figure


def _artist(mark: Mark, pixels: Transform) -> Artist:
    match mark:
        case Words():
            return _text(mark, pixels)
        case Rectangle(place=(left, top, width, height)):
            fill, edge = mark.fill or "none", mark.edge or "none"
            colours: dict[str, Any] = {"facecolor": fill, "edgecolor": edge, "linewidth": mark.edge_points}
            return patches.Rectangle((left, top), width, height, transform=pixels, **colours)
        case Pixels():
            return _Enlarged(TransformedBbox(_bbox(mark.place), pixels), mark.colours)
        case Polyline():
            style: Any = "-" if mark.dashes is None else (0, mark.dashes)
            across, down = mark.points.T
            colour: Any = mark.color
            return Line2D(across, down, color=colour, linewidth=mark.linewidth, linestyle=style, transform=pixels)
        case Area():
            colours = {"facecolor": mark.fill, "edgecolor": mark.edge, "linewidth": mark.linewidth}
            return patches.Polygon(mark.points, closed=True, transform=pixels, **colours)


def _text(words: Words, pixels: Transform) -> Text:
    special: dict[str, Any] = {}
    if "\n" in words.text:  # of a single line it would move the words
        special["linespacing"] = words.linespacing
    if words.halo:
        special["path_effects"] = [withStroke(linewidth=words.halo, foreground="black")]
    return Text(
        words.x,
        words.y,
        words.text,
        color=words.color,  # type: ignore[arg-type]
        fontsize=words.fontsize,
        fontweight=words.fontweight,
        ha=words.ha,
        va=words.va,
        rotation=words.rotation,
        parse_math=False,
        transform=pixels,
        **special,
    )


def _bbox(place: Place) -> Bbox:
    left, top, width, height = place
    return Bbox.from_extents(left, top, left + width, top + height)


class _Enlarged(BboxImage):
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
