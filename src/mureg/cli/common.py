"""What most verbs share: options, the parser."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from mureg.cli.help import Flat, help_text
from mureg.cli.messages import Messages, messages_of
from mureg.cli.mistakes import mistake_in
from mureg.errors import UsageError
from mureg.jobs.cores import set_thread_count

T = TypeVar("T")

Output = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


@dataclass(frozen=True)
class Common:
    """Options of most verbs.

    Attributes:
        threads: number of CPU threads; 0 for all that this process may use.
        overwrite: replace an earlier result of mureg in the output.
    """

    threads: int = 0
    overwrite: bool = False
    messages: Annotated[Messages, Flat] = field(default_factory=Messages)

    def prepare(self) -> None:
        """Set the number of threads."""
        if self.threads < 0:
            raise UsageError(f"--threads {self.threads}", "0 or more", "leave it out to use every core")
        set_thread_count(self.threads or None)


def parse(verb: str, arguments: Sequence[str], options: type[T]) -> T:
    """Parse the options of a verb; begin its log. Prints the help and exits where that is asked for.

    Raises:
        UsageError: the first mistake.
    """
    if {"-h", "--help"} & set(arguments):
        print(help_text(verb, options))
        raise SystemExit(0)
    unused = io.StringIO()  # tyro reports mistakes in its own form, with names of types
    try:
        with redirect_stdout(unused), redirect_stderr(unused):
            parsed: T = tyro.cli(options, args=list(arguments), config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit:
        raise mistake_in(verb, options, arguments) from None
    messages_of(parsed).begin(verb, parsed)
    return parsed
