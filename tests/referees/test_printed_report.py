"""The report as a browser prints it: two sheets, each with study label, times and number."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from mureg.report.contents import Contents
from mureg.report.document import _pictures, as_html
from mureg.report.occasion import Occasion
from mureg.report.pictures.chest_picture import ChestPicture
from support.assessments import drawn_assessment, drawn_study

pytestmark = pytest.mark.slow

OCCASION = Occasion("p07 rest", "2021-07-16 09:31", "2021-07-16 09:12", datetime(2031, 5, 6, 7, 8, 9))
LINE = "Study p07 rest · scanned: SPECT 2021-07-16 09:31, CT 2021-07-16 09:12 · processed 2031-05-06 07:08"
SENTENCE = (
    "the CT does not reach 56 % of the SPECT field, from which 19 % of the counts come (0 % in the slices of the "
    "heart); 38 % of the map's attenuation is an extension of the CT (1 % in the slices of the heart) (for the record)"
)


def printed(contents: Contents, folder: Path) -> list[str]:
    """Words of each sheet, by Chromium and poppler."""
    chromium, pdftotext = shutil.which("chromium"), shutil.which("pdftotext")
    if chromium is None or pdftotext is None:
        pytest.skip(
            "no browser to print with (Debian packages chromium and poppler-utils, not installed by the project)"
        )
    assessment = drawn_assessment()
    page, pdf = folder / "report.html", folder / "report.pdf"
    page.write_text(as_html(contents, _pictures(assessment, ChestPicture(assessment))), "utf-8")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    text = subprocess.run([pdftotext, "-layout", str(pdf), "-"], check=True, capture_output=True, text=True).stdout
    return [" ".join(sheet.split()) for sheet in text.split("\f") if sheet.strip()]


def contents_of(**changes) -> Contents:
    return replace(Contents.of(drawn_assessment(), drawn_study(), "", OCCASION), **changes)


@pytest.mark.parametrize("kind", ["plain", "long"])
def test_two_sheets_state_study_times_and_number(kind, tmp_path) -> None:
    many = {
        "reason": f"The CT explains the projections no better than water: {SENTENCE}",
        "reasons": tuple(f"{k}. {SENTENCE}" for k in range(8)),
        "warnings": tuple(f"{k}: {SENTENCE}" for k in range(16)),
        "changed": tuple(f"basal inferoseptal {k}" for k in range(17)),
    }
    sheets = printed(contents_of(**(many if kind == "long" else {})), tmp_path)
    assert len(sheets) == 2
    for number, words in enumerate(sheets, start=1):
        assert f"{LINE} · page {number} of 2" in words
    assert "Research use only" in sheets[0]
    if kind == "long":
        assert re.search(r"\d+ more in registration\.json", sheets[0])


def test_a_page_that_needs_two_sheets_is_named_on_both(tmp_path) -> None:
    facts = (*contents_of().provenance, ("Settings", "word " * 700))
    sheets = printed(contents_of(provenance=facts), tmp_path)
    assert [re.search(r"page \d of 2", words).group() for words in sheets] == ["page 1 of 2"] + ["page 2 of 2"] * (
        len(sheets) - 1
    )
    assert len(sheets) > 2
    assert all(LINE in words for words in sheets)
