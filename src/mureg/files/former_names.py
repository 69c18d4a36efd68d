"""Names in files of mureg 0.1.0, and the names that replaced them: every reader of such files uses this one table.

The values of the settings are unchanged. A fingerprint that 0.1.0 stored is compared with one taken over the former
names (`with_former_names`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mureg.files.settings import Table

_ABLATED = {"blanked": "ablated"}

_KEYS: dict[str, dict[str, str]] = {
    "near-heart": {"looks": "crops", **_ABLATED},
    "learned": _ABLATED,
    "network": _ABLATED,
    "input": _ABLATED,
    "card": {
        **_ABLATED,
        "believed": "gains",
        "errors_hurried": "quick_errors",
        "errors_hurried_grow_mm": "quick_errors_grow_mm",
    },
    "measurement": {"osem": "reconstructor"},
}
"""Of each sort of table, the former names of its entries and the names now. An algorithm's table is called by its kind;
`input` is a table of training settings, `card` the card of a network, `measurement` a table of a comparison."""

_VALUES: dict[str, dict[str, dict[str, str]]] = {
    "projection": {"start": {"headers": "scanner-position"}},
    "loss": {"kind": {"six-numbers": "rigid-parameters"}},
}
"""Of each sort of table and entry, the former words and the words now."""

_ROWS = {"headers": "unregistered"}
_ROW_ENDS = {" (SPECT blanked)": " (SPECT ablated)", " (trained blanked)": " (trained with ablated SPECT)"}
"""Names of the rows of a comparison, and how they end."""


def with_current_names(table: Mapping[str, Any], sort: str) -> Table:
    """A table with the names of now in place of those of mureg 0.1.0.

    An entry whose new name is there too stays, so that the reader refuses it: which of the two counts is not known.

    Args:
        table: as a file holds it.
        sort: of table, see `_KEYS`; a sort without former names is returned unchanged.
    """
    return _renamed(table, _KEYS.get(sort, {}), _VALUES.get(sort, {}))


def with_former_names(table: Mapping[str, Any], sort: str) -> Table:
    """The opposite of `with_current_names`: a table as mureg 0.1.0 wrote it, for fingerprints that it stored."""
    values = {name: _inverse(words) for name, words in _VALUES.get(sort, {}).items()}
    return _renamed(table, _inverse(_KEYS.get(sort, {})), values)


def current_row_name(name: str) -> str:
    """The name of a row of a comparison now."""
    for end, current in _ROW_ENDS.items():
        if name.endswith(end):
            return name.removesuffix(end) + current
    return _ROWS.get(name, name)


def _renamed(table: Mapping[str, Any], keys: Mapping[str, str], values: Mapping[str, Mapping[str, str]]) -> Table:
    named = {key if keys.get(key, key) in table else keys[key]: value for key, value in table.items()}
    return {
        key: values[key].get(value, value) if key in values and isinstance(value, str) else value
        for key, value in named.items()
    }


def _inverse(names: Mapping[str, str]) -> dict[str, str]:
    return {current: former for former, current in names.items()}
