"""From the files of a patient to versions of studies, with copies of their inputs in the store."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mureg.errors import MuregError, UnreadableInputError
from mureg.files.atomic import writing_folder
from mureg.io.dicom.access import text
from mureg.io.dicom.files import DicomSeries, search_files
from mureg.io.dicom.object_head import place_in_series, same_object
from mureg.io.input_paths import called
from mureg.io.worklist.folder import paired_series
from mureg.io.worklist.pairing import Match, reason_apart
from mureg.service.store.folder import Store
from mureg.service.store.queue import Queue, Version
from mureg.service.watch.index import Group

INPUTS_KIND = "inputs of a study"
_NAME_LETTERS, _CHUNK = 12, 2**20
"""Hexadecimal digits of a study's name: no two of a hospital share one; bytes that are copied at a time."""


class ChangedMeanwhileError(Exception):
    """A file is not as it was listed: look again later."""


class _NothingNewError(Exception):
    """All files of a study are in its last version."""


@dataclass(frozen=True)
class FoundStudy:
    """A SPECT and what attenuates it, where they lie.

    Attributes:
        files: paths by role: "spect", and "ct" or "mu".
        spects: UIDs of the SPECT objects.
    """

    files: dict[str, tuple[Path, ...]]
    spects: tuple[str, ...]


def settle(group: Group, store: Store, queue: Queue) -> None:
    """Put the files of a patient together: queue each study that is new or has other files than its last version.

    Inputs are copied into the store, where a study is read from ever after; those in the store are linked.

    Raises:
        ChangedMeanwhileError: a file changed while it was copied.
    """
    found, waiting = put_together(group, queue)
    versions = []
    for study in found:
        version = _new_version(study, group, store, queue)
        if version is not None:
            versions.append((version, study.spects))
    queue.settle(group.patient, group.stamp, waiting, versions)


def put_together(group: Group, queue: Queue) -> tuple[list[FoundStudy], list[str]]:
    """The studies among the files of a patient, and why other ones cannot be paired.

    Raises:
        ChangedMeanwhileError: a file cannot be read any more.
    """
    found, waiting = [], []
    paths = [Path(path) for path in sorted(group.files)]
    try:
        _refuse_two_of_one(group)
        search = search_files(paths)
        if search.damaged:  # each of them could be read when it was listed
            raise ChangedMeanwhileError
        series = search.series
        pairs = paired_series(series, "a patient", "the patient", store_root(paths))
    except MuregError as problem:
        return [], [str(problem)]
    for entry, match in pairs:
        reason = entry.problem if match is None else reason_apart(match)
        if match is not None and not reason:
            found.append(_found(match, "ct" if entry.ct is not None else "mu"))
        else:
            waiting.append(reason)
    if not found and not _has_new_spect(series, queue):
        waiting = []  # what was registered before, and has been taken away in part since
    return found, waiting


def store_root(paths: Sequence[Path]) -> Path:
    """The folder that holds all paths."""
    return Path(os.path.commonpath([path.parent for path in paths]))


def _refuse_two_of_one(group: Group) -> None:
    """Refuse files that claim to be the same object and differ; copies are let through.

    Slices that a careless de-identification gave one UID differ in place or number, and are different objects.
    """
    by_uid: dict[str, list[Path]] = defaultdict(list)
    for path, file in sorted(group.files.items()):
        by_uid[file.sop_instance].append(Path(path))
    for paths in by_uid.values():
        first: dict[tuple[str, str], Path] = {}
        for copy in paths if len(paths) > 1 else ():
            earlier = first.setdefault(place_in_series(copy), copy)
            if earlier is not copy and not same_object(earlier, copy):
                raise UnreadableInputError(
                    f"{called(earlier)} and {called(copy)} claim to be the same object (SOPInstanceUID) and differ",
                    "one object under one UID",
                    "take away the wrong one",
                )


def _has_new_spect(series: Sequence[DicomSeries], queue: Queue) -> bool:
    """Whether some series belongs to no study yet; also where there is no SPECT at all."""
    spects = [text(file.header, "SOPInstanceUID") for s in series if s.modality == "NM" for file in s.files]
    return not spects or any(queue.study_of([uid]) is None for uid in spects)


def _found(match: Match, kind: str) -> FoundStudy:
    spect, attenuation = match.spect, match.attenuation
    files = {
        "spect": tuple(dict.fromkeys(path for file in spect.files for path in file.paths)),
        kind: tuple(dict.fromkeys(path for file in attenuation.files for path in file.paths)),
    }
    uids = sorted({text(part.header, "SOPInstanceUID") for file in spect.files for part in file.objects})
    return FoundStudy(files, tuple(uids))


def _new_version(found: FoundStudy, group: Group, store: Store, queue: Queue) -> Version | None:
    """Copy the inputs of a version; None where all of them are in the last one."""
    words = "\n".join(found.spects[:1]).encode()
    study = queue.study_of(found.spects) or hashlib.sha256(b"mureg " + words).hexdigest()[:_NAME_LETTERS]
    last = max(queue.versions(study=study), key=lambda version: version.version, default=None)
    number = 1 if last is None else last.version + 1
    name = f"{study}-v{number}"
    try:
        with writing_folder(store.inputs / name, kind=INPUTS_KIND, overwrite=True) as scratch:
            digests, entry = set(), {}
            for role, paths in found.files.items():
                (scratch / role).mkdir()
                for number_of_file, path in enumerate(paths, 1):
                    place = scratch / role / f"{number_of_file:04d}.dcm"
                    digests.add(_copied(path, place, group))
                entry[role] = role if len(paths) > 1 else f"{role}/0001.dcm"
            if last is not None and digests <= last.digests:
                raise _NothingNewError
    except _NothingNewError:
        return None
    return Version(study, number, group.patient, frozenset(digests), entry)


def _copied(path: Path, place: Path, group: Group) -> str:
    """SHA-256 of a file that was copied."""
    known = group.files[str(path)]
    try:
        digest = hashlib.sha256()
        with path.open("rb") as source, place.open("xb") as copy:
            while piece := source.read(_CHUNK):
                digest.update(piece)
                copy.write(piece)
        status = path.stat()
    except FileNotFoundError as problem:
        raise ChangedMeanwhileError from problem
    if (status.st_size, status.st_mtime_ns) != (known.size, known.mtime_ns):
        raise ChangedMeanwhileError
    return digest.hexdigest()
