"""The report: it stands alone, it tells nothing of the patient, left is left, and it is two pages."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mureg.assessment.result import Assessment, Confidence
from mureg.assessment.thresholds import Thresholds
from mureg.io import read_transform
from mureg.notes import Note
from mureg.report.columns import wrapped
from mureg.report.contents import Contents
from mureg.report.document import Draw, as_html, fitting, reasons_on_paper
from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.heart_picture import HeartPanels, draw_hearts
from mureg.report.pictures.polar_picture import draw_polar_maps
from mureg.report.sheets import write_sheets
from mureg.results import AsReport, as_json, describe, write_folder
from mureg.study import Study
from support.assessments import POSE, drawn_assessment, drawn_study
from support.hearts import CENTRE_MM, TOWARD, VENTRICLE, wall_volume, with_defect

SECRET = "DOE^JANE"


class Page(HTMLParser):
    """Tags with their attributes, and all words between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        self.words += data + "\n"

    def pictures(self) -> list[tuple[np.ndarray, str]]:
        found = []
        for tag, attributes in self.tags:
            if tag == "img":
                kind, _, data = attributes["src"].partition(";base64,")
                assert kind == "data:image/webp"
                found.append(
                    (np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("RGB")), attributes["alt"])
                )
        return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A report as it is written, page and paper."""
    folder = tmp_path_factory.mktemp("report")
    AsReport(replace(drawn_study(), patient=SECRET), pdf=True).write(drawn_assessment(), folder)
    return folder


def blank(canvas: Canvas, left: float, top: float) -> None:
    canvas.text(left, top, "picture")


def pictures_of(assessment: Assessment) -> dict[str, tuple[int, Draw]]:
    """Instead of the pictures, which take their time."""
    names = ("fused", "checkerboard", *(("hearts", "polar") if assessment.perfusion else ()))
    return dict.fromkeys(names, (20, blank))


def html_of(assessment: Assessment, study: Study | None = None, patient: str = "") -> str:
    contents = Contents.of(assessment, study or drawn_study(), patient)
    return as_html(contents, pictures_of(assessment))


def pdf_of(assessment: Assessment, path: Path, patient: str = "") -> bytes:
    write_sheets(Contents.of(assessment, drawn_study(), patient), pictures_of(assessment), path)
    return path.read_bytes()


def n_pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))


def test_the_page_needs_nothing_beside_itself_and_runs_nothing(whole: Path) -> None:
    html = (whole / "report.html").read_text("utf-8")
    page = Page(html)
    assert sorted(path.name for path in whole.iterdir()) == ["report.html", "report.pdf"]
    assert len(html) < 3_000_000
    assert not re.search(r"https?:|//[a-z]|@import|url\(|javascript:", re.sub(r"base64,[A-Za-z0-9+/=]+", "", html))
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "form", "a"}
    for _, attributes in page.tags:
        assert not {"href", "srcset", "action"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:").startswith("data:")


def test_it_says_what_it_is_not_for_on_both_pages() -> None:
    assert Page(html_of(drawn_assessment())).words.count("Research use only: not for diagnosis.") >= 2


def test_every_picture_says_what_is_seen(whole: Path) -> None:
    pictures = Page((whole / "report.html").read_text("utf-8")).pictures()
    assert len(pictures) == 4
    assert all(pixels.shape[1] == 2 * 748 and pixels.std() > 20 for pixels, _ in pictures)
    assert all(len(words) > 60 for _, words in pictures)
    assert "to the patient's right" in pictures[0][1]
    assert "LCX" in pictures[3][1]


def test_nothing_of_the_patient_unless_asked(whole: Path) -> None:
    study = replace(drawn_study(), patient=SECRET)
    assert SECRET not in (whole / "report.html").read_text("utf-8")
    assert SECRET not in repr(Contents.of(drawn_assessment(), study, "")), "all that the PDF can say"
    html = html_of(drawn_assessment(), study, patient="JANE DOE, ID 4711")
    assert Page(html).words.count("JANE DOE, ID 4711") == 2, "at the top of both pages"


def test_odd_words_are_words_and_no_tags(tmp_path: Path) -> None:
    odd = '<script>alert("x")</script> & <img src=x onerror=y>'
    drawn = drawn_assessment()
    drawn = replace(drawn, reasons=(odd,), warnings=(Note(odd), Note("心臓 {{ 7 * 7 }}")))
    html = html_of(drawn, patient=odd)
    assert n_pages(pdf_of(drawn, tmp_path / "odd.pdf", odd)) == 2
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.words.count(odd) == 4
    assert "心臓 {{ 7 * 7 }}" in page.words


def test_the_pdf_has_two_pages_of_a4(whole: Path) -> None:
    data = (whole / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert data.rstrip().endswith(b"%%EOF")
    assert n_pages(data) == 2
    boxes = re.findall(rb"/MediaBox\s*\[([^]]*)\]", data)
    for box in boxes:
        np.testing.assert_allclose([float(n) * 25.4 / 72 for n in box.split()], [0, 0, 210, 297], atol=0.5)
    assert len(data) < 3_000_000


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    drawn = drawn_assessment()
    assert pdf_of(drawn, tmp_path / "one.pdf") == pdf_of(drawn, tmp_path / "other.pdf")
    assert html_of(drawn) == html_of(drawn)


@pytest.mark.parametrize("decision", ["aligned", "moved", "review", "by-hand"])
def test_every_decision_is_said_in_the_largest_letters(decision) -> None:
    html = html_of(drawn_assessment(decision=decision))
    heading = re.search(r"<h1>(.*?)</h1>", html, re.DOTALL)
    assert heading is not None
    assert decision.upper().replace("-", " ") in heading[1]
    assert "two methods disagree by 9 mm" in html


def test_a_run_without_a_corrected_image_says_so(tmp_path: Path) -> None:
    AsReport(drawn_study(), pdf=True).write(drawn_assessment(corrected=False), tmp_path)
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert len(page.pictures()) == 2
    assert "No corrected image was made" in page.words
    assert "Not available for this study" in page.words


def test_an_uncertain_axis_and_an_uncalibrated_interval_are_said() -> None:
    drawn = drawn_assessment(confidence=Confidence((1.0, 2.0, 3.0), (0.1, 0.2, 0.3), 4.0, False))
    drawn = replace(drawn, perfusion=replace(drawn.perfusion, axis_by_hand=False, axis_confidence=0.1))
    contents = Contents.of(drawn, drawn_study(), "")
    assert [shift.interval for shift in contents.shifts] == ["± 1.0 mm", "± 2.0 mm", "± 3.0 mm"]
    assert "may be larger" in " ".join(contents.shift_notes)
    assert "uncertain" in contents.perfusion_note


def test_the_shift_is_the_way_the_map_went() -> None:
    """The pose carries SPECT points to the CT; the map's anatomy went the other way."""
    contents = Contents.of(drawn_assessment(), drawn_study(), "")
    by_headers = POSE.apply(CENTRE_MM)
    for shift, mm, (plus, minus) in zip(
        contents.shifts,
        np.asarray(CENTRE_MM) - by_headers,
        (("left", "right"), ("back", "front"), ("head", "feet")),
        strict=True,
    ):
        assert float(shift.mm) == pytest.approx(abs(mm), abs=0.06)
        assert shift.toward.endswith(plus if mm > 0 else minus)
        assert float(shift.pixels) == pytest.approx(abs(mm) / 3.4, abs=0.06)


def test_one_move_has_one_number(whole: Path) -> None:
    """The root mean square displacement of the heart points: in the page, on the terminal, in JSON."""
    drawn = drawn_assessment()
    number = f"{drawn.move.rms_mm:.1f} mm"
    words = Page((whole / "report.html").read_text("utf-8")).words
    assert f"In all {number}" in words
    assert any(line.startswith(f"move       {number}") for line in describe(drawn))
    assert f"{as_json(drawn)['move_at_heart']['rms_mm']:.1f} mm" == number


def test_a_pose_that_is_not_given_out_is_shown_and_named(tmp_path: Path) -> None:
    drawn = drawn_assessment(released=False)
    html = html_of(drawn)
    assert "Pose found, not given out" in html
    assert f"In all {drawn.move_found.rms_mm:.1f} mm" in html
    said = as_json(drawn)
    assert said["move_at_heart"]["rms_mm"] == 0.0
    assert said["ct_from_spect"] == np.eye(4).tolist()
    assert said["found"]["ct_from_spect"] == POSE.matrix.tolist()
    names = [file.name for file in write_folder(drawn, tmp_path / "out", pictures=False)]
    assert "ct_from_spect_found.tfm" in names
    np.testing.assert_array_equal(read_transform(tmp_path / "out" / "ct_from_spect.tfm")[0].matrix, np.eye(4))
    found = read_transform(tmp_path / "out" / "ct_from_spect_found.tfm")[0]
    np.testing.assert_allclose(found.matrix, POSE.matrix, atol=1e-9)


def test_the_limits_that_were_used_are_printed_and_said_when_they_are_not_the_shipped_ones() -> None:
    page = Page(html_of(drawn_assessment())).words
    assert "more than 5 points" in page
    assert "The limit used is 3 %" in page
    assert "all as shipped" in page
    other = Page(html_of(drawn_assessment(limits=Thresholds(changed_percent=8.0, mismatch_percent=7.0)))).words
    assert "more than 8 points" in other
    assert "The limit used is 7 %" in other
    assert "6.4 % (above the limit)" not in " ".join(other.split())
    assert "NOT the shipped ones: changed_percent = 8 (shipped: 5)" in other


def test_above_the_published_limit_is_marked() -> None:
    contents = Contents.of(drawn_assessment(), drawn_study(), "")
    assert contents.mismatch == (("before", "6.4 %", True), ("after", "1.1 %", False))


def test_too_many_warnings_are_counted_not_lost(tmp_path: Path) -> None:
    drawn = drawn_assessment()
    many = tuple(f"warning number {n}: " + "nothing is known about attenuation beyond the end " * 3 for n in range(40))
    drawn = replace(drawn, warnings=tuple(map(Note, many)))
    assert n_pages(pdf_of(drawn, tmp_path / "many.pdf")) == 2
    page = Page(html_of(drawn))
    taken = len(drawn.reason) + len(drawn.reasons[1])
    many = tuple(f"{words} (was guessed)" for words in many)
    shown, dense = fitting(many, taken)
    assert dense
    assert 5 < shown < 40
    assert fitting(many, 900)[0] < shown
    assert f"{40 - shown} more in registration.json" in page.words
    assert all(f"warning number {n}:" in page.words for n in range(40)), "the rest can be unfolded"
    assert fitting(("short",)) == (1, False)


def test_long_reasons_leave_room_for_the_pictures_on_paper() -> None:
    assert reasons_on_paper(()) == 0
    assert reasons_on_paper(("short",) * 5) == 3
    assert reasons_on_paper(("x" * 200,) * 5) == 2
    assert reasons_on_paper(("x" * 2000, "short")) == 1


def test_lines_are_broken_where_the_paper_ends() -> None:
    words = "one two three " * 30 + "x" * 400
    lines = wrapped(words, 8, 300)
    assert "".join(lines).replace(" ", "") == words.replace(" ", "")
    assert len(lines) > 5


# Left and right. Slices are cut out of the drawn pixels at their places on the paper, and dark means defect.


def drawn_pixels(wall: str) -> np.ndarray:
    hearts = {"whole": HeartPanels.of(wall_volume(), VENTRICLE), "defect": HeartPanels.of(with_defect(wall), VENTRICLE)}
    canvas = Canvas(748, 400, "white", "black")
    draw_hearts(canvas, 0, 0, hearts)
    return canvas.pixels().astype(float).sum(-1)


def halves(square: np.ndarray) -> dict[str, float]:
    """Sum of the brightness in the four triangles of a square, towards its edges."""
    n = square.shape[0]
    y, x = np.indices(square.shape) - (n - 1) / 2
    return {
        "top": square[-y > np.abs(x)].sum(),
        "bottom": square[y > np.abs(x)].sum(),
        "left": square[-x > np.abs(y)].sum(),
        "right": square[x > np.abs(y)].sum(),
    }


@pytest.mark.parametrize(
    ("wall", "short", "vertical", "horizontal"),
    [
        ("anterior", "top", "top", None),
        ("inferior", "bottom", "bottom", None),
        ("septal", "left", None, "left"),
        ("lateral", "right", None, "right"),
    ],
)
def test_a_defect_is_on_its_side_of_the_slices(wall, short, vertical, horizontal) -> None:
    """Short axis: septum left, anterior up. Vertical long axis: anterior up. Horizontal long axis: septum left."""
    pixels = drawn_pixels(wall)
    left, side, gap, title = 748 - 10 * 65 + 2, 63, 2, 34
    below = 2 * title + 2 * (side + gap)

    def lost(column: int, top: int) -> dict[str, float]:
        x = left + column * (side + gap)
        whole, defect = (pixels[y : y + side, x : x + side] for y in (top, top + side + gap))
        before, after = halves(whole), halves(defect)
        return {edge: 1.0 - after[edge] / before[edge] for edge in before}

    for slices, top, side_of_it in (((5,), title, short), ((2,), below, vertical), ((7,), below, horizontal)):
        for column in slices:
            less = lost(column, top)
            if side_of_it is None:
                assert abs(less["left"] - less["right"]) < 0.08
                continue
            opposite = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}[side_of_it]
            assert less[side_of_it] > 0.2, (wall, column, less)
            assert abs(less[opposite]) < 0.08, (wall, column, less)


def test_short_axes_go_from_apex_to_base_and_long_axes_have_the_apex_right_and_up() -> None:
    heart = HeartPanels.of(wall_volume(), VENTRICLE)
    middle = [
        s[s.shape[0] // 2 - 2 : s.shape[0] // 2 + 3, s.shape[1] // 2 - 2 : s.shape[1] // 2 + 3] for s in heart.short()
    ]
    assert middle[0].mean() > 60, "the wall of the apex"
    assert middle[-1].mean() < 20, "the open base"
    vertical, horizontal = heart.vertical()[2], heart.horizontal()[2]
    row, column = vertical.shape[0] // 2, horizontal.shape[1] // 2
    assert vertical[row, vertical.shape[1] // 2 :].max() > 60 > 20 > vertical[row, : vertical.shape[1] // 2].max()
    assert horizontal[: horizontal.shape[0] // 2, column].max() > 60 > 20
    assert horizontal[horizontal.shape[0] // 2 :, column].max() < 20


@pytest.mark.parametrize("wall", list(TOWARD))
def test_a_defect_is_on_its_side_of_the_polar_map(wall) -> None:
    canvas = Canvas(748, 218, "white", "black")
    draw_polar_maps(canvas, 0, 0, drawn_assessment(wall).perfusion)
    pixels = canvas.pixels().astype(float)
    side, gap, top = (748 - 24) / 4, 8, 34
    at = {"anterior": (0, -1), "inferior": (0, 1), "septal": (-1, 0), "lateral": (1, 0)}

    def brightness(column: int, direction: tuple[int, int]) -> float:
        """Median in the middle ring, away from the numbers."""
        x, y = column * (side + gap) + side / 2, top + side / 2
        turn = np.arctan2(direction[1], direction[0]) + np.radians([-14, -10, 10, 14])
        radii = np.linspace(0.55, 0.73, 7)[:, None] * side / 2 / 1.13
        rows, columns = (np.rint(c).astype(int) for c in (y + radii * np.sin(turn), x + radii * np.cos(turn)))
        return float(np.median(pixels[rows, columns].sum(-1)))

    whole = {name: brightness(1, direction) for name, direction in at.items()}
    defect = {name: brightness(2, direction) for name, direction in at.items()}
    less = {name: whole[name] - defect[name] for name in at}
    assert max(less, key=less.__getitem__) == wall
    assert less[wall] > 60
    opposite = {"anterior": "inferior", "inferior": "anterior", "septal": "lateral", "lateral": "septal"}[wall]
    assert abs(less[opposite]) < 30
    marked = drawn_assessment(wall).perfusion.changed
    assert {"anterior": 7, "inferior": 10, "septal": 9, "lateral": 11}[wall] in marked
