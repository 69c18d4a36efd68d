"""When images were acquired, and whether SPECT and CT lie too far apart to be of one visit to the scanner."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydicom.dataset import Dataset

from mureg.io.dicom.access import reading, text
from mureg.notes import Note, Rank

LONGEST_APART = timedelta(minutes=60)
"""A hybrid scanner takes CT and SPECT within the hour; a patient who has left the table in between lies differently."""

_STAMPS = ("AcquisitionDateTime", "FrameAcquisitionDateTime")
_DAYS_AND_TIMES = (
    ("AcquisitionDate", "AcquisitionTime"),
    ("SeriesDate", "SeriesTime"),
    ("ContentDate", "ContentTime"),
    ("StudyDate", "AcquisitionTime"),
    ("StudyDate", "SeriesTime"),
)


def acquired_at(header: Dataset) -> datetime | None:
    """Begin of the acquisition by the header, to the second and without time zone; None where it does not say.

    The time of the acquisition goes before that of the series, and this before that of the content, which may be the
    time of a later reconstruction.
    """
    for keyword in _STAMPS:
        moment = _moment(text(header, keyword))
        if moment is not None:
            return moment
    for day, time in _DAYS_AND_TIMES:
        if text(header, time):
            moment = _moment(text(header, day) + text(header, time))
            if moment is not None:
                return moment
    return None


def time_notes(spect: Dataset, attenuation: Dataset, what: str) -> tuple[str, ...]:
    """A warning with both times where SPECT and CT (or map, as `what` says) are more than `LONGEST_APART` apart."""
    with reading("the times of the acquisitions"):
        spect_time, map_time = acquired_at(spect), acquired_at(attenuation)
    if spect_time is None or map_time is None or abs(spect_time - map_time) <= LONGEST_APART:
        return ()
    minutes = round(abs(spect_time - map_time).total_seconds() / 60)
    apart = f"{minutes} minutes" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"
    sentence = (
        f"SPECT ({spect_time:%Y-%m-%d %H:%M}) and {what} ({map_time:%Y-%m-%d %H:%M}) were acquired {apart} apart: make "
        "sure that they belong together"
    )
    return (Note(sentence, Rank.GUESSED),)


def _moment(stamp: str) -> datetime | None:
    """Of YYYYMMDDhhmm with or without seconds, fraction and zone; older objects write dots and colons."""
    digits = stamp.split("+")[0].replace(":", "")
    digits = digits.replace(".", "", 2) if digits[4:5] == "." else digits
    digits = digits.split(".")[0].split("-")[0]
    for form in ("%Y%m%d%H%M%S", "%Y%m%d%H%M"):
        try:
            return datetime.strptime(digits, form)
        except ValueError:
            continue
    return None
