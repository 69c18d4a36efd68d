"""The map on the SPECT before and after, three planes fused, and a checkerboard of both."""

from __future__ import annotations

from mureg.assessment.result import Assessment
from mureg.geometry import Volume
from mureg.geometry.rigid import Triple
from mureg.heart.find import HeartLocation
from mureg.report.pictures.canvas import Canvas, draw_outline
from mureg.report.pictures.chest import (
    LUNG_EDGE_PER_CM,
    brightest_in_heart,
    chest_centre,
    draw_checkerboard,
    draw_fused,
    smoothed,
)
from mureg.report.pictures.colours import AFTER, BEFORE
from mureg.report.pictures.panel import Panel
from mureg.report.pictures.planes import CORONAL, TRANSAXIAL, VIEWS, PlaneView, plane

WIDTH = 748
"""Of every picture of the report: 190 mm of paper at 100 pixels an inch."""
FUSED_HEIGHT, CHECKERBOARD_HEIGHT = 418, 142
"""Of what is drawn, pixels, by the sizes below; rounded up."""

_SIZE_MM: Triple = (380.0, 260.0, 260.0)
"""Most chests without arms (docs/concepts/virtual-patients.md: 290 to 400 mm wide); chosen by eye."""
_GAP, _TITLE = 6, 17  # pixels between panels, and for the line above them
_BEFORE, _AFTER = "Before: the map at its scanner position", "After: the map at the pose given out"
_WITHHELD = "Pose found, not given out"


def name(canvas: Canvas, left: float, bottom: float, words: str) -> None:
    """Write into the lower left corner of a dark panel."""
    canvas.text(
        left + 5,
        bottom - 4,
        words,
        fontsize=6.5,
        va="bottom",
        color="white",
        zorder=20,
        halo=2.0,
    )


class ChestPicture:
    """The emission and the maps of one run, made ready once and drawn wherever they are wanted."""

    def __init__(self, assessment: Assessment) -> None:
        self._maps = (assessment.mu_header, assessment.shown.mu)
        self._spect = smoothed(assessment.spect_uncorrected)
        self._rows = (_BEFORE, _WITHHELD if assessment.withheld else _AFTER)
        self._boards = ("Checkerboard, before", _WITHHELD if assessment.withheld else "Checkerboard, after")
        self.heart = HeartLocation(assessment.heart.centre_mm, 1.0)  # where the decision measured the move
        self._bright = brightest_in_heart(self._spect, self.heart)

    def fused(self, canvas: Canvas, left: float, top: float) -> None:
        """Draw two rows, before and after: transaxial, coronal and sagittal planes through the left ventricle."""
        per_mm = (WIDTH - 2 * _GAP) / sum(_SIZE_MM[view.across] for view in VIEWS)
        height = _SIZE_MM[1] * per_mm
        for row, (mu, title, colour) in enumerate(zip(self._maps, self._rows, (BEFORE, AFTER), strict=True)):
            y = top + row * (_TITLE + height + 4)
            canvas.text(left, y, title, fontsize=8.5, fontweight="bold")
            x = left
            for view in VIEWS:
                width = _SIZE_MM[view.across] * per_mm
                at = chest_centre(self._spect, self.heart, view)
                panel = canvas.plane_panel((x, y + _TITLE, width, height), view, _SIZE_MM, at)
                cuts = plane(mu, view, at, _SIZE_MM), plane(self._spect, view, at, _SIZE_MM)
                draw_fused(panel, *cuts, self._bright, colour, dashed=row == 0)
                if row == 1:
                    self._draw_before(panel, view, at)
                name(canvas, x, y + _TITLE + height, view.name)
                x += width + _GAP

    def checkerboard(self, canvas: Canvas, left: float, top: float) -> None:
        """Draw squares of map and emission in turn: transaxial and coronal, before and after (or at the pose found)."""
        width = (WIDTH - 3 * _GAP) / 4
        height = _SIZE_MM[1] * width / _SIZE_MM[0]
        x = left
        for view in (TRANSAXIAL, CORONAL):
            at = chest_centre(self._spect, self.heart, view)
            spect = plane(self._spect, view, at, _SIZE_MM)
            for mu, title in zip(self._maps, self._boards, strict=True):
                canvas.text(x, top, title, fontsize=7.5, fontweight="bold")
                panel = canvas.plane_panel((x, top + _TITLE - 2, width, height), view, _SIZE_MM, at)
                draw_checkerboard(panel, plane(mu, view, at, _SIZE_MM), spect, self._bright)
                name(canvas, x, top + _TITLE - 2 + height, view.name)
                x += width + _GAP

    def _draw_before(self, panel: Panel, view: PlaneView, at: Triple) -> None:
        header: Volume = self._maps[0]
        draw_outline(panel, plane(header, view, at, _SIZE_MM), LUNG_EDGE_PER_CM, BEFORE, dashed=True)
