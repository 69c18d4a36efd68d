"""A page of the report as an archive carries it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.colours import CAUTION

_BANNER = "RESEARCH USE ONLY: NOT FOR DIAGNOSIS"
_BANNER_PIXELS = 44
"""Height of the line: its letters (17 points, 24 pixels) with ten pixels above and below."""


def captioned(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A page, red, green, blue [row, column, 3], under a line that says what it is not for."""
    banner = Canvas(pixels.shape[1], _BANNER_PIXELS)
    banner.text(pixels.shape[1] / 2, 10, _BANNER, ha="center", fontsize=17, fontweight="bold", color=CAUTION)
    return np.vstack([banner.pixels(), pixels])
