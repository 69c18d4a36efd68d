"""Paper and ink: a canvas of fixed size, panels with orientation letters, what is drawn in them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from contourpy import contour_generator
from PIL import Image, WebPImagePlugin
from PIL.PngImagePlugin import PngInfo

from mureg.files.atomic import writing
from mureg.geometry.rigid import Triple
from mureg.report.pictures.colours import BACKGROUND, HEAT, INK, UNKNOWN, ColourScale, in_bytes
from mureg.report.pictures.marks import Mark, Place, Rectangle, Words
from mureg.report.pictures.painter import painted
from mureg.report.pictures.panel import Pair, Panel
from mureg.report.pictures.planes import Plane, PlaneView

# places in pixels, sizes of letters in points and opacities of all pictures are chosen by eye


class Canvas:
    """A picture of fixed size in pixels whose parts are placed in pixels from the top left corner.

    Attributes:
        width, height: in pixels.
        paper, ink: colours of the ground and of words on it.
        marks: all that is drawn.
        panels: laid into it so far.
    """

    def __init__(self, width: int, height: int, paper: str = BACKGROUND, ink: str = INK) -> None:
        self.width, self.height = width, height
        self.paper, self.ink = paper, ink
        self.marks: list[Mark] = []
        self.panels: list[Panel] = []
        self.texts: list[Words] = []

    def panel(self, place: Place, across: Pair, upward: Pair, ground: str = "none") -> Panel:
        """An empty panel; its coordinates at the left and right, and at the lower and upper edge."""
        panel = Panel(self.marks, place, across, upward, ground)
        self.panels.append(panel)
        return panel

    def plane_panel(self, place: Place, view: PlaneView, size_mm: Triple, centre_mm: Triple) -> Panel:
        """An empty panel in patient millimetres, framed, with the orientation letters of a view at the four edges."""
        _, _, width, height = place
        across, upward = view.across, view.upward
        half, reach = size_mm[across] / 2, view.up_sign * size_mm[upward] / 2
        panel = self.panel(
            place,
            (centre_mm[across] - half, centre_mm[across] + half),
            (centre_mm[upward] - reach, centre_mm[upward] + reach),
            "black",
        )
        panel.frame("#30363d")
        at = ((0.012, 0.5, "left"), (0.988, 0.5, "right"), (0.5, 0.975, "center"), (0.5, 0.025, "center"))
        upright = ("center", "center", "top", "bottom")
        size = 12 if min(width, height) > 250 else 10 if min(width, height) > 130 else 8
        style = {"color": INK, "fontsize": size, "fontweight": "bold", "halo": 2.5}
        for (x, y, across_at), up_at, letter in zip(at, upright, view.letters, strict=True):
            panel.text(x, y, letter, in_shares=True, ha=across_at, va=up_at, **style)
        return panel

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        """Write at a place in pixels from the top left corner; `style` as in `Words`, by default in ink."""
        written = Words(x, y, words, **{"color": self.ink, **style})
        self.marks.append(written)
        self.texts.append(written)

    def box(self, place: Place, colour: str) -> None:
        """Fill a rectangle below all words."""
        self.marks.append(Rectangle(place, colour, zorder=-1.0))

    def picture(self, scale: float = 1.0) -> Image.Image:
        """The picture, with `scale` pixels for each of the canvas."""
        return painted(self.marks, (round(self.width * scale), round(self.height * scale)), self.paper, scale)

    def pixels(self, scale: float = 1.0) -> npt.NDArray[np.uint8]:
        """The picture as red, green, blue [row, column, 3], with `scale` pixels for each of the canvas."""
        return np.array(self.picture(scale), dtype=np.uint8)

    def save(self, path: Path) -> None:
        """Write a PNG, whole or not at all; the same picture gives the same bytes."""
        about = PngInfo()
        about.add_text("Software", "mureg")
        with writing(path) as scratch:
            # level 1 takes half the time of level 4 for a tenth more bytes
            self.picture().save(scratch, format="png", pnginfo=about, compress_level=1)


def as_webp(picture: Image.Image) -> bytes:
    """A compressed picture.

    Method 2 takes half the time of the default for 5 % more bytes of the same quality.
    """
    with BytesIO() as file:
        picture.save(file, format=WebPImagePlugin.WebPImageFile.format, quality=85, method=2)
        return file.getvalue()


def draw_values(panel: Panel, plane: Plane, colours: ColourScale, low: float, high: float) -> None:
    """Paint a plane; places about which nothing is known are dark blue, unlike air."""
    panel.ground(UNKNOWN)
    painted = colours((plane.values - low) / (high - low), bytes=True)
    painted[~plane.known, 3] = 0
    panel.paint(painted, plane.extent_mm)


def draw_glow(panel: Panel, plane: Plane, high: float) -> None:
    """Paint an emission over what is there: transparent below a third of `high`, then denser up to 0.58 of it."""
    share = np.clip(plane.values / high, 0.0, 1.0)
    colours = HEAT(0.25 + 0.72 * share)
    colours[..., 3] = 0.85 * np.clip((share - 0.33) / 0.25, 0.0, 1.0) * plane.known
    panel.paint(in_bytes(colours), plane.extent_mm, 2.0)


def draw_outline(
    panel: Panel, plane: Plane, level: float, colour: str, shortest_mm: float = 60.0, *, dashed: bool = False
) -> None:
    """Draw a thin line where a plane crosses a level, without loops shorter than `shortest_mm` (vessels)."""
    values = np.ma.masked_array(plane.values, ~plane.known)
    for line in contour_generator(plane.across_mm, plane.upward_mm, values).lines(level):
        points = np.asarray(line)
        if np.linalg.norm(np.diff(points, axis=0), axis=1).sum() >= shortest_mm:
            panel.line(points, colour, 1.2, (3.0, 2.0) if dashed else None)
