"""Each page says which study it is of and when that was scanned and processed; archived pages need no other file."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest

from mureg.geometry import Grid, Quantity, Volume
from mureg.io import write_nifti
from mureg.io.acquired import acquired_at, ct_acquired_at, spect_acquired_at
from mureg.notes import Note
from mureg.report.columns import INK, PAPER, wrapped
from mureg.report.contents import Contents
from mureg.report.document import PAGE_SCALE, _pictures, as_html
from mureg.report.occasion import Occasion
from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.chest import display_filter, smoothed
from mureg.report.pictures.chest_picture import ChestPicture
from mureg.report.pictures.quality import compose_quality
from mureg.report.sheets import archive_sheets
from mureg.report.wording import reconstruction_in_words
from mureg.results import AsReport
from mureg.sample import sample_folder
from mureg.study import Source
from support.assessments import drawn_assessment, drawn_study

OCCASION = Occasion("p07 rest", "2021-07-16 09:31", "2021-07-16 09:12", datetime(2031, 5, 6, 7, 8, 9))
LINE = "Study p07 rest · scanned: SPECT 2021-07-16 09:31, CT 2021-07-16 09:12 · processed 2031-05-06 07:08"


def header(**elements: str) -> pydicom.Dataset:
    ds = pydicom.Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def blank(canvas: Canvas, left: float, top: float) -> None:
    canvas.text(left, top, "picture")


PICTURES = dict.fromkeys(("fused", "checkerboard", "hearts", "polar"), (20, blank))


def sheet_words(sheets: list[Canvas]) -> list[str]:
    return [" ".join(words.text for words in sheet.texts) for sheet in sheets]


def contents_of(assessment=None, patient: str = "") -> Contents:
    return Contents.of(assessment or drawn_assessment(), drawn_study(), patient, OCCASION, archived=True)


def test_every_page_of_the_browser_page_states_study_times_and_number() -> None:
    html = as_html(Contents.of(drawn_assessment(), drawn_study(), "", OCCASION), PICTURES)
    for number in (1, 2):
        assert html.count(f"{LINE} · page {number} of 2") == 1


def test_every_archived_page_states_study_times_number_and_filter() -> None:
    words = sheet_words(archive_sheets(contents_of(), PICTURES))
    assert len(words) == 2
    for number, page in enumerate(words, start=1):
        assert LINE in page
        assert f"page {number} of 2" in page
        assert "display filter (Gaussian, FWHM" in page
        assert 'series that end in "filtered"' in re.sub(r"\s+", " ", page)
        assert "Research use only: not for diagnosis." in page


def test_archived_pages_of_a_withheld_pose_say_that_it_is_shown_and_not_given_out() -> None:
    withheld = drawn_assessment(decision="review", released=False)
    words = [re.sub(r"\s+", " ", page) for page in sheet_words(archive_sheets(contents_of(withheld), PICTURES))]
    assert "Pose found, not given out" in words[0]
    for page in words:
        assert 'series that end in "filtered", but for the image with the map at the pose found' in page
    released = [re.sub(r"\s+", " ", page) for page in sheet_words(archive_sheets(contents_of(), PICTURES))]
    assert not any("not given out" in page or "but for the image" in page for page in released)


def test_no_page_calls_a_withheld_pose_registered_or_given_out() -> None:
    """Titles of the pictures, captions, heads of tables and words for a screen reader, in the browser and on paper."""
    for released in (False, True):
        assessment = drawn_assessment(decision="review" if not released else "moved", released=released)
        pictures = _pictures(assessment, ChestPicture(assessment))
        sheets = sheet_words(archive_sheets(Contents.of(assessment, drawn_study(), "", OCCASION), pictures))
        html = as_html(Contents.of(assessment, drawn_study(), "", OCCASION), PICTURES)
        html = re.sub(r"data:image/[^\"]*|<style>.*?</style>", "", html, flags=re.DOTALL)
        words = [re.sub(r"\s+", " ", text) for text in (*sheets, html)]
        later = ("map registered", "registered map", "after registration", "Checkerboard, after", "before and after")
        said = [any(phrase in text for phrase in (*later, ">registered<")) for text in words]
        assert said == [released] * 3
        assert sum("ose found, not given out" in text for text in words) == (0 if released else 3)
        drawn = [words.text for words in compose_quality(assessment).texts]
        assert ("CORRECTED\n(pose found)" in drawn) is not released
        assert ("FOUND  (not given out)" in drawn) is not released
    assert drawn_assessment(decision="review", released=False).withheld


def test_archived_pages_refer_to_no_file_that_is_not_archived() -> None:
    many = tuple(Note(f"warning number {n}: " + "nothing is known beyond the end of the map " * 4) for n in range(90))
    drawn = drawn_assessment(reasons=("a reason of very many words " * 40,), warnings=many)
    words = sheet_words(archive_sheets(contents_of(drawn), PICTURES))
    assert len(words) > 2
    for number, page in enumerate(words, start=1):
        assert f"page {number} of {len(words)}" in page
        assert LINE in page
    whole = " ".join(words)
    assert not re.search(r"registration\.json|report\.html|settings\.toml|qc\.png", whole)
    assert all(f"warning number {n}:" in whole for n in range(90)), "nothing is lost"
    assert "more on page 3" in words[0]
    last_pages = re.sub(r"\s+", " ", " ".join(words[2:]))
    assert drawn.reason.strip() in last_pages, "the whole reason"


def test_pages_are_drawn_large_enough_to_be_read_and_say_whether_they_name_the_patient() -> None:
    pages = AsReport(drawn_study(), occasion=OCCASION).pages(drawn_assessment())
    assert len(pages.pixels) == 2
    assert not pages.names_patient
    assert AsReport(drawn_study(), patient="DOE JANE").pages(drawn_assessment()).names_patient
    rows, columns, _ = pages.pixels[0].shape
    assert columns / (210 / 25.4) > 150, "pixels an inch of A4"
    assert rows > columns


@pytest.mark.parametrize("size", [6.0, 6.5, 7.0, 7.5])
def test_words_of_an_archived_page_end_where_their_column_ends(size) -> None:
    """Measured in the drawn pixels: a line is as long as the one that its words were wrapped for."""
    line = "basal anterior +6, basal anteroseptal +8, basal inferoseptal +7, mid inferolateral"
    shortest = next(width for width in range(100, 700) if len(wrapped(line, size, width)) == 1)
    canvas = Canvas(800, 40, PAPER, INK)
    canvas.text(10, 5, line, fontsize=size)
    inked = np.flatnonzero((canvas.pixels(PAGE_SCALE).min(axis=2) < 128).any(axis=0))
    assert (inked[-1] - inked[0]) / PAGE_SCALE == pytest.approx(shortest, rel=0.02)


def test_the_label_follows_from_the_data_where_none_is_given() -> None:
    study = replace(drawn_study(), sources=(Source("spect", 1, "c0ffee42" + "0" * 56), Source("ct", 1, "ff" * 32)))
    assert Occasion().label_of(study) == "c0ffee42"
    assert Occasion("p07").label_of(study) == "p07"
    assert Occasion().as_json(study) == {
        "label": "c0ffee42", "spect_acquired": None, "ct_acquired": None, "processed": None
    }  # fmt: skip
    assert "SPECT time not stated, CT time not stated" in Occasion().words(study)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"AcquisitionDate": "20210716", "AcquisitionTime": "093159.25", "StudyDate": "20210715"}, "2021-07-16 09:31"),
        ({"AcquisitionDateTime": "20210716093159.250000+0200", "AcquisitionDate": "20200101"}, "2021-07-16 09:31"),
        ({"AcquisitionTime": "093159", "SeriesDate": "20210716", "SeriesTime": "0945"}, "2021-07-16 09:45"),
        ({"StudyDate": "2021.07.16", "StudyTime": "09:31:00"}, "2021-07-16 09:31"),
        ({"StudyDate": "20210716", "StudyTime": ""}, "2021-07-16"),
        ({"StudyDate": "20210716", "StudyTime": "late"}, "2021-07-16"),
        ({"StudyDate": "20219999", "StudyTime": "0931"}, ""),
        ({}, ""),
    ],
)
def test_the_time_of_a_scan_is_that_of_its_acquisition(elements, expected) -> None:
    with pydicom.config.disable_value_validation():
        assert acquired_at(header(**elements)) == expected


def test_times_are_read_from_the_files_of_a_study(tmp_path: Path) -> None:
    spect, slices = pydicom.dcmread(sample_folder() / "spect.dcm"), sorted((sample_folder() / "ct").iterdir())[:3]
    spect.AcquisitionDate, spect.AcquisitionTime = "20210716", "0931"
    spect.save_as(tmp_path / "spect.dcm")
    (tmp_path / "ct").mkdir()
    for path in slices:
        ct = pydicom.dcmread(path)
        ct.AcquisitionDate, ct.AcquisitionTime = "20210716", "0912"
        ct.save_as(tmp_path / "ct" / path.name)
    assert spect_acquired_at(tmp_path / "spect.dcm") == "2021-07-16 09:31"
    assert ct_acquired_at(tmp_path / "ct") == "2021-07-16 09:12"
    grid = Grid.centred((8, 8, 8), (6.8, 6.8, 6.8))
    write_nifti(Volume.from_numpy(np.ones((8, 8, 8)), grid, Quantity.ACTIVITY), tmp_path / "v.nii.gz")
    assert spect_acquired_at(tmp_path / "v.nii.gz") == ct_acquired_at(tmp_path / "v.nii.gz") == ""


def test_the_display_filter_has_the_width_that_is_stated() -> None:
    """A point becomes a Gaussian: its second moment along each axis gives the width."""
    grid = Grid.centred((41, 41, 41), (6.8, 6.8, 6.8))
    point = np.zeros((41, 41, 41))
    point[20, 20, 20] = 1.0
    shown = smoothed(Volume.from_numpy(point, grid, Quantity.ACTIVITY)).values.astype(float)
    offset_mm = (np.arange(41) - 20) * 6.8
    for axis in range(3):
        profile = shown.sum(axis=tuple(a for a in range(3) if a != axis))
        fwhm_mm = np.sqrt(8 * np.log(2) * (profile * offset_mm**2).sum() / profile.sum())
        stated = re.search(r"FWHM ([\d.]+) mm", display_filter(grid))
        assert stated is not None
        assert float(stated[1]) == pytest.approx(fwhm_mm, abs=0.4)
    assert display_filter(Grid.centred((4, 4, 4), (2.0, 2.0, 4.0))) == "Gaussian, FWHM 3.3 x 3.3 x 6.6 mm"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"post_filter": "none"}, "osem (iterations 12, subsets 10)"),
        ({"post_filter": "gaussian"}, "osem (iterations 12, subsets 10, post_filter gaussian, fwhm_mm 8.0)"),
        (
            {"post_filter": "butterworth", "stop_below": 0.01},
            "osem (iterations 12, subsets 10, stop_below 0.01, post_filter butterworth, cutoff_per_cm 0.5, order 5.0)",
        ),
    ],
)
def test_only_settings_that_took_part_are_named(given, words) -> None:
    everything = {
        "iterations": 12, "subsets": 10, "stop_below": 0.0, "post_filter": "none", "fwhm_mm": 8.0,
        "cutoff_per_cm": 0.5, "order": 5.0, "kind": "osem",
    }  # fmt: skip
    assert reconstruction_in_words(everything | given) == words
    assert reconstruction_in_words({}) == "reconstruction"
