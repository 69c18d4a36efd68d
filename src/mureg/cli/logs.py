"""Messages of a run: on standard error as --quiet and --verbose ask, and in the file of --log. No patient names.

Modules that have something to report use ``logging.getLogger("mureg.…")``. A record holds no path, no header entry and
no text of an input: those may name a patient.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from mureg import __version__
from mureg.errors import MuregError, UsageError, printable
from mureg.files.places import refuse_overlap, require_writable

LOG = logging.getLogger("mureg.cli")
_ALL = logging.getLogger("mureg")
_FIRST_LINE = b"# log of mureg"
_FORM = "%(asctime)s %(levelname)-7s %(message)s"
_on: list[logging.Handler] = []


def begin(verb: str, *, quiet: bool, verbose: bool, file: Path | None, other_files: Iterable[Path | None]) -> None:
    """Let messages go where the options say, until `end`.

    Args:
        verb: which is about to run.
        quiet: only errors on standard error.
        verbose: each step on standard error, with its time.
        file: log file; it is appended to where mureg began it, and made where it is missing.
        other_files: inputs and outputs of the run, which the log file may not overlap.

    Raises:
        UsageError: quiet and verbose together; a log file that mureg did not begin, overlaps, or cannot be written.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose", "one of them", "leave one out")
    end()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING)
    form = "%(asctime)s %(message)s" if verbose else "mureg: %(message)s"
    terminal.setFormatter(_OneLine(form, "%H:%M:%S"))
    handlers: list[logging.Handler] = [terminal]
    if file is not None:
        handlers.append(_file_handler(file, other_files))
    for handler in handlers:
        _on.append(handler)
        _ALL.addHandler(handler)
    _ALL.setLevel(logging.INFO)
    _ALL.propagate = False
    LOG.info("mureg %s %s", __version__, verb)


def end(code: int | None = None) -> None:
    """Note the exit code and close what `begin` opened."""
    if code is not None and _on:
        LOG.info("ended with exit code %d", code)
    while _on:
        handler = _on.pop()
        _ALL.removeHandler(handler)
        handler.close()
    _ALL.propagate = True
    _ALL.setLevel(logging.NOTSET)


def note_refusal(problem: MuregError) -> None:
    """Note a refusal: its kind, and where in the program; its sentence may hold names of files, and is not kept."""
    LOG.info("refused: %s in %s", type(problem).__name__, _raised_at(problem.__traceback__))


def note_fault(problem: BaseException) -> None:
    """Log an unexpected error with its traceback; its text may contain patient data and is left out."""
    LOG.info("fault in mureg: %s in %s", type(problem).__name__, _raised_at(problem.__traceback__))


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _file_handler(file: Path, other_files: Iterable[Path | None]) -> logging.Handler:
    try:
        refuse_overlap(file, other_files)
    except UsageError as problem:
        raise UsageError(
            f"--log: {problem.found.removeprefix('the output ')}", "a log file apart from all inputs and outputs",
            "choose another file",
        ) from problem  # fmt: skip
    require_writable(file.parent)
    try:
        if file.exists() and not _is_log(file):
            raise UsageError(
                f"--log {file.name} exists and is not a log of mureg",
                "a new file, or a log that mureg wrote",
                "choose another file",
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as out:
            if out.tell() == 0:
                out.write(_FIRST_LINE + b": times, steps, decisions; no names\n")
        handler = logging.FileHandler(file, encoding="utf-8")
    except OSError as problem:
        raise UsageError(
            f"--log {file.name} cannot be written ({problem.strerror})", "a file in a writable folder", "choose another"
        ) from problem
    handler.setLevel(logging.INFO)
    handler.setFormatter(_OneLine(_FORM))
    return handler


def _is_log(file: Path) -> bool:
    """Whether mureg began a file as a log; an empty file counts."""
    with file.open("rb") as content:
        head = content.read(len(_FIRST_LINE))
    return head in (b"", _FIRST_LINE)


def _raised_at(trace: TracebackType | None) -> str:
    """Chain of module and line of the package, outermost first."""
    places = []
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if "mureg" in path.parts:
            places.append(f"{'/'.join(path.parts[-2:])}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(places[-4:]) or "the program"
