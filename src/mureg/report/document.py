"""The report of one run: a page for a browser that needs nothing beside itself, and the same for paper."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

import mureg
from mureg.assessment.result import Assessment
from mureg.files.atomic import writing
from mureg.io.dicom.secondary_capture import Pages
from mureg.jobs.threads import beside
from mureg.report.columns import INK, PAPER
from mureg.report.contents import Contents
from mureg.report.file_names import HTML, PDF
from mureg.report.occasion import Occasion
from mureg.report.pictures import heart_picture, polar_picture
from mureg.report.pictures.canvas import Canvas, as_webp
from mureg.report.pictures.caption import captioned
from mureg.report.pictures.chest_picture import CHECKERBOARD_HEIGHT, FUSED_HEIGHT, WIDTH, ChestPicture
from mureg.report.pictures.heart_picture import HeartPanels, draw_hearts
from mureg.report.pictures.polar_picture import draw_polar_maps
from mureg.report.sheets import MOST_REASONS, archive_sheets, write_sheets
from mureg.study import Study

PAGE_SCALE = 1.6
"""Pixels of an archived page for each of the canvas: an A4 page at 160 dpi, on which the smallest print is legible."""

_MOST_LETTERS, _FEWEST_LETTERS = 1950, 400
"""Of the warnings for which the first page of A4 has room, and that it shows whatever stands above; chosen by eye."""
_MOST_LETTERS_OF_REASONS = 450
"""Of the reasons for which it has room, above the pictures; chosen by eye."""

Draw = Callable[[Canvas, float, float], None]
"""Draws a picture whose top left corner is at a place of a canvas."""


def write_document(
    assessment: Assessment, study: Study, folder: Path, *, pdf: bool, patient: str, occasion: Occasion
) -> None:
    """Write ``report.html``, and ``report.pdf`` where that is wanted, each whole or not at all; see `AsReport`."""
    chest = ChestPicture(assessment)
    contents = Contents.of(assessment, study, patient, occasion)
    pictures = _pictures(assessment, chest)
    with writing(folder / HTML) as scratch:
        scratch.write_text(as_html(contents, pictures), "utf-8")
    if pdf:
        write_sheets(contents, pictures, folder / PDF)


def draw_pages(assessment: Assessment, study: Study, *, patient: str, occasion: Occasion) -> Pages:
    """The report as pictures for an archive, each under a line that says what it is not for; see `AsReport`."""
    chest = ChestPicture(assessment)
    contents = Contents.of(assessment, study, patient, occasion, archived=True)
    sheets = archive_sheets(contents, _pictures(assessment, chest))
    return Pages(tuple(captioned(sheet.pixels(PAGE_SCALE)) for sheet in sheets), bool(patient))


def as_html(contents: Contents, pictures: dict[str, tuple[int, Draw]]) -> str:
    """The page as one text with its pictures inside.

    Args:
        contents: the words.
        pictures: height and drawing by name: fused, checkerboard, and hearts and polar where there are some.
    """
    waiting = {name: _data_uri(height, draw) for name, (height, draw) in pictures.items()}
    drawn = {name: data_uri() for name, data_uri in waiting.items()}
    n_reasons = reasons_on_paper(contents.reasons)
    taken = len(contents.reason) + sum(len(words) for words in contents.reasons[:n_reasons])
    shown, dense = fitting(contents.warnings, taken)
    return _template().render(
        {"hearts": "", "polar": ""} | drawn,
        it=contents,
        n_reasons=n_reasons,
        n_warnings=shown,
        warning_size="6.6pt" if dense else "7.6pt",
        version=mureg.__version__,
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files("mureg.report").joinpath("template.html").read_text("utf-8"))


def reasons_on_paper(reasons: tuple[str, ...]) -> int:
    """How many reasons find room beside the table of the shift when the page is printed: at least the first."""
    total = 0
    for number, words in enumerate(reasons[:MOST_REASONS]):
        total += len(words)
        if number and total > _MOST_LETTERS_OF_REASONS:
            return number
    return min(len(reasons), MOST_REASONS)


def fitting(warnings: tuple[str, ...], taken: int = 0) -> tuple[int, bool]:
    """How many warnings find room on the first page, and whether they must be set small.

    Args:
        warnings: one sentence each.
        taken: letters of what stands above them.
    """
    room, total = max(_FEWEST_LETTERS, _MOST_LETTERS - 2 * taken), 0
    for number, words in enumerate(warnings):
        # and half a line that stays empty at its end
        total += len(words) + 40
        if total > room:
            return number, True
    return len(warnings), total > room // 2


def _pictures(assessment: Assessment, chest: ChestPicture) -> dict[str, tuple[int, Draw]]:
    """What can be shown of this run."""
    found: dict[str, tuple[int, Draw]] = {
        "fused": (FUSED_HEIGHT, chest.fused),
        "checkerboard": (CHECKERBOARD_HEIGHT, chest.checkerboard),
    }
    perfusion, shown = assessment.perfusion, assessment.shown.spect
    if perfusion is None or shown is None or assessment.spect_header is None:
        return found
    images = {
        "NAC": assessment.spect_uncorrected,
        "AC,\nheader map": assessment.spect_header,
        "AC, map at\npose found" if assessment.withheld else "AC,\nregistered map": shown,
    }
    hearts = {name: HeartPanels.of(image, perfusion.ventricle) for name, image in images.items()}
    found["hearts"] = (
        heart_picture.HEIGHT,
        lambda canvas, left, top: draw_hearts(canvas, left, top, hearts),
    )
    found["polar"] = (
        polar_picture.HEIGHT,
        lambda canvas, left, top: draw_polar_maps(canvas, left, top, perfusion, withheld=assessment.withheld),
    )
    return found


def _data_uri(height: int, draw: Draw) -> Callable[[], str]:
    """Draw a picture; what is returned waits until it is compressed as well."""
    canvas = Canvas(WIDTH, height, PAPER, INK)
    draw(canvas, 0.0, 0.0)
    picture = canvas.picture(2.0)
    return beside(lambda: "data:image/webp;base64," + b64encode(as_webp(picture)).decode("ascii"))
