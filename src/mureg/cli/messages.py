"""What a verb prints, and where: options that every verb has."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from mureg.cli import logs
from mureg.errors import printable


@dataclass(frozen=True)
class Messages:
    """Options of every verb about its messages.

    Attributes:
        json: print one JSON object on standard output, and nothing else there.
        quiet: print errors only.
        verbose: print each step and its time on standard error.
        log: append steps, times and decision to this file, without patient names.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    log: Path | None = None

    @property
    def for_people(self) -> bool:
        """Whether lines for people are printed on standard output."""
        return not (self.json or self.quiet)

    @property
    def has_bar(self) -> bool:
        """Whether a terminal shows a bar."""
        return not (self.json or self.quiet or self.verbose)

    @property
    def has_lines(self) -> bool:
        """Whether a line a minute is printed where no bar is shown."""
        return not (self.quiet or self.verbose)

    def begin(self, verb: str, options: Any) -> None:
        """Let messages go where these options say; see `mureg.cli.logs.begin`."""
        other_files = [place for place in _places(options) if place is not self.log]
        logs.begin(verb, quiet=self.quiet, verbose=self.verbose, file=self.log, other_files=other_files)

    def emit(self, answer: Mapping[str, Any], lines: Sequence[str]) -> None:
        """Print the answer: as JSON when that was asked for, otherwise as lines for people."""
        for name in ("decision", "decisions"):
            if name in answer:
                logs.LOG.info("%s: %s", name, answer[name])
        if self.json:
            json.dump(answer, sys.stdout, indent=2)
            print()
        elif self.for_people:
            print("\n".join(map(printable, lines)))


def messages_of(options: Any) -> Messages:
    """The messages among the options of a verb."""
    return next(part for part in _parts(options) if isinstance(part, Messages))


def _places(options: Any) -> Iterable[Path]:
    """Every path among the options of a verb."""
    for part in _parts(options):
        if isinstance(part, Path):
            yield part


def _parts(options: Any) -> Iterable[Any]:
    """Every value among the options of a verb, nested ones too."""
    yield options
    if is_dataclass(options):
        for item in fields(options):
            yield from _parts(getattr(options, item.name))
    elif isinstance(options, tuple):
        for item in options:
            yield from _parts(item)
