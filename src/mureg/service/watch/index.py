"""Which files lie in the sources, whose they are, and since when nothing has changed: by listing, again and again."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mureg.errors import MuregError
from mureg.io.dicom.object_head import object_head
from mureg.io.input_paths import files_below
from mureg.service.store.queue import KnownFile, Queue

LOG = logging.getLogger("mureg.watch")

_HALF_WRITTEN = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload")
"""Endings under which programs write a file before it has its name."""


@dataclass(frozen=True)
class Group:
    """The files of one patient in the sources.

    Attributes:
        patient: key.
        files: by path.
        changed_at: when the last of them came or changed, by the clock of the watch.
    """

    patient: str
    files: dict[str, KnownFile]
    changed_at: float

    @property
    def stamp(self) -> str:
        """A hash over paths, sizes and times."""
        lines = (f"{path}\n{file.size} {file.mtime_ns}\n" for path, file in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


@dataclass
class Index:
    """Keeps a list of all files in the queue, and reads the head of those alone that are new or changed.

    Attributes:
        queue: of the store.
        sources: folders, also on network disks; they may be out of reach for a while.
        began: time of the watch's clock at its begin: files known from before count as changed then.
    """

    queue: Queue
    sources: Sequence[Path]
    began: float
    _known: dict[str, KnownFile] = field(default_factory=dict)
    _changed_at: dict[str, float] = field(default_factory=dict)
    _unreachable: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._known = self.queue.files()

    def look(self, now: float) -> dict[str, Group]:
        """List the sources; the files of each patient. A source out of reach keeps the files that it had."""
        listed = self._listed()
        added = {
            path: _read(Path(path), size, mtime_ns)
            for path, (size, mtime_ns) in listed.items()
            if (known := self._known.get(path)) is None or (known.size, known.mtime_ns) != (size, mtime_ns)
        }
        added = {path: file for path, file in added.items() if file != self._known.get(path)}
        gone = [
            path
            for path in self._known
            if path not in listed and not any(_lies_in(path, source) for source in self._unreachable)
        ]
        if added or gone:
            self.queue.store_files(added, gone)
        for path in gone:
            del self._known[path]
            self._changed_at.pop(path, None)
        self._known |= added
        self._changed_at |= dict.fromkeys(added, now)
        return self._groups()

    @property
    def not_taken(self) -> dict[str, str]:
        """Files that are DICOM and damaged, and why they are not taken."""
        return {path: file.problem for path, file in sorted(self._known.items()) if file.problem}

    def _groups(self) -> dict[str, Group]:
        files: dict[str, dict[str, KnownFile]] = defaultdict(dict)
        unknown_at: dict[str, float] = {}
        for path, file in self._known.items():
            if file.patient:
                files[file.patient][path] = file
            else:  # perhaps an object that is still being written: it may belong to any patient beside it
                folder = _folder_of(path)
                unknown_at[folder] = max(unknown_at.get(folder, self.began), self._changed(path))
        return {patient: Group(patient, mine, self._last(mine, unknown_at)) for patient, mine in files.items()}

    def _last(self, files: dict[str, KnownFile], unknown_at: dict[str, float]) -> float:
        return max(max(self._changed(path), unknown_at.get(_folder_of(path), self.began)) for path in files)

    def _changed(self, path: str) -> float:
        return self._changed_at.get(path, self.began)

    def _listed(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file in the sources that can be listed."""
        listed: dict[str, tuple[int, int]] = {}
        for source in self.sources:
            try:
                found = dict(_sized(source))
            except (MuregError, OSError) as problem:
                if source not in self._unreachable:
                    LOG.warning("a source cannot be listed (%s): looking again", type(problem).__name__)
                self._unreachable.add(source)
                continue
            self._unreachable.discard(source)
            listed |= found
        return listed


def _sized(source: Path) -> list[tuple[str, tuple[int, int]]]:
    source.stat()  # a source that is gone is no empty one
    found = []
    for file in files_below(source):
        if file.name.startswith(".") or file.name.lower().endswith(_HALF_WRITTEN):
            continue
        try:
            status = file.stat()
        except OSError:  # gone meanwhile
            continue
        found.append((str(file), (status.st_size, status.st_mtime_ns)))
    return found


def _read(path: Path, size: int, mtime_ns: int) -> KnownFile:
    try:
        head = object_head(path)
    except MuregError as problem:
        if isinstance(problem.__cause__, OSError):  # a network disk that stumbles: it is read again at the next look
            return KnownFile(-1, -1, problem=str(problem))
        return KnownFile(size, mtime_ns, problem=str(problem))
    if head is None:
        return KnownFile(size, mtime_ns)
    if not head.patient:
        return KnownFile(size, mtime_ns, problem="an object that names neither a patient nor a study")
    return KnownFile(size, mtime_ns, head.patient, head.sop_instance)


def _folder_of(path: str) -> str:
    return str(Path(path).parent)


def _lies_in(path: str, folder: Path) -> bool:
    return Path(path).is_relative_to(folder)
