"""The scripts of `examples` run in their small version, outside the checkout, and write what they say."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 600
"""Of a loaded machine; on an idle core all three together take less than a minute."""


def run(name: str, folder: Path) -> str:
    command = [sys.executable, str(EXAMPLES / name), "--quick", "-o", str(folder / "out")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_example_has_a_test_and_a_row_on_its_page() -> None:
    page = (EXAMPLES.parent / "docs" / "how-to" / "examples.md").read_text("utf-8")
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert scripts == {"register_and_plot.py", "own_registrar.py", "train_and_evaluate.py"}
    assert all(f"| `{name}` |" in page and f"python examples/{name} " in page for name in scripts)


def test_register_and_plot(tmp_path) -> None:
    printed = run("register_and_plot.py", tmp_path)
    assert printed.split()[0] in {"ALIGNED", "MOVED", "REVIEW"}
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "before-and-after.png")))
    left, right = picture[60:, : picture.shape[1] // 2], picture[60:, picture.shape[1] // 2 :]
    width = min(left.shape[1], right.shape[1])
    assert picture.std() > 20  # something is drawn
    assert np.abs(left[:, :width].astype(float) - right[:, :width]).mean() > 2  # and the map has moved between the two
    assert isinstance(sitk.ReadTransform(str(tmp_path / "out" / "found.tfm")), sitk.Transform)


def test_own_registrar(tmp_path) -> None:
    run("own_registrar.py", tmp_path)
    rows = list(csv.DictReader((tmp_path / "out" / "errors.csv").read_text("utf-8").splitlines()))
    errors = {row["registrar"]: float(row["error_mm"]) for row in rows}
    assert set(errors) == {"unregistered", "centre-of-mass", "mutual-information"}
    assert errors["mutual-information"] < errors["unregistered"]


@pytest.mark.slow
def test_train_and_evaluate(tmp_path) -> None:
    printed = run("train_and_evaluate.py", tmp_path)
    assert "unregistered" in printed
    for place in ("first/best.onnx", "tuned/best.onnx", "comparison/cases.csv", "comparison/tables.md"):
        assert (tmp_path / "out" / place).is_file()
    card = json.loads((tmp_path / "out" / "tuned" / "best.json").read_text("utf-8"))
    assert card["trained_on"]["begin_from"]  # fine-tuning began from the weights of the first run
