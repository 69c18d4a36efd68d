"""A folder of results is exchanged as a whole, and nothing that mureg did not write is ever replaced or removed."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from mureg.errors import UsageError
from mureg.files import atomic, marker, scratch
from mureg.files.atomic import rewriting, writing, writing_folder
from mureg.files.marker import Marker, write_marker
from mureg.files.output import claimed

KIND = "registration"


def write(folder: Path, overwrite: bool = False, **files: str) -> None:
    with claimed(folder) as place, writing_folder(place, kind=KIND, overwrite=overwrite) as new:
        for name, words in files.items():
            path = new / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(words)


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder but the markers, with what it holds."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".mureg"
    }


@pytest.fixture(params=["in one step", "in two steps"])
def steps(request, monkeypatch) -> str:
    """Systems that can exchange two folders, and those that cannot, such as Windows."""
    if request.param == "in two steps":
        monkeypatch.setattr(atomic, "_exchanged", lambda _one, _other: False)
    return request.param


def test_an_older_result_is_replaced_and_what_a_user_added_is_kept(tmp_path, steps) -> None:
    out = tmp_path / "out"
    write(out, a="old", only_old="old", d__b="old")
    (out / "notes.txt").write_text("mine")
    (out / "d" / "more.txt").write_text("mine")
    (out / "mine" / "deep").mkdir(parents=True)
    (out / "mine" / "deep" / "x").write_text("mine")
    write(out, overwrite=True, a="new", c="new")
    assert tree(tmp_path) == {
        "out/a": "new", "out/c": "new", "out/notes.txt": "mine", "out/d/more.txt": "mine", "out/mine/deep/x": "mine",
    }  # fmt: skip


def test_a_result_that_a_user_changed_is_kept_beside_the_new_one(tmp_path, steps) -> None:
    out = tmp_path / "out"
    write(out, **{"report.html": "old", "qc.png": "old"})
    (out / "report.html").write_text("old, with a remark")
    (out / "report.pdf").write_text("printed by hand")
    write(out, overwrite=True, **{"report.html": "new", "qc.png": "new", "report.pdf": "new"})
    assert tree(out) == {
        "qc.png": "new", "report.html": "new", "report.pdf": "new",
        "report.kept.html": "old, with a remark", "report.kept.pdf": "printed by hand",
    }  # fmt: skip


def test_a_changed_file_that_the_new_result_lacks_does_not_pass_for_one_of_it(tmp_path, steps) -> None:
    """A report of the patient before, with a remark, would stand among the results of another patient."""
    out = tmp_path / "out"
    write(out, **{"qc.png": "old", "report.pdf": "old", "dicom__mu.dcm": "old"})
    (out / "report.pdf").write_text("old, with a remark")
    (out / "dicom" / "mu.dcm").write_text("old, with a remark")
    write(out, overwrite=True, **{"qc.png": "new"})
    assert tree(out) == {
        "qc.png": "new", "report.kept.pdf": "old, with a remark", "dicom/mu.kept.dcm": "old, with a remark",
    }  # fmt: skip


def test_what_cannot_be_read_is_kept_with_all_else_that_a_user_added(tmp_path, steps, monkeypatch) -> None:
    out = tmp_path / "out"
    write(out, a="old", b="old", c="old")
    (out / "notes.txt").write_text("mine")
    (out / "a").unlink()
    (out / "a").mkdir()
    (out / "a" / "more.txt").write_text("mine")
    real = marker.sha256_of

    def sha256_of(path: Path) -> str:
        if path.name == "b" and path.read_text() == "old":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(marker, "sha256_of", sha256_of)
    write(out, overwrite=True, a="new", b="new", c="new")
    assert tree(tmp_path) == {
        "out/a": "new", "out/b": "new", "out/c": "new",
        "out/a.kept/more.txt": "mine", "out/b.kept": "old", "out/notes.txt": "mine",
    }  # fmt: skip


def test_what_cannot_be_moved_is_told_and_moves_along_with_the_next_run(tmp_path, steps, monkeypatch, caplog) -> None:
    """A folder of another user cannot be renamed into another place."""
    out = tmp_path / "out"
    write(out, a="old")
    (out / "mine").mkdir()
    (out / "mine" / "notes.txt").write_text("mine")
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name == "mine":
            raise PermissionError(13, "Permission denied")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    write(out, overwrite=True, a="new")
    assert "cannot be moved into it" in caplog.text
    assert "-out" not in caplog.text, "no names of places in messages"
    assert tree(out) == {"a": "new"}
    monkeypatch.undo()
    write(out, overwrite=True, a="newer")
    assert tree(tmp_path) == {"out/a": "newer", "out/mine/notes.txt": "mine"}


@pytest.mark.parametrize("name", ["../precious.txt", "/precious.txt", "d/../../precious.txt", "C:/precious.txt"])
@pytest.mark.parametrize("where", ["files", "state"])
def test_a_marker_that_names_files_outside_its_folder_is_none(tmp_path, name, where) -> None:
    out = tmp_path / "out"
    write(out, a="old")
    (tmp_path / "precious.txt").write_text("mine")
    table = json.loads((out / ".mureg").read_text())
    table["files"] = {**table["files"], **({name: "0"} if where == "files" else {})}
    table["state"] = [name] if where == "state" else []
    (out / ".mureg").write_text(json.dumps(table))
    with pytest.raises(UsageError, match="holds other things"):
        write(out, overwrite=True, a="new")
    assert (tmp_path / "precious.txt").read_text() == "mine"


class TestATableOfARunFolder:
    @pytest.fixture
    def table(self, tmp_path) -> Path:
        write_marker(tmp_path, Marker("batch"))
        with rewriting(tmp_path / "summary.csv") as place:
            place.write_text("first")
        return tmp_path / "summary.csv"

    def test_is_replaced_where_nobody_changed_it(self, table) -> None:
        with rewriting(table) as place:
            place.write_text("second")
        assert tree(table.parent) == {"summary.csv": "second"}

    def test_is_kept_where_somebody_did(self, table) -> None:
        for k in (1, 2):
            table.write_text(f"remark {k}")
            with rewriting(table) as place:
                place.write_text("next")
        assert tree(table.parent) == {
            "summary.csv": "next", "summary.kept.csv": "remark 1", "summary.kept2.csv": "remark 2",
        }  # fmt: skip

    def test_of_that_name_that_was_put_there_is_kept(self, tmp_path) -> None:
        write_marker(tmp_path, Marker("batch"))
        (tmp_path / "summary.csv").write_text("mine")
        with rewriting(tmp_path / "summary.csv") as place:
            place.write_text("first")
        assert tree(tmp_path) == {"summary.csv": "first", "summary.kept.csv": "mine"}

    @pytest.mark.parametrize("step", [1, 2, 3])
    def test_killed_at_any_step_nothing_strays(self, table, step, monkeypatch) -> None:
        """Whether the marker or the table was written last, the next run knows the table for its own."""
        left, real = [step], os.replace

        def replace_until(one, other, **options) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            real(one, other, **options)

        monkeypatch.setattr(os, "replace", replace_until)
        with pytest.raises(KeyboardInterrupt), rewriting(table) as place:
            place.write_text("second")
        monkeypatch.undo()
        with rewriting(table) as place:
            place.write_text("third")
        (table.parent / ".mureg-new").unlink(missing_ok=True)
        assert tree(table.parent) == {"summary.csv": "third"}


def test_a_folder_without_the_marker_is_never_replaced(tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "slice.dcm").write_text("a source")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"out holds other things \(slice\.dcm\) and no registration"):
            write(out, overwrite, a="new")
    assert tree(tmp_path) == {"out/slice.dcm": "a source"}


def test_a_folder_that_fills_up_while_the_run_is_at_work_is_not_replaced(tmp_path) -> None:
    out = tmp_path / "out"

    def run() -> None:
        with writing_folder(out, kind=KIND, overwrite=True) as new:
            (new / "a").write_text("new")
            out.mkdir()
            (out / "notes.txt").write_text("mine")

    with pytest.raises(UsageError, match="holds other things"):
        run()
    assert tree(tmp_path) == {"out/notes.txt": "mine"}


def test_results_of_another_kind_are_not_replaced(tmp_path) -> None:
    with writing_folder(tmp_path / "out", kind="batch") as new:
        (new / "a").write_text("a")
    with pytest.raises(UsageError, match="out holds a batch"):
        write(tmp_path / "out", overwrite=True, a="new")


def test_an_empty_folder_is_as_good_as_none(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", a="new")
    assert tree(tmp_path) == {"out/a": "new"}


def test_without_overwrite_an_older_result_stays(tmp_path) -> None:
    write(tmp_path / "out", a="old")
    with pytest.raises(UsageError, match="out exists already"):
        write(tmp_path / "out", a="new")
    assert tree(tmp_path) == {"out/a": "old"}


def test_a_link_to_a_folder_stays_a_link(tmp_path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "result")
    write(tmp_path / "out", a="old")
    write(tmp_path / "out", overwrite=True, a="new")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / "result" / "a").read_text() == "new"


def test_the_folder_that_the_user_stands_in_is_not_taken_from_under_him(tmp_path, monkeypatch) -> None:
    write(tmp_path / "out", a="old")
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(UsageError, match="is the folder that the command runs in"):
        write(Path(), overwrite=True, a="new")
    assert tree(tmp_path) == {"out/a": "old"}


def test_modes_let_nobody_else_read(tmp_path) -> None:
    before = os.umask(0o000)
    try:
        write(tmp_path / "new" / "out", a="a", d__b="b")
        with writing(tmp_path / "c.txt") as place:
            place.write_text("c")
        os.umask(0o077)
        write(tmp_path / "strict", a="a")
    finally:
        os.umask(before)
    modes = {p.relative_to(tmp_path).as_posix(): stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*")}
    assert modes == {
        "new": 0o750, "new/out": 0o750, "new/out/a": 0o640, "new/out/.mureg": 0o640, "new/out/d": 0o750,
        "new/out/d/b": 0o640, "c.txt": 0o640,
        "strict": 0o700, "strict/a": 0o600, "strict/.mureg": 0o600,
    }  # fmt: skip


_STOPS = ("mkdir", "rename", "unlink", "rmdir", "replace")
"""What moves folders about: the process dies at the n-th of these calls."""


def _write_until(folder: Path, n: int, two_steps: bool) -> None:
    """Overwrite a result and be killed at the n-th step on the disk."""
    left = [n]

    def counting(name: str):
        real = getattr(os, name)

        def call(*args, **options):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return real(*args, **options)

        return call

    for name in _STOPS:
        setattr(os, name, counting(name))
    real_exchange = atomic._exchanged

    def exchanged(one: Path, other: Path) -> bool:
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)
        return False if two_steps else real_exchange(one, other)

    atomic._exchanged = exchanged
    write(folder, overwrite=True, a="new", b="new", d__e="new")
    os._exit(0)


@pytest.mark.slow
@pytest.mark.parametrize("two_steps", [False, True])
def test_killed_at_any_step_the_next_run_finds_the_old_or_the_new_whole(tmp_path, two_steps) -> None:
    """Every step of an overwrite on the disk in turn; a user's notes live through all of them."""
    new, old = {"a": "new", "b": "new", "d/e": "new"}, {"a": "old", "c": "old", "d/f": "old"}
    notes = {"notes.txt": "mine", "d/notes.txt": "mine"}
    n, outcomes = 0, []
    while not outcomes or outcomes[-1] != "finished":
        n += 1
        place = tmp_path / str(n)
        out = place / "out"
        write(out, a="old", c="old", d__f="old")
        for name, words in notes.items():
            (out / name).write_text(words)
        process = multiprocessing.get_context("fork").Process(target=_write_until, args=(out, n, two_steps))
        process.start()
        process.join()
        with claimed(place / "another"):  # any run into the same parent clears what is left
            pass
        assert [path.name for path in place.iterdir()] == ["out"], n
        assert tree(out) in ({**old, **notes}, {**new, **notes}), n
        outcomes.append("finished" if process.exitcode == 0 else "new" if (out / "b").exists() else "old")
    assert outcomes.count("old") >= 5
    assert outcomes.count("new") >= 5


def test_a_first_result_that_was_not_finished_is_cleared_away(tmp_path) -> None:
    place = scratch.begin(tmp_path / "out", KIND)
    (place / scratch.NEW / "image").write_text("a patient")
    (tmp_path / ".mureg-0badcafe-image.nii").write_text("a patient")
    (tmp_path / ".mureg-lock-image.nii").write_text("{}")
    (tmp_path / ".mureg-notes").write_text("a user's")
    (tmp_path / ".out.0badcafe.partial").mkdir()
    with claimed(tmp_path / "another"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mureg-notes", ".out.0badcafe.partial"]


def test_a_folder_of_that_name_without_a_note_is_left_alone(tmp_path) -> None:
    (tmp_path / ".mureg-0badcafe-out").mkdir()
    (tmp_path / ".mureg-0badcafe-out" / "thesis.doc").write_text("mine")
    with claimed(tmp_path / "out"):
        pass
    assert tree(tmp_path) == {".mureg-0badcafe-out/thesis.doc": "mine"}


def test_what_another_run_is_writing_is_left_alone(tmp_path) -> None:
    with claimed(tmp_path / "one") as one, writing_folder(one, kind=KIND) as new:
        (new / "a").write_text("1")
        process = multiprocessing.get_context("fork").Process(target=write, args=(tmp_path / "two",))
        process.start()
        process.join()
        assert process.exitcode == 0
    assert tree(tmp_path) == {"one/a": "1"}
