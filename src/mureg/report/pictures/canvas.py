"""Paper and ink: a dark figure, panels with orientation letters, colours. No state outside the figure itself."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from contourpy import contour_generator
from matplotlib import colormaps, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

from mureg.files.atomic import writing
from mureg.geometry.rigid import Triple
from mureg.report.pictures.panel import Pair, Panel
from mureg.report.pictures.planes import Plane, PlaneView

BACKGROUND, INK, FAINT = "#0d1117", "#e8eaed", "#8b949e"
BEFORE, AFTER, CAUTION = "#ff9f5a", "#6fdc8c", "#ffd166"
UNKNOWN = "#141c33"
# places in pixels, sizes of letters in points and opacities of all pictures are chosen by eye
DPI = 100
"""Pixels an inch in which everything is laid out: A4 is 827 x 1169; a round value."""

Box = tuple[float, float, float, float]
"""Left, top, width, height in pixels, from the top left corner of the figure."""


class Canvas:
    """A figure of fixed size in pixels whose parts are placed in pixels from the top left corner.

    Attributes:
        width, height: in pixels.
        paper, ink: colours of the ground and of words on it.
        figure: matplotlib's own, on an Agg canvas of its own.
        panels: laid into it so far.
    """

    def __init__(self, width: int, height: int, paper: str = BACKGROUND, ink: str = INK) -> None:
        self.width, self.height = width, height
        self.paper, self.ink = paper, ink
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=paper)
        FigureCanvasAgg(self.figure)
        self.panels: list[Panel] = []

    def panel(self, box: Box, across: Pair, upward: Pair, ground: str = "none") -> Panel:
        """An empty panel; its coordinates at the left and right, and at the lower and upper edge."""
        left, top, width, height = box
        shares = left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height
        panel = Panel(self.figure, shares, across, upward, ground)
        self.panels.append(panel)
        return panel

    def plane_panel(self, box: Box, view: PlaneView, size_mm: Triple, centre_mm: Triple) -> Panel:
        """An empty panel in patient millimetres, framed, with the orientation letters of a view at the four edges."""
        _, _, width, height = box
        across, upward = view.across, view.upward
        half, reach = size_mm[across] / 2, view.up_sign * size_mm[upward] / 2
        panel = self.panel(
            box,
            (centre_mm[across] - half, centre_mm[across] + half),
            (centre_mm[upward] - reach, centre_mm[upward] + reach),
            "black",
        )
        panel.frame("#30363d")
        at = ((0.012, 0.5, "left"), (0.988, 0.5, "right"), (0.5, 0.975, "center"), (0.5, 0.025, "center"))
        upright = ("center", "center", "top", "bottom")
        size = 12 if min(width, height) > 250 else 10 if min(width, height) > 130 else 8
        for (x, y, across_at), up_at, letter in zip(at, upright, view.letters, strict=True):
            panel.text(
                x,
                y,
                letter,
                in_shares=True,
                ha=across_at,
                va=up_at,
                color=INK,
                fontsize=size,
                fontweight="bold",
                path_effects=[withStroke(linewidth=2.5, foreground="black")],
            )
        return panel

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        """Write at a place in pixels from the top left corner; the top of the words is at y unless `va` is given."""
        style = {"color": self.ink, "fontsize": 11, "va": "top", "ha": "left", "parse_math": False, **style}
        self.figure.text(x / self.width, 1 - y / self.height, words, **style)

    def pixels(self, scale: float = 1.0) -> npt.NDArray[np.uint8]:
        """The picture as red, green, blue [row, column, 3], with `scale` pixels for each of the canvas.

        Words are drawn without hinting, which would make lines up to 4 % longer than `columns.wrapped` measured them.
        """
        self.figure.set_dpi(scale * DPI)
        canvas: Any = FigureCanvasAgg(self.figure)
        with rc_context({"text.hinting": "none"}):
            canvas.draw()
        return np.array(canvas.buffer_rgba(), dtype=np.uint8)[..., :3]

    def save(self, path: Path) -> None:
        """Write a PNG, whole or not at all; the same picture gives the same bytes."""
        with writing(path) as scratch, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script the font lacks is drawn as boxes
            self.figure.savefig(
                scratch, dpi=DPI, facecolor=self.paper, metadata={"Software": "mureg"}, pil_kwargs={"compress_level": 4}
            )

    def picture(self, scale: float) -> Image.Image:
        """The picture, with `scale` pixels for each of the canvas."""
        with BytesIO() as file:
            self.figure.savefig(file, format="rgba", dpi=scale * DPI, facecolor=self.paper)
            size = (round(self.width * scale), round(self.height * scale))
            return Image.frombytes("RGBA", size, file.getvalue()).convert("RGB")


def as_webp(picture: Image.Image) -> bytes:
    """A compressed picture.

    Method 2 takes half the time of the default for 5 % more bytes of the same quality.
    """
    with BytesIO() as file:
        picture.save(file, format="webp", quality=85, method=2)
        return file.getvalue()


GREY = LinearSegmentedColormap.from_list("grey", ["#000000", "#b8b8b8"])
"""Black to a light grey that leaves room for colour on top."""
HEAT = colormaps["inferno"]
"""Black, violet, red, orange, pale yellow in even steps of lightness."""


def draw_values(panel: Panel, plane: Plane, colours: Colormap, low: float, high: float) -> None:
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


def in_bytes(colours: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Colours from 0 to 1 as bytes."""
    return np.asarray(np.rint(255.0 * colours), dtype=np.uint8)


def draw_outline(
    panel: Panel, plane: Plane, level: float, colour: str, shortest_mm: float = 60.0, *, dashed: bool = False
) -> None:
    """Draw a thin line where a plane crosses a level, without loops shorter than `shortest_mm` (vessels)."""
    values = np.ma.masked_array(plane.values, ~plane.known)
    for line in contour_generator(plane.across_mm, plane.upward_mm, values).lines(level):
        points = np.asarray(line)
        if np.linalg.norm(np.diff(points, axis=0), axis=1).sum() >= shortest_mm:
            panel.line(points, colour, linewidth=1.2, linestyle=(0, (3, 2)) if dashed else "-")
