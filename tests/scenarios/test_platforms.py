"""Windows and macOS lack parts of Linux: mureg works without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mureg import RigidTransform
from mureg.comparison import target_registration_error_mm
from mureg.files.atomic import writing_folder
from mureg.jobs import cores
from mureg.sample import load_truth
from support import other_system

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> dict[str, dict]:
    """What three verbs answer in a process without the symbols that Windows lacks."""
    folder = tmp_path_factory.mktemp("windows") / "results"
    places = [str(Path(other_system.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    run = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-m", "support.other_system", str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
    )
    assert run.returncode == 0, run.stderr
    found = {line["verb"]: line for line in map(json.loads, run.stdout.splitlines())}
    assert {verb: line["code"] for verb, line in found.items()} == {"inspect": 0, "register": 0, "doctor": 0}, found
    return {**found, "files": {"answer": sorted(file.name for file in folder.iterdir())}}


def test_inspect_names_the_projections_without_the_symbols_that_windows_lacks(answers) -> None:
    assert [found["kind"] for found in answers["inspect"]["answer"]["found"]] == ["projections"]


def test_register_gives_the_pose_without_the_symbols_that_windows_lacks(answers) -> None:
    truth, matrix = load_truth(), np.array(answers["register"]["answer"]["found"]["ct_from_spect"])
    error_mm = target_registration_error_mm(RigidTransform(matrix), truth.ct_from_spect, truth.heart_points_mm)
    assert error_mm < 6.8
    assert {".mureg", "ct_from_spect.tfm", "registration.json"} <= set(answers["files"]["answer"])
    assert answers["register"]["locks"] > answers["inspect"]["locks"] > 0, "the lock of Windows is used"


def test_doctor_is_content_without_the_symbols_that_windows_lacks(answers) -> None:
    checks = {check["name"]: check for check in answers["doctor"]["answer"]["checks"]}
    assert {check["state"] for check in checks.values()} <= {"ok", "warn"}
    assert f"of {os.cpu_count()} allowed" in checks["threads"]["found"]


def test_the_cores_of_a_system_that_cannot_say_which_are_allowed(monkeypatch) -> None:
    assert cores.usable_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert cores.usable_cores() == 12
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores.usable_cores() == 1


def test_a_folder_is_written_where_folders_cannot_be_opened(tmp_path, monkeypatch) -> None:
    real = os.open

    def files_only(path, *rest, **options):
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **options)

    monkeypatch.setattr(os, "open", files_only)
    with writing_folder(tmp_path / "out", kind="study") as scratch:
        (scratch / "a.txt").write_text("whole")
    assert (tmp_path / "out" / "a.txt").read_text() == "whole"
