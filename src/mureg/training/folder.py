"""The folder of a run: begun once, gone on with as long as it is asked for the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mureg import __version__
from mureg.errors import UnreadableInputError, UsageError
from mureg.files.atomic import writing
from mureg.files.run_folder import RunFolder
from mureg.files.settings import Table, read_json, read_toml
from mureg.training.checkpoints import STATE
from mureg.training.examples import Examples
from mureg.training.settings import TrainingSettings, as_toml, current_table, settings_from

SETTINGS, DATA = "settings.toml", "data.json"
EXAMPLES = "examples"
BEST, LAST = "best.onnx", "last.onnx"


def _is_run(folder: Path) -> bool:
    """Whether mureg 0.1.0 wrote it, which left no marker."""
    return (folder / SETTINGS).is_file() and (folder / DATA).is_file()


FOLDER = RunFolder("training run", _is_run, (EXAMPLES,), (EXAMPLES,))


def refuse_another(settings: TrainingSettings, folder: Path) -> None:
    """Refuse a folder that holds another run, or other things; nothing is written.

    Raises:
        UsageError: its settings differ in more than how long to go on, or it is no folder of a run.
    """
    if not folder.exists():
        return
    if not (folder / SETTINGS).exists():
        FOLDER.refuse(folder)
        return
    stored_table = current_table(_read(folder / SETTINGS))
    stored_identity = settings_from(stored_table, f"{folder.name}/{SETTINGS}").identity()
    identity = settings.identity()
    for name in {**identity, **stored_identity}:
        if stored_identity.get(name) != identity.get(name):
            raise UsageError(
                f"{folder.name} holds another run, with other settings of {name} ({_short(stored_identity.get(name))})",
                f"{_short(identity.get(name))}",
                "choose another output, or the settings that the folder was begun with",
            )


def begin(settings: TrainingSettings, train: Examples, validation: Examples, folder: Path) -> bool:
    """Write ``settings.toml`` and ``data.json``, or check those that are there.

    Returns:
        Whether there is a state to go on from.

    Raises:
        UsageError: the folder holds another run, or one on other cases.
    """
    refuse_another(settings, folder)
    record = {
        "mureg": __version__,
        "settings_sha256": settings.sha256,
        "train": {"sha256": train.sha256, "cases": list(train.names), "patients": len(set(train.patients))},
        "validation": {
            "sha256": validation.sha256,
            "cases": list(validation.names),
            "patients": len(set(validation.patients)),
        },
    }
    if (folder / DATA).exists():
        stored_record = _read(folder / DATA)
        for which in ("train", "validation"):
            if stored_record.get(which, {}).get("sha256") != record[which]["sha256"]:  # type: ignore[index]
                raise UsageError(
                    f"{folder.name} holds a run on other cases for {which}",
                    "the cases that it was begun with",
                    "choose another output",
                )
    words = f"# Settings of a training run of mureg {__version__}; read back with mureg train.\n\n"
    for name, text in ((DATA, json.dumps(record, indent=2) + "\n"), (SETTINGS, words + as_toml(settings))):
        with writing(folder / name) as scratch:
            scratch.write_text(text, "utf-8")
    return (folder / STATE).exists()


def _read(path: Path) -> Table:
    try:
        return read_toml(path) if path.suffix == ".toml" else read_json(path)
    except UnreadableInputError as problem:
        raise UnreadableInputError(
            f"{path.parent.name} holds a run whose {path.name} cannot be read",
            "the file as mureg wrote it",
            "choose another output",
        ) from problem


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} = {item}" for name, item in value.items())
    return "nothing" if value is None else repr(value)
