"""Options of the report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mureg.io.acquired import ct_acquired_at, spect_acquired_at
from mureg.io.patient_label import patient_label
from mureg.report.occasion import Occasion
from mureg.results import AsReport
from mureg.study import Study


@dataclass(frozen=True)
class StudyPlace:
    """Where a study was read from; see `mureg.io.read_study`."""

    spect: Path
    ct: Path | None = None
    mu: Path | None = None
    spect_series: str | None = None
    ct_series: str | None = None


@dataclass(frozen=True)
class ReportOut:
    """What the report holds.

    Attributes:
        pdf: also write the report as report.pdf (two A4 pages).
        names: show patient name, identifier and study date in the report.
    """

    pdf: bool = False
    names: bool = False

    def of(self, study: Study, place: StudyPlace, label: str = "", made_at: datetime | None = None) -> AsReport:
        """The report to write of the study that was read from a place.

        Args:
            study: as it was read.
            place: where from.
            label: pseudonymous; made of the bytes of the SPECT where it is "".
            made_at: time of processing; now where left out.
        """
        occasion = Occasion(
            label,
            spect_acquired_at(place.spect, place.spect_series),
            ct_acquired_at(place.ct, place.mu, place.ct_series),
            made_at or datetime.now(),
        )
        patient = patient_label(place.spect, place.spect_series) if self.names else ""
        return AsReport(study, self.pdf, patient, occasion)
