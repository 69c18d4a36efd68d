"""Another package, installed: modules in a folder on the path, and what its installer would have written down."""

from __future__ import annotations

import sys
from pathlib import Path


def installed(
    folder: Path, monkeypatch, modules: dict[str, str], entry_points: dict[str, dict[str, str]], name: str
) -> None:
    """Put modules and the metadata of a distribution into a folder, and the folder on the path for this test.

    Args:
        modules: name of each and its text.
        entry_points: by group, names and values.
        name: of the distribution.
    """
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
        monkeypatch.delitem(sys.modules, module, raising=False)
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in entry_points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(folder)
