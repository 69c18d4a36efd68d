"""A SPECT and the CT or attenuation map that belongs to it: where they lie, not what is in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mureg.errors import UsageError
from mureg.files.names import LONGEST_BYTES, problem_of
from mureg.io.fingerprints import digest_of
from mureg.io.input_paths import files_below


@dataclass(frozen=True)
class WorklistEntry:
    """One study of a batch, or one pair to train on.

    Attributes:
        name: of the study and of the folder with its results; unique, see `require_name`.
        where: that it was found, such as "line 3" or "folder p07".
        base: folder to which paths are relative, so that list and data can be moved together.
        spect: file or folder; None where there is a problem.
        ct, mu: one of them.
        spect_series, ct_series: which series, as `mureg.io.read_study` takes them.
        problem: why it cannot be registered, one sentence; "" where it can.
        exit_code: that goes with the problem.
        patient: the same for two studies of one patient, and no identifier of his; "" where unknown.
        how: what put SPECT and CT together where there were several, for people.
        spect_uid, ct_uid: of the series, "" where only their places are known.
        transform: file with a trusted ``ct_from_spect``, for training; None where there is none.
        pseudonym: of the patient, as a list gives it; "" where it gives none.
    """

    name: str
    where: str
    base: Path
    spect: Path | None = None
    ct: Path | None = None
    mu: Path | None = None
    spect_series: str | None = None
    ct_series: str | None = None
    problem: str = ""
    exit_code: int = 0
    patient: str = ""
    how: str = ""
    spect_uid: str = ""
    ct_uid: str = ""
    transform: Path | None = None
    pseudonym: str = ""

    def inputs(self) -> dict[str, str]:
        """SPECT, and CT or map, as text: paths relative to `base` and the choice of series."""
        places = {}
        for what, path, series in (
            ("spect", self.spect, self.spect_series),
            ("ct", self.ct, self.ct_series),
            ("mu", self.mu, self.ct_series),
        ):
            if path is not None:
                places[what] = _place(path, self.base) + (f" [{series}]" if series else "")
        return places

    def stamp(self) -> str:
        """A hash over places, choices, and names, sizes and times of all files, none of which is opened.

        Raises:
            UnreadableInputError: a folder cannot be listed.
        """
        return self._hashed(lambda _file, status: f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}")

    def fingerprint(self) -> str:
        """A hash over places, choices, and names, sizes and contents of all files, see `digest_of`; not over times.

        Raises:
            UnreadableInputError: a folder cannot be listed.
            OSError: a file cannot be read.
        """
        return self._hashed(lambda file, status: f"{status.st_size} {digest_of(file)}")

    def _hashed(self, words: Callable[[Path, os.stat_result], str]) -> str:
        digest = hashlib.sha256()
        for what, place in self.inputs().items():
            digest.update(f"{what} {place}\n".encode(errors="surrogateescape"))
        for path in (self.spect, self.ct, self.mu):
            for file in () if path is None else files_below(path):
                line = f"{_place(file, self.base)} {words(file, file.stat())}\n"
                digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()


def patient_key(identifier: str) -> str:
    """A short hash that puts two studies of one patient side by side, "" for no identifier."""
    return hashlib.sha256(f"mureg {identifier}".encode()).hexdigest()[:12] if identifier else ""


def require_name(name: str, where: str) -> None:
    """Refuse, with `UsageError`, a name that could be no folder on some disk or would hide there."""
    problem = problem_of(name)
    if problem:
        raise UsageError(
            f"{where} has {problem}", f"a name that can be a folder, of at most {LONGEST_BYTES} bytes", "rename it"
        )


def _place(path: Path, base: Path) -> str:
    """Path relative to `base` if it is below it, else the path itself."""
    path, base = path.absolute(), base.absolute()
    return (path.relative_to(base) if path.is_relative_to(base) else path).as_posix()
