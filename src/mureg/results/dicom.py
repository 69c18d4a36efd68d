"""The results of a run as DICOM: what goes into which object."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mureg.assessment.result import Assessment
from mureg.geometry import RigidTransform
from mureg.io import DicomInputs, DicomResult, write_dicom_results
from mureg.io.result_volumes import Reconstructions
from mureg.io.results import FOLDER, require_ct
from mureg.report.wording import reconstruction_in_words
from mureg.results.options import AsReport


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

    def check(self) -> None:
        """Refuse, before any work is done, a moved CT where there is none or where its slices cannot be moved."""
        require_ct(self.inputs, moved_ct=self.moved_ct)

    def write(self, assessment: Assessment, folder: Path, document: AsReport) -> tuple[DicomResult, ...]:
        """Write ``dicom/`` into the folder of results, whole or not at all.

        Args:
            assessment: of one run.
            folder: of all results.
            document: the report, whose pages become one of the objects.
        """
        from mureg.report.pictures.chest import display_filter, smoothed  # loads what draws

        registration, settings = assessment.registration, assessment.provenance.settings
        scatter = settings.get("physics", {}).get("scatter", "none") != "none"
        moved = assessment.ct_from_spect != RigidTransform.identity()
        images = {
            "nac": assessment.spect_uncorrected,
            "ac_header": assessment.spect_header if moved else None,  # otherwise that is "ac"
            "ac": assessment.spect_corrected,
        }
        return write_dicom_results(
            folder / FOLDER,
            self.inputs,
            assessment.ct_from_spect,
            assessment.mu_registered,
            Reconstructions(
                assessment.spect_uncorrected if self.inputs.from_projections else None,
                assessment.spect_corrected,
                reconstruction_in_words(settings.get("reconstructor", {})),
                ("ATTN", "SCAT") if scatter else ("ATTN",),
                {name: smoothed(image) for name, image in images.items() if image is not None},
                display_filter(assessment.spect_uncorrected.grid),
            ),
            document.pages(assessment),
            decision=assessment.decision,
            how=registration.registrar if assessment.review is None else assessment.review.short,
            made_at=self.made_at,
            moved_ct=self.moved_ct,
        )
