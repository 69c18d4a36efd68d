"""Whether a file is still the one that was read: quick where there are gigabytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

WHOLE_BYTES = 2**22
"""Files up to 4 MiB are hashed as a whole: every slice of a CT, pixels included."""

_CHUNK = 2**16  # bytes at a time; longer than a usual header
_LONGEST_HEADER = 2**25  # bytes, 32 MiB: private elements may be long; a round value
_BLOCKS, _BLOCK = 64, 2**14  # of 16 kB, 1 MiB in all: read in no time from gigabytes; round values
_PIXEL_DATA = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00")


def digest_of(path: Path) -> str:
    """SHA-256 of a file up to `WHOLE_BYTES`; of a larger one, of its header and of 64 blocks all over it.

    The header of a DICOM object ends where its pixels begin; of other files the first 64 kB count as such.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= WHOLE_BYTES:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        _hash_header(file, digest.update)
        for k in range(_BLOCKS):
            file.seek(k * (size - _BLOCK) // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def _hash_header(file: IO[bytes], update: Callable[[bytes], None]) -> None:
    chunk = file.read(_CHUNK)
    update(chunk)
    is_dicom, total = chunk[128:132] == b"DICM", len(chunk)
    while is_dicom and total < _LONGEST_HEADER and not any(tag in chunk for tag in _PIXEL_DATA):
        more = file.read(_CHUNK)
        if not more:
            return
        update(more)
        chunk, total = chunk[-3:] + more, total + len(more)
