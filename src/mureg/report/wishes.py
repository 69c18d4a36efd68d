"""What may be wished for beside the files of a result.

Nothing here draws: the libraries that do are loaded when a result is written, for they take a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mureg.assessment.result import Assessment
from mureg.study import Study


@dataclass(frozen=True, eq=False)
class AsReport:
    """The wish for a report.

    Attributes:
        study: that is run, for the facts of its acquisition.
        pdf: two pages of paper as well.
        patient: who it is, shown at the top; "" keeps everything of the patient out of the file.
    """

    study: Study
    pdf: bool = False
    patient: str = ""

    def write(self, assessment: Assessment, folder: Path) -> None:
        """Write ``report.html``, and ``report.pdf`` where that is wanted, each whole or not at all."""
        from mureg.report.document import write_document

        write_document(assessment, self.study, folder, pdf=self.pdf, patient=self.patient)
