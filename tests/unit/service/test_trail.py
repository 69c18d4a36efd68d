"""The trail of a review: whole whatever happens, and every change is seen."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mureg.errors import UnreadableInputError, UsageError
from mureg.service.trail import AlreadyDecidedError, Trail
from mureg.service.trail_entry import TrailEntry

EYE = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
ENTRY = TrailEntry(
    "decide",
    "p01",
    "ab" * 32,
    "Dr. Müller",
    "own",
    EYE,
    (*EYE[:3], -3.123456789012345, *EYE[4:]),
    EYE,
    words="3.1 mm to the head",
    reasons=("liver beside the wall",),
    comment="=1+1",
    versions={"mureg": "0"},
)


def filled(path: Path, n: int = 4) -> Trail:
    trail = Trail(path)
    for number in range(n):
        trail.append(replace(ENTRY, fingerprint=f"{number % 3}", comment=f"row {number + 1}"))
    return trail


def with_others(path: Path, *statements: str) -> None:
    """What another program does to the file."""
    connection = sqlite3.connect(path)
    connection.executescript("; ".join(("DROP TRIGGER no_update", "DROP TRIGGER no_delete", *statements)))
    connection.close()


def test_a_row_comes_back_to_the_last_digit(tmp_path) -> None:
    row = Trail(tmp_path / "t.sqlite").append(ENTRY)
    (again,) = Trail(tmp_path / "t.sqlite").rows()
    assert again == row
    assert again.entry == ENTRY
    assert row.number == 1


def test_the_chain_is_the_one_that_the_docstring_states(tmp_path) -> None:
    """Computed with nothing but sqlite3, json and hashlib."""
    filled(tmp_path / "t.sqlite")
    connection = sqlite3.connect(tmp_path / "t.sqlite")
    rows = connection.execute("SELECT * FROM trail ORDER BY number").fetchall()
    connection.close()
    previous = "0" * 64
    for row in rows:
        number, *cells, before, sha256 = row
        assert before == previous
        words = json.dumps([previous, number, *cells], ensure_ascii=False, separators=(",", ":"))
        assert hashlib.sha256(words.encode()).hexdigest() == sha256
        previous = sha256
    assert len(rows) == 4


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE trail SET comment = '\"other\"' WHERE number = 2", "row 2 was changed"),
        ("UPDATE trail SET utc = '\"2020-01-01\"' WHERE number = 4", "row 4 was changed"),
        ("DELETE FROM trail WHERE number = 3", "row 3 is missing"),
        ("DELETE FROM trail WHERE number = 1", "row 1 is missing"),
        ("UPDATE trail SET number = 9 WHERE number = 4", "row 4 is missing"),
        (
            "UPDATE trail SET number = 0 WHERE number = 2; UPDATE trail SET number = 2 WHERE number = 3; "
            "UPDATE trail SET number = 3 WHERE number = 0",
            "row 2 does not follow",
        ),
    ],
)
def test_any_change_by_another_program_is_seen(tmp_path, statement, sentence) -> None:
    trail = filled(tmp_path / "t.sqlite")
    assert trail.problems() == ()
    with_others(tmp_path / "t.sqlite", statement)
    assert any(problem.startswith(sentence) for problem in trail.problems()), trail.problems()


@pytest.mark.parametrize("statement", ["UPDATE trail SET comment = 'x'", "DELETE FROM trail"])
def test_rows_are_not_changed_by_accident(tmp_path, statement) -> None:
    filled(tmp_path / "t.sqlite")
    connection = sqlite3.connect(tmp_path / "t.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        connection.execute(statement)
    connection.close()


def test_who_saves_later_is_told_what_he_would_replace(tmp_path) -> None:
    trail = Trail(tmp_path / "t.sqlite")
    first = trail.append(ENTRY, expected=0)
    with pytest.raises(AlreadyDecidedError, match=r"Dr\. Müller decided on this study .* \(own\)") as refusal:
        trail.append(replace(ENTRY, reader="B"), expected=0)
    assert refusal.value.number == first.number
    trail.append(replace(ENTRY, fingerprint="another", reader="B"), expected=0)
    trail.append(replace(ENTRY, reader="B"), expected=first.number)
    assert trail.decisions()[ENTRY.key].entry.reader == "B"
    assert trail.problems() == ()


def test_the_csv_holds_no_formula_and_every_row(tmp_path) -> None:
    trail = filled(tmp_path / "t.sqlite", 2)
    trail.append(ENTRY)
    trail.export(tmp_path / "t.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text("utf-8"))))
    assert [row["comment"] for row in rows] == ["row 1", "row 2", "'=1+1"]
    assert json.loads(rows[2]["pose_after"])[3] == -3.123456789012345
    with pytest.raises(UsageError, match="exists already"):
        trail.export(tmp_path / "t.csv")


def test_files_of_others_are_left_alone(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="no trail of mureg"):
        Trail(tmp_path / "notes.txt")
    connection = sqlite3.connect(tmp_path / "other.sqlite")
    connection.execute("CREATE TABLE people (name TEXT)")
    connection.commit()
    connection.close()
    before = (tmp_path / "other.sqlite").read_bytes()
    with pytest.raises(UsageError, match="another program"):
        Trail(tmp_path / "other.sqlite").append(ENTRY)
    connection = sqlite3.connect(tmp_path / "other.sqlite")
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("people",)]
    connection.close()
    assert before[:16] == (tmp_path / "other.sqlite").read_bytes()[:16]
    damaged = tmp_path / "damaged.sqlite"
    filled(damaged)
    damaged.write_bytes(damaged.read_bytes()[:5000])
    with pytest.raises(UnreadableInputError, match=r"cannot be used|holds no JSON"):
        Trail(damaged).rows()


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX systems")
def test_others_may_not_read_it(tmp_path) -> None:
    filled(tmp_path / "t.sqlite")
    assert not stat.S_IMODE((tmp_path / "t.sqlite").stat().st_mode) & 0o027


def _append_many(path: Path, n: int) -> None:
    for number in range(n):
        Trail(path).append(replace(ENTRY, comment=str(number)))


def test_several_processes_make_one_chain(tmp_path) -> None:
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    processes = [context.Process(target=_append_many, args=(tmp_path / "t.sqlite", 12)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    trail = Trail(tmp_path / "t.sqlite")
    assert [row.number for row in trail.rows()] == list(range(1, 37))
    assert trail.problems() == ()


WRITER = """
import sys
from pathlib import Path
from dataclasses import replace
from mureg.service.trail import Trail
from mureg.service.trail_entry import TrailEntry
entry = TrailEntry("decide", "p", "f", "r", "own", (1.0,), (2.0,), (1.0,), comment="x" * 20000)
trail = Trail(Path(sys.argv[1]))
for number in range(100000):
    row = trail.append(entry)
    print(row.number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a signal of POSIX systems")
def test_a_killed_process_leaves_whole_rows_and_all_that_it_reported(tmp_path) -> None:
    chance = random.Random(5)
    reported = 0
    for _ in range(20):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "t.sqlite")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            reported = int(process.stdout.readline())
            time.sleep(chance.uniform(0.0, 0.08))
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split()
        reported = int(rest[-1]) if rest else reported
        trail = Trail(tmp_path / "t.sqlite")
        assert trail.problems() == ()
        assert len(trail.rows()) >= reported
    assert reported > 20
