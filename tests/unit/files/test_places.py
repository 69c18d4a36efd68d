"""Outputs and inputs never overlap, whatever they are called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mureg.errors import UnreadableInputError, UsageError
from mureg.files.cells import as_cell
from mureg.files.names import folded, problem_of
from mureg.files.output import claimed
from mureg.files.places import is_signed, refuse_overlap
from mureg.files.settings import read_json
from mureg.geometry import Grid, Quantity, Volume
from mureg.io import write_nifti


@pytest.fixture
def study(tmp_path) -> Path:
    """A study, and links that lead to it and into it."""
    (tmp_path / "data" / "study" / "ct").mkdir(parents=True)
    (tmp_path / "data" / "study" / "spect.dcm").write_text("counts")
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "data" / "study" / "also").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "hard").hardlink_to(tmp_path / "data" / "study" / "spect.dcm")
    return tmp_path / "data" / "study"


@pytest.mark.parametrize(
    ("output", "given", "how"),
    [
        ("data/study", "data/study", "is the input"),
        ("data/study/../study/", "data/study", "is the input"),
        ("link/study", "data/study", "is the input"),
        ("hard", "data/study/spect.dcm", "is the input"),
        ("data", "data/study", "contains the input"),
        ("link", "data/study/spect.dcm", "contains the input"),
        ("elsewhere", "data/study/also", "is the input"),
        ("", "data/study/ct", "contains the input"),
        ("data/study/out", "data/study", "lies inside the input"),
        ("link/study/new/out", "data/study", "lies inside the input"),
        ("data/study/ct/a.nii", "data/study/ct", "lies inside the input"),
    ],
)
def test_what_overlaps_is_refused(output, given, how, study, tmp_path) -> None:
    with pytest.raises(UsageError, match=how) as refusal:
        refuse_overlap(tmp_path / output, [None, tmp_path / given])
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("output", ["data/out", "data/study-2", "data/stud", "link/study2/out", "data/study/out"])
def test_what_lies_beside_is_not(output, study, tmp_path) -> None:
    refuse_overlap(tmp_path / output, [study / "spect.dcm", study / "ct", tmp_path / "not there"])


@pytest.mark.parametrize("output", ["circle", "circle/out", "one/out"])
def test_links_in_a_circle_are_no_output(output, tmp_path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    with pytest.raises(UsageError, match=r"links in a circle|cannot write"), claimed(tmp_path / output):
        pass


def test_from_inside_a_folder_that_holds_the_studies(study, monkeypatch) -> None:
    monkeypatch.chdir(study.parent)
    with pytest.raises(UsageError, match="the output data contains the input study"):
        refuse_overlap(Path(), [Path("study")])


def test_disks_that_do_not_tell_capitals_apart(study, tmp_path, monkeypatch) -> None:
    """As such a disk does: STUDY is found where only study was made."""
    real = Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **how: real(Path(str(self).replace("STUDY", "study")), **how))
    for output in ("data/STUDY", "data/STUDY/out"):
        with pytest.raises(UsageError, match="the input"):
            refuse_overlap(tmp_path / output, [study])


def test_files_say_whether_mureg_wrote_them(tmp_path) -> None:
    volume = Volume.from_numpy(
        np.ones((2, 3, 4)), Grid.centred((2, 3, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), Quantity.HU
    )
    sign = PngInfo()
    sign.add_text("Software", "mureg")
    Image.new("L", (5, 5)).save(tmp_path / "ours.png", pnginfo=sign)
    Image.new("L", (5, 5)).save(tmp_path / "theirs.png")
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8b nothing")
    assert is_signed(write_nifti(volume, tmp_path / "a.nii"))
    assert is_signed(write_nifti(volume, tmp_path / "a.nii.gz"))
    assert is_signed(tmp_path / "ours.png")
    assert not is_signed(tmp_path / "theirs.png")
    assert not is_signed(tmp_path / "broken.gz")


@pytest.mark.parametrize(
    "name",
    ["CON", "con", "con.txt", "Aux.2024.dcm", "nul ", "COM1", "lpt9.x", "COM²", "a.", "a ", " a", ".a", "", "a/b",
     "a:b", "a\tb", "x" * 101, "\udce4"],
)  # fmt: skip
def test_names_that_no_windows_disk_can_hold(name) -> None:
    assert problem_of(name)


@pytest.mark.parametrize("name", ["console", "com10", "A17 rest", "a.con", "Müller", "p.07", "-1"])
def test_names_that_all_can(name) -> None:
    assert problem_of(name) == ""


def test_names_that_some_disk_cannot_tell_apart() -> None:
    assert folded("Mu\u0308ller") == folded("M\u00dcLLER")
    assert folded("a") != folded("b")


@pytest.mark.parametrize("words", ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")'])
def test_cells_that_a_spreadsheet_would_run(words) -> None:
    assert as_cell(words) == "'" + words


@pytest.mark.parametrize("value", [-1.5, 3, True, "a=b", "s05", ""])
def test_cells_that_it_would_not(value) -> None:
    assert as_cell(value) is value


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 200_000, "{", "[1]", "", '{"a": ' + "9" * 10_000 + "}", "\0"]
)
def test_tables_that_are_none(text, tmp_path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UnreadableInputError, match=r"a\.json cannot be read"):
        read_json(tmp_path / "a.json")


def test_a_huge_table_is_not_read(tmp_path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(2**36)
    with pytest.raises(UnreadableInputError):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps({"a": 1}))
    assert read_json(tmp_path / "a.json") == {"a": 1}
