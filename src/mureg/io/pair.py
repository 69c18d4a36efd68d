"""A SPECT and the CT or attenuation map that belongs to it: where they lie, not what is in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mureg.errors import UsageError
from mureg.io.dicom_files import files_below

LONGEST_NAME = 100
_NOT_IN_NAMES = set('/\\:*?"<>|')


@dataclass(frozen=True)
class Pair:
    """One study of a batch.

    Attributes:
        name: of the study and of the folder with its results; unique, see `require_name`.
        where: that it was found, such as "line 3" or "folder p07".
        base: folder from which places are told, so that list and data can be moved together.
        spect: file or folder; None where there is a problem.
        ct, mu: one of them.
        spect_series, ct_series: which series, as `mureg.io.read_study` takes them.
        problem: why it cannot be registered, one sentence; "" where it can.
        exit_code: that goes with the problem.
        patient: the same for two studies of one patient, and no identifier of his; "" where unknown.
        how: what put SPECT and CT together where there were several, for people.
        spect_uid, ct_uid: of the series, "" where only their places are known.
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

    def said(self) -> dict[str, str]:
        """SPECT, and CT or map, as people find them again: places from `base` and the choice of series."""
        found = {}
        for what, path, series in (
            ("spect", self.spect, self.spect_series),
            ("ct", self.ct, self.ct_series),
            ("mu", self.mu, self.ct_series),
        ):
            if path is not None:
                found[what] = _place(path, self.base) + (f" [{series}]" if series else "")
        return found

    def fingerprint(self) -> str:
        """A hash over places, choices, and the names and sizes of all files: quick where they are many gigabytes.

        Raises:
            UnreadableInputError: a folder cannot be listed.
        """
        said = hashlib.sha256()
        for what, place in self.said().items():
            said.update(f"{what} {place}\n".encode(errors="surrogateescape"))
        for path in (self.spect, self.ct, self.mu):
            for file in () if path is None else files_below(path):
                line = f"{_place(file, self.base)} {file.stat().st_size}\n"
                said.update(line.encode(errors="surrogateescape"))
        return said.hexdigest()


def patient_key(identifier: str) -> str:
    """A short hash that puts two studies of one patient side by side, "" for no identifier."""
    return hashlib.sha256(f"mureg {identifier}".encode()).hexdigest()[:12] if identifier else ""


def require_name(name: str, where: str) -> None:
    """Refuse, with `UsageError`, a name that could be no folder on some disk or would hide there."""
    bad = next((c for c in name if c in _NOT_IN_NAMES or not c.isprintable()), None)
    problem = ""
    if not name:
        problem = "no name"
    elif bad is not None:
        problem = f"the name {name!r} with {bad!r} in it"
    elif name.startswith(".") or name.endswith((".", " ")):
        problem = f"the name {name!r}, which begins or ends with a dot"
    elif len(name.encode()) > LONGEST_NAME:
        problem = f"a name of {len(name.encode())} bytes"
    if problem:
        raise UsageError(
            f"{where} has {problem}", f"a name that can be a folder, of at most {LONGEST_NAME} bytes", "rename it"
        )


def _place(path: Path, base: Path) -> str:
    """From `base` where it lies below, else the path itself."""
    path, base = path.absolute(), base.absolute()
    return (path.relative_to(base) if path.is_relative_to(base) else path).as_posix()
