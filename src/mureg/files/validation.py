"""Settings classes made from tables, with every mistake reported in one plain sentence."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from mureg.errors import UsageError, shortened
from mureg.files.settings import Table

T = TypeVar("T")

_LONGEST_VALUE = 60
"""Characters of a wrong value in a message: the sentence stays on one or two lines of a terminal."""
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
_ABSENT = ("missing", "missing_argument", "union_tag_not_found")


def validated(settings: type[T], table: Mapping[str, Any], where: str, prefix: str = "") -> T:
    """An instance of a settings class from a table.

    Args:
        settings: a pydantic dataclass.
        table: its fields; what is missing keeps its default.
        where: place of the table for the message, such as "settings file a.toml".
        prefix: dotted name of the table within that place.

    Raises:
        UsageError: an unknown key (with the keys most like it), a missing one, or a value of the wrong type or size.
    """
    try:
        instance: T = TypeAdapter(settings).validate_python(table)
    except UsageError as problem:  # of a value that is an algorithm by its name
        raise UsageError(f"{where}: {problem.found}", problem.expected, problem.remedy) from None
    except ValidationError as problem:
        sentence, expected = mistake(problem, settings, prefix)
        raise UsageError(f"{where}: {sentence}", expected, "correct it; mureg settings lists every setting") from None
    return instance


def mistake(problem: ValidationError, settings: type | None = None, prefix: str = "") -> tuple[str, str]:
    """The first mistake that pydantic reports: what is wrong, and what was expected. No class names, no links."""
    first = problem.errors(include_url=False)[0]
    path, classes = _walk(settings, [str(part) for part in first["loc"]])
    name = ".".join([prefix, *path] if prefix else path)
    if first["type"] in _UNKNOWN:
        names = [setting.name for option in classes[:1] for setting in fields(option) if setting.name != "kind"]
        return f"there is no setting {name}", nearest(path[-1], names)
    if first["type"] in _ABSENT:
        return f"{name or 'a setting'} is missing", "a value for it"
    value = shortened(repr(first.get("input")), _LONGEST_VALUE)
    message = " ".join(str(first["msg"]).split())
    for start in ("Value error, ", "Input should be ", "Assertion failed, "):
        message = message.removeprefix(start)
    if first["type"] == "value_error":
        return f"{name}: {message}" if name else message, "settings that fit together"
    message = message.split(", unable to parse")[0]
    if message.startswith(("less than", "greater than", "finite")):
        message = f"a number {message}"
    if first["type"] in ("dataclass_type", "dataclass_exact_type", "model_type", "dict_type"):
        message = "a table of settings"
    if first["type"] == "union_tag_invalid":
        context = first.get("ctx", {})
        name, value = f"{name}.kind".lstrip("."), repr(context.get("tag"))
        message = f"one of {context.get('expected_tags')}"
    return f"{name} is {value}", message


def nearest(word: str, choices: Iterable[str]) -> str:
    """The known names that are most like a word, or all of them where none is."""
    names = list(choices)
    # as many as one reads at a glance, half of their letters in common; chosen
    close = get_close_matches(word, names, n=3, cutoff=0.5)
    return f"one of {', '.join(close or names)}" if names else "a setting that exists"


def merged(defaults: Mapping[str, Any], table: Mapping[str, Any]) -> Table:
    """Defaults with the values of a table in their place, table by table; one of another kind replaces the whole."""
    result: Table = dict(defaults)
    for name, value in table.items():
        default = result.get(name)
        result[name] = value
        if isinstance(default, Mapping) and isinstance(value, Mapping):
            kind = default.get("kind")
            if value.get("kind", kind) == kind:
                result[name] = merged(default, value)
    return result


def with_changes(table: Mapping[str, Any], changes: Sequence[str]) -> Table:
    """A table with changes of the form ``physics.radius_mm=240`` applied, in order.

    A value is read as TOML (``3``, ``0.5``, ``true``, ``[2, 1]``, ``"text"``); whatever is no TOML is plain text.
    Hyphens in names count as underscores.

    Raises:
        UsageError: no ``=``, no name, or a name below something that is no table.
    """
    new_table: Table = deepcopy(dict(table))
    for change in changes:
        path, value = split_change(change)
        level = new_table
        for part in path[:-1]:
            level = level.setdefault(part, {})
            if not isinstance(level, dict):
                raise UsageError(
                    f"--set {'.'.join(path)}: {part} is a single value", "the name of a setting", "see mureg settings"
                )
        level[path[-1]] = value
    return new_table


def split_change(change: str) -> tuple[list[str], Any]:
    """Name and value of ``physics.radius_mm=240``. Raises `UsageError` for anything else."""
    name, equals, text = change.partition("=")
    path = [part.strip().replace("-", "_") for part in name.split(".")]
    if not equals or not all(path):
        raise UsageError(
            f"--set {change}", "NAME=VALUE, such as registrar.near_heart.passes=3", "mureg settings lists every setting"
        )
    return path, _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _walk(settings: type | None, path: Sequence[str]) -> tuple[list[str], list[Any]]:
    """A path below a settings class without the kinds that pydantic adds, and the classes that hold its last name."""
    names: list[str] = []
    holders: list[Any] = []
    level: Any = settings
    for part in path:
        options = _classes(level)
        of_kind = [option for option in options if _kind(option) == part]
        if of_kind and len(options) > 1:
            level = of_kind[0]
            continue
        names.append(part)
        holders = options
        hints = [get_type_hints(option) for option in options]
        level = level if part.isdigit() else next((hint[part] for hint in hints if part in hint), None)
    return names, holders


def _classes(hint: Any) -> list[Any]:
    """Every dataclass in a type hint."""
    if isinstance(hint, type) and is_dataclass(hint):
        return [hint]
    return [cls for part in get_args(hint) for cls in _classes(part)]


def _kind(settings: Any) -> Any:
    return getattr(settings, "kind", None)
