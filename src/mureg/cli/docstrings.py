"""Help texts from docstrings: the sections Attributes and Example of a settings or options class."""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"^(Attributes|Example|Raises|Returns|Args):$")
_NAMES = re.compile(r"^    (?! )[\w, ]+,$")
_ENTRY = re.compile(r"^    (?! )([\w, ]+): (.*)$")


def attribute_texts(cls: type) -> dict[str, str]:
    """The text of each attribute in the docstring of a class, on one line each; "a, b: text" gives it to both."""
    texts: dict[str, str] = {}
    names: list[str] = []
    opening = ""
    for line in _section(cls, "Attributes"):
        if line.strip() and not line.startswith(" "):
            break
        line, opening = (f"    {opening} {line.strip()}", "") if opening else (line, "")
        entry = _ENTRY.match(line)
        if entry:
            names = [name.strip() for name in entry[1].split(",")]
            texts |= dict.fromkeys(names, entry[2].strip())
        elif _NAMES.match(line):
            opening = line.strip()
        elif line.strip():
            texts |= {name: f"{texts[name]} {line.strip()}" for name in names}
    return {name: text.replace("`", "") for name, text in texts.items()}


def opening(cls: type) -> str:
    """What comes before the first section, one line for each paragraph."""
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
    end = next((k for k, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    paragraphs = "\n".join(lines[:end]).strip().split("\n\n")
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def example(cls: type) -> str:
    """The command in the section Example, "" where there is none."""
    return " ".join(" ".join(_section(cls, "Example")).replace("\\", " ").split())


def _section(cls: type, title: str) -> list[str]:
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
    if f"{title}:" not in lines:
        return []
    after = lines[lines.index(f"{title}:") + 1 :]
    end = next((k for k, line in enumerate(after) if _SECTION.match(line)), len(after))
    return after[:end]
