"""A folder of studies: which SPECT and which CT in it belong together, by their DICOM headers, never guessed."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from mureg.errors import MuregError, UnreadableInputError, UsageError, printable
from mureg.files.marker import read_marker
from mureg.files.names import folded
from mureg.io.dicom.access import reading, text
from mureg.io.dicom.archives import is_zip, unpacked
from mureg.io.dicom.ct_read import ct_candidates
from mureg.io.dicom.derived import without_own
from mureg.io.dicom.files import DicomSeries, patient_of, search
from mureg.io.input_paths import called, files_below, require_path
from mureg.io.nifti import is_nifti
from mureg.io.nm.choose import PROJECTIONS, VOLUMES, is_transmission, nm_kind, nm_objects
from mureg.io.worklist.entry import WorklistEntry, patient_key, require_name
from mureg.io.worklist.pairing import Match, matched, phase_of, without_reconstructions

BATCH = "batch.json"
"""Marks a folder of results, which holds no studies to be registered."""

Paired = tuple[WorklistEntry, Match | None]

_UID_ENDS = (8, 16, 64)
"""Last characters of a UID that tell studies apart: as few as do; a UID has at most 64 (PS3.5 9.1)."""


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


def pairs_in_folder(root: Path) -> tuple[WorklistEntry, ...]:
    """Find the studies in a folder.

    Each subfolder with one SPECT and one CT (or, without a CT, one attenuation map) is a study under the subfolder's
    name, and so is each ZIP file. One with more is taken apart by patient and DICOM study, and each of these by frame
    of reference and time (`mureg.io.worklist.pairing.matched`). A folder without subfolders is taken apart in the same
    way.
    Reconstructions whose projections are there are left out. What is still ambiguous, or lacks one of the two, comes
    back with its problem.

    Args:
        root: the folder. Folders in it that hold results of mureg are left out.

    Raises:
        UnreadableInputError: there is no such folder, or nothing in it is a SPECT or CT.
        UsageError: two studies would have the same name.
    """
    require_path(root)
    below = [
        inside
        for inside in sorted(root.iterdir())
        if (inside.is_dir() or is_zip(inside)) and not inside.name.startswith(".")
    ]
    folders = [inside for inside in below if not _has_results(inside)]
    pairs = [pair for folder in folders or [root] for pair in _pairs_of(folder, root)]
    if not pairs:
        raise UnreadableInputError(
            f"'{called(root)}' holds no SPECT and no CT", "a folder with one subfolder for each study", "check the path"
        )
    pairs.sort(key=lambda pair: pair.name)
    for first, second in pairwise(sorted(pairs, key=lambda pair: folded(pair.name))):
        if folded(first.name) == folded(second.name):
            raise UsageError(
                f"{first.where} and {second.where} would be called {first.name!r} and {second.name!r}",
                "names that differ in more than capitals",
                "rename one",
            )
    return tuple(pairs)


def _has_results(folder: Path) -> bool:
    return (folder / BATCH).exists() or read_marker(folder) is not None


def _pairs_of(folder: Path, root: Path) -> Iterator[WorklistEntry]:
    """The studies in a folder or ZIP file, which stays unpacked while it is searched."""
    name, where = called(folder), f"{'ZIP file' if folder.is_file() else 'folder'} {called(folder)}"
    if folder.is_file():
        name = name[: -len(folder.suffix)] if folder.suffix else name
    try:
        require_name(name, where)
        with unpacked(folder) as place, reading(f"'{name}'"):
            for pair in _pairs_at(place, name, where, root):
                yield _in_archive(pair, folder) if folder.is_file() else pair
    except MuregError as problem:
        yield WorklistEntry(name, where, root, problem=str(problem), exit_code=problem.exit_code)


def _pairs_at(folder: Path, name: str, where: str, root: Path) -> list[WorklistEntry]:
    paired = paired_series(search(folder).series, name, where, root)
    if not paired:
        niftis = [file for file in files_below(folder) if is_nifti(file)]
        refusal = (
            f"'{name}' holds NIfTI files, which do not say whether they are SPECT or CT",
            "DICOM files in a folder of studies",
            "name them in a list",
        )
        return [_refused(name, where, root, *refusal)[0]] if niftis else []
    return [pair for pair, _ in paired]


def paired_series(series: tuple[DicomSeries, ...], name: str, where: str, root: Path) -> list[Paired]:
    """The studies among series that somebody put together, and of each what its SPECT and CT are.

    Args:
        series: of a folder, or of one patient.
        name, where, root: of the entries, see `WorklistEntry`.

    Returns:
        Nothing where no series is a SPECT, a CT or a map. An entry with a problem has no match.
    """
    candidates = _candidates(series)
    if not candidates:
        return []
    parts = {"": candidates} if candidates.is_pair else _with_borrowed(_by_study(candidates))
    if len(parts) == 1:
        return _pairs(name, where, root, next(iter(parts.values())), alone=candidates.is_pair)
    short = next(n for n in _UID_ENDS if n == _UID_ENDS[-1] or len({uid[-n:] for uid in parts}) == len(parts))
    pairs: list[Paired] = []
    for uid, part in parts.items():
        label = f"DICOM study ...{uid[-short:]}" if uid else "files without a DICOM study"
        end = re.sub("[^0-9A-Za-z]+", "-", uid[-short:]).strip("-") or "no-study"
        pairs += _pairs(f"{name}-{end}", f"{where}, {printable(label)}", root, part, alone=False)
    return pairs


def _in_archive(pair: WorklistEntry, archive: Path) -> WorklistEntry:
    """The pair as it is read from its ZIP file, series named by UID."""
    if pair.problem:
        return pair
    return replace(
        pair,
        spect=archive,
        ct=archive if pair.ct is not None else None,
        mu=archive if pair.mu is not None else None,
        spect_series=pair.spect_uid or None,
        ct_series=pair.ct_uid or None,
    )


def _candidates(series: tuple[DicomSeries, ...]) -> _Candidates:
    objects = [
        entry
        for entry in without_own(nm_objects(series))[0]
        if nm_kind(entry.files[0].header) in (*PROJECTIONS, *VOLUMES)
    ]
    maps = [entry for entry in objects if is_transmission(entry.files[0].header)]
    cts, _ = without_own(ct_candidates(series)[0])
    return _Candidates([entry for entry in objects if entry not in maps], cts, maps)


def _by_study(candidates: _Candidates) -> dict[str, _Candidates]:
    """Parts of what was found by patient and DICOM study, under the study's UID, numbered where patients share it."""
    parts: dict[tuple[str, str], _Candidates] = defaultdict(_Candidates)
    for kind in ("spects", "cts", "maps"):
        for entry in getattr(candidates, kind):
            header = entry.files[0].header
            getattr(parts[patient_of(entry.files[0]), text(header, "StudyInstanceUID")], kind).append(entry)
    keys = sorted(parts)
    uids = [uid for _, uid in keys]
    shared = len(set(uids)) < len(uids)
    return {f"{uid}.{k}" if shared else uid: parts[key] for k, (key, uid) in enumerate(zip(keys, uids, strict=True), 1)}


def _with_borrowed(parts: dict[str, _Candidates]) -> dict[str, _Candidates]:
    """Parts with SPECT and no CT get those of the patient's parts without SPECT, where that leaves nothing to guess."""
    alone = {uid: part for uid, part in parts.items() if part.attenuations and not part.spects}
    lacking = {uid: part for uid, part in parts.items() if part.spects and not part.attenuations}
    merged, used = dict(parts), set()
    for uid, part in lacking.items():
        patient = patient_of(part.spects[0].files[0])
        lenders = {u: p for u, p in alone.items() if patient_of(p.attenuations[0].files[0]) == patient}
        offered = [attenuation for lender in lenders.values() for attenuation in lender.attenuations]
        matches = matched(without_reconstructions(part.spects), offered) if offered else None
        if matches is None or (len(offered) == 1 and not _belongs(matches[0])):
            continue
        attenuations = [match.attenuation for match in matches]
        lent = _Candidates(part.spects)
        (lent.cts if any(lender.cts for lender in lenders.values()) else lent.maps).extend(attenuations)
        merged[uid] = lent
        used |= {u for u, p in lenders.items() if all(attenuation in attenuations for attenuation in p.attenuations)}
    return {uid: part for uid, part in merged.items() if uid not in used}


def _belongs(match: Match) -> bool:
    """Whether the only CT of another study has the frame of reference of the SPECT."""
    frames = {text(entry.files[0].header, "FrameOfReferenceUID") for entry in (match.spect, match.attenuation)}
    return len(frames) == 1 and "" not in frames


def _pairs(name: str, where: str, root: Path, candidates: _Candidates, *, alone: bool) -> list[Paired]:
    """The studies of a part, or its problem; a CT is chosen by its series unless it is `alone` in its folder."""
    spects = without_reconstructions(candidates.spects)
    matches = matched(spects, candidates.attenuations)
    if not matches:
        sentence = f"{where} holds {_listed('SPECT', spects)} and "
        sentence += (
            _listed("map", candidates.maps) if candidates.maps and not candidates.cts else _listed("CT", candidates.cts)
        )
        remedy = "name the two that belong together in a list"
        return [_refused(name, where, root, sentence, "one SPECT and one CT, or times that tell them apart", remedy)]
    if len(matches) == 1:
        return [_pair(name, where, root, matches[0], candidates, alone=alone)]
    phases = [phase_of(match.spect) for match in matches]
    labels = (
        phases if "" not in phases and len(set(phases)) == len(phases) else [str(k + 1) for k in range(len(phases))]
    )
    return [
        _pair(f"{name}-{label}", f"{where}, {label}", root, match, candidates, alone=False)
        for label, match in zip(labels, matches, strict=True)
    ]


def _pair(name: str, where: str, root: Path, match: Match, candidates: _Candidates, *, alone: bool) -> Paired:
    spect, attenuation = match.spect, match.attenuation
    parts = spect.files[0].parts
    spect_path = _common_folder([part.path for part in parts]) if parts else spect.files[0].path
    place = _common_folder([path for file in attenuation.files for path in file.paths])
    ct, mu = (place, None) if candidates.cts else (None, attenuation.files[0].path)
    choice = None if alone or mu is not None else attenuation.uid or None
    entry = WorklistEntry(
        name,
        where,
        root,
        spect_path,
        ct,
        mu,
        spect_series=spect.uid if parts else None,
        ct_series=choice,
        patient=patient_key(patient_of(spect.files[0])),
        how=match.how,
        spect_uid=spect.uid,
        ct_uid=attenuation.uid,
    )
    return entry, match


def _listed(what: str, series: Sequence[DicomSeries]) -> str:
    some = "; ".join(map(str, series[:3])) + ("; and more" if len(series) > 3 else "")
    return f"{len(series) or 'no'} {what}" + (f" ({some})" if len(series) > 1 else "")


def _refused(name: str, where: str, root: Path, problem_text: str, expected: str, remedy: str) -> Paired:
    problem = UnreadableInputError(problem_text, expected, remedy)
    return WorklistEntry(name, where, root, problem=str(problem), exit_code=problem.exit_code), None


def _common_folder(files: Sequence[Path]) -> Path:
    """The smallest folder that holds all of them."""
    return Path(os.path.commonpath([file.parent for file in files]))
