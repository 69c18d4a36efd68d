"""The wish for a report, for the verbs that make one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mureg.io.patient_label import patient_label
from mureg.report import AsReport
from mureg.study import Study


@dataclass(frozen=True)
class ReportOut:
    """What the report holds.

    Attributes:
        pdf: write the report as report.pdf as well, two pages of A4.
        names: show the patient's name, identifier and study date in the report; otherwise nothing of the patient.
    """

    pdf: bool = False
    names: bool = False

    def of(self, study: Study, spect: Path, spect_series: str | None = None) -> AsReport:
        """The report to write of the study that was read from this path."""
        return AsReport(study, self.pdf, patient_label(spect, spect_series) if self.names else "")
