"""What a cohort's folder says about how its cases are made, so that a later run goes on with the same."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import tomli_w

from mureg import __version__
from mureg.cohort.settings import CohortSettings, as_toml
from mureg.cohort.store.cohort import CASES
from mureg.errors import UnreadableInputError, UsageError
from mureg.files.atomic import writing
from mureg.files.run_folder import RunFolder
from mureg.files.settings import Table, differences, read_toml

SETTINGS, RUN = "cohort.toml", "run.toml"
DICOM = "dicom"


def _is_cohort(folder: Path) -> bool:
    """Whether mureg 0.1.0 wrote it, which left no marker."""
    return (folder / SETTINGS).is_file() and (folder / RUN).is_file()


FOLDER = RunFolder("cohort", _is_cohort, (CASES, DICOM))


def begin(settings: CohortSettings, n: int, output: Path, ct_folder: Path | None) -> int:
    """Write ``cohort.toml`` and ``run.toml``, or check that those that are there ask for the same cases.

    Returns:
        How many cases the cohort has in all: `n`, or what an earlier run asked for where that is more.

    Raises:
        UsageError: the folder holds another cohort.
    """
    run: Table = {"mureg": __version__, "seed": settings.seed, "cases": n}
    if ct_folder is not None:
        run["ct"] = _fingerprint(ct_folder)
    settings_table = tomllib.loads(as_toml(settings))
    if (output / SETTINGS).exists():
        stored_settings, ran = _tables(output / SETTINGS), _tables(output / RUN)
        _refuse_another(output, stored_settings, settings_table)
        _refuse_another(output, *({k: v for k, v in table.items() if k != "cases"} for table in (ran, run)))
        run["cases"] = max(n, int(ran.get("cases", 0)))
    with writing(output / RUN) as scratch:
        scratch.write_text(tomli_w.dumps(run), "utf-8")
    if not (output / SETTINGS).exists():
        words = f"# Settings of a cohort of mureg {__version__}; read back with mureg simulate --cohort.\n\n"
        with writing(output / SETTINGS) as scratch:
            scratch.write_text(words + tomli_w.dumps(settings_table), "utf-8")
    return int(run["cases"])


def _tables(path: Path) -> Table:
    try:
        return read_toml(path)
    except UnreadableInputError as problem:
        raise UnreadableInputError(
            f"{path.parent.name} holds a cohort whose {path.name} cannot be read",
            "the file as mureg wrote it",
            "choose another output",
        ) from problem


def _refuse_another(output: Path, stored_table: Table, expected: Table) -> None:
    difference = next(differences(stored_table, expected), None)
    if difference is not None:
        name, stored_value, expected_value = difference
        raise UsageError(
            f"{output.name} holds another cohort, with {name} = {stored_value}",
            f"{name} = {expected_value}",
            "choose another output, or the settings that the folder was begun with",
        )


def _fingerprint(ct_folder: Path) -> Table:
    """Number of files and a hash over their names and sizes: quick where the CTs are many gigabytes."""
    files = sorted(path for path in ct_folder.rglob("*") if path.is_file())
    if not files:
        raise UsageError(f"no files in {ct_folder.name}", "a folder with CTs", "check --ct-folder")
    listing = "\n".join(f"{path.relative_to(ct_folder).as_posix()} {path.stat().st_size}" for path in files)
    return {"files": len(files), "names_and_sizes_sha256": hashlib.sha256(listing.encode()).hexdigest()}
