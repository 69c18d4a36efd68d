"""What a verb loads: libraries that it does not use would cost each start up to a quarter of a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mureg
from support.dicom_study import study

RUN = """\
import json, sys
from mureg.cli import main
try:
    code = main(sys.argv[2:])
except SystemExit as end:
    code = end.code
with open(sys.argv[1], "w") as file:
    json.dump([code or 0, sorted({name.partition(".")[0] for name in sys.modules} | set(sys.modules))], file)
"""
QUICK = ["--registrar", "near-heart", "--set", "registrar.coarse.starts=1", "--set", "registrar.coarse.finish=1"]
DRAWING = {"matplotlib", "contourpy", "jinja2"}
RESEARCH = {"torch", "dask", "distributed", "onnx", "safetensors"}


def loaded_by(tmp_path: Path, *words: str) -> set[str]:
    """Modules in a process of its own after a verb that succeeded."""
    answer = tmp_path / "modules.json"
    environment = {**os.environ, "PYTHONPATH": str(Path(mureg.__file__).parents[1])}
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(answer), *words], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    code, modules = json.loads(answer.read_text())
    assert code == 0, done.stderr
    return set(modules)


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    place = study(tmp_path / "study")
    return ["register", "--spect", str(place / "spect.dcm"), "--ct", str(place / "ct"), "-o", str(tmp_path / "out")]


def test_register_draws_its_pictures_without_matplotlib(tmp_path, words) -> None:
    modules = loaded_by(tmp_path, *words, *QUICK, "--set", "reconstructor.iterations=1")
    assert {"qc.png", "report.html"} <= {file.name for file in (tmp_path / "out").iterdir()}
    assert {"PIL", "contourpy", "jinja2", "nibabel", "mureg.report.document"} <= modules, "what it does use"
    assert not modules & (RESEARCH | {"matplotlib", "SimpleITK", "rich", "pandas"})
    assert not {name for name in modules if name.startswith("PIL.") and name.endswith("ImagePlugin")} & {
        "PIL.PdfImagePlugin",
        "PIL.FliImagePlugin",
        "PIL.PsdImagePlugin",
    }, "Pillow reads every format that it knows only where one is unknown"


def test_quick_mode_loads_nothing_that_draws(tmp_path, words) -> None:
    modules = loaded_by(tmp_path, *words, "--fast")
    assert not modules & (RESEARCH | DRAWING | {"SimpleITK", "rich", "PIL.ImageDraw", "mureg.report.document"})


def test_help_loads_no_networks_and_nothing_that_draws_or_writes(tmp_path) -> None:
    modules = loaded_by(tmp_path, "register", "--help")
    assert not modules & (RESEARCH | DRAWING | {"SimpleITK", "rich", "onnxruntime", "nibabel", "PIL.ImageDraw"})
