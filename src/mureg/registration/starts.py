"""Poses of mutual information from which other registrars begin."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from mureg.errors import RegistrationError
from mureg.geometry import RigidTransform
from mureg.jobs.threads import in_threads
from mureg.registration.mutual_information import MutualInformation
from mureg.study import PreparedStudy

Start = tuple[RigidTransform, tuple[str, ...]]


@dataclass(eq=False)
class _Once:
    """One search: whoever comes second waits for its answer."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    start: Start | None = None


_searches: WeakKeyDictionary[PreparedStudy, dict[MutualInformation, _Once]] = WeakKeyDictionary()
_searches_lock = threading.Lock()


def started_by(mutual_information: MutualInformation, study: PreparedStudy) -> Start:
    """The pose of mutual information, or the scanner position and a warning where it found none.

    Several registrars begin with it: it is searched once for a study and its settings, and kept while the study is.
    """
    with _searches_lock:
        search = _searches.setdefault(study, {}).setdefault(mutual_information, _Once())
    with search.lock:
        if search.start is None:
            search.start = _started_by(mutual_information, study)
        return search.start


def _started_by(mutual_information: MutualInformation, study: PreparedStudy) -> Start:
    try:
        return mutual_information.register(study).ct_from_spect, ()
    except RegistrationError as refusal:
        return RigidTransform.identity(), (
            f"mutual information gave no start, so the search began at the scanner position: {refusal}",
        )


def starts_by(
    mutual_information: MutualInformation, study: PreparedStudy
) -> tuple[list[RigidTransform], tuple[str, ...]]:
    """Poses with all parameters free, and with the axial shift of the scanner where there is overlap; and warnings."""

    def at_scanner() -> tuple[RigidTransform | None, tuple[str, ...]]:
        try:
            return mutual_information.across(study.uncorrected, study.body, RigidTransform.identity()), ()
        except RegistrationError as refusal:
            return None, (f"no start at the axial scanner position: {refusal}",)

    def free() -> Start:
        return started_by(mutual_information, study)

    results = in_threads(lambda search: search(), [free, at_scanner])
    warnings = tuple(warning for _, own in results for warning in own)
    return [start for start, _ in results if start is not None], warnings
