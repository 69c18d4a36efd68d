"""The results of a run as DICOM: what goes into which object."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mureg.evaluation.verdict import Assessment
from mureg.io import DicomInputs, DicomResult, write_dicom_results
from mureg.io.dicom_result_volumes import Reconstructions
from mureg.io.dicom_results import FOLDER, check_dicom_folder
from mureg.report.wishes import AsReport
from mureg.report.wording import reconstruction_in_words


@dataclass(frozen=True, eq=False)
class AsDicom:
    """The wish to have the results as DICOM.

    Attributes:
        inputs: the objects that the study was read from.
        made_at: date and time that the new objects carry.
        moved_ct: the CT at its registered place as well.
    """

    inputs: DicomInputs
    made_at: datetime
    moved_ct: bool = False

    def check(self, folder: Path, overwrite: bool) -> None:
        """Refuse before any work is done; see `check_dicom_folder`."""
        check_dicom_folder(folder / FOLDER, self.inputs, moved_ct=self.moved_ct, overwrite=overwrite)

    def write(
        self, assessment: Assessment, folder: Path, document: AsReport, overwrite: bool
    ) -> tuple[DicomResult, ...]:
        """Write ``dicom/`` into the folder of results, whole or not at all.

        Args:
            assessment: of one run.
            folder: of all results.
            document: the report, whose pages become one of the objects.
            overwrite: replace that of an earlier run.
        """
        from mureg.report.chest import display_filter, smoothed  # loads what draws

        outcome = assessment.outcome
        registration, settings = outcome.registration, outcome.provenance.settings
        scatter = settings.get("physics", {}).get("scatter", "none") != "none"
        drawn = {
            "nac": outcome.spect_uncorrected,
            "ac_header": assessment.spect_header,
            "ac": outcome.spect_corrected,
        }
        return write_dicom_results(
            folder / FOLDER,
            self.inputs,
            registration.ct_from_spect,
            outcome.mu_registered,
            Reconstructions(
                outcome.spect_uncorrected if self.inputs.from_projections else None,
                outcome.spect_corrected,
                reconstruction_in_words(settings.get("reconstructor", {})),
                ("ATTN", "SCAT") if scatter else ("ATTN",),
                {name: smoothed(image) for name, image in drawn.items() if image is not None},
                display_filter(outcome.spect_uncorrected.grid),
            ),
            document.pages(assessment),
            decision=assessment.decision,
            how=registration.registrar,
            made_at=self.made_at,
            moved_ct=self.moved_ct,
            overwrite=overwrite,
        )
