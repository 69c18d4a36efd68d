"""A folder of studies: which SPECT and which CT in it belong together, told from DICOM headers, never guessed."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from mureg.errors import MuregError, UnreadableInputError, UsageError, printable
from mureg.files.marker import read_marker
from mureg.files.names import folded
from mureg.io.derived import without_own
from mureg.io.dicom_access import reading, text
from mureg.io.dicom_ct import ct_candidates
from mureg.io.dicom_files import DicomSeries, called, files_below, patient_of, require_path, search
from mureg.io.dicom_nm import PROJECTIONS, VOLUMES, is_transmission, nm_kind, nm_objects
from mureg.io.nifti import is_nifti
from mureg.io.pair import Pair, require_name

BATCH = "batch.json"
"""Marks a folder of results, which holds no studies to be registered."""

_UID_ENDS = (8, 16, 64)


@dataclass(frozen=True)
class _Candidates:
    """What a folder, or one DICOM study in it, holds."""

    spects: list[DicomSeries] = field(default_factory=list)
    cts: list[DicomSeries] = field(default_factory=list)
    maps: list[DicomSeries] = field(default_factory=list)

    @property
    def attenuations(self) -> list[DicomSeries]:
        """The CTs; where there is none, the maps."""
        return self.cts or self.maps

    @property
    def is_pair(self) -> bool:
        return len(self.spects) == len(self.attenuations) == 1

    def __bool__(self) -> bool:
        return bool(self.spects or self.cts or self.maps)


def pairs_in_folder(root: Path) -> tuple[Pair, ...]:
    """Find the studies in a folder.

    Each subfolder with one SPECT and one CT (or, without a CT, one attenuation map) is a study under the subfolder's
    name. A subfolder with more is taken apart by patient and DICOM study. A folder without subfolders is taken
    apart in the same way. What is still ambiguous, or lacks one of the two, comes back with its problem.

    Args:
        root: the folder. Folders in it that hold results of mureg are left out.

    Raises:
        UnreadableInputError: there is no such folder, or nothing in it is a SPECT or CT.
        UsageError: two studies would have the same name.
    """
    require_path(root)
    below = [inside for inside in sorted(root.iterdir()) if inside.is_dir() and not inside.name.startswith(".")]
    folders = [inside for inside in below if not _has_results(inside)]
    pairs = [pair for folder in folders or [root] for pair in _pairs_of(folder, root)]
    if not pairs:
        raise UnreadableInputError(
            f"'{called(root)}' holds no SPECT and no CT", "a folder with one subfolder for each study", "check the path"
        )
    pairs.sort(key=lambda pair: pair.name)
    for one, other in pairwise(sorted(pairs, key=lambda pair: folded(pair.name))):
        if folded(one.name) == folded(other.name):
            raise UsageError(
                f"{one.where} and {other.where} would be called {one.name!r} and {other.name!r}",
                "names that differ in more than capitals",
                "rename one",
            )
    return tuple(pairs)


def _has_results(folder: Path) -> bool:
    return (folder / BATCH).exists() or read_marker(folder) is not None


def _pairs_of(folder: Path, root: Path) -> Iterator[Pair]:
    name, where = called(folder), f"folder {called(folder)}"
    try:
        require_name(name, where)
        with reading(f"'{name}'"):
            candidates = _candidates(search(folder).series)
            parts = {"": candidates} if candidates.is_pair else _by_study(candidates)
        niftis = [] if candidates else [file for file in files_below(folder) if is_nifti(file)]
    except MuregError as problem:
        yield Pair(name, where, root, problem=str(problem), exit_code=problem.exit_code)
        return
    if niftis:
        yield _refused(
            name,
            where,
            root,
            f"'{name}' holds NIfTI files, which do not say whether they are SPECT or CT",
            "DICOM files in a folder of studies",
            "name them in a list",
        )
    if not candidates:
        return
    if len(parts) == 1:
        yield _pair(name, where, root, candidates, alone=True)
        return
    short = next(n for n in _UID_ENDS if n == _UID_ENDS[-1] or len({uid[-n:] for uid in parts}) == len(parts))
    for uid, part in parts.items():
        said = f"DICOM study ...{uid[-short:]}" if uid else "files without a DICOM study"
        end = re.sub("[^0-9A-Za-z]+", "-", uid[-short:]).strip("-") or "no-study"
        yield _pair(f"{name}-{end}", f"{where}, {printable(said)}", root, part, alone=False)


def _candidates(found: tuple[DicomSeries, ...]) -> _Candidates:
    objects = [
        one for one in without_own(nm_objects(found))[0] if nm_kind(one.files[0].header) in (*PROJECTIONS, *VOLUMES)
    ]
    maps = [one for one in objects if is_transmission(one.files[0].header)]
    cts, _ = without_own(ct_candidates(found)[0])
    return _Candidates([one for one in objects if one not in maps], cts, maps)


def _by_study(candidates: _Candidates) -> dict[str, _Candidates]:
    """Parts of what was found by patient and DICOM study, under the study's UID, numbered where patients share it."""
    parts: dict[tuple[str, str], _Candidates] = defaultdict(_Candidates)
    for kind in ("spects", "cts", "maps"):
        for one in getattr(candidates, kind):
            header = one.files[0].header
            getattr(parts[patient_of(one.files[0]), text(header, "StudyInstanceUID")], kind).append(one)
    keys = sorted(parts)
    uids = [uid for _, uid in keys]
    shared = len(set(uids)) < len(uids)
    return {f"{uid}.{k}" if shared else uid: parts[key] for k, (key, uid) in enumerate(zip(keys, uids, strict=True), 1)}


def _pair(name: str, where: str, root: Path, found: _Candidates, *, alone: bool) -> Pair:
    """The one SPECT and CT of a part, the latter chosen by its series unless it is `alone` in its folder."""
    if not found.is_pair:
        seen = f"{where} holds {_listed('SPECT', found.spects)} and "
        seen += _listed("map", found.maps) if found.maps and not found.cts else _listed("CT", found.cts)
        return _refused(name, where, root, seen, "one SPECT and one CT", "name the two that belong together in a list")
    spect, attenuation = found.spects[0], found.attenuations[0]
    place = _common_folder([file.path for file in attenuation.files])
    ct, mu = (place, None) if found.cts else (None, attenuation.files[0].path)
    choice = None if alone or mu is not None else attenuation.uid or None
    return Pair(name, where, root, spect.files[0].path, ct, mu, ct_series=choice)


def _listed(what: str, series: Sequence[DicomSeries]) -> str:
    some = "; ".join(map(str, series[:3])) + ("; and more" if len(series) > 3 else "")
    return f"{len(series) or 'no'} {what}" + (f" ({some})" if len(series) > 1 else "")


def _refused(name: str, where: str, root: Path, found: str, expected: str, remedy: str) -> Pair:
    problem = UnreadableInputError(found, expected, remedy)
    return Pair(name, where, root, problem=str(problem), exit_code=problem.exit_code)


def _common_folder(files: Sequence[Path]) -> Path:
    """The smallest folder that holds all of them."""
    return Path(os.path.commonpath([file.parent for file in files]))
