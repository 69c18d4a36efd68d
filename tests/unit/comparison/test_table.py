"""The file that a stopped run goes on with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from mureg.comparison.table import Line, ResultTable
from mureg.errors import UsageError


@dataclass(frozen=True)
class Measured(Line):
    case: str
    method: str
    error: float
    seconds: float = float("nan")

    @property
    def key(self) -> tuple[str, str]:
        return self.case, self.method


A, B = Measured("a", 'with "quotes", and commas', 0.1 + 0.2, 3.0), Measured("b", "m", 2.0)


def test_what_was_written_is_read_back_to_the_last_digit(tmp_path) -> None:
    ResultTable(tmp_path / "new" / "cases.csv", Measured).append([A, B])
    again = ResultTable(tmp_path / "new" / "cases.csv", Measured)
    assert again.rows[0] == A
    assert again.get(("b", "m")).error == 2.0
    assert math.isnan(again.get(("b", "m")).seconds)
    assert again.get(("c", "m")) is None


def test_a_file_from_before_a_column_was_added_goes_on_with_its_default(tmp_path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("case,method,error\na,m,0.5\n")
    table = ResultTable(path, Measured)
    table.append([B])
    assert [(row.case, row.error) for row in ResultTable(path, Measured).rows] == [("a", 0.5), ("b", 2.0)]
    assert path.read_text().splitlines()[0] == "case,method,error,seconds"
    for columns in ("case,method", "case,error,method", "case,method,error,colour"):
        (tmp_path / "other.csv").write_text(columns + "\n")
        with pytest.raises(UsageError, match="other columns"):
            ResultTable(tmp_path / "other.csv", Measured)


@pytest.mark.parametrize("cut", [1, 5, 8])
def test_half_a_line_is_dropped_and_measured_again(tmp_path, cut) -> None:
    path = tmp_path / "cases.csv"
    ResultTable(path, Measured).append([A, B])
    path.write_bytes(path.read_bytes()[:-cut])
    table = ResultTable(path, Measured)
    assert [row.case for row in table.rows] == ["a"]
    table.append([B])
    assert [row.case for row in ResultTable(path, Measured).rows] == ["a", "b"]
    assert path.read_text().count("\n") == 3


def test_a_later_line_replaces_an_earlier_one_and_tidying_removes_that(tmp_path) -> None:
    path = tmp_path / "cases.csv"
    table = ResultTable(path, Measured)
    table.append([A, B])
    table.append([Measured("a", A.method, 7.0)])
    assert [row.error for row in ResultTable(path, Measured).rows] == [7.0, 2.0]
    assert path.read_text().count("\n") == 4
    table.tidy()
    assert path.read_text().count("\n") == 3
    assert [row.error for row in ResultTable(path, Measured).rows] == [7.0, 2.0]
    before = path.stat().st_mtime_ns
    table.tidy()
    assert path.stat().st_mtime_ns == before


def test_a_file_with_other_columns_is_refused(tmp_path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("case,method\na,m\n")
    with pytest.raises(UsageError, match="has other columns"):
        ResultTable(path, Measured)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write cases"):
        ResultTable(tmp_path / "file" / "cases.csv", Measured)
