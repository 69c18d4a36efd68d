"""The summary of a batch: a table for programs and a page for people."""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from PIL import Image

from mureg import RESEARCH_USE_ONLY, __version__
from mureg.batch.rows import StudyRow
from mureg.files.atomic import rewriting
from mureg.files.cells import as_cell

CSV, HTML = "summary.csv", "summary.html"
TEMPLATE = Path(__file__).with_name("summary.html.jinja")
TIMES = ("processed", "seconds")
"""Columns that another run does not repeat."""

_PICTURE_SIZE, _CHEST = (1500, 1300), (0, 60, 1500, 846)
"""Of the quality picture, and where it shows the map on the SPECT before and after, in pixels."""
_WIDTH, _QUALITY = 480, 72
"""Pixels of a picture on the page and its JPEG quality; chosen by eye."""

_YES_NO = {None: None, True: "yes", False: "no"}

COLUMNS: dict[str, Callable[[StudyRow], Any]] = {
    "study": lambda row: row.study,
    "decision": lambda row: row.decision,
    "reason": lambda row: row.reason,
    "move_at_heart_mm": lambda row: row.heart_shift_mm,
    "to_left_mm": lambda row: row.move_mm[0],
    "to_back_mm": lambda row: row.move_mm[1],
    "to_head_mm": lambda row: row.move_mm[2],
    "turn_deg": lambda row: row.turn_deg,
    "pose_found_given_out": lambda row: _YES_NO[row.found_given_out],
    "move_found_at_heart_mm": lambda row: row.found_shift_mm,
    "heart_interval_90_mm": lambda row: row.heart_interval_mm,
    "interval_calibrated": lambda row: _YES_NO[row.interval_calibrated],
    "mismatch_header_percent": lambda row: row.mismatch_header,
    "mismatch_registered_percent": lambda row: row.mismatch_registered,
    "changed_segments": lambda row: " ".join(map(str, row.changed_segments)),
    "warnings": lambda row: " | ".join(row.warnings),
    "registrar": lambda row: row.registrar,
    "exit_code": lambda row: row.exit_code,
    "folder": lambda row: row.folder,
    "spect_acquired": lambda row: row.spect_acquired,
    "ct_acquired": lambda row: row.ct_acquired,
    "processed": lambda row: row.processed,
    "patient": lambda row: row.patient,
    "seconds": lambda row: row.seconds,
}
"""Columns of the table in their order."""


def write_summary(rows: Sequence[StudyRow], output: Path) -> tuple[Path, Path]:
    """Write ``summary.csv`` and ``summary.html`` into the batch's folder, each whole or not at all.

    Both are the same for any number of processes and interruptions, except for the columns `TIMES` of the
    table and the time of processing on the page. The page holds its pictures and nothing from outside, and shows no
    names of patients.

    Args:
        rows: in the order in which they are shown.
        output: the batch's folder.
    """
    table, page = output / CSV, output / HTML
    with rewriting(table) as place, place.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([as_cell(value(row)) for value in COLUMNS.values()] for row in rows)
    with rewriting(page) as scratch:
        scratch.write_text(as_page(rows, output), "utf-8", "backslashreplace")
    return table, page


def as_page(rows: Sequence[StudyRow], output: Path) -> str:
    """The HTML page of the batch."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["mm"] = lambda value: "" if value is None else f"{value:.1f} mm"
    return environment.from_string(TEMPLATE.read_text("utf-8")).render(
        studies=[(row, _link(row), thumbnail(output / row.folder / "qc.png") if row.folder else "") for row in rows],
        counts=list(Counter(row.decision for row in rows).items()),
        version=__version__,
        use=RESEARCH_USE_ONLY,
    )


def thumbnail(picture: Path) -> str:
    """The map on the SPECT before and after, small, as a data URI; "" where there is no picture."""
    try:
        with Image.open(picture) as file:
            image = file.convert("RGB")
    except OSError:
        return ""
    if image.size == _PICTURE_SIZE:
        image = image.crop(_CHEST)
    image = image.resize((_WIDTH, round(_WIDTH * image.height / image.width)), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _link(row: StudyRow) -> str:
    """Link from the summary to the page of a study."""
    return quote(f"{row.folder}/{row.page}", errors="surrogateescape") if row.page else ""
