"""Files that may claim more than they hold: what is read or inflated never goes beyond what is there or allowed."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from pathlib import Path
from typing import IO, cast

from mureg.errors import UnreadableInputError

LARGEST_INFLATED = 2**28
"""Bytes that one compressed DICOM object may inflate to: 256 MiB, as many as a multi-frame CT of 512 slices."""
LARGEST_PIXELS = 2**28
"""Pixels in one object, in all frames, and voxels in one image: 512 x 512 x 1024."""

_CHUNK = 2**24  # bytes at a time, 16 MiB: small beside the memory of a computer; a round value
_SMALL = 2**16  # bytes, 64 kB: reads of header elements, which need no check


class BoundedReader(io.BufferedReader):
    """A file whose `read` asks for no more memory than the file has bytes, whatever length a damaged header claims."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, and at most those that are left."""
        if size is not None and size > _SMALL:
            size = min(size, max(0, self._size - self.tell()))
        return super().read(size)


def require_moderate(n_pixels: float, what: str, shape: str) -> None:
    """Refuse more than `LARGEST_PIXELS` before any memory is taken; `shape` says in words what the header claims."""
    if n_pixels > LARGEST_PIXELS:
        raise UnreadableInputError(
            f"the header of {what} claims {shape}",
            f"at most {LARGEST_PIXELS:,} pixels in all",
            "export it again, the header is damaged or the object is not a heart study",
        )


def require_moderate_inflation(deflated: bytes, name: str) -> None:
    """Refuse a deflated object that would inflate beyond `LARGEST_INFLATED`; inflates no further than that."""
    data, inflater, total = deflated, zlib.decompressobj(-zlib.MAX_WBITS), 0
    while data and not inflater.eof and total <= LARGEST_INFLATED:
        total += len(inflater.decompress(data, _CHUNK))
        data = inflater.unconsumed_tail
    if total > LARGEST_INFLATED:
        raise UnreadableInputError(
            f"{name} inflates to more than {LARGEST_INFLATED >> 20} MiB",
            "an image of moderate size",
            "export it uncompressed",
        )


def unzipped(path: Path) -> IO[bytes]:
    """Open a file for reading, through gzip where it starts as gzip does."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if zipped else BoundedReader(path)


def read_exactly(stream: IO[bytes], size: int) -> bytes:
    """That many bytes, or all there are where they are fewer; in pieces, so that only what is there takes memory."""
    pieces, n_remaining = [], size
    while n_remaining > 0 and (piece := stream.read(min(n_remaining, _CHUNK))):
        pieces.append(piece)
        n_remaining -= len(piece)
    return b"".join(pieces)
