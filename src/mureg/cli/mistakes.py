"""What is wrong with the options of a command, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from mureg.cli.help import Option, options_of
from mureg.errors import UsageError

_NAMES = {int: "a whole number", float: "a number"}


def mistake_in(verb: str, options: type, arguments: Sequence[str]) -> UsageError:
    """The first mistake among the arguments of a verb that could not be parsed."""
    remedy = f"see mureg {verb} --help"
    by_word = {f"--{option.name}": option for option in options_of(options) if not option.positional}
    by_word |= {word: option for option in by_word.values() for word in _shorts(option)}
    positional = [option for option in options_of(options) if option.positional]
    names: set[str] = set()
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        if not word.startswith("-") or _is_number(word):
            if not positional:
                return UsageError(f"the word {word} belongs to no option", "options such as --name VALUE", remedy)
            option, values = positional.pop(0), [word]
        elif name not in by_word:
            close = get_close_matches(name, [word for word in by_word if not _is_short(word)])
            return UsageError(f"there is no option {name}", " or ".join(close) or "an option of this verb", remedy)
        else:
            option = by_word[name]
            values = [value] if equals else _values(words, option)
            del words[: 0 if equals else len(values)]
        names.add(option.name)
        problem = _problem(option, values)
        if problem is not None:
            return UsageError(*problem, remedy)
    absent = [o.invocation.split(", ")[-1] for o in options_of(options) if o.required and o.name not in names]
    if absent:
        return UsageError(f"{' and '.join(absent)} not given", "all of the required options", remedy)
    return UsageError("the options cannot be read", "those of the help", remedy)


def _values(words: Sequence[str], option: Option) -> list[str]:
    """The words after an option that are its values."""
    values: list[str] = []
    for word in words[: len(option.types)]:
        if word.startswith("--") or _is_short(word):
            break
        values.append(word)
    return values


def _problem(option: Option, values: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with the values of an option, and what was expected."""
    name = option.name if option.positional else f"--{option.name}"
    if len(values) != len(option.types):
        many = {0: "no value", 1: "a value"}
        count, expected = (many.get(n, f"{n} values") for n in (len(values), len(option.types)))
        return f"{name} with {count}", expected
    for value, kind in zip(values, option.types, strict=True):
        if kind in _NAMES and not _fits(kind, value):
            return f"{name} {value}", _NAMES[kind]
        if option.choices and value not in option.choices:
            return f"{name} {value}", f"one of {', '.join(option.choices)}"
    return None


def _fits(kind: Any, value: str) -> bool:
    try:
        kind(value)
    except ValueError:
        return False
    return True


def _shorts(option: Option) -> list[str]:
    """Short names of the option, such as ``-o``."""
    return [word.rstrip(",") for word in option.invocation.split() if _is_short(word.rstrip(","))]


def _is_number(word: str) -> bool:
    return _fits(float, word)


def _is_short(word: str) -> bool:
    return len(word) == 2 and word[0] == "-" and word[1].isalpha()
