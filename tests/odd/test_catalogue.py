"""Inputs from the real world: each is read right, or refused in one sentence with its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import SimpleITK as sitk

from mureg.cli import main as command_line
from mureg.jobs.cores import set_thread_count
from mureg.sample import sample_folder
from odd.catalogue import CATALOGUE, PAGE, page
from odd.entry import Odd, tomo

REFUSED = [odd for odd in CATALOGUE if not odd.is_read]
READ = [odd for odd in CATALOGUE if odd.is_read]


@pytest.fixture(autouse=True)
def threads_as_before():
    yield
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return tomo(tmp_path_factory.mktemp("good") / "tomo.dcm")


@pytest.mark.parametrize("odd", REFUSED, ids=lambda odd: f"{odd.side}: {odd.name}")
def test_it_is_refused_in_one_sentence(odd: Odd, good: Path, tmp_path: Path, capfd) -> None:
    (tmp_path / "in").mkdir()
    given, out = odd.make(tmp_path / "in"), tmp_path / "out"
    before = sorted(tmp_path.rglob("*"))
    sides = {"spect": str(good), "ct": None, "mu": None} | {odd.side: str(given)}
    if odd.side == "spect":
        sides["ct"] = str(sample_folder() / "ct")
    arguments = [word for side, path in sides.items() if path for word in (f"--{side}", path)]
    code = command_line(["register", *arguments, "-o", str(out), "--threads", "1"])
    said, sentence = capfd.readouterr()
    assert code == odd.code, sentence
    assert said == ""
    assert odd.says in sentence
    assert sentence.startswith("mureg: ")
    assert sentence.endswith(".\n")
    assert sentence[:-1].isprintable()
    assert "; expected " in sentence
    assert "Secret" not in sentence
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("odd", READ, ids=lambda odd: f"{odd.side}: {odd.name}")
def test_it_is_read_right_and_what_is_odd_is_said(odd: Odd, tmp_path: Path, capfd) -> None:
    (tmp_path / "in").mkdir()
    given = odd.make(tmp_path / "in")
    before = sorted(tmp_path.rglob("*"))
    picture = tmp_path / "a.png"
    assert command_line(["inspect", str(given), "-o", str(picture), "--json", "--threads", "1"]) == 0
    said, complaints = capfd.readouterr()
    assert complaints == ""
    kinds = {"ct": ("CT",), "mu": ("attenuation map",), "spect": ("projections", "reconstructed SPECT")}[odd.side]
    found = next(f for f in json.loads(said)["found"] if f["kind"] in kinds)
    assert found["refusal"] == ""
    facts = found["facts"]
    assert {name: facts.get(name) for name in odd.facts} == odd.facts
    notes = " | ".join([*found["notes"], *(f["refusal"] for f in json.loads(said)["found"])])
    assert odd.note in notes
    assert notes.isprintable()
    assert sorted(p for p in tmp_path.rglob("*") if p.suffix != ".png") == before


def test_there_are_enough_of_them_and_no_two_alike() -> None:
    names = [(odd.side, odd.name) for odd in CATALOGUE]
    assert len(set(names)) == len(names) >= 60


def test_the_page_says_the_same() -> None:
    """Made anew with ``PYTHONPATH=tests python -m odd.catalogue``."""
    assert page(PAGE.read_text("utf-8")) == PAGE.read_text("utf-8")
