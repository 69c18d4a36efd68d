"""The bull's eye of 17 segments, apex in the middle, anterior wall at the top, septum at the left."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.colours import BACKGROUND, CAUTION, FAINT, HEAT
from mureg.report.pictures.marks import Place

_RADII = (1.0, 0.76, 0.52, 0.26)
"""Outer radii of the basal, middle and apical ring and of the apex: rings of about equal width."""
_WORTH_SAYING = 3.0
"""Points of difference that are written: less is below what changes a reading (5 points); chosen by eye."""
# places of the names of the walls, as shares of the picture, just outside the map
_WALLS = ((0.5, 0.985, "anterior"), (0.5, 0.015, "inferior"), (0.015, 0.5, "septal"), (0.985, 0.5, "lateral"))


def wedges() -> list[tuple[float, float, float, float]]:
    """Inner and outer radius, first and last angle of each segment, degrees counter-clockwise from the right."""
    places = []
    for ring, sectors in enumerate((6, 6, 4)):
        width = 360.0 / sectors
        for sector in range(sectors):
            middle = 90.0 + sector * width  # from the anterior wall at the top to the septum at the left
            places.append((_RADII[ring + 1], _RADII[ring], middle - width / 2, middle + width / 2))
    return [*places, (0.0, _RADII[3], 0.0, 360.0)]


def sector(inner: float, outer: float, first: float, last: float) -> Float[np.ndarray, "point 2"]:
    """The edge of a segment, or of a disc where it goes all around; angles in degrees, counter-clockwise."""
    angles = np.radians(np.linspace(first, last, max(2, round(last - first) + 1)))
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return outer * arc if last - first >= 360.0 else np.concatenate([outer * arc, inner * arc[::-1]])


def draw_bullseye(
    canvas: Canvas, box: Place, relative: Float[np.ndarray, " 17"], reference: Float[np.ndarray, " 17"] | None = None
) -> None:
    """Draw relative uptake in percent, and in small what it differs from a reference by where that is much."""
    panel = canvas.panel(box, (-1.16, 1.16), (-1.16, 1.16))
    for number, (inner, outer, first, last) in enumerate(wedges()):
        value = float(relative[number])
        colour = HEAT(0.05 + 0.9 * np.clip(value / 100.0, 0.0, 1.0))
        panel.area(sector(inner, outer, first, last), colour, BACKGROUND, 1.5)
        angle, radius = np.radians((first + last) / 2), (inner + outer) / 2 if inner else 0.0
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        # above 55 % the colour is bright enough for black letters; chosen by eye
        ink = "black" if value > 55.0 else "white"
        off = 0.0 if reference is None else value - float(reference[number])
        marked = abs(off) >= _WORTH_SAYING
        panel.text(x, y + (0.045 if marked else 0.0), f"{value:.0f}", color=ink, fontsize=9)
        if marked:
            sign = "#0b3d91" if value > 55.0 else CAUTION
            panel.text(x, y - 0.065, f"{off:+.0f}", color=sign, fontsize=7.5, fontweight="bold")
    for x, y, wall in _WALLS:
        turned = 90 if y == 0.5 else 0
        panel.text(x, y, wall, in_shares=True, color=FAINT, fontsize=8, rotation=turned)
