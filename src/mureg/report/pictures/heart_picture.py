"""The left ventricle in the three slices that nuclear cardiology reads, image under image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from mureg.errors import MuregError
from mureg.geometry import Volume
from mureg.heart.polar import polar_map, short_axis
from mureg.heart.ventricle import LeftVentricle
from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.chest import smoothed
from mureg.report.pictures.chest_picture import WIDTH
from mureg.report.pictures.colours import HEAT

Array = npt.NDArray[np.float32]

HEIGHT = 462
"""Of what is drawn, pixels, by the sizes below; rounded up."""

_GAP, _SIDE, _N = 2, 63, 10  # pixels between slices and of their edge; ten slices beside their label fill `WIDTH`
_LABEL = WIDTH - _N * (_SIDE + _GAP) + _GAP
_TITLE, _SPACING_MM = 34, 1.5  # pixels of the two lines above; spacing of the reoriented image, below a drawn pixel
_ENDS_MM = 5.0  # half a wall of 10 to 12 mm: the first and the last slice still cut it
_ASIDE = (-0.6, -0.3, 0.0, 0.3, 0.6)  # places of the long-axis slices in radii: inside the walls, evenly spaced
_FINE = 3  # pixels of the picture for each of the canvas: 300 an inch in print


@dataclass(frozen=True, eq=False)
class HeartPanels:
    """One image along the left ventricle, in percent of its own brightest myocardium.

    Attributes:
        values: [lateral, inferior, apex] in the sense in which the indices grow.
        length_mm, radius_mm: of the ventricle.
    """

    values: Array
    length_mm: float
    radius_mm: float

    @classmethod
    def of(cls, image: Volume, ventricle: LeftVentricle) -> HeartPanels:
        """Reorient an image and scale it to the brightest place in the wall."""
        shown = smoothed(image)
        try:
            brightest = float(polar_map(shown, ventricle).rings.max())
        except MuregError:  # a blank image has no wall
            brightest = 0.0
        values = short_axis(shown, ventricle, _SPACING_MM).values.astype(np.float32)
        scale = np.float32(100.0 / brightest if brightest > 0 else 1.0)
        return cls(values * scale, ventricle.length_mm, ventricle.radius_mm)

    def short(self) -> list[Array]:
        """Slices from the apex to the base, seen from the apex: lateral at the right, inferior below."""
        last = self.length_mm / 2 - _ENDS_MM
        return [self.values[:, :, self._index(2, at)].T for at in np.linspace(last, -last, _N)]

    def vertical(self) -> list[Array]:
        """Vertical long axis from the septum to the lateral wall: apex at the right, anterior above."""
        return [self.values[self._index(0, share * self.radius_mm)] for share in _ASIDE]

    def horizontal(self) -> list[Array]:
        """Horizontal long axis from the inferior to the anterior wall: apex above, lateral at the right."""
        return [self.values[:, self._index(1, -share * self.radius_mm), ::-1].T for share in _ASIDE]

    def _index(self, axis: int, from_middle_mm: float) -> int:
        """Nearest index of a plane at a distance from the middle of the ventricle."""
        n = self.values.shape[axis]
        return int(np.clip(round((n - 1) / 2 + from_middle_mm / _SPACING_MM), 0, n - 1))


def draw_hearts(canvas: Canvas, left: float, top: float, hearts: dict[str, HeartPanels]) -> None:
    """Draw short axes, and below them vertical and horizontal long axes; one row for each named image.

    Every image is shown from 0 to 100 percent of its own brightest myocardium.
    """
    height = _TITLE + len(hearts) * (_SIDE + _GAP)
    first = left + _LABEL
    half = first + len(_ASIDE) * (_SIDE + _GAP)
    _heading(canvas, first, top, "Short axis", "from the apex (left) to the base (right)")
    _heading(canvas, first, top + height, "Vertical long axis", "from the septum to the lateral wall")
    _heading(canvas, half, top + height, "Horizontal long axis", "from the inferior to the anterior wall")
    for block, y in enumerate((top + _TITLE, top + height + _TITLE)):
        slices = [
            heart.short() if block == 0 else [*heart.vertical(), *heart.horizontal()] for heart in hearts.values()
        ]
        _montage(canvas, first, y, slices, max(max(heart.values.shape) for heart in hearts.values()) / 2)
        for row, name in enumerate(hearts):
            middle = y + row * (_SIDE + _GAP) + _SIDE / 2
            canvas.text(left, middle, name, fontsize=7, fontweight="bold", va="center", linespacing=1.3)
    _walls(canvas, first, top + _TITLE, ("ant", "inf", "sept", "lat"))
    _walls(canvas, first, top + height + _TITLE, ("ant", "inf", "base", "apex"))
    _walls(canvas, half, top + height + _TITLE, ("apex", "base", "sept", "lat"))
    _scale(canvas, left + WIDTH - 170, top)


def _heading(canvas: Canvas, x: float, y: float, name: str, order: str) -> None:
    canvas.text(x, y + 3, name, fontsize=8.5, fontweight="bold")
    canvas.text(x, y + 18, order, fontsize=7)


def _montage(canvas: Canvas, left: float, top: float, slices: list[list[Array]], reach: float) -> None:
    """Rows of slices as one picture, each in the middle of a square of `reach` pixels to either side of it.

    All are equally enlarged, by linear interpolation; what lies beyond an image is black.
    """
    side, gap = _FINE * _SIDE, _FINE * _GAP
    rows, columns = len(slices), len(slices[0])
    # in bytes: as floating-point numbers it would take 130 MB
    picture = np.full((rows * (side + gap) - gap, columns * (side + gap) - gap, 4), 255, dtype=np.uint8)
    weights = cache(partial(_weights, ((np.arange(side) + 0.5) / side * 2.0 - 1.0) * reach))
    for row, line in enumerate(slices):
        for column, values in enumerate(line):
            shown = weights(values.shape[0]) @ values @ weights(values.shape[1]).T
            y, x = row * (side + gap), column * (side + gap)
            picture[y : y + side, x : x + side] = HEAT(np.clip(shown / 100.0, 0.0, 1.0), bytes=True)
    box = left, top, picture.shape[1] / _FINE, picture.shape[0] / _FINE
    canvas.panel(box, (0.0, 1.0), (0.0, 1.0)).paint(picture)


def _weights(from_middle: npt.NDArray[np.float64], n: int) -> Array:
    """Linear interpolation among `n` values at places from their middle, as a matrix; 0 beyond the first and last."""
    places = from_middle + (n - 1) / 2
    weights = np.maximum(1.0 - np.abs(places[:, None] - np.arange(n)), 0.0)
    weights[(places < 0.0) | (places > n - 1)] = 0.0
    return weights.astype(np.float32)


def _walls(canvas: Canvas, x: float, y: float, names: tuple[str, str, str, str]) -> None:
    """Name what is at the top, bottom, left and right of a slice."""
    top, bottom, left, right = names
    style = {"color": "white", "fontsize": 5.5, "zorder": 20}
    middle = _SIDE / 2
    canvas.text(x + middle, y + 1, top, ha="center", **style)
    canvas.text(x + middle, y + _SIDE - 1, bottom, ha="center", va="bottom", **style)
    canvas.text(x + 1, y + middle, left, va="center", rotation=90, **style)
    canvas.text(x + _SIDE - 1, y + middle, right, ha="right", va="center", rotation=90, **style)


def _scale(canvas: Canvas, x: float, y: float) -> None:
    """The colours in percent."""
    bar = canvas.panel((x + 26, y + 6, 100, 9), (0.0, 1.0), (0.0, 1.0))
    bar.paint(HEAT(np.linspace(0, 1, 128)[None], bytes=True))
    canvas.text(x + 22, y + 10.5, "0", fontsize=7, ha="right", va="center")
    canvas.text(x + 130, y + 10.5, "100 %", fontsize=7, va="center")
    canvas.text(x + 170, y + 19, "of the brightest myocardium of each image", fontsize=6.5, ha="right")
