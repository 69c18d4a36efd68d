"""Tables as JSON and TOML that may be damaged, huge or nested too deeply, and where two of them differ."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mureg.errors import UnreadableInputError

LARGEST_BYTES = 2**25
"""Of a table: 32 MiB. The largest that mureg writes are a thousand times smaller."""

Table = dict[str, Any]


def read_json(path: Path) -> Table:
    """Read a table. Raises `UnreadableInputError` for whatever is none: missing, damaged, huge, nested too deeply."""
    try:
        table = json.loads(_text(path))
    except (OSError, ValueError, RecursionError, MemoryError) as problem:
        raise unreadable(path) from problem
    if not isinstance(table, dict):
        raise unreadable(path)
    return table


def read_toml(path: Path) -> Table:
    """The same for TOML."""
    try:
        return tomllib.loads(_text(path))
    except (OSError, ValueError, RecursionError, MemoryError) as problem:
        raise unreadable(path) from problem


def unreadable(path: Path) -> UnreadableInputError:
    """The refusal of a table in a folder of results."""
    return UnreadableInputError(
        f"{path.parent.name}/{path.name} cannot be read", "the file as mureg wrote it", "choose another output"
    )


def differences(stored_value: Any, expected: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """Where two tables differ: dotted name, what is there, what was expected; "nothing" where there is none."""
    if isinstance(stored_value, dict) and isinstance(expected, dict):
        for key in [*expected, *(key for key in stored_value if key not in expected)]:
            yield from differences(stored_value.get(key), expected.get(key), f"{name}.{key}".lstrip("."))
    elif stored_value != expected:
        stored_text, expected_text = ("nothing" if value is None else repr(value) for value in (stored_value, expected))
        yield name, stored_text, expected_text


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise ValueError("too large")
    return content.decode("utf-8", "surrogateescape")
