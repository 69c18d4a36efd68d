"""The folder of a batch: begun once, gone on with as long as it is asked for the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mureg import RESEARCH_USE_ONLY, __version__
from mureg.errors import MuregError, UnreadableInputError, UsageError
from mureg.io import atomic
from mureg.io.atomic import remove_leftovers, require_writable, writing, writing_folder
from mureg.io.pair import Pair
from mureg.io.pairs_folder import BATCH

STUDIES, STUDY, FAILURE = "studies", "study.json", "failure.json"

State = Literal["done", "failed", "missing", "impossible"]
"""Registered; failed before; yet to be done; not even begun, for its SPECT and CT are not known."""

Table = dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """Why a study has no result.

    Attributes:
        problem: one sentence.
        exit_code: that `mureg register` would have ended with.
        fingerprint: of the files that it failed with; others are another try.
    """

    problem: str
    exit_code: int
    fingerprint: str = ""


@contextmanager
def claimed(output: Path) -> Iterator[None]:
    """Make the folder, keep other batches out of it, and clear away what a killed one left behind.

    Raises:
        UsageError: another batch is at work there, or the folder cannot be made or holds other things.
    """
    refuse_strangers(output)
    with atomic.claimed(output, STUDIES):
        for folder in (output, output / STUDIES):
            remove_leftovers(folder)
        yield


def refuse_strangers(output: Path) -> None:
    """Refuse a folder that is no batch's and not empty, or cannot be written; nothing is written."""
    require_writable(output)
    if output.is_dir() and not (output / BATCH).exists():
        others = [inside.name for inside in output.iterdir() if inside.name != STUDIES and inside.name[0] != "."]
        if others:
            raise UsageError(
                f"{output.name} holds other things ({others[0]}) and no batch", "a new folder", "choose another output"
            )


def check(output: Path, settings: Table, pairs: Sequence[Pair], fingerprints: Sequence[str]) -> None:
    """Refuse a folder that was begun with other settings, or holds results of other studies; nothing is written.

    Studies may be added to a list, none taken away or changed once it is done.

    Raises:
        UsageError: what differs.
        UnreadableInputError: its records cannot be read.
    """
    if (output / BATCH).exists():
        found = _read(output / BATCH)
        for name, value in {"mureg": __version__, "settings": settings}.items():
            _refuse_other(output, found.get(name), json.loads(json.dumps(value)), name)
    asked = {pair.name: sign for pair, sign in zip(pairs, fingerprints, strict=True)}
    for study in sorted(path for path in (output / STUDIES).glob("[!.]*") if path.is_dir()):
        if study.name not in asked:
            raise UsageError(
                f"{output.name} holds a study {study.name!r}, which is not among the {len(asked)} asked for",
                "the list or folder that it was begun with, or one with more studies",
                "choose another output",
            )
        if (study / STUDY).exists() and _read(study / STUDY).get("fingerprint") != asked[study.name]:
            raise UsageError(
                f"{output.name} holds {study.name!r} registered from other files",
                "the same paths, and files of the same names and sizes",
                "choose another output or another name for the study",
            )


def begin(output: Path, settings: Table) -> None:
    """Write ``batch.json`` where it is not there yet; `check` comes first."""
    if not (output / BATCH).exists():
        said = {"mureg": __version__, "settings": settings, "use": RESEARCH_USE_ONLY}
        with writing(output / BATCH) as scratch:
            scratch.write_text(json.dumps(said, indent=2) + "\n", "utf-8")


def state_of(output: Path, pair: Pair, fingerprint: str) -> State:
    """How far a study has come; one that failed with other files than those that are there now is missing."""
    if pair.problem:
        return "impossible"
    if (output / STUDIES / pair.name / STUDY).exists():
        return "done"
    failure = failure_of(output, pair)
    return "failed" if failure is not None and failure.fingerprint == fingerprint else "missing"


def failure_of(output: Path, pair: Pair) -> Failure | None:
    """Why there is no result, None where nothing failed."""
    if pair.problem:
        return Failure(pair.problem, pair.exit_code)
    path = output / STUDIES / pair.name / FAILURE
    if not path.exists():
        return None
    try:
        return Failure(**_read(path))
    except (TypeError, UnreadableInputError):
        return None


def write_failure(output: Path, name: str, failure: Failure) -> None:
    """Remember a failure, in place of an earlier one; where the disk is full it is tried again the next time."""
    with suppress(MuregError), writing_folder(output / STUDIES / name, overwrite=True) as scratch:
        (scratch / FAILURE).write_text(json.dumps(asdict(failure), indent=2) + "\n", "utf-8")


def write_study(folder: Path, pair: Pair, fingerprint: str, seconds: float) -> None:
    """Write ``study.json`` beside the results: from which files they are."""
    said = {"name": pair.name, **pair.said(), "fingerprint": fingerprint, "seconds": round(seconds, 3)}
    (folder / STUDY).write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", "utf-8", "surrogateescape")


def read_study_record(output: Path, name: str) -> Table:
    """``study.json`` of a study that is done."""
    return _read(output / STUDIES / name / STUDY)


def _read(path: Path) -> Table:
    try:
        found = json.loads(path.read_text("utf-8", "surrogateescape"))
        if not isinstance(found, dict):
            raise TypeError("no table")
    except (OSError, ValueError, TypeError) as problem:
        raise UnreadableInputError(
            f"{path.parent.name}/{path.name} cannot be read", "the file as mureg wrote it", "choose another output"
        ) from problem
    return found


def _refuse_other(output: Path, found: Any, asked: Any, name: str) -> None:
    difference = next(_differences(found, asked, name), None)
    if difference is not None:
        name, there, wanted = difference
        short = name.removeprefix("settings.").removeprefix("algorithms.")
        raise UsageError(
            f"{output.name} holds another batch, with {short} = {there}",
            wanted,
            "choose another output, or the settings that the folder was begun with",
        )


def _differences(found: Any, asked: Any, name: str) -> Iterator[tuple[str, str, str]]:
    """Where two tables differ: name, what is there, what was asked."""
    if isinstance(found, dict) and isinstance(asked, dict):
        for key in [*asked, *(key for key in found if key not in asked)]:
            yield from _differences(found.get(key), asked.get(key), f"{name}.{key}")
    elif found != asked:
        yield name, *("nothing" if value is None else repr(value) for value in (found, asked))  # type: ignore[misc]
