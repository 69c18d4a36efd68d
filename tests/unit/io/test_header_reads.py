"""Each header of a folder is read once, whatever asks for it."""

from __future__ import annotations

import shutil
from collections import Counter

import pydicom.filereader
import pytest

from mureg.io import inspect, read_study
from mureg.io.worklist.find import find_pairs
from mureg.sample import sample_folder


@pytest.fixture
def reads(monkeypatch) -> Counter[str]:
    """How often pydicom began to read each file: to its pixels (headers), or to its end (pixels too)."""
    counted: Counter[str] = Counter()
    read_partial = pydicom.filereader.read_partial

    def counting(file, stop_when=None, *arguments, **options):
        counted["whole" if stop_when is None else "header"] += 1
        return read_partial(file, stop_when, *arguments, **options)

    monkeypatch.setattr(pydicom.filereader, "read_partial", counting)
    return counted


def test_of_the_sample_study(reads, tmp_path) -> None:
    """Listed as a folder of studies, then read by its folder and by its parts, then inspected."""
    study = tmp_path / "studies" / "one"
    shutil.copytree(sample_folder(), study)
    files = len([*(study / "ct").iterdir()]) + 1
    (pair,) = find_pairs(tmp_path / "studies")
    assert not pair.problem
    assert reads == {"header": files}
    read_study(study, ct=study)
    read_study(study / "spect.dcm", ct=study / "ct")
    inspect(study)
    assert reads["header"] == files


def test_a_file_that_has_changed_is_read_again(reads, tmp_path) -> None:
    shutil.copytree(sample_folder() / "ct", tmp_path / "ct")
    inspect(tmp_path / "ct")
    before = reads["header"]
    first = sorted((tmp_path / "ct").iterdir())[0]
    header = pydicom.dcmread(first)
    header.SeriesDescription = "changed since"
    header.save_as(first)
    reads.clear()
    inspect(tmp_path / "ct")
    assert before == 56
    assert reads["header"] == 1
