"""The help of a verb on one screen: its options in named groups, one example."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from mureg.cli.docstrings import attribute_texts, example, opening

Flat = tyro.conf.arg(name="")
"""Marks options that are shared by several verbs: they have no name in front."""

GROUPS: dict[str, tuple[str, ...]] = {
    "Input": (
        *(
            "results",
            "spect",
            "ct",
            "mu",
            "projections",
            "path",
            "folder",
            "case-folder",
            "studies",
            "spect-series",
            "ct-series",
            "series",
        ),
        *("gate", "transform", "recipe", "cohort", "n", "first", "shares", "ct-folder", "pairs", "train", "validation"),
        *("emissions", "crops-of", "verb", "files"),
    ),
    "Output": (
        *("output", "overwrite", "label", "dicom", "moved-ct", "pdf", "names", "no-reconstruction", "cache"),
        *("figures", "dry-run", "trail", "export", "table", "verify"),
    ),
    "Method": (
        *(
            "registrar",
            "registrars",
            "weights",
            "reconstructor",
            "fast",
            "axis",
            "pose",
            "nudge",
            "settings",
            "set",
            "epochs",
            "steps",
            "minutes",
        ),
        *("against", "peers"),
    ),
    "Cases": ("split", "skip", "limit", "images", "classical"),
    "Safety checks": ("allow-different-patients", "allow-corrected-spect", "allow-derived", "phantom"),
    "Review": ("reader", "blinded"),
    "Network": ("host", "certificate", "key", "users", "add-user"),
    "Service": ("quiet-time", "every", "once", "least-free"),
    "Computer": ("port", "no-browser", "idle-minutes", "device", "threads", "jobs", "scheduler", "retry"),
    "Messages": ("json", "quiet", "verbose", "log", "help"),
}
"""Every option of every verb, by the group in which the help shows it, in this order."""

WIDEST, _NAMES = 100, 26
"""Columns of text at most, since longer lines are hard to read, and of the names of options; chosen by eye."""


@dataclass(frozen=True)
class Option:
    """One option as the help shows it.

    Attributes:
        name: without hyphens in front.
        invocation: what is typed, such as "-o, --output PATH".
        text: what it does, with its default.
        types: of the values that follow it; none for a flag.
        positional: whether it is given without its name.
        required: whether it must be given.
    """

    name: str
    invocation: str
    text: str
    types: tuple[Any, ...]
    positional: bool
    required: bool

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it takes, where they are few."""
        return tuple(str(choice) for kind in self.types if get_origin(kind) is Literal for choice in get_args(kind))


def help_text(verb: str, options: type) -> str:
    """Text of ``mureg VERB --help``."""
    width = max(60, min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns))  # below 60 there is no room for text
    by_name = {option.name: option for option in (*options_of(options), _HELP)}
    words = {name: option.invocation.split(", ")[-1] for name, option in by_name.items()}
    must = " ".join(
        words[name] if option.required else f"[{words[name]}]"
        for name, option in by_name.items()
        if option.required or option.positional
    )
    lines = [f"usage: mureg {verb} {must} [OPTIONS]".replace("  ", " ")]
    lines += [line for paragraph in opening(options).splitlines() for line in textwrap.wrap(paragraph, width)]
    for group, names in GROUPS.items():
        entries = [by_name[name] for name in names if name in by_name]
        lines += [f"{group}:"] if entries else []
        lines += [line for option in entries for line in _entry(option, width)]
    command = example(options)
    if command:
        lines += ["Example:", *textwrap.wrap(command, width, initial_indent="  ", subsequent_indent="      ")]
    return "\n".join(lines)


def options_of(options: type) -> Iterator[Option]:
    """Every option of a class of options, those of shared classes too."""
    texts, hints = attribute_texts(options), get_type_hints(options, include_extras=True)
    for option in fields(options):
        hint, marks = _plain(hints[option.name])
        if is_dataclass(hint) and isinstance(hint, type):
            yield from options_of(hint)
        else:
            default = option.default if option.default_factory is MISSING else option.default_factory()
            yield _option(option.name, hint, marks, texts.get(option.name, ""), default)


_HELP = Option("help", "-h, --help", "show this help", (), False, False)


def _option(field: str, hint: Any, marks: tuple[Any, ...], text: str, default: Any) -> Option:
    own_name = next((mark for mark in marks if getattr(mark, "name", None)), None)
    name = str(own_name.name) if own_name is not None else field.replace("_", "-")
    metavar = next((mark.metavar for mark in marks if getattr(mark, "metavar", None)), None) or _metavar(hint)
    aliases = next((list(mark.aliases) for mark in marks if getattr(mark, "aliases", None)), [])
    positional = tyro.conf.Positional in marks
    invocation = ", ".join([*aliases, f"--{name}"]) + (f" {metavar}" if metavar else "")
    if positional:
        invocation = name.upper()
    unsaid = default is MISSING or default is None or default is False or default in ("", ())
    default_text = "" if unsaid or "default" in text else f" (default: {_words(default)})"
    return Option(
        name,
        invocation,
        text.rstrip(".") + default_text,
        _types(hint),
        positional,
        default is MISSING,
    )


def _plain(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type hint without None and without its marks; and the marks."""
    marks: tuple[Any, ...] = ()
    while True:
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            marks = (*marks, *more)
        elif NoneType in get_args(hint):
            hint = next(part for part in get_args(hint) if part is not NoneType)
        else:
            return hint, marks


def _types(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is tuple:
        return tuple(part for part in get_args(hint) if part is not Ellipsis)
    return () if hint is bool else (hint,)


def _metavar(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "{" + ",".join(map(str, get_args(hint))) + "}"
    if get_origin(hint) is tuple:
        return " ".join(map(_metavar, _types(hint)))
    return {bool: "", Path: "PATH", int: "N", float: "NUMBER", str: "TEXT"}.get(hint, "VALUE")


def _words(value: Any) -> str:
    return (
        " ".join(map(_words, value))
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _entry(option: Option, width: int) -> list[str]:
    """Name and text side by side; a long name has a line of its own."""
    lines = textwrap.wrap(option.text, width - _NAMES - 4, break_on_hyphens=False) or [""]
    name = f"  {option.invocation}"
    if len(name) > _NAMES + 2:
        return [name, *(" " * (_NAMES + 4) + line for line in lines)]
    return [f"{name:{_NAMES + 4}}{lines[0]}", *(" " * (_NAMES + 4) + line for line in lines[1:])]
