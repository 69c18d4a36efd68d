"""mureg doctor: what it says where all is well, and where something is broken."""

from __future__ import annotations

import json
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace

import pytest
import SimpleITK as sitk

from mureg import doctor as health
from mureg.cli import main
from mureg.doctor import Check, closed_network
from mureg.errors import UnreadableInputError
from mureg.geometry import RigidTransform
from mureg.jobs.cores import set_thread_count


@pytest.fixture(autouse=True)
def threads_as_before():
    yield
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def told(capsys) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}


@pytest.mark.slow
def test_all_is_well_here(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--json", "--threads", "1"]) == 0
    found = told(capsys)
    quick = ["installation", "libraries", "threads", "data", "weights", "networks", "training"]
    assert list(found) == [*quick, "sample", "offline"]
    assert {check["state"] for check in found.values()} == {"ok"}
    assert "numpy" in found["libraries"]["found"]
    assert "hashes as on their cards" in found["weights"]["found"]
    assert found["networks"]["found"].startswith("onnxruntime ")
    assert found["training"]["found"].startswith("PyTorch ")
    assert list(tmp_path.iterdir()) == []


def test_pytorch_is_no_part_of_the_clinic(monkeypatch) -> None:
    """Where it is not installed all is well; where it is and does not load, that is a warning, not a failure."""

    def without(name: str) -> str:
        if name == "torch":
            raise PackageNotFoundError(name)
        return version(name)

    with monkeypatch.context() as patched:
        patched.setattr(health, "version", without)
        check = health._training()
    assert (check.state, "not installed" in check.found) == ("ok", True)
    assert 'pip install "mureg[train]"' in check.found
    monkeypatch.setitem(sys.modules, "torch", None)  # its import raises ImportError
    check = health._training()
    assert (check.state, "cannot be loaded" in check.found) == ("warn", True)
    assert 'pip install "mureg[train]"' in check.remedy


def test_a_default_registrar_that_is_more_than_4_mm_off_fails(monkeypatch) -> None:
    """The true pose passes, one that is 4.1 mm off does not."""
    truth = health.load_truth()
    for off_mm, state in ((3.9, "ok"), (4.1, "fail")):
        shifted = truth.ct_from_spect @ RigidTransform.from_six((0.0, 0.0, off_mm), (0, 0, 0), (0, 0, 0))
        answer = SimpleNamespace(registration=SimpleNamespace(ct_from_spect=shifted))
        monkeypatch.setattr(health, "examine", lambda *_, answer=answer, **__: answer)
        check = health._sample()
        assert check.state == state
        assert f"{off_mm} mm off at the heart" in check.found


def test_what_is_broken_is_said_with_a_remedy(capsys, monkeypatch) -> None:
    def no_sample():
        raise UnreadableInputError("no sample study in this installation", "mureg/data/sample", "install it again")

    monkeypatch.setattr(health, "load_truth", no_sample)
    monkeypatch.setattr(health, "requires", lambda _: ["numpy>=999", "no-such-library>=1", 'dask; extra == "cluster"'])
    assert main(["doctor", "--threads", "1"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("fail libraries     missing no-such-library; old numpy ") for line in lines)
    assert "fail sample        no sample study in this installation; install it again" in lines
    assert any(line.startswith("ok   offline") for line in lines)
    assert "a check failed: see the lines that begin with fail" in lines


def test_use_of_a_network_is_found(monkeypatch) -> None:
    def talkative() -> Check:
        socket.create_connection(("127.0.0.1", 9))
        raise AssertionError("not reached")

    monkeypatch.setattr(health, "_sample", talkative)
    sample, offline = health._sample_offline()
    assert (sample.state, offline.state) == ("fail", "fail")
    assert "attempt(s) to open a connection" in offline.found


def test_the_network_opens_again() -> None:
    before = socket.socket
    with closed_network() as attempts, pytest.raises(OSError, match="closed"):
        socket.socket()
    assert len(attempts) == 1
    assert socket.socket is before


def test_weights_that_ship_must_have_the_hash_on_their_card(tmp_path, monkeypatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.onnx").write_bytes(b"not weights")
    monkeypatch.setattr(health, "files", lambda _: tmp_path)
    found = health._guarded("weights", health._weights)
    assert found.state == "fail"
    assert "a.json" in found.found
