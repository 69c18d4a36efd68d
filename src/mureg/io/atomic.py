"""Files that appear whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mureg.errors import UsageError


def refuse_existing(paths: list[Path]) -> None:
    """Refuse to overwrite: raise `UsageError` that names the first of `paths` that is already there."""
    for path in paths:
        if path.exists():
            raise UsageError(f"{path.name} exists already", "a new output", "choose another output or pass --overwrite")


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a scratch file beside `path`; it takes the name of `path` when the block ends well and vanishes otherwise.

    The scratch file keeps the endings of `path`, since writers choose their format by them.
    Raises `UsageError` where the folder cannot be made or written.
    """
    scratch = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        scratch.replace(path)
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise UsageError(
            f"cannot write {path.name} ({reason})", "a writable folder", "choose another output"
        ) from problem
    finally:
        with suppress(OSError):  # where the folder is a file there is nothing to clear away
            scratch.unlink(missing_ok=True)
