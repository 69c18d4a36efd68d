"""The talk with outside programs: poses, crashes, silence, absence. The programs themselves are stand-ins."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mureg.comparison import peers_process
from mureg.comparison.methods import Method, register
from mureg.comparison.peers import SCRIPT, Ants, Elastix, PeerProcess, refuse_missing
from mureg.errors import UsageError
from mureg.geometry import RigidTransform
from mureg.study import PreparedStudy
from support.phantoms import mu_volume
from support.tiny_cohort import tiny_case

TALK = """
import io, json, os, sys, time
import numpy as np
print(json.dumps({"elastix": "stand-in 1"}), flush=True)
while line := sys.stdin.buffer.readline():
    asked = json.loads(line)
    images = np.load(io.BytesIO(sys.stdin.buffer.read(asked["bytes"])))
    seed = asked["settings"]["seed"]
    if seed == 2:
        os._exit(9)
    if seed == 3:
        time.sleep(60)
    matrix = np.eye(4)
    matrix[:3, 3] = images["moving_affine"][:3, 3] - images["fixed_affine"][:3, 3] if seed == 1 else 500.0
    said = {"crashed": "a message of the program"} if seed == 4 else {"matrix": matrix.tolist()}
    print(json.dumps({**said, "seconds": 0.5, "mask": "mask" in images}), flush=True)
"""


@pytest.fixture
def programs(tmp_path):
    script = tmp_path / "talk.py"
    script.write_text(TALK)
    process = PeerProcess(Path(sys.executable), script, patience_s=2.0)
    yield process
    process.close()


def pair():
    case = tiny_case(0)
    return case.uncorrected, mu_volume(case.uncorrected.grid)


def test_both_images_arrive_with_their_places_and_the_pose_comes_back(programs) -> None:
    spect, body = pair()
    answer = programs.register(Elastix(map_mm=40.0), spect, body)
    coarse = body.coarsened(40.0).grid
    np.testing.assert_allclose(
        np.array(answer["matrix"])[:3, 3], coarse.affine[:3, 3] - spect.grid.affine[:3, 3], atol=1e-9
    )
    assert answer["seconds"] >= 0.5
    assert not answer["mask"]
    assert programs.register(Elastix(mask=True), spect, body)["mask"]


def test_after_a_death_the_next_case_is_registered_all_the_same(programs) -> None:
    spect, body = pair()
    assert "ended with 9" in programs.register(Elastix(seed=2), spect, body)["crashed"]
    assert "matrix" in programs.register(Elastix(), spect, body)


def test_patience_ends(programs) -> None:
    spect, body = pair()
    started = time.perf_counter()
    assert "no answer" in programs.register(Elastix(seed=3), spect, body)["crashed"]
    assert time.perf_counter() - started < 20.0


def test_what_a_program_says_becomes_a_finding(programs, monkeypatch) -> None:
    monkeypatch.setattr("mureg.comparison.methods.process_of", lambda _: programs)
    spect, body = pair()
    study, python = PreparedStudy.from_images(spect, body), Path(sys.executable)
    done, crashed, wild = (register(Method.of("elastix", Elastix(seed=seed)), study, python) for seed in (1, 4, 5))
    assert (done.status, done.version) == ("done", "stand-in 1")
    assert isinstance(done.ct_from_spect, RigidTransform)
    assert (crashed.status, crashed.reason) == ("crashed", "a message of the program")
    assert (wild.status, wild.ct_from_spect) == ("refused", None)
    assert "moves the map by 866 mm" in wild.reason


def test_a_python_without_the_programs_says_so() -> None:
    process = PeerProcess(Path(sys.executable), SCRIPT)
    assert process.versions == peers_process.versions()
    process.close()
    if not peers_process.versions():
        with pytest.raises(UsageError, match="no ants in the Python"):
            refuse_missing({"ants": Ants()}, Path(sys.executable))
    refuse_missing({}, Path("/no/such/python"))


def test_settings_of_a_method_are_the_same_text_for_the_same_settings() -> None:
    assert Method.of("elastix", Elastix()) == Method.of("elastix", Elastix())
    assert json.loads(Method.of("elastix", Elastix(samples=8000)).settings)["samples"] == 8000


def test_a_rigid_map_of_points_becomes_its_matrix_and_another_is_refused() -> None:
    pose = RigidTransform.from_six((5.0, -3.0, 8.0), (4.0, -2.0, 6.0), (1.0, 2.0, 3.0))
    np.testing.assert_allclose(peers_process._matrix(lambda point: pose.apply(point)), pose.matrix, atol=1e-12)
    with pytest.raises(ValueError, match="not rigid"):
        peers_process._matrix(lambda point: 1.1 * np.asarray(point))
