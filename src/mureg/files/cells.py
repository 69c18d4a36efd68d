"""Words in a table that a spreadsheet would take for a formula."""

from __future__ import annotations

from typing import Any

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def as_cell(value: Any) -> Any:
    """A cell of a CSV file for people: nothing for None, words that would begin a formula after an apostrophe.

    Numbers stay numbers. A spreadsheet shows the words as they are, or with the apostrophe, and runs nothing.
    """
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_STARTS) else value
