"""The results of a run as DICOM: what goes into which object."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mureg.assessment.result import Assessment
from mureg.io import DicomInputs, DicomResult, write_dicom_results
from mureg.io.dicom_results import FOLDER, Reconstructions, require_ct


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
        """Refuse, before any work is done, a moved CT where there is none."""
        require_ct(self.inputs, moved_ct=self.moved_ct)

    def write(self, assessment: Assessment, folder: Path, picture: Path) -> tuple[DicomResult, ...]:
        """Write ``dicom/`` into the folder of results, whole or not at all.

        Args:
            assessment: of one run.
            folder: of all results.
            picture: the quality picture, which becomes the report.
        """
        from mureg.report.caption import captioned  # loads what draws

        registration, settings = assessment.registration, assessment.provenance.settings
        scatter = settings.get("physics", {}).get("scatter", "none") != "none"
        return write_dicom_results(
            folder / FOLDER,
            self.inputs,
            assessment.ct_from_spect,
            assessment.mu_registered,
            Reconstructions(
                assessment.spect_uncorrected if self.inputs.from_projections else None,
                assessment.spect_corrected,
                _in_words(settings.get("reconstructor", {})),
                ("ATTN", "SCAT") if scatter else ("ATTN",),
            ),
            captioned(picture),
            how=f"{registration.registrar}, decision {assessment.decision}",
            made_at=self.made_at,
            moved_ct=self.moved_ct,
        )


def _in_words(settings: dict[str, object]) -> str:
    """An algorithm and its settings, shortly."""
    named = ", ".join(f"{name} {value}" for name, value in settings.items() if name != "kind")
    return f"{settings.get('kind', 'reconstruction')} ({named})"
