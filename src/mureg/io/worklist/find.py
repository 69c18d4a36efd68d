"""The studies of a batch, from a list or a folder."""

from __future__ import annotations

from pathlib import Path

from mureg.io.input_paths import require_path
from mureg.io.worklist.csv_list import pairs_in_list
from mureg.io.worklist.entry import WorklistEntry
from mureg.io.worklist.folder import pairs_in_folder


def find_pairs(path: Path | str) -> tuple[WorklistEntry, ...]:
    """See `pairs_in_list` for a file and `pairs_in_folder` for a folder."""
    path = Path(path)
    require_path(path)
    return pairs_in_folder(path) if path.is_dir() else pairs_in_list(path)
