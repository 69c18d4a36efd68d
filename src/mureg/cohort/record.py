"""What a cohort's folder says about how its cases are made, so that a later run goes on with the same."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w

from mureg import __version__
from mureg.cohort.settings import CohortSettings, as_toml
from mureg.errors import UnreadableInputError, UsageError
from mureg.io import atomic
from mureg.io.atomic import remove_leftovers, writing
from mureg.io.store import CASES

SETTINGS, RUN = "cohort.toml", "run.toml"
DICOM = "dicom"

Table = dict[str, Any]


@contextmanager
def claimed(output: Path) -> Iterator[None]:
    """Make the folder, keep other runs out of it, and clear away what a killed run left behind.

    Raises:
        UsageError: another run is at work there, or the folder cannot be made.
    """
    with atomic.claimed(output, CASES):
        clear(output)
        yield


def clear(output: Path) -> None:
    """Remove whatever was being written when a run was stopped."""
    for folder in (output, output / CASES, output / DICOM):
        remove_leftovers(folder)


def begin(settings: CohortSettings, n: int, output: Path, ct_folder: Path | None) -> int:
    """Write ``cohort.toml`` and ``run.toml``, or check that those that are there ask for the same cases.

    Returns:
        How many cases the cohort has in all: `n`, or what an earlier run asked for where that is more.

    Raises:
        UsageError: the folder holds another cohort.
    """
    asked: Table = {"mureg": __version__, "seed": settings.seed, "cases": n}
    if ct_folder is not None:
        asked["ct"] = _fingerprint(ct_folder)
    wanted = tomllib.loads(as_toml(settings))
    if (output / SETTINGS).exists():
        found, ran = _tables(output / SETTINGS), _tables(output / RUN)
        _refuse_another(output, found, wanted)
        _refuse_another(output, *({k: v for k, v in table.items() if k != "cases"} for table in (ran, asked)))
        asked["cases"] = max(n, int(ran.get("cases", 0)))
    with writing(output / RUN) as scratch:
        scratch.write_text(tomli_w.dumps(asked), "utf-8")
    if not (output / SETTINGS).exists():
        words = f"# Settings of a cohort of mureg {__version__}; read back with mureg simulate --cohort.\n\n"
        with writing(output / SETTINGS) as scratch:
            scratch.write_text(words + tomli_w.dumps(wanted), "utf-8")
    return int(asked["cases"])


def _tables(path: Path) -> Table:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise UnreadableInputError(
            f"{path.parent.name} holds a cohort whose {path.name} cannot be read",
            "the file as mureg wrote it",
            "choose another output",
        ) from problem


def _refuse_another(output: Path, found: Table, expected: Table) -> None:
    difference = next(_differences(found, expected), None)
    if difference is not None:
        name, there, asked = difference
        raise UsageError(
            f"{output.name} holds another cohort, with {name} = {there}",
            f"{name} = {asked}",
            "choose another output, or the settings that the folder was begun with",
        )


def _differences(found: Any, expected: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """Where two tables differ: name, what is there, what was asked."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in [*expected, *(key for key in found if key not in expected)]:
            yield from _differences(found.get(key), expected.get(key), f"{name}.{key}".lstrip("."))
    elif found != expected:
        there, asked = ("nothing" if value is None else repr(value) for value in (found, expected))
        yield name, there, asked


def _fingerprint(ct_folder: Path) -> Table:
    """Number of files and a hash over their names and sizes: quick where the CTs are many gigabytes."""
    files = sorted(path for path in ct_folder.rglob("*") if path.is_file())
    if not files:
        raise UsageError(f"no files in {ct_folder.name}", "a folder with CTs", "check --ct-folder")
    said = "\n".join(f"{path.relative_to(ct_folder).as_posix()} {path.stat().st_size}" for path in files)
    return {"files": len(files), "names_and_sizes_sha256": hashlib.sha256(said.encode()).hexdigest()}
