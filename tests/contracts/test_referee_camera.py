"""The camera that tests take as a referee is independent of what it judges."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "support" / "second_camera"
ALLOWED = ("mureg.geometry", "mureg.errors")


def imported(source: str) -> Iterator[str]:
    """Every module that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            yield from (f"{node.module}.{name.name}" for name in node.names)


def depends_on_package(source: str) -> list[str]:
    """Modules of the package that a source imports, apart from grids, volumes and exceptions."""
    own = {name for name in imported(source) if name == "mureg" or name.startswith("mureg.")}
    return sorted(name for name in own if not any(name == a or name.startswith(f"{a}.") for a in ALLOWED))


def test_the_second_camera_shares_no_physics_with_the_package() -> None:
    sources = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    assert {"camera.py", "scatter.py", "patient.py"} <= set(sources)
    assert {name: found for name, text in sources.items() if (found := depends_on_package(text))} == {}


def test_any_way_to_import_the_simulator_is_noticed() -> None:
    for source in (
        "import mureg.simulate",
        "from mureg import simulate",
        "from mureg.simulate.gamma_camera import GammaCamera",
        "def f():\n    import mureg.spect.stages as stages\n",
        "from mureg import *",
    ):
        assert depends_on_package(source), source
    assert depends_on_package("from mureg.geometry import Grid") == []


def test_the_package_has_one_simulator() -> None:
    """The first simulator is gone from the package; nothing in the package imports from the tests."""
    package = FOLDER.parents[2] / "src" / "mureg"
    assert not [name for name in ("camera", "scatter", "patient") if (package / "simulate" / f"{name}.py").exists()]
    users = [path.name for path in package.rglob("*.py") if "second_camera" in path.read_text(encoding="utf-8")]
    assert users == []
