"""The card counts what lies on disk."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mureg.cohort.card import write_card
from mureg.cohort.store.cohort import CASES, Cohort, write_case
from mureg.jobs.pool import JobResult
from support.small_cases import files_of, small_case, small_settings

SETTINGS = small_settings()
N = 40


@pytest.fixture(scope="module")
def cases():
    """Forty cases whose facts have known quantiles: a number 0 to 39, a word for every fourth, one absent in half."""
    plain = small_case(SETTINGS, 0)
    found = []
    for index in range(N):
        facts = {"number": float(index), "word": "abcd"[index % 4], "yes": index < 10, "same": 7, "id": f"ct-{index}"}
        facts |= {"rare": index} if index % 2 else {}
        study = replace(plain.study, patient=f"patient-{index // 2:04d}")
        found.append(replace(plain, name=f"small-{index:06d}", facts=facts, study=study))
    return found


@pytest.fixture(scope="module")
def output(cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    for case in cases:
        write_case(case, folder / CASES / case.name)
    failed = (JobResult(40, "small-000040", problem="a | b; expected c; d."),)
    assert write_card(SETTINGS, folder, 43, failed) == folder / "card.md"
    return folder


@pytest.fixture(scope="module")
def card(output):
    return tomllib.loads((output / "card.toml").read_text())


def test_how_many(card) -> None:
    assert (card["cases"], card["patients"], card["cases_asked"]) == (N, N // 2, 43)
    assert card["not_made_yet"] == ["small-000041", "small-000042"]
    assert card["failed"] == [{"case": "small-000040", "problem": "a | b; expected c; d."}]


def test_numbers(card) -> None:
    assert card["numbers"]["number"] == {"min": 0, "p05": 1.95, "median": 19.5, "p95": 37.05, "max": 39}
    assert set(card["numbers"]["same"].values()) == {7}
    assert card["numbers"]["rare"]["median"] == np.median(np.arange(1, N, 2))


def test_words(card) -> None:
    assert card["words"]["word"] == {"a": 10, "b": 10, "c": 10, "d": 10}
    assert card["words"]["yes"] == {"no": 30, "yes": 10}
    assert card["words"]["id"]["20 others"] == 20
    assert sum(card["words"]["id"].values()) == N


def test_sets_are_those_of_the_cohort(card, output) -> None:
    sets = Cohort.open(output).split()
    assert {name: one["cases"] for name, one in card["sets"].items()} == {name: len(c) for name, c in sets.items()}
    listed = [patient for one in card["sets"].values() for patient in one["patients"]]
    assert sorted(listed) == [f"patient-{k:04d}" for k in range(N // 2)], "each patient once"


def test_page_and_picture(output) -> None:
    page = (output / "card.md").read_text()
    assert "40 simulated cases of 20 patients" in page
    assert "| number | 0 | 1.95 | 19.5 | 37.05 | 39 |" in page
    assert r"| small-000040 | a \| b; expected c; d. |" in page
    with Image.open(output / "card.png") as picture:
        picture.verify()
        assert picture.size[0] > 1000


def test_the_same_cases_give_the_same_bytes(output) -> None:
    before = files_of(output)
    write_card(SETTINGS, output, 43, (JobResult(40, "small-000040", seconds=9.0, problem="a | b; expected c; d."),))
    assert files_of(output) == before


def test_no_cases_no_card(tmp_path) -> None:
    assert write_card(SETTINGS, tmp_path, 1) is None
    assert list(tmp_path.iterdir()) == []
