"""Text files that people write: UTF-8, and what editors and spreadsheets on Windows make of it."""

from __future__ import annotations

import codecs
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """The text of a settings file or list, line ends as they are written.

    The byte order mark decides where there is one. Without one, zero bytes at every other place mean UTF-16; else the
    text is UTF-8 where it is valid UTF-8, and Windows-1252 (Latin-1 and the signs beside it) where it is not. UTF-8
    with letters beyond ASCII is hardly ever valid by chance.

    Raises:
        UnicodeDecodeError: it is no text.
        OSError: it cannot be read.
    """
    return decoded(path.read_bytes())


def decoded(raw: bytes) -> str:
    """Text of the bytes of a file; encodings and refusals as in `read_text`."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return _without_zeros(raw.decode(encoding), raw)
    half = len(raw) // 2
    # most characters of Western text are below 256, so one byte of two is 0; 0.7 leaves room for others
    if half and raw[1::2].count(0) > 0.7 * half and 0 not in raw[0::2]:
        return _without_zeros(raw.decode("utf-16-le"), raw)
    if half and raw[0::2].count(0) > 0.7 * half and 0 not in raw[1::2]:
        return _without_zeros(raw.decode("utf-16-be"), raw)
    try:
        return _without_zeros(raw.decode("utf-8"), raw)
    except UnicodeDecodeError:
        if 0 in raw:
            raise
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _without_zeros(text: str, raw: bytes) -> str:
    if "\0" in text:
        raise UnicodeDecodeError("utf-8", raw, 0, 1, "zero bytes, as no text has them")
    return text
