"""Pictures: does the map lie on the heart, and what did the correction change?"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mureg.assessment.result import Assessment
from mureg.geometry import Quantity, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.find import HeartLocation, find_left_ventricle
from mureg.report.conclusion import pixels
from mureg.report.pictures.canvas import Canvas, draw_values
from mureg.report.pictures.chest import brightest_in_heart, chest_centre, display_filter, draw_fused, smoothed
from mureg.report.pictures.colours import AFTER, BEFORE, CAUTION, FAINT, GREY, HEAT
from mureg.report.pictures.planes import VIEWS, plane
from mureg.report.wording import corrected_for, shortened

_CHEST_MM: Triple = (380.0, 280.0, 280.0)
"""Most chests without arms (docs/concepts/virtual-patients.md: 290 to 400 mm wide); chosen by eye."""
_HEART_MM: Triple = (160.0, 160.0, 160.0)
"""The heart and what touches it: a ventricle is 70 to 90 mm long (docs/concepts/anatomies.md); chosen by eye."""
_WORDS = {
    "aligned": "the map stays at its scanner position",
    "moved": "the map was moved",
    "review": "check this one",
    "by-hand": "the pose was set by a reader",
}


@dataclass(frozen=True)
class _Layout:
    """Sizes and positions of the parts of the picture, in pixels."""

    width: int = 1500
    height: int = 1300
    margin: int = 20
    left: int = 62
    gap: int = 8
    chest_top: int = 66
    per_mm: float = 1.352
    heart_top: int = 866
    heart_side: int = 196


def quality_picture(assessment: Assessment, path: Path) -> None:
    """Draw the overview picture of a result.

    Rows: the uncorrected SPECT in colour over the attenuation map at the scanner position, and over the registered map,
    each with the outlines of that map's lungs and body; uncorrected against corrected SPECT; the shift in words.
    All planes go through the left ventricle.

    Args:
        assessment: of one run; without a corrected image its row says so.
        path: a PNG; written whole or not at all.
    """
    compose_quality(assessment).save(path)


def compose_quality(assessment: Assessment) -> Canvas:
    """The quality picture before it is written; see `quality_picture`."""
    layout = _Layout()
    canvas = Canvas(layout.width, layout.height)
    shown = assessment.shown
    heart = HeartLocation(assessment.heart.centre_mm, 1.0)  # where the decision measured the move
    canvas.text(layout.left, 16, "Attenuation map on SPECT", fontsize=17, fontweight="bold")
    filtered = display_filter(assessment.spect_uncorrected.grid)
    legend = f"colour: uncorrected SPECT ({filtered})     grey: map     line: edge of its lungs and body"
    if assessment.mu_header.outside is not None or shown.mu.outside is not None:
        legend += "     dark blue: outside the map"
    canvas.text(
        layout.width - layout.margin,
        22,
        legend,
        ha="right",
        color=FAINT,
    )
    uncorrected = smoothed(assessment.spect_uncorrected)
    corrected = None if shown.spect is None else smoothed(shown.spect)
    _chest_row(canvas, layout, 0, (assessment.mu_header, "BEFORE  (scanner position)"), uncorrected, heart, BEFORE)
    after = "FOUND  (not given out)" if assessment.withheld else "AFTER  (pose given out)"
    _chest_row(canvas, layout, 1, (shown.mu, after), uncorrected, heart, AFTER)
    _heart_row(canvas, layout, 0, "UNCORRECTED", uncorrected, heart)
    where = "\n(pose found)" if assessment.withheld else ""
    _heart_row(canvas, layout, 1, f"CORRECTED{where}", corrected, heart)
    _words(canvas, layout, assessment, heart)
    return canvas


def _chest_row(
    canvas: Canvas,
    layout: _Layout,
    row: int,
    named_mu: tuple[Volume, str],
    spect: Volume,
    heart: HeartLocation,
    colour: str,
) -> None:
    mu, label = named_mu
    height = _CHEST_MM[1] * layout.per_mm
    top = layout.chest_top + row * (height + layout.gap + 6)
    canvas.text(
        34, top + height / 2, label, color=colour, fontsize=14, fontweight="bold", rotation=90, va="center", ha="center"
    )
    bright = brightest_in_heart(spect, heart)
    left = float(layout.left)
    for view in VIEWS:
        at = chest_centre(spect, heart, view)
        width = _CHEST_MM[view.across] * layout.per_mm
        panel = canvas.plane_panel((left, top, width, height), view, _CHEST_MM, at)
        draw_fused(panel, plane(mu, view, at, _CHEST_MM), plane(spect, view, at, _CHEST_MM), bright, colour)
        left += width + layout.gap


def _heart_row(
    canvas: Canvas, layout: _Layout, row: int, label: str, spect: Volume | None, heart: HeartLocation
) -> None:
    side, gap = layout.heart_side, layout.gap
    top = layout.heart_top + row * (side + gap)
    canvas.text(34, top + side / 2, label, rotation=90, va="center", ha="center", fontweight="bold")
    if spect is None:
        canvas.text(layout.left, top + side / 2, "no corrected image was made", color=FAINT, va="center")
        return
    bright = brightest_in_heart(spect, heart)
    for column, view in enumerate(VIEWS):
        box = (layout.left + column * (side + gap), top, side, side)
        panel = canvas.plane_panel(box, view, _HEART_MM, heart.centre_mm)
        draw_values(panel, plane(spect, view, heart.centre_mm, _HEART_MM), HEAT, 0.0, bright)


def _words(canvas: Canvas, layout: _Layout, assessment: Assessment, heart: HeartLocation) -> None:
    registration, grid = assessment.registration, assessment.spect_uncorrected.grid
    move = assessment.move_found if assessment.withheld else assessment.move
    large = move.rms_mm > assessment.limits.action_limit_mm
    x = layout.left + 3 * (layout.heart_side + layout.gap) + 30.0
    y = float(layout.heart_top)
    colour = CAUTION if assessment.decision == "review" else AFTER
    canvas.text(
        x,
        y - 6,
        f"{assessment.decision.upper()}: {_WORDS[assessment.decision]}",
        fontsize=19,
        fontweight="bold",
        color=colour,
    )
    wrapped = textwrap.wrap(shortened(assessment.reason, 164), 84)
    canvas.text(x, y + 28, "\n".join(wrapped), fontsize=10.5, linespacing=1.25)
    y += 28 + 18 * len(wrapped) + 8
    verb = "Pose found, not given out:" if assessment.withheld else "Map moved"
    title = (
        f"{verb} {move.rms_mm:.1f} mm = {pixels(move, grid):.1f} pixels at the heart, turned by {move.turn_deg:.1f}°"
    )
    if move.rms_mm == 0.0:
        title = "Map not moved"
    size = 12 if assessment.withheld else 14  # the longer words must end inside the picture
    canvas.text(x, y, title, fontsize=size, fontweight="bold", color=CAUTION if large else AFTER)
    lines = [
        f"{abs(mm):.1f} mm {toward} ({abs(mm) / spacing:.1f} pixels)"
        for mm, toward, spacing in zip(move.mean_mm, move.toward, grid.spacing_mm, strict=True)
    ]
    for number, line in enumerate(lines):
        canvas.text(x, y + 26 + 21 * number, line, fontsize=12)
    y += 26 + 21 * len(lines) + 10
    bound = assessment.confidence
    if bound is not None:
        words = f"error of the pose found below {bound.heart_mm:.1f} mm at the heart (90 %)"
        canvas.text(x, y, words if bound.calibrated else f"{words}, not calibrated for these settings", fontsize=12)
        y += 28
    canvas.text(
        x,
        y,
        f"registrar {registration.registrar}, {registration.seconds:.1f} s",
        color=FAINT,
    )
    y += 20
    canvas.text(x, y, f"corrected for {corrected_for(assessment)}", color=FAINT)
    y += 28
    remarks = [remark for remark in (*assessment.warnings, heart.note) if remark]
    for remark in remarks[:2]:
        wrapped = textwrap.wrap(shortened(remark, 180), 94)
        canvas.text(x, y, "!", color=CAUTION, fontweight="bold")
        canvas.text(x + 14, y, "\n".join(wrapped), color=CAUTION, fontsize=10.5, linespacing=1.2)
        y += 20 * len(wrapped) + 4
    if len(remarks) > 2:
        canvas.text(x + 14, y, f"and {len(remarks) - 2} more in registration.json", color=CAUTION, fontsize=10.5)
    right, bottom = layout.width - layout.margin, layout.height - 14
    canvas.text(right, bottom, "research use only: not for diagnosis", ha="right", va="bottom", color=FAINT)


def thumbnail(volume: Volume, path: Path, centre_mm: Triple | None = None, title: str = "") -> None:
    """Draw three planes of a volume with orientation letters, for ``mureg inspect``.

    Args:
        volume: any quantity, on any grid; drawn along the patient panel, whole.
        path: a PNG; written whole or not at all.
        centre_mm: where the planes cross, LPS+; by default the left ventricle of an emission, where one is seen,
            and otherwise the centre of the grid.
        title: written above; the quantity, its unit and window follow it.
    """
    crossing = centre_mm or _default_crossing(volume)
    low, high = volume.quantity.window_low, volume.quantity.window_high
    if high is None:
        # one voxel in a thousand may be brighter than the scale
        high = float(np.quantile(volume.values, 0.999)) or float(volume.values.max())
    high = high if high > low else low + 1.0
    corners = volume.grid.corners_mm()
    x, y, z = np.ptp(corners, axis=0)
    size_mm: Triple = (float(x), float(y), float(z))
    middle_mm = (corners.min(axis=0) + corners.max(axis=0)) / 2
    height, margin, gap, top = 420.0, 16.0, 8.0, 52.0
    tallest = max(size_mm[1], size_mm[2])
    per_mm = min(height / tallest, 1500.0 / (2 * size_mm[0] + size_mm[1]))
    widths = [size_mm[view.across] * per_mm for view in VIEWS]
    canvas = Canvas(round(sum(widths) + 2 * gap + 2 * margin), round(tallest * per_mm + top + margin))
    canvas.text(margin, 16, title, fontsize=13, fontweight="bold")
    canvas.text(canvas.width - margin, 18, f"{volume.quantity.unit}, {low:.4g} to {high:.4g}", color=FAINT, ha="right")
    colours = HEAT if volume.quantity in (Quantity.COUNTS, Quantity.ACTIVITY) else GREY
    left = margin
    for view, width in zip(VIEWS, widths, strict=True):
        at = [float(value) for value in middle_mm]
        at[view.through] = crossing[view.through]
        centre: Triple = (at[0], at[1], at[2])
        panel = canvas.plane_panel((left, top, width, size_mm[view.upward] * per_mm), view, size_mm, centre)
        draw_values(panel, plane(volume, view, centre, size_mm, 1.0 / per_mm), colours, low, high)
        left += width + gap
    canvas.save(path)


def _default_crossing(volume: Volume) -> Triple:
    if volume.quantity in (Quantity.COUNTS, Quantity.ACTIVITY):
        heart = find_left_ventricle(volume)
        # below it there may be no ventricle at all; chosen
        if heart.confidence >= 0.3:
            return heart.centre_mm
    return volume.grid.centre_mm
