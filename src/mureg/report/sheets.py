"""The report on sheets of A4, printed by matplotlib: no browser and no fonts of the machine are needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mureg
from mureg.report.columns import BOTTOM, INK, PAPER, Column, Rest, rule, wrapped
from mureg.report.contents import Contents
from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.chest_picture import WIDTH

MOST_REASONS = 3
"""As many reasons as find room beside the table of the shift."""

_MOST_LINES_OF_REASON = 4
"""Of the decision on a sheet, so that the rest of the page stays in its place; chosen by eye."""
_A4 = (827, 1169)
"""A4 at 100 dpi, pixels."""
_LEFT, _TOP = 39.5, 30.0
"""Margins in pixels: the pictures stand in the middle of the sheet; 10 and 8 mm, which printers can print."""
_FAINT = "#50575f"
_TONES = {"aligned": "#17663a", "moved": "#0b4f9e", "by-hand": "#0b4f9e", "review": "#8a4b00"}
_WASHES = {"aligned": "#e9f5ed", "moved": "#eaf2fb", "by-hand": "#eaf2fb", "review": "#fff4dc"}
_COLUMN = (WIDTH - 24) / 2  # of two, 24 pixels apart

Pictures = dict[str, tuple[int, Callable[[Canvas, float, float], None]]]


def write_sheets(contents: Contents, pictures: Pictures, path: Path) -> None:
    """Write a PDF of two pages, whole or not at all.

    Words that do not fit are left out and counted; report.html has them all.

    Args:
        contents: the words.
        pictures: height and drawing by name, as for the page.
        path: where to.
    """
    from mureg.report.printed import write_pdf  # loads matplotlib, which a report without PDF does not need

    rest = Rest("in report.html")
    sheets = _numbered([_first(contents, pictures, rest), _second(contents, pictures, rest)])
    write_pdf(sheets, path, contents.headline, contents.use)


def archive_sheets(contents: Contents, pictures: Pictures) -> list[Canvas]:
    """The two pages; what does not fit on them stands on further ones, since an archive has no other file of the run.

    Args:
        contents: the words.
        pictures: height and drawing by name, as for the page.
    """
    rest = Rest("on page 3")
    sheets = [_first(contents, pictures, rest), _second(contents, pictures, rest)]
    while rest.sentences:
        further = Rest(f"on page {len(sheets) + 2}")
        sheet, y = _sheet("Continued from the pages before", contents)
        Column(sheet, _LEFT, y, WIDTH).bullets(rest.sentences, 8.0, rest=further)
        if len(further.sentences) == len(rest.sentences):  # one that fills more than a page
            break
        sheets, rest = [*sheets, sheet], further
    return _numbered(sheets)


def _numbered(sheets: list[Canvas]) -> list[Canvas]:
    """The sheets with their numbers in the foot."""
    for number, sheet in enumerate(sheets, start=1):
        sheet.text(_LEFT, BOTTOM + 4, f"page {number} of {len(sheets)}", fontsize=7, fontweight="bold")
    return sheets


def _first(contents: Contents, pictures: Pictures, rest: Rest) -> Canvas:
    canvas, y = _sheet("Attenuation map on cardiac SPECT", contents)
    y = _decision(canvas, contents, y, rest)
    left = Column(canvas, _LEFT, y, _COLUMN + 40)
    left.heading(contents.move_title)
    edges = (0.0, 80.0, -255.0, -310.0, -(_COLUMN + 40))
    left.row(("Axis", "To where", "mm", "pixels", "interval"), edges, bold=(True,) * 5)
    for s in contents.shifts:
        cells = (s.axis, s.toward or "not moved", s.mm, s.pixels, s.interval)
        left.row(cells, edges, bold=(False, False, True, True, False))
    left.y += 2
    left.write(" ".join(contents.shift_notes), 6.5, colour=_FAINT)
    right = Column(canvas, _LEFT + _COLUMN + 64, y, _COLUMN - 40, y + 175)
    if contents.reasons:
        right.heading("Other checks")
        right.bullets(contents.reasons, 7.0, rest=rest)
    right.bottom = BOTTOM
    right.heading("Mismatch index, myocardium to mediastinum")
    parts = [f"{when} {index}{' (above the limit)' if above else ''}" for when, index, above in contents.mismatch]
    limit = f". The limit used is {contents.mismatch_limit}."
    right.write(", ".join(parts) + limit if parts else "Not available for this study.")
    y = max(left.y, right.y) + 8
    for name, caption in (
        (
            "fused",
            "Grey: attenuation map. Colour: uncorrected SPECT. Dashed: edge of lungs and body at the "
            f"scanner position; full line: {contents.line_shown}. The bright heart should lie inside the grey heart, "
            f"off the black lung. Dark blue: outside the map. {contents.filter_words}",
        ),
        (
            "checkerboard",
            "Checkerboard: squares show map and SPECT alternately; edges of the heart and body should continue from "
            "square to square.",
        ),
    ):
        y = _picture(canvas, pictures, name, caption, y)
    _warnings(canvas, contents, y, rest)
    return canvas


def _second(contents: Contents, pictures: Pictures, rest: Rest) -> Canvas:
    canvas, y = _sheet("The left ventricle, uncorrected and corrected", contents)
    if "hearts" in pictures:
        y = _picture(
            canvas,
            pictures,
            "hearts",
            f"Read the corrected images together with the uncorrected ones. {contents.filter_words}",
            y,
        )
        caption = (
            f"The last map is the {contents.map_shown} minus the map at the scanner position, in percentage points: "
            "orange more, violet less."
        )
        y = _picture(canvas, pictures, "polar", caption, y)
        left, right = Column(canvas, _LEFT, y, _COLUMN), Column(canvas, _LEFT + _COLUMN + 24, y, _COLUMN)
        left.heading("Territories, mean of their segments in percent")
        edges = (0.0, -135.0, -215.0, -290.0, -_COLUMN)
        left.row(("Artery", "uncorrected", "unregistered", contents.pose_shown, "change"), edges, bold=(True,) * 5)
        for t in contents.territories:
            left.row((t.name, t.uncorrected, t.header, t.registered, t.change), edges, bold=(False,) * 4 + (True,))
        right.heading(f"Segments that change by more than {contents.changed_limit}")
        right.write(", ".join(contents.changed) or "None.", 7.0)
        right.write(contents.perfusion_note, 6.5, colour=_FAINT)
        y = max(left.y, right.y)
    else:
        column = Column(canvas, _LEFT, y, WIDTH)
        column.write(contents.perfusion_note, 9)
        y = column.y
    for number, (title, rows) in enumerate((("Acquisition", contents.facts), ("Provenance", contents.provenance))):
        column = Column(canvas, _LEFT + number * (_COLUMN + 24), y, _COLUMN)
        column.heading(title)
        column.pairs(rows, rest)
    return canvas


def _sheet(title: str, contents: Contents) -> tuple[Canvas, float]:
    """Paper with a head and a foot, and where the rest begins."""
    canvas = Canvas(*_A4, PAPER, INK)
    canvas.text(_LEFT, _TOP, title, fontsize=9, fontweight="bold")
    canvas.text(_LEFT + WIDTH, _TOP, contents.use, fontsize=9, fontweight="bold", ha="right")
    rule(canvas, _LEFT, _TOP + 18, WIDTH)
    canvas.text(_LEFT + WIDTH, BOTTOM + 4, f"mureg {mureg.__version__}", fontsize=6, color=_FAINT, ha="right")
    head = Column(canvas, _LEFT, _TOP + 22, WIDTH)
    if contents.patient:
        head.write(contents.patient, 8.5, bold=True)
    head.write(contents.occasion, 7.5)
    return canvas, head.y + 4


def _decision(canvas: Canvas, contents: Contents, y: float, rest: Rest) -> float:
    tone, inside = _TONES[contents.decision], WIDTH - 44
    reason = wrapped(f"Reason: {contents.reason}", 9.5, inside)
    if len(reason) > _MOST_LINES_OF_REASON:
        rest.sentences.append(f"Reason: {contents.reason}")
        reason = [*reason[: _MOST_LINES_OF_REASON - 1], f"(the whole reason {rest.where})"]
    height = 66 + 17 * len(reason)
    for place, colour in (((_LEFT, y, WIDTH, height), _WASHES[contents.decision]), ((_LEFT, y, 14, height), tone)):
        canvas.box(place, colour)
    canvas.text(_LEFT + 28, y + 6, f"{contents.sign} {contents.headline}", fontsize=20, fontweight="bold", color=tone)
    canvas.text(_LEFT + 28, y + 40, contents.meaning, fontsize=10.5, fontweight="bold")
    for number, line in enumerate(reason):
        canvas.text(_LEFT + 28, y + 60 + 17 * number, line, fontsize=9.5)
    return y + height


def _picture(canvas: Canvas, pictures: Pictures, name: str, caption: str, y: float) -> float:
    height, draw = pictures[name]
    draw(canvas, _LEFT, y)
    column = Column(canvas, _LEFT, y + height + 2, WIDTH)
    column.write(caption, 6.5, colour=_FAINT)
    return column.y + 4


def _warnings(canvas: Canvas, contents: Contents, y: float, rest: Rest) -> None:
    """In two columns, the second where the first has ended."""
    head = Column(canvas, _LEFT, y, WIDTH)
    head.heading(f"Warnings ({len(contents.warnings)})")
    size, half = 6.5, (len(contents.warnings) + 1) // 2
    left, right = (Column(canvas, _LEFT + n * (_COLUMN + 24), head.y, _COLUMN) for n in (0, 1))
    written = left.bullets(contents.warnings[:half], size)
    right.bullets(contents.warnings[written:], size, rest=rest)
    if not contents.warnings:
        head.write("None.")
