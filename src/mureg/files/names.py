"""Names that every disk can hold, Windows' too."""

from __future__ import annotations

import unicodedata

LONGEST_BYTES = 100
"""Of 255 that usual disks allow for a name (ext4, APFS, NTFS): scratch names add to it, and Windows allows 260
characters for a whole path."""
_NOT_IN_NAMES = set('/\\:*?"<>|')
_DEVICES = {
    *("con", "prn", "aux", "nul", "conin$", "conout$", "clock$"),
    *(f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"),
}
"""Names of devices on Windows, with whatever ending."""


def problem_of(name: str) -> str:
    """What keeps a name from being that of a folder everywhere, "" where nothing does."""
    bad = next((c for c in name if c in _NOT_IN_NAMES or not c.isprintable()), None)
    if not name:
        return "no name"
    if bad is not None:
        return f"the name {name!r} with {bad!r} in it"
    if name[0] in ". " or name[-1] in ". ":
        return f"the name {name!r}, which begins or ends with a dot or a space"
    if name.partition(".")[0].rstrip(" ").casefold() in _DEVICES:
        return f"the name {name!r}, which is a device on Windows"
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return f"the name {name!r}, which is no text in UTF-8"
    return f"a name of {length} bytes" if length > LONGEST_BYTES else ""


def folded(name: str) -> str:
    """The same for names that some disk cannot tell apart: capitals and composed letters are lost."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
