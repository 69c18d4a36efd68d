"""Pictures of a comparison: registered maps, corrected images and polar maps, method by method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import wrap

import numpy as np

from mureg.assessment.move import HEART_RADIUS_MM
from mureg.cohort.store.cohort import read_case
from mureg.comparison.images import Images
from mureg.comparison.markdown import name_of
from mureg.comparison.protocol import Comparison
from mureg.comparison.rows import Measurement, MethodRow
from mureg.errors import MuregError
from mureg.geometry import Volume
from mureg.geometry.rigid import Triple
from mureg.heart.axis import axis_from_image, axis_from_wall
from mureg.heart.polar import PolarMap, polar_map, segment_error_percent
from mureg.report.pictures.bullseye import draw_bullseye
from mureg.report.pictures.canvas import Canvas, draw_glow, draw_outline, draw_values
from mureg.report.pictures.chest import LUNG_EDGE_PER_CM, smoothed
from mureg.report.pictures.colours import AFTER, CAUTION, FAINT, GREY, HEAT, ColourScale
from mureg.report.pictures.planes import VIEWS, plane

# what is shown: a chest without arms, and a heart with what lies beside it
_CHEST_MM: Triple = (380.0, 280.0, 280.0)
_HEART_MM: Triple = (150.0, 150.0, 150.0)

# the page in pixels, a display choice, as are the numbers of its texts below
_LABEL, _LABEL_LETTERS = 250, 20
_TOP, _MARGIN, _GAP = 92, 18, 6
_MAP_PER_MM = 0.66
_HEART_SIDE = 150
_POLAR_SIDE, _POLAR_COLUMNS = 250, 4

_DIFFERENCE = 0.15
"""Ends of the colours, share of the brightest: the most that a shift of 7 mm changes (Matsunari et al., 1998)."""
_USE = "research use only: not for diagnosis"
_COLD_HOT = ColourScale.between(
    ["053061", "2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b", "67001f"]
)
"""Blue, white, red: "RdBu" of ColorBrewer by Cynthia Brewer, reversed."""


@dataclass(frozen=True, eq=False)
class FigureCase:
    """One case with its rows, ready to be drawn.

    Attributes:
        title: cohort and case.
        images: its maps and corrected images.
        rows: one for each method, in order.
        heart_mm: where the planes cross.
    """

    title: str
    images: Images
    rows: tuple[MethodRow, ...]
    heart_mm: Triple


def comparison_figures(comparison: Comparison, measurement: Measurement, folder: Path, n: int) -> list[Path]:
    """Draw the first `n` cases of each cohort.

    For each case: the registered maps under the SPECT, as Figure 3 of Chen et al., MICCAI 2022; where corrected images
    were measured, those and their difference from the reference, as Figure 4, and their polar maps. Pictures that are
    there are kept when nothing new was measured.

    Returns:
        The files, each written whole or not at all.
    """
    drawings: list[Path] = []
    for cohort in dict.fromkeys(name for name, _ in comparison.folders):
        cases = [case for name, case in comparison.folders if name == cohort][:n]
        for case in cases:
            rows = tuple(row for row in comparison.rows if (row.cohort, row.case) == (cohort, case))
            with_images = all(row.images == "done" for row in rows)
            kinds = ("maps", "corrected", "polar") if with_images else ("maps",)
            paths = [folder / f"{cohort}-{case}-{kind}.png" for kind in kinds]
            if comparison.measured or not all(path.exists() for path in paths):
                _draw(comparison.folders[cohort, case], rows, measurement, paths)
            drawings += [path for path in paths if path.exists()]
    return drawings


def _draw(case_folder: Path, rows: tuple[MethodRow, ...], measurement: Measurement, paths: list[Path]) -> None:
    case = read_case(case_folder)
    try:
        images = Images.of(case, measurement.attenuation, measurement.reconstructor, measurement.physics)
    except MuregError:  # a case without a map has nothing to show
        return
    wall = case.truth.lv_wall
    weights = wall.values.astype(np.float64)
    x, y, z = case.truth.heart_points_mm.mean(0)
    if weights.sum() > 0:
        x, y, z = np.average(wall.grid.points(np.argwhere(weights > 0)), axis=0, weights=weights[weights > 0])
    figure_case = FigureCase(f"{rows[0].cohort}, {case.name}", images, rows, (float(x), float(y), float(z)))
    maps_picture(figure_case).save(paths[0])
    if len(paths) == 1:
        return
    corrected_picture(figure_case).save(paths[1])
    try:
        polar_picture(figure_case, measurement.axis).save(paths[2])
    except MuregError:  # no axis: the other pictures stand
        return


def maps_picture(figure_case: FigureCase) -> Canvas:
    """The uncorrected SPECT over each method's map, three planes through the left ventricle."""
    case, rows = figure_case.images.case, figure_case.rows
    height = _CHEST_MM[1] * _MAP_PER_MM
    widths = [_CHEST_MM[view.across] * _MAP_PER_MM for view in VIEWS]
    canvas = _paper(figure_case, "Registered attenuation maps on SPECT", sum(widths) + 2 * _GAP, len(rows), height)
    canvas.text(
        _MARGIN, 46, "colour: uncorrected SPECT     grey: the map     green: edge of its lungs and body", color=FAINT
    )
    canvas.text(_MARGIN, 66, "yellow: the same edge of the true map     dark blue: outside the CT", color=FAINT)
    spect = smoothed(case.uncorrected)
    bright = _brightest(spect, figure_case.heart_mm)
    x, y, _ = spect.grid.centre_mm
    for number, row in enumerate(rows):
        top = _TOP + number * (height + _GAP)
        registered = figure_case.images.map_at(row.pose(case.truth.centre_mm))
        _label(canvas, row, top + height / 2, [f"heart {row.heart_mm:.1f} mm", f"µ-map NMSE {row.mu_nmse:.1f} %"])
        left = float(_LABEL)
        for view, width in zip(VIEWS, widths, strict=True):
            middle = [x, y, figure_case.heart_mm[2]]
            middle[view.through] = figure_case.heart_mm[view.through]
            at: Triple = (middle[0], middle[1], middle[2])
            panel = canvas.plane_panel((left, top, width, height), view, _CHEST_MM, at)
            map_plane = plane(registered, view, at, _CHEST_MM)
            draw_values(panel, map_plane, GREY, 0.0, 0.2)  # up to 0.2 1/cm: soft tissue (0.15) is light, bone white
            draw_glow(panel, plane(spect, view, at, _CHEST_MM), bright)
            draw_outline(panel, plane(case.truth.mu, view, at, _CHEST_MM), LUNG_EDGE_PER_CM, CAUTION)
            draw_outline(panel, map_plane, LUNG_EDGE_PER_CM, AFTER)
            left += width + _GAP
    return canvas


def corrected_picture(figure_case: FigureCase) -> Canvas:
    """The SPECT corrected with the true map and with each method's, and the difference, three planes of each."""
    case, side = figure_case.images.case, float(_HEART_SIDE)
    canvas = _paper(figure_case, "AC SPECT with each map", 6 * (side + _GAP) + 14, 1 + len(figure_case.rows), side)
    reference = figure_case.images.reference()
    bright = _brightest(smoothed(reference), figure_case.heart_mm)
    canvas.text(
        _MARGIN,
        46,
        "left: AC SPECT, 0 to the brightest in the heart of the reference     "
        f"right: less the reference, blue -{100 * _DIFFERENCE:.0f} % to red +{100 * _DIFFERENCE:.0f} % of that",
        color=FAINT,
    )
    canvas.text(_MARGIN, 66, "reference: reconstructed with the true map, averaged over the acquisition", color=FAINT)
    draw = partial(_heart_planes, canvas, figure_case.heart_mm)
    canvas.text(_MARGIN, _TOP + side / 2, "Reference", fontsize=13, fontweight="bold", va="center")
    draw(smoothed(reference), _TOP, _LABEL, HEAT, (0.0, bright))
    for number, row in enumerate(figure_case.rows, 1):
        top = _TOP + number * (side + _GAP)
        image = figure_case.images.corrected_at(row.pose(case.truth.centre_mm))
        difference = image.with_values(image.values - reference.values)
        _label(canvas, row, top + side / 2, [f"NMSE {row.ac_nmse:.2f} %", f"NMAE {row.ac_nmae:.2f} %"])
        draw(smoothed(image), top, _LABEL, HEAT, (0.0, bright))
        limit = _DIFFERENCE * bright
        draw(smoothed(difference), top, _LABEL + 3 * (_HEART_SIDE + _GAP) + 14, _COLD_HOT, (-limit, limit))
    return canvas


def polar_picture(figure_case: FigureCase, axis: str = "known") -> Canvas:
    """The 17 segments of each corrected image, in percent of its brightest segment.

    Raises:
        MuregError: no axis of the left ventricle.
    """
    case = figure_case.images.case
    reference = figure_case.images.reference()
    ventricle = axis_from_wall(case.truth.lv_wall) if axis == "known" else axis_from_image(reference).ventricle
    true = polar_map(reference, ventricle)
    panels: list[tuple[str, str, PolarMap]] = [("Reference", "true map", true)]
    for row in figure_case.rows:
        polar = polar_map(figure_case.images.corrected_at(row.pose(case.truth.centre_mm)), ventricle)
        panels.append((name_of(row.method), f"segment error {segment_error_percent(polar, true):.1f} %", polar))
    columns = min(_POLAR_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    cell = _POLAR_SIDE + 54
    canvas = Canvas(max(680, columns * (_POLAR_SIDE + 24) + _MARGIN), _TOP + lines * cell + 36)
    _title(canvas, figure_case, "Polar maps of the AC SPECT")
    canvas.text(_MARGIN, 46, "relative uptake of the 17 segments, percent of the brightest", color=FAINT)
    canvas.text(_MARGIN, 66, "below it the difference from the reference where that is 3 or more", color=FAINT)
    for number, (name, caption, polar) in enumerate(panels):
        left = _MARGIN + (number % columns) * (_POLAR_SIDE + 24)
        top = _TOP + (number // columns) * cell
        canvas.text(
            left + _POLAR_SIDE / 2, top, name, ha="center", fontweight="bold", fontsize=min(11.0, 400.0 / len(name))
        )
        canvas.text(left + _POLAR_SIDE / 2, top + 18, caption, ha="center", color=FAINT, fontsize=10)
        draw_bullseye(
            canvas, (left, top + 36, _POLAR_SIDE, _POLAR_SIDE), polar.relative, None if polar is true else true.relative
        )
    return canvas


def _paper(figure_case: FigureCase, title: str, width: float, rows: int, row_height: float) -> Canvas:
    canvas = Canvas(round(_LABEL + width + _MARGIN), round(_TOP + rows * (row_height + _GAP) + 30))
    _title(canvas, figure_case, title)
    return canvas


def _title(canvas: Canvas, figure_case: FigureCase, title: str) -> None:
    canvas.text(_MARGIN, 14, title, fontsize=16, fontweight="bold")
    canvas.text(canvas.width - _MARGIN, 18, figure_case.title, ha="right", color=FAINT)
    canvas.text(canvas.width - _MARGIN, canvas.height - 10, _USE, ha="right", va="bottom", color=FAINT)


def _label(canvas: Canvas, row: MethodRow, middle: float, lines: Sequence[str]) -> None:
    """Name of the method and a few words, beside its panels."""
    parts = name_of(row.method).replace(" (", "\n(", 1).splitlines()
    name = "\n".join(line for part in parts for line in wrap(part, _LABEL_LETTERS))
    canvas.text(_MARGIN, middle - 6, name, fontsize=13, fontweight="bold", va="bottom", linespacing=1.15)
    failure_lines = ["failed: unregistered"] if row.failed else []
    canvas.text(_MARGIN, middle + 2, "\n".join([*failure_lines, *lines]), color=FAINT, linespacing=1.35)


def _heart_planes(
    canvas: Canvas,
    heart_mm: Triple,
    volume: Volume,
    top: float,
    left: float,
    colours: ColourScale,
    window: tuple[float, float],
) -> None:
    for column, view in enumerate(VIEWS):
        box = (left + column * (_HEART_SIDE + _GAP), top, float(_HEART_SIDE), float(_HEART_SIDE))
        panel = canvas.plane_panel(box, view, _HEART_MM, heart_mm)
        draw_values(panel, plane(volume, view, heart_mm, _HEART_MM), colours, *window)


def _brightest(spect: Volume, heart_mm: Triple) -> float:
    """The brightest value near the left ventricle, what lies well below it left out; 1 where all is dark."""
    offset = spect.grid.points(np.indices(spect.grid.shape).transpose(1, 2, 3, 0)) - np.asarray(heart_mm)
    # 30 mm below the middle, about an outer radius of the ventricle, liver and gut begin; chosen
    near = (np.linalg.norm(offset, axis=-1) < HEART_RADIUS_MM) & (offset[..., 2] > -30.0)
    return float(spect.values[near].max(initial=0.0)) or 1.0
