"""The folder of a batch: begun once, gone on with as long as it is asked for the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mureg import RESEARCH_USE_ONLY, __version__
from mureg.errors import MuregError, UnreadableInputError, UsageError
from mureg.files.atomic import writing, writing_folder
from mureg.files.former_names import with_current_names
from mureg.files.marker import MARKER, read_marker
from mureg.files.places import foreign_names
from mureg.files.run_folder import RunFolder
from mureg.files.settings import Table, differences, read_json
from mureg.io.results import FOLDER
from mureg.io.worklist.entry import WorklistEntry
from mureg.io.worklist.folder import BATCH
from mureg.results.folder import FILES

STUDIES, STUDY, FAILURE, RESULT = "studies", "study.json", "failure.json", "registration.json"
KIND = "study"
STATE = (STUDY, FAILURE, RESULT)
"""Files of a study that may be replaced whatever they hold: a damaged one means that the study is done again."""


@dataclass(frozen=True)
class Failure:
    """Why a study has no result.

    Attributes:
        problem: one sentence.
        exit_code: that `mureg register` would have ended with.
        stamp, fingerprint: of the files that it failed with, "" if unknown; other files count as another try.
    """

    problem: str
    exit_code: int
    stamp: str = ""
    fingerprint: str = ""


def _is_batch(folder: Path) -> bool:
    """Whether mureg 0.1.0 wrote it, which left no marker."""
    try:
        table = read_json(folder / BATCH)
    except UnreadableInputError:
        return False
    return {"mureg", "settings", "use"} <= set(table) and not foreign_names(
        folder, lambda name: name in (BATCH, STUDIES, "summary.csv", "summary.html") or name[0] == "."
    )


RUN = RunFolder("batch", _is_batch, (STUDIES,))


def is_study(folder: Path) -> bool:
    """Whether mureg 0.1.0 wrote the folder of a study, which left no marker, and nothing else is in it."""
    own_names = (*FILES, FOLDER, *STATE)
    has_record = (folder / STUDY).is_file() or (folder / FAILURE).is_file()
    return (
        has_record
        and (folder.parent.parent / BATCH).is_file()
        and not foreign_names(folder, lambda name: name in own_names)
    )


def check(output: Path, settings: Table, pairs: Sequence[WorklistEntry]) -> None:
    """Refuse a folder that was begun with other settings, or holds other studies or things; nothing is written.

    Studies may be added to a list, none taken away. If ``batch.json`` is damaged, the studies
    are checked by their own markers.

    Raises:
        UsageError: what differs.
    """
    table = _batch_table(output)
    if table is not None:
        for name, value in {"mureg": __version__, "settings": settings}.items():
            _refuse_other(output, table.get(name), json.loads(json.dumps(value)), name)
    names = {pair.name for pair in pairs}
    for study in sorted(path for path in (output / STUDIES).glob("[!.]*") if path.is_dir()):
        if study.name not in names:
            _refuse_left_out(output, study, len(names))
        elif any(study.iterdir()) and not _is_ours(study):
            raise UsageError(
                f"{output.name}/{STUDIES}/{study.name} holds other things ({(foreign_names(study) or [MARKER])[0]})",
                "a study that this batch wrote, or nothing",
                "move them away, or choose another output",
            )
        elif table is None:
            _refuse_other_study(output, study, settings)


def begin(output: Path, settings: Table) -> None:
    """Write ``batch.json`` where it is not there yet, or damaged; `check` comes first."""
    if _batch_table(output) is None:
        table = {"mureg": __version__, "settings": settings, "use": RESEARCH_USE_ONLY}
        with writing(output / BATCH) as scratch:
            scratch.write_text(json.dumps(table, indent=2) + "\n", "utf-8")


def failure_of(output: Path, pair: WorklistEntry) -> Failure | None:
    """Why there is no result, None where nothing failed or the reason is unreadable."""
    if pair.problem:
        return Failure(pair.problem, pair.exit_code)
    try:
        table = read_json(output / STUDIES / pair.name / FAILURE)
        return Failure(
            str(table["problem"]), int(table["exit_code"]), str(table.get("stamp")), str(table.get("fingerprint"))
        )
    except (KeyError, TypeError, ValueError, OverflowError, UnreadableInputError):
        return None


def write_failure(output: Path, name: str, failure: Failure) -> None:
    """Remember a failure, in place of an earlier one; where the disk is full it is tried again the next time."""
    folder = output / STUDIES / name
    with (
        suppress(MuregError),
        writing_folder(folder, kind=KIND, overwrite=True, state=STATE, recognise=is_study) as scratch,
    ):
        (scratch / FAILURE).write_text(json.dumps(asdict(failure), indent=2) + "\n", "utf-8")


def write_study(folder: Path, pair: WorklistEntry, table: Table) -> None:
    """Write ``study.json`` beside the results: from which files they are, and what else the batch must know of it."""
    words = json.dumps({"name": pair.name, **pair.inputs(), **table}, indent=2, ensure_ascii=False)
    (folder / STUDY).write_text(words + "\n", "utf-8", "surrogateescape")


def read_study_record(output: Path, name: str) -> Table:
    """``study.json`` of a study that is done. Raises `UnreadableInputError`."""
    return read_json(output / STUDIES / name / STUDY)


def settings_sha256(settings: Table) -> str:
    """Of everything that decides what a result is, the version of mureg included."""
    return hashlib.sha256(json.dumps([__version__, settings], sort_keys=True).encode()).hexdigest()


def _batch_table(output: Path) -> Table | None:
    """``batch.json``; None where it is not there or damaged."""
    try:
        table = read_json(output / BATCH)
    except UnreadableInputError:
        return None
    if not {"mureg", "settings"} <= set(table):
        return None
    settings = table["settings"]
    registrar = settings.get("registrar") if isinstance(settings, dict) else None
    if not isinstance(registrar, dict):
        return table
    current = with_current_names(registrar, str(registrar.get("kind", "")))
    return {**table, "settings": {**settings, "registrar": current}}


def _is_ours(study: Path) -> bool:
    marker = read_marker(study)
    return marker.kind == KIND if marker is not None else is_study(study)


def _refuse_left_out(output: Path, study: Path, n: int) -> None:
    if any((study / name).exists() for name in STATE):
        raise UsageError(
            f"{output.name} holds a study {study.name!r}, which is not among the {n} asked for",
            "the list or folder that it was begun with, or one with more studies",
            "choose another output",
        )


def _refuse_other_study(output: Path, study: Path, settings: Table) -> None:
    with suppress(UnreadableInputError):
        made_with = read_json(study / STUDY).get("settings_sha256")
        if made_with not in (None, settings_sha256(settings)):
            raise UsageError(
                f"{output.name} holds {study.name!r} registered with other settings, and a damaged {BATCH}",
                "the settings that the folder was begun with",
                "choose another output",
            )


def _refuse_other(output: Path, stored_table: object, expected: object, name: str) -> None:
    difference = next(differences(stored_table, expected, name), None)
    if difference is not None:
        name, stored_value, expected_value = difference
        short = name.removeprefix("settings.").removeprefix("algorithms.")
        raise UsageError(
            f"{output.name} holds another batch, with {short} = {stored_value}",
            expected_value,
            "choose another output, or the settings that the folder was begun with",
        )
