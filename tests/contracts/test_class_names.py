"""One class name, one meaning in the whole package."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import mureg

PACKAGE = Path(mureg.__file__).parent


def test_no_class_name_stands_in_two_modules() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(file.relative_to(PACKAGE).as_posix())
    assert len(places) > 100
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
