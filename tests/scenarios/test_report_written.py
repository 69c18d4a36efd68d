"""The report among the files of a result: all or none, nothing left over, names only where asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from mureg.cli.report import ReportOut, StudyPlace
from mureg.errors import UsageError
from mureg.results import AsReport, check_folder, write_folder
from mureg.results.folder import FILES
from mureg.sample import sample_folder
from support.assessments import drawn_assessment, drawn_study


def test_report_and_pdf_stand_beside_the_results_and_go_when_not_made_again(tmp_path: Path) -> None:
    written = write_folder(drawn_assessment(), tmp_path, None, AsReport(drawn_study(), pdf=True))
    assert {"report.html", "report.pdf"} <= {path.name for path in written} <= set(FILES)
    with pytest.raises(UsageError, match="exists already"):
        check_folder(tmp_path, overwrite=False)
    again = write_folder(drawn_assessment(), tmp_path, None, AsReport(drawn_study()), overwrite=True)
    assert "report.html" in {path.name for path in again}
    assert not (tmp_path / "report.pdf").exists(), "of another run"


def test_a_report_that_fails_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    def fail(self, assessment, folder) -> None:
        raise UsageError("no room", "room", "make some")

    monkeypatch.setattr(AsReport, "write", fail)
    with pytest.raises(UsageError, match="no room"):
        write_folder(drawn_assessment(), tmp_path / "out", None, AsReport(drawn_study()))
    assert not (tmp_path / "out").exists()


def test_names_are_read_only_where_asked() -> None:
    place = StudyPlace(sample_folder() / "spect.dcm", sample_folder() / "ct")
    assert ReportOut().of(drawn_study(), place).patient == ""
    assert ReportOut(names=True).of(drawn_study(), place).patient != ""
