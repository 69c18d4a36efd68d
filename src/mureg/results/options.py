"""Options of the report.

Nothing here draws: the libraries that do are loaded when a result is written, because loading them takes a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mureg.assessment.result import Assessment
from mureg.io.dicom.secondary_capture import Pages
from mureg.report.occasion import Occasion
from mureg.study import Study


@dataclass(frozen=True, eq=False)
class AsReport:
    """Options of a report.

    Attributes:
        study: that is run, for the facts of its acquisition.
        pdf: two pages of paper as well.
        patient: who it is, shown at the top; "" keeps everything of the patient out of the file.
        occasion: study label and times, shown on every page.
    """

    study: Study
    pdf: bool = False
    patient: str = ""
    occasion: Occasion = field(default_factory=Occasion)

    def write(self, assessment: Assessment, folder: Path) -> None:
        """Write ``report.html``, and ``report.pdf`` where that is wanted, each whole or not at all."""
        from mureg.report.document import write_document

        write_document(assessment, self.study, folder, pdf=self.pdf, patient=self.patient, occasion=self.occasion)

    def pages(self, assessment: Assessment) -> Pages:
        """The pages for an archive: they hold all words, and refer to no file that is not there."""
        from mureg.report.document import draw_pages

        return draw_pages(assessment, self.study, patient=self.patient, occasion=self.occasion)
