"""Which CT belongs to which SPECT, where a patient has several: by frame of reference, then by time, never by guess."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mureg.io.dicom.access import text
from mureg.io.dicom.files import DicomSeries, patient_of
from mureg.io.dicom.times import acquired_at
from mureg.io.nm.choose import PROJECTIONS, nm_kind

_CLEARLY_NEARER_MIN = 2.0
"""The nearest CT in time must be nearer than the next one by this much: two reconstructions of one scan are not."""
_SAME_DAY_MIN = 12 * 60.0
"""Half a day: scans of one visit lie within it, those of another day do not; a round value."""
_PHASES = (("stress", r"stress|belastung|effort|str\b"), ("rest", r"rest\b|resting|ruhe|repos|rst\b"))


@dataclass(frozen=True, eq=False)
class Match:
    """A SPECT and what attenuates it.

    Attributes:
        spect, attenuation: the series.
        how: what put them together, in a few words for people; "" where there was no choice.
    """

    spect: DicomSeries
    attenuation: DicomSeries
    how: str


def without_reconstructions(spects: Sequence[DicomSeries]) -> list[DicomSeries]:
    """The SPECTs without the reconstructions of a scan (patient, study, frame of reference) whose projections exist."""
    scans = {_scan(entry) for entry in spects if _is_projections(entry)}
    return [entry for entry in spects if _is_projections(entry) or _scan(entry) not in scans]


def matched(spects: Sequence[DicomSeries], attenuations: Sequence[DicomSeries]) -> list[Match] | None:
    """A CT for every SPECT, each taken once; None where that takes a guess.

    Of several CTs the one with the SPECT's frame of reference is taken. Where several have it, or none, the nearest in
    time is, if it is clearly the nearest and of the same day.
    """
    if len(spects) == len(attenuations) == 1:
        return [Match(spects[0], attenuations[0], "")]
    matches = []
    for spect in spects:
        match = _match(spect, attenuations)
        if match is None:
            return None
        matches.append(match)
    uses = Counter(id(match.attenuation) for match in matches)
    return matches if matches and max(uses.values()) == 1 else None


def reason_apart(match: Match) -> str:
    """Why the only SPECT and the only CT of a patient need not belong together; "" where they do.

    They do by one DICOM study, one frame of reference, or times that lie less than half a day apart. Who put two
    series into one folder has said so already; nobody has of those that merely name the same patient.
    """
    headers = match.spect.files[0].header, match.attenuation.files[0].header
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        values = {text(header, keyword) for header in headers}
        if len(values) == 1 and "" not in values:
            return ""
    times = [acquired_at(header) for header in headers]
    if None in times:
        return "SPECT and CT of different DICOM studies and frames of reference that do not say when they were acquired"
    apart_min = abs((times[0] - times[1]).total_seconds()) / 60.0  # type: ignore[operator]
    if apart_min <= _SAME_DAY_MIN:
        return ""
    return f"SPECT and CT of different DICOM studies, {apart_min / 60.0:.0f} hours apart"


def phase_of(spect: DicomSeries) -> str:
    """Stress or rest by the words of the description, "" where it has neither or both."""
    description = spect.description.lower()
    phases = [phase for phase, pattern in _PHASES if re.search(rf"(?<![a-z])(?:{pattern})", description)]
    return phases[0] if len(phases) == 1 else ""


def _match(spect: DicomSeries, attenuations: Sequence[DicomSeries]) -> Match | None:
    frame = text(spect.files[0].header, "FrameOfReferenceUID")
    same = [
        attenuation
        for attenuation in attenuations
        if frame and text(attenuation.files[0].header, "FrameOfReferenceUID") == frame
    ]
    if len(same) == 1:
        return Match(spect, same[0], "by frame of reference")
    own = acquired_at(spect.files[0].header)
    if own is None:
        return None
    distances = []
    for attenuation in same or attenuations:
        moment = acquired_at(attenuation.files[0].header)
        if moment is None:
            return None
        distances.append((abs((moment - own).total_seconds()) / 60.0, attenuation))
    distances.sort(key=lambda pair: pair[0])
    if not distances or distances[0][0] > _SAME_DAY_MIN:
        return None
    if len(distances) > 1 and distances[1][0] - distances[0][0] < _CLEARLY_NEARER_MIN:
        return None
    before = "by frame of reference and time" if same else "by time"
    return Match(spect, distances[0][1], f"{before} ({distances[0][0]:.0f} minutes apart)")


def _is_projections(entry: DicomSeries) -> bool:
    return nm_kind(entry.files[0].header) in PROJECTIONS


def _scan(entry: DicomSeries) -> tuple[str, ...]:
    header = entry.files[0].header
    return patient_of(entry.files[0]), text(header, "StudyInstanceUID"), text(header, "FrameOfReferenceUID")
