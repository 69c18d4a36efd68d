"""When SPECT and CT of a study were acquired, as their headers state it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from mureg.io.dicom.access import text
from mureg.io.dicom.ct_read import choose_ct_series
from mureg.io.input_paths import require_path
from mureg.io.maps import choose_map_objects
from mureg.io.nifti import is_nifti
from mureg.io.nm.choose import choose_spect

_OF = ("Acquisition", "Series", "Study")


def acquired_at(header: Dataset) -> str:
    """Date and time of the acquisition, else of the series, else of the study, as "2021-07-16 09:31".

    A date without a time is given alone; "" where no date can be read.
    """
    whole = text(header, "AcquisitionDateTime").split("+")[0].split("-")[0]
    times = [(whole[:8], whole[8:]), *((text(header, f"{of}Date"), text(header, f"{of}Time")) for of in _OF)]
    return next((words for words in (_words(day, hour) for day, hour in times) if words), "")


def spect_acquired_at(path: Path, series: str | None = None) -> str:
    """When the SPECT at a path was acquired, "" where nothing states it; raises as `read_spect`."""
    return "" if _is_nifti(path) else acquired_at(choose_spect(path, series).header)


def ct_acquired_at(ct: Path | None, mu: Path | None = None, series: str | None = None) -> str:
    """When the CT or ready map at a path was acquired, "" where nothing states it; raises as `read_study`."""
    if ct is not None:
        return "" if _is_nifti(ct) else acquired_at(choose_ct_series(ct, series)[0].files[0].header)
    return "" if mu is None or _is_nifti(mu) else acquired_at(choose_map_objects(mu, series).files[0].header)


def _is_nifti(path: Path) -> bool:
    require_path(path)
    return path.is_file() and is_nifti(path)


def _words(day: str, hour: str) -> str:
    """The two as DICOM writes them (with dots and colons in old objects) in the form of ISO 8601, to the minute."""
    day, hour = day.replace(".", ""), hour.replace(":", "").split(".")[0]
    if len(day) != 8 or not day.isdigit():
        return ""
    try:
        date = datetime(int(day[:4]), int(day[4:6]), int(day[6:]))
    except ValueError:
        return ""
    timed = len(hour) in (4, 6) and hour.isdigit() and int(hour[:2]) < 24 and int(hour[2:4]) < 60
    return f"{date:%Y-%m-%d} {hour[:2]}:{hour[2:4]}" if timed else f"{date:%Y-%m-%d}"
