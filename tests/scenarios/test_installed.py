"""What a user installs works: wheel and source archive are built, the wheel is installed apart and run elsewhere.

The third-party packages are those of this environment; nothing is fetched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import mureg

ROOT = Path(__file__).parents[2]
LARGEST_BYTES = 4_000_000
LARGEST_WHEEL_BYTES, LARGEST_WEIGHTS_BYTES = 20_000_000, 14_000_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("hatchling") is None or find_spec("pip") is None,
        reason="hatchling or pip is missing: pip install hatchling pip",
    ),
]


def run(*command: str | Path, cwd: Path, seconds: float = 300) -> str:
    """Standard output of a program that sees neither this checkout nor what is imported here."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> tuple[Path, Path]:
    """The wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", folder, cwd=ROOT)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


@pytest.fixture(scope="module")
def installed(archives, tmp_path_factory) -> Path:
    """The folder of programs of a fresh environment that holds the wheel."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    here = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    there = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    programs = Path(sysconfig.get_path("scripts", "venv", {"base": str(folder), "platbase": str(folder)}))
    python = programs / Path(sys.executable).name
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--quiet")
    run(*pip, "install", "--no-deps", "--no-index", archives[0], cwd=folder)
    # plain paths: an editable installation among them is not followed into the checkout
    (there / "third_party.pth").write_text("\n".join(here) + "\n", encoding="utf-8")
    return programs


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(archives) -> None:
    with zipfile.ZipFile(archives[0]) as wheel:
        sizes = {entry.filename: entry.file_size for entry in wheel.infolist()}
    assert {name.split("/")[0] for name in sizes} == {"mureg", f"mureg-{mureg.__version__}.dist-info"}
    present = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "mureg").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in sizes if name.startswith("mureg/")} == present
    assert [n for n, size in sizes.items() if size > LARGEST_BYTES] == []
    assert sum(size for name, size in sizes.items() if name.endswith(".onnx")) <= LARGEST_WEIGHTS_BYTES
    assert archives[0].stat().st_size <= LARGEST_WHEEL_BYTES
    assert any(name.endswith("licenses/LICENSE") for name in sizes)


def test_the_source_archive_holds_what_a_developer_needs(archives, tmp_path) -> None:
    with tarfile.open(archives[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    (top,) = tmp_path.iterdir()
    for name in ("src/mureg/__init__.py", "tests/conftest.py", "docs/how-to/python.md", "README.md", "LICENSE"):
        assert (top / name).read_bytes() == (ROOT / name).read_bytes()
    assert {"src", "tests", "docs", "README.md", "LICENSE", "pyproject.toml"} <= {path.name for path in top.iterdir()}
    files = [path for path in top.rglob("*") if path.is_file()]
    assert not [path for path in files if "__pycache__" in path.parts or ".venv" in path.parts]
    large = [p.name for p in files if p.stat().st_size > LARGEST_BYTES]
    assert large == []


def test_the_installed_program_runs_elsewhere(installed, tmp_path) -> None:
    python, program = installed / Path(sys.executable).name, installed / "mureg"
    place = "import mureg, mureg.sample; print(mureg.__file__); print(mureg.sample.sample_folder())"
    module, sample = map(Path, run(python, "-c", place, cwd=tmp_path).split())
    assert module.is_relative_to(installed.parent)
    assert not module.is_relative_to(ROOT)

    assert run(program, "--version", cwd=tmp_path).split()[:2] == ["mureg", mureg.__version__]
    assert "--spect" in run(program, "register", "--help", cwd=tmp_path)
    assert 'kind = "near-heart"' in run(program, "settings", cwd=tmp_path)
    seen = run(program, "inspect", sample, cwd=tmp_path)
    truth = json.loads((sample / "truth.json").read_text("utf-8"))
    assert "CT: CT CHEST" in seen.upper()
    assert f"counts {truth['photopeak_counts']}" in " ".join(seen.split())

    output = tmp_path / "results"
    study = ("--spect", sample / "spect.dcm", "--ct", sample / "ct", "-o", output)
    run(program, "register", *study, "--fast", "--threads", "1", cwd=tmp_path)
    assert json.loads((output / "registration.json").read_text("utf-8"))["decision"]


@pytest.mark.skipif(find_spec("torch") is None, reason="training needs PyTorch")
def test_train_use_finetune_use_again_and_compare(installed, tmp_path) -> None:
    """One road from virtual patients to networks in use: each verb takes what the one before has written."""

    def mureg(*words: str) -> str:
        return run(installed / "mureg", *words, cwd=tmp_path, seconds=1800)

    mureg("simulate", "--cohort", "clinical", "--n", "8", "-o", "cohort")
    mureg("export", "cohort/cases/clinical-000000", "-o", "study")
    shares = ("--set", "data.shares=[0.5,0.5,0.0]")
    mureg("train", "small", "--cohort", "cohort", "-o", "first", "--minutes", "1", *shares, "--threads", "1")
    card = json.loads((tmp_path / "first" / "best.json").read_text("utf-8"))
    assert card["trained_on"]["samples"] > 0

    study = ("--spect", "study/spect.dcm", "--ct", "study/ct", "--no-reconstruction", "--threads", "1")
    mureg("register", *study, "--registrar", "network", "--weights", "first/best.onnx", "-o", "by-first")
    answer = json.loads((tmp_path / "by-first" / "registration.json").read_text("utf-8"))
    assert (answer["registrar"], answer["provenance"]["weights_sha256"]) == ("network", card["weights_sha256"])

    tuned = json.loads(
        mureg("finetune", "--cohort", "cohort", "-o", "ours", "--epochs", "1", "--threads", "1", "--json")
    )
    assert tuned["finished"]
    assert tuned["held_out"]["patients"] == 2
    mureg("register", *study, "--weights", tuned["weights"], "-o", "by-ours")
    answer = json.loads((tmp_path / "by-ours" / "registration.json").read_text("utf-8"))
    own = json.loads((tmp_path / "ours" / "near-heart.json").read_text("utf-8"))
    assert answer["provenance"]["weights_sha256"] == own["weights_sha256"]

    weights = ("--weights", "first/best.onnx", "--weights", tuned["weights"])
    few = ("--limit", "1", "--images", "0", "--figures", "0")
    mureg(
        "evaluate", "--cohort", "cohort", "--registrars", "unregistered,near-heart,network", *weights, *few, "-o", "c"
    )
    rows = (tmp_path / "c" / "tables.md").read_text("utf-8")
    assert all(f"| {name} " in rows for name in ("Baseline (no correction)", "near-heart", "first", "ours"))

    listed = json.loads(mureg("weights", "near-heart", "first/best.onnx", tuned["weights"], "--json"))["weights"]
    assert [one["weights_sha256"] for one in listed[1:]] == [card["weights_sha256"], own["weights_sha256"]]
