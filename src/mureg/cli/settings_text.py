"""Settings as TOML with a comment above each: what it does, its unit, what is allowed, its default."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import annotated_types
import tomli_w

from mureg.cli.docstrings import attribute_texts, opening
from mureg.cli.help import WIDEST
from mureg.files.settings import Table


def commented_toml(settings: Any, table: Table) -> str:
    """Settings as commented TOML, which reads back to the same settings.

    Args:
        settings: instance of a settings class. Nested settings classes become tables; None is left out.
        table: the same as a plain table, which names each algorithm as it is chosen.
    """
    return "\n".join(_lines("", settings, table, None)).strip() + "\n"


def _lines(name: str, settings: Any, table: Table, default: Any) -> Iterator[str]:
    """One table and those below it; `default` is what its place has by default, None where that is nothing."""
    texts, hints, defaults = attribute_texts(type(settings)), _hints(settings), _defaults(settings)
    fields_of_settings = _fields(settings)
    values = fields_of_settings | {
        key: getattr(settings, key, value) for key, value in table.items() if key not in fields_of_settings
    }
    if type(default) is type(settings):
        defaults = {key: getattr(default, key) for key in values}
    nested = {key: value for key, value in values.items() if _is_table(value, table.get(key))}
    for key, value in values.items():
        if key in nested or value is None:
            continue
        if key != "kind":
            choices = _allowed(hints[key]) if key in hints else ""
            parts = (_sentence(texts.get(key, "")), choices, _default_words(defaults[key]) if key in defaults else "")
            yield from _comment(" ".join(part for part in parts if part))
        yield f"{key} = {_value(table.get(key, value))}"
    for key, value in nested.items():
        yield ""
        text = _sentence(texts.get(key, ""))
        algorithm = (opening(type(value)).splitlines() or [""])[0]
        yield from _comment(text if algorithm in text else f"{text} {algorithm}".strip())
        yield f"[{name}{key}]"
        yield from _lines(f"{name}{key}.", value, table.get(key, {}), defaults.get(key))


def _is_table(value: Any, plain: Any) -> bool:
    """Whether a value is an object with settings of its own, of any class."""
    return is_dataclass(value) or (isinstance(plain, dict) and not isinstance(value, dict))


def _fields(settings: Any) -> Table:
    """The declared settings of an object; none of a plain class, whose settings are in its table alone."""
    return {item.name: getattr(settings, item.name) for item in fields(settings)} if is_dataclass(settings) else {}


def _hints(settings: Any) -> Table:
    return get_type_hints(type(settings), include_extras=True) if is_dataclass(settings) else {}


def _defaults(settings: Any) -> Table:
    return {item.name: _default(item) for item in fields(settings)} if is_dataclass(settings) else {}


def _default(field: Any) -> Any:
    """The default of a field, MISSING where it has none."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def _default_words(default: Any) -> str:
    if default is MISSING:
        return "Required."
    return "Default: none." if default is None else f"Default: {_value(default)}."


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDEST, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "?")) else f"{text}."


def _value(value: Any) -> str:
    """A value as TOML, on one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if is_dataclass(value) and not isinstance(value, type):
        return _value({key: item for key, item in asdict(value).items() if item is not None})
    if isinstance(value, Path):
        value = str(value)
    return tomli_w.dumps({"v": value}).removeprefix("v = ").strip()


def _allowed(hint: Any) -> str:
    """The choices or limits in a type hint, as a sentence; "" where there are none."""
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        return f"One of {', '.join(map(_value, choices))}." if len(choices) > 1 else ""
    if get_origin(hint) is not Annotated:
        return ""
    words = []
    for part in (inner for mark in get_args(hint)[1:] for inner in (mark, *getattr(mark, "metadata", ()))):
        match part:
            case annotated_types.Ge(ge=limit):
                words.append(f"at least {limit:g}")
            case annotated_types.Gt(gt=limit):
                words.append(f"above {limit:g}")
            case annotated_types.Le(le=limit):
                words.append(f"at most {limit:g}")
            case annotated_types.Lt(lt=limit):
                words.append(f"below {limit:g}")
    return _sentence(", ".join(words))
