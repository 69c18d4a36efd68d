"""Which study a report is of, and when it was scanned and processed: pseudonymous, on every page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mureg.study import Study

NOT_STATED = "time not stated"


@dataclass(frozen=True)
class Occasion:
    """What identifies a report without naming the patient.

    Attributes:
        label: pseudonymous study label; "" for one made of the bytes of the SPECT.
        spect_at, ct_at: when SPECT and CT (or map) were acquired, "2021-07-16 09:31"; "" where nothing states it.
        processed: when the program ran; None where that is to be left out.
    """

    label: str = ""
    spect_at: str = ""
    ct_at: str = ""
    processed: datetime | None = None

    def label_of(self, study: Study) -> str:
        """The label, or one that the same SPECT always has."""
        if self.label:
            return self.label
        spect = next((source.sha256 for source in study.sources if source.kind == "spect"), "")
        return spect[:8] or "without label"

    @property
    def processed_at(self) -> str:
        """Date and time to the minute, "" where it is left out."""
        return "" if self.processed is None else f"{self.processed:%Y-%m-%d %H:%M}"

    def words(self, study: Study) -> str:
        """One line: label, times of the scans, time of processing."""
        scans = f"SPECT {self.spect_at or NOT_STATED}, {study.attenuation_name} {self.ct_at or NOT_STATED}"
        processed = f" · processed {self.processed_at}" if self.processed_at else ""
        return f"Study {self.label_of(study)} · scanned: {scans}{processed}"

    def as_json(self, study: Study) -> dict[str, str | None]:
        """The same for programs; None where nothing is known."""
        return {
            "label": self.label_of(study),
            "spect_acquired": self.spect_at or None,
            "ct_acquired": self.ct_at or None,
            "processed": self.processed_at or None,
        }
