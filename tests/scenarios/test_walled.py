"""Every verb with the network walled off, in a home, a current folder and a folder for scratch that are watched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mureg.cli import VERBS
from mureg.cohort.export import export_case
from mureg.cohort.settings import as_toml as cohort_toml
from mureg.registration.networks import NETWORKS
from mureg.sample import sample_folder
from mureg.training.settings import as_toml, settings_from
from support.chest_cases import write_chest_cohort, write_pairs
from support.small_cases import small_settings
from support.tiny_cohort import tiny_case, tiny_cohort
from support.tiny_network import ALL

pytestmark = pytest.mark.slow

TESTS = Path(__file__).resolve().parents[1]
SPECT, CT = str(sample_folder() / "spect.dcm"), str(sample_folder() / "ct")
QUICK = ["--registrar", "near-heart", "--set", "registrar.coarse.starts=1", "--set", "reconstructor.iterations=1"]
TRAINING = {
    "network": {"kind": "tiny"},
    "grid": {"shape": [12, 12, 12], "spacing_mm": 30.0},
    "motion": {"kind": "redrawn", "range": {"translation_mm": [20.0, 20.0, 20.0], "angles_deg": [5.0, 5.0, 5.0]}},
    "epochs": 1,
}
MEASURING = """
[measurement.physics]
kind = "physics"
scatter = "none"
[mutual_information]
kind = "mutual-information"
starts = 1
finish = 1
shrink_factors = [2, 1]
smoothing_mm = [16.0, 12.0]
[resampling]
resamples = 100
"""

Command = Callable[[Path, str], list[str]]
COMMANDS: dict[str, Command] = {
    "demo": lambda _, out: ["-o", out],
    "register": lambda _, out: ["--spect", SPECT, "--ct", CT, "-o", out, *QUICK],
    "batch": lambda place, out: [str(place / "studies"), "-o", out, *QUICK, "--no-reconstruction"],
    "watch": lambda place, out: [
        *(str(place / "studies"), "-o", out, *QUICK, "--no-reconstruction"),
        *("--once", "--quiet-time", "0", "--every", "0.1"),
    ],
    "reconstruct": lambda _, out: [
        "--projections",
        SPECT,
        "-o",
        f"{out}/a.nii.gz",
        "--set",
        "reconstructor.iterations=1",
    ],
    "inspect": lambda _, out: [SPECT, "-o", f"{out}/a.png"],
    "simulate": lambda place, out: ["--cohort", str(place / "small.toml"), "--n", "1", "-o", out],
    "evaluate": lambda place, out: [
        *("--cohort", str(place / "tiny"), "--registrars", "mutual-information"),
        *("--settings", str(place / "measuring.toml"), "-o", out),
    ],
    "train": lambda place, out: [str(place / "training.toml"), "--cohort", str(place / "chests"), "-o", out],
    "finetune": lambda place, out: [
        *("--weights", str(place / "trained" / "best.onnx"), "--pairs", str(place / "hospital" / "pairs.csv")),
        *("-o", out, "--epochs", "1"),
    ],
    "settings": lambda _, __: [],
    "weights": lambda _, __: [],
    "doctor": lambda _, __: [],
    "export": lambda place, out: [str(place / "tiny" / "cases" / "tiny-000000"), "-o", out],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """What the verbs need: cohorts, lists, settings and weights."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patched:
        for kind, settings in ALL.items():
            patched.setitem(NETWORKS, kind, settings)
        (folder / "training.toml").write_text(as_toml(settings_from(TRAINING, "training.toml")))
    (folder / "small.toml").write_text(cohort_toml(small_settings()))
    (folder / "measuring.toml").write_text(MEASURING)
    tiny_cohort(folder / "tiny", 1)
    write_chest_cohort(folder / "chests", 20)
    write_pairs(folder / "hospital", 6, transforms=True)
    (folder / "studies").mkdir()
    export_case(tiny_case(0), folder / "studies" / "one")
    walled("train", COMMANDS["train"](folder, str(folder / "trained")), folder / "watched", folder / "log")
    return folder


def walled(verb: str, arguments: list[str], watched: Path, log: Path) -> None:
    """Run a verb behind the wall: it ends well, asks for no network and leaves nothing where it is watched."""
    homes = {name: watched / name.lower() for name in ("HOME", "TMPDIR", "CWD")}
    for folder in homes.values():
        folder.mkdir(parents=True, exist_ok=True)
    left_out = ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMP", "TEMP")
    environment = {k: v for k, v in os.environ.items() if k not in left_out} | {
        **{name: str(folder) for name, folder in homes.items()},
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    before = tree(watched)
    command = [sys.executable, "-m", "support.walled", str(log), verb, *arguments]
    threads = (
        []
        if verb in ("batch", "watch", "simulate", "evaluate", "export", "settings", "weights")
        else ["--threads", "1"]
    )
    ended = subprocess.run([*command, *threads], cwd=homes["CWD"], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert not log.exists(), log.read_text()
    assert tree(watched) == before


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with size and time of change of the files."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        found[str(path)] = (0, 0) if path.is_dir() else (status.st_size, status.st_mtime_ns)
    return found


@pytest.mark.parametrize("verb", COMMANDS)
def test_it_works_without_a_network_and_writes_only_its_output(verb: str, place: Path, tmp_path: Path) -> None:
    (tmp_path / "watched").mkdir()
    inputs = tree(place)
    walled(verb, COMMANDS[verb](place, str(tmp_path / "out")), tmp_path / "watched", tmp_path / "log")
    assert tree(place) == inputs
    assert {p.name for p in tmp_path.iterdir()} <= {"watched", "out"}
    assert (tmp_path / "out").exists() == (verb not in ("doctor", "settings", "weights"))


def test_no_verb_is_left_out() -> None:
    """The page of `review` waits for a browser: its own tests block what lies outside."""
    assert set(COMMANDS) == set(VERBS) - {"review"}


def test_the_wall_stands(tmp_path: Path) -> None:
    asks = "import socket; socket.create_connection(('127.0.0.1', 9))"
    code = f"from pathlib import Path; from support.walled import wall; wall(Path({str(tmp_path / 'log')!r})); {asks}"
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).returncode != 0
    assert "socket." in (tmp_path / "log").read_text()
