"""The polar maps of one run: three images and what the registration changed."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mureg.assessment.result import Perfusion
from mureg.report.pictures.bullseye import sector, wedges
from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.chest_picture import WIDTH
from mureg.report.pictures.colours import COLD_HOT, HEAT
from mureg.report.pictures.panel import Panel

HEIGHT = 218
"""Of what is drawn, pixels, by the sizes below; rounded up."""

_GAP, _TITLE = 8, 34  # pixels between the maps, and for the two lines above
_LIMIT = 1.13  # of the axes: the names of the walls stand at 1.07
_MOST = 20.0  # points of change at the ends of the colours, four times what counts as changed; chosen by eye
# places in radii of the map, name, angle of the letters
_WALLS = (
    (0.0, 1.07, "anterior", 0),
    (0.0, -1.07, "inferior", 0),
    (-1.07, 0.0, "septal", 90),
    (1.07, 0.0, "lateral", 270),
)
_NAMES = (
    ("Uncorrected", "percent of its brightest segment"),
    ("Corrected, scanner position", "percent of its brightest segment"),
    ("Corrected, map registered", "percent of its brightest segment"),
    ("Change by the registration", "points; thick edge: more than 5"),
)
# 5 points: `Thresholds.changed_percent`
_NAMES_WITHHELD = (
    *_NAMES[:2],
    ("Pose found, not given out", "corrected there; percent of its brightest"),
    ("Change by the pose found", "points; thick edge: more than 5"),
)

Segments = Float[np.ndarray, " 17"]


def draw_polar_maps(canvas: Canvas, left: float, top: float, perfusion: Perfusion, *, withheld: bool = False) -> None:
    """Draw four bull's eyes: anterior wall at the top, septum at the left, inferior below, lateral at the right.

    The first three in percent of each image's brightest segment; the fourth is the third less the second, in points,
    with a thick edge around the segments of `perfusion.changed`. Where the pose is `withheld`, the titles say that it
    is shown and not given out.
    """
    maps = [one.relative for one in (perfusion.uncorrected, perfusion.header, perfusion.registered)]
    side = (WIDTH - 3 * _GAP) / 4
    for column, (name, caption) in enumerate(_NAMES_WITHHELD if withheld else _NAMES):
        x = left + column * (side + _GAP)
        canvas.text(x + side / 2, top + 2, name, fontsize=8, fontweight="bold", ha="center")
        canvas.text(x + side / 2, top + 18, caption, fontsize=7, ha="center")
        panel = canvas.panel((x, top + _TITLE, side, side), (-_LIMIT, _LIMIT), (-_LIMIT, _LIMIT))
        if column < 3:
            _draw(panel, maps[column], [HEAT(0.05 + 0.9 * value / 100.0) for value in np.clip(maps[column], 0, 100)])
        else:
            change = maps[2] - maps[1]
            colours = [COLD_HOT(0.5 + 0.5 * value / _MOST) for value in np.clip(change, -_MOST, _MOST)]
            _draw(panel, change, colours, "+.0f", perfusion.changed)
        for across, up, wall, turn in _WALLS:
            panel.text(across, up, wall, fontsize=6, rotation=turn, color=canvas.ink)


def _draw(
    panel: Panel, values: Segments, colours: list[tuple[float, ...]], style: str = ".0f", marked: tuple[int, ...] = ()
) -> None:
    """Fill the segments and write their values; those marked (1 to 17) last, so that no neighbour covers their edge."""
    places = wedges()
    for number in sorted(range(len(places)), key=lambda number: number + 1 in marked):
        inner, outer, first, last = places[number]
        thick = number + 1 in marked
        edge, width = ("black", 1.5) if thick else ("white" if style == ".0f" else "#666666", 0.8)
        radius, angle = (inner + outer) / 2 if inner else 0.0, np.radians((first + last) / 2)
        shrunk = 0.010 if thick else 0.0
        panel.area(sector(inner + shrunk if inner else 0.0, outer - shrunk, first, last), colours[number], edge, width)
        words = f"{values[number]:{style}}".replace("-", "−").replace("+0", "0").replace("−0", "0")
        lightness = float(np.dot(colours[number][:3], (0.299, 0.587, 0.114)))
        panel.text(
            radius * np.cos(angle),
            radius * np.sin(angle),
            words,
            color="black" if lightness > 0.5 else "white",
            fontsize=7 if style == ".0f" else 6 if len(words) < 3 else 5.4,
        )
