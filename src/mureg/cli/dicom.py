"""Options for results as DICOM."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mureg.io import dicom_inputs
from mureg.results import AsDicom


@dataclass(frozen=True)
class DicomOut:
    """Results as DICOM.

    Attributes:
        dicom: also write registration, map, images and report as DICOM, into dicom/.
        moved_ct: also write the registered CT as a DICOM series; includes --dicom.
    """

    dicom: bool = False
    moved_ct: bool = False

    def of(
        self,
        spect: Path,
        ct: Path | None,
        mu: Path | None = None,
        spect_series: str | None = None,
        ct_series: str | None = None,
    ) -> AsDicom | None:
        """What to write for the study that is read from these paths; None without the options."""
        if not (self.dicom or self.moved_ct):
            return None
        inputs = dicom_inputs(spect, ct=ct, mu=mu, spect_series=spect_series, ct_series=ct_series)
        return AsDicom(inputs, datetime.now(), self.moved_ct)
