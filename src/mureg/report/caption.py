"""The quality picture as a DICOM report carries it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.image import imread

from mureg.report.canvas import CAUTION, Canvas

_BANNER = "RESEARCH USE ONLY: NOT FOR DIAGNOSIS"
_BANNER_PIXELS = 44


def captioned(picture: Path) -> npt.NDArray[np.uint8]:
    """A PNG as red, green, blue [row, column, 3], under a line that says what it is not for."""
    pixels = np.rint(imread(picture)[..., :3] * 255).astype(np.uint8)
    banner = Canvas(pixels.shape[1], _BANNER_PIXELS)
    banner.text(pixels.shape[1] / 2, 10, _BANNER, ha="center", fontsize=17, fontweight="bold", color=CAUTION)
    return np.vstack([banner.pixels(), pixels])
