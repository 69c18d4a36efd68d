"""Who a study is of, for those who ask to have it shown."""

from __future__ import annotations

from pathlib import Path

from mureg.io.dicom.access import text
from mureg.io.dicom.archives import unpacked
from mureg.io.input_paths import require_path
from mureg.io.nifti import is_nifti
from mureg.io.nm.choose import choose_spect


def patient_label(spect: Path, series: str | None = None) -> str:
    """Name, identifier and study date as the header of the SPECT has them; "" where it has none, and for NIfTI.

    Raises as `read_spect`.
    """
    with unpacked(spect) as place:
        require_path(place)
        if place.is_file() and is_nifti(place):
            return ""
        header = choose_spect(place, series).header
    name = " ".join(text(header, "PatientName").replace("^", " ").split())
    identifier, day = text(header, "PatientID"), text(header, "StudyDate")
    if len(day) == 8 and day.isdigit():
        day = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    return ", ".join(part for part in (name, identifier and f"ID {identifier}", day) if part)
