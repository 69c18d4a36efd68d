"""The clinic needs no PyTorch: each verb in a process that cannot import it, nor can any process that it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mureg
from mureg.sample import sample_folder
from support.dicom_study import study

BLOCKER = """\
import sys


class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "safetensors", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


sys.meta_path.insert(0, NoTorch())
"""
"""A module that Python imports at the start of every process: the extra ``train`` cannot be imported."""

BLOCKED = """\
import multiprocessing
from importlib import import_module


def answer(name):
    try:
        import_module(name)
    except ImportError:
        return "blocked"
    return "imported"


if __name__ == "__main__":
    print(answer("torch"), answer("numpy"))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(*pool.map(answer, ["torch", "numpy"]))
"""

QUICK = [
    "--registrar",
    "near-heart",
    "--set",
    "registrar.coarse.starts=1",
    "--set",
    "registrar.coarse.finish=1",
    "--set",
    "reconstructor.iterations=1",
]
FEW = ["--set", "reconstructor.iterations=1"]
SPECT, CT = str(sample_folder() / "spect.dcm"), str(sample_folder() / "ct")
INSTALL = 'run pip install "mureg[train]"'


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> str:
    """PYTHONPATH of a process without PyTorch."""
    folder = tmp_path_factory.mktemp("blocker")
    (folder / "sitecustomize.py").write_text(BLOCKER)
    return os.pathsep.join([str(folder), str(Path(mureg.__file__).parents[1])])


@pytest.fixture
def run(places):
    """Run a verb without PyTorch; gives the finished process."""

    def begin(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-m", "mureg.cli", *words]
        environment = {**os.environ, "PYTHONPATH": places}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)

    return begin


def answer(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stderr
    table: dict = json.loads(done.stdout)
    return table


def test_pytorch_cannot_be_imported_there(places) -> None:
    """The blocker blocks, also in a process that multiprocessing starts anew."""
    script = Path(places.split(os.pathsep)[0]) / "blocked.py"
    script.write_text(BLOCKED)
    done = subprocess.run(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": places}, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["blocked imported"] * 2, done.stderr


def test_overview_version_help_and_completion(run) -> None:
    assert "register" in run("--help").stdout
    assert run("--version").stdout.startswith("mureg ")
    for verb in ("register", "simulate", "train", "finetune", "evaluate", "export", "settings"):
        assert run(verb, "--help").stdout.startswith(f"usage: mureg {verb} ")
    assert run("train", "near-heart", "--help").stdout.startswith("usage: mureg train near-heart ")
    assert "finetune" in run("--print-completion", "bash").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("simulate", "--cohort", "easy", "-o", "OUT"),
        ("train", "small", "--cohort", "cohort", "-o", "OUT"),
        ("train", "near-heart", "-o", "OUT"),
        ("finetune", "--cohort", "cohort", "-o", "OUT"),
        ("evaluate", "--cohort", "cohort", "-o", "OUT"),
        ("export", "case", "-o", "OUT"),
        ("settings", "train"),
        ("settings", "simulate"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_research_says_in_one_sentence_what_to_install(run, tmp_path, words) -> None:
    done = run(*(str(tmp_path / "out") if word == "OUT" else word for word in words))
    verb = " ".join(words[:2]) if words[0] == "settings" else words[0]
    assert done.returncode == 2
    missing = "PyTorch, safetensors and onnx"
    assert done.stderr.startswith(
        f"mureg: mureg {verb} without {missing}; expected the packages for research; {INSTALL}"
    )
    assert (done.stderr.count("\n"), done.stdout) == (1, "")
    assert list(tmp_path.iterdir()) == []


def test_settings_of_the_clinical_verbs(run) -> None:
    assert "[registrar]" in run("settings", "register").stdout
    assert run("settings", "evaluate").returncode == 0


def test_inspect(run, tmp_path) -> None:
    found = answer(run("inspect", str(sample_folder()), "-o", str(tmp_path / "planes.png"), "--json"))
    assert len(found["pictures"]) == 2
    assert (tmp_path / "planes.png").stat().st_size > 10_000


def test_reconstruct(run, tmp_path) -> None:
    image = tmp_path / "ac.nii.gz"
    found = answer(run("reconstruct", "--projections", SPECT, "--ct", CT, "-o", str(image), "--json", *FEW))
    assert found["attenuation_corrected"] is True
    versions = found["provenance"]["versions"]
    assert {"numpy", "scipy"} <= set(versions)
    assert "torch" not in versions
    assert image.stat().st_size > 100_000


def test_register(run, tmp_path) -> None:
    """DICOM results and the PDF as well: whatever the default registrar, the reconstruction and the report load."""
    place = study(tmp_path / "study")
    words = ["--spect", str(place / "spect.dcm"), "--ct", str(place / "ct"), "-o", str(tmp_path / "out")]
    found = answer(run("register", *words, "--dicom", "--pdf", "--json", *QUICK))
    assert found["registrar"] == "near-heart"
    assert {"numpy", "scipy", "onnxruntime"} <= set(found["provenance"]["versions"])
    assert "torch" not in found["provenance"]["versions"]
    assert {"report.html", "report.pdf", "spect_ac.nii.gz"} <= {file.name for file in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("registrar", ["mutual-information", "projection"])
def test_register_by_the_other_registrars(run, tmp_path, registrar) -> None:
    place = study(tmp_path / "study")
    words = ["--spect", str(place / "spect.dcm"), "--ct", str(place / "ct"), "-o", str(tmp_path / "out")]
    done = run("register", *words, "--registrar", registrar, "--no-reconstruction", "--json")
    assert done.returncode in (0, 3), done.stderr  # a small noisy study may be refused
    assert "decision" in json.loads(done.stdout)


@pytest.mark.slow
def test_batch_in_two_processes(run, tmp_path) -> None:
    for name in ("one", "other"):
        study(tmp_path / "studies" / name)
    words = [str(tmp_path / "studies"), "-o", str(tmp_path / "out"), "--jobs", "2", "--json"]
    found = answer(run("batch", *words, *QUICK))
    assert (found["studies"], found["made"], found["failed"]) == (2, 2, [])


@pytest.mark.slow
def test_demo_of_the_sample_study(run, tmp_path) -> None:
    found = answer(run("demo", "-o", str(tmp_path / "out"), "--json"))
    assert found["heart_error_found_mm"] < 4.0
    assert "torch" not in found["provenance"]["versions"]


@pytest.mark.slow
def test_doctor(run) -> None:
    """PyTorch is installed here but does not load: a warning, and the installation is healthy."""
    found = answer(run("doctor", "--json"))
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert found["healthy"] is True
    assert states.pop("training") == "warn"
    assert set(states.values()) == {"ok"}
