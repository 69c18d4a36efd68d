"""Errors of the registrar near-heart on unseen cases, and the covariance that follows from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mureg.errors import UnreadableInputError, UsageError
from mureg.registration.card import card_path
from mureg.registration.weights import SHIPPED, weights_path
from mureg.training.heart.calibration import Residuals, stated_covariance
from mureg.training.heart.errors import COLUMNS, RESIDUALS, read_rows, settings_fingerprints, write_rows
from mureg.training.heart.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[3]
EVIDENCE = ROOT / "evidence" / "near-heart" / "population"
RECIPE = str(ROOT / "benchmarks" / "evidence" / "recipes" / "population.toml")
CARD = json.loads(card_path(weights_path(SHIPPED)).read_text("utf-8"))


@pytest.mark.parametrize(("prefix", "key"), [("", "errors"), ("quick-", "quick_errors")])
def test_the_rows_in_the_evidence_give_the_shipped_covariance(prefix, key) -> None:
    calibration = load_recipe(RECIPE).calibration
    dispersion_mm = calibration.quick_dispersion_mm if prefix else calibration.dispersion_mm
    paths = [EVIDENCE / f"{prefix}{group.population}.csv" for group in calibration.groups]
    stated = stated_covariance(paths, dispersion_mm, calibration.group_share)
    assert [list(row) for row in stated.matrix] == CARD[key]
    assert [group.n for group in stated.groups] == [group.n for group in calibration.groups]
    assert min(group.share for group in stated.groups) >= calibration.group_share - 1 / 13


def test_the_rows_in_the_evidence_are_of_the_cases_of_the_recipe() -> None:
    for group in load_recipe(RECIPE).calibration.groups:
        numbers = [int(row["case"].rpartition("-")[2]) for row in read_rows(EVIDENCE / f"{group.population}.csv")]
        assert numbers == list(range(group.first, group.first + group.n))


def test_the_shipped_card_is_for_the_settings_of_today() -> None:
    assert settings_fingerprints() == CARD["calibrated_for"]


def rows_of(parameters: np.ndarray, dispersion_mm: np.ndarray, arm_mm: float = 30.0) -> list[tuple]:
    rows = []
    for number, (six, dispersion) in enumerate(zip(parameters, dispersion_mm, strict=True)):
        figures = {**dict(zip(RESIDUALS, six, strict=True)), "heart_arm_mm": arm_mm, "dispersion_mm": dispersion}
        rows.append((f"case-{number:06d}", *(figures.get(name, 0.0) for name in COLUMNS[1:])))
    return rows


def test_the_covariance_is_that_of_normal_errors_and_its_bound_holds(tmp_path) -> None:
    """Drawn from a known covariance that grows with dispersion: it comes back, and covers nine of ten new cases."""
    chance = np.random.default_rng(5)
    true = np.diag([1.0, 0.5, 2.0, 0.3, 0.8, 0.4]) ** 2
    true[0, 2] = true[2, 0] = 1.2

    def drawn(n: int) -> list[tuple]:
        dispersion = chance.uniform(0.0, 0.5, n)
        six = chance.multivariate_normal(np.zeros(6), true, n) * (1 + (dispersion / 0.5) ** 2)[:, None]
        return rows_of(six, dispersion)

    for name in ("a", "b", "new"):
        write_rows(tmp_path / f"{name}.csv", drawn(400))
    stated = np.array(stated_covariance([tmp_path / "a.csv", tmp_path / "b.csv"], 0.5, 0.85).matrix)
    np.testing.assert_allclose(stated, true, atol=0.4, rtol=0.2)
    ratios = Residuals.of(tmp_path / "new.csv", 0.5).ratios(stated)
    assert np.mean(ratios <= 1.0) == pytest.approx(0.9, abs=0.05)


def test_one_group_with_large_errors_widens_the_bound_for_all(tmp_path) -> None:
    chance = np.random.default_rng(6)
    for name, size in (("small", 1.0), ("large", 4.0)):
        write_rows(tmp_path / f"{name}.csv", rows_of(size * chance.standard_normal((200, 6)), np.zeros(200)))
    paths = [tmp_path / "small.csv", tmp_path / "large.csv"]
    stated = stated_covariance(paths, 0.25, 0.85)
    small, large = stated.groups
    assert large.share == pytest.approx(0.85, abs=0.01)
    assert small.share > 0.99
    assert stated_covariance(paths, 0.25, 0.95).matrix[0][0] > stated.matrix[0][0]


def test_residuals_are_rms_displacements_of_the_heart(tmp_path) -> None:
    """A shift moves every point by its length; a turn by its angle times the arm."""
    six = np.array([[3.0, 4.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 2.0, 0.0]])
    write_rows(tmp_path / "a.csv", rows_of(six, np.zeros(2), arm_mm=40.0))
    np.testing.assert_allclose(Residuals.of(tmp_path / "a.csv", 0.25).rms_mm, [5.0, 40.0 * np.deg2rad(2.0)])


@pytest.mark.parametrize("text", ["", "case,heart_mm\na,1\n", ",".join(COLUMNS) + "\na,1,2\n"])
def test_a_damaged_file_of_rows_is_refused(tmp_path, text) -> None:
    (tmp_path / "a.csv").write_text(text, "utf-8")
    with pytest.raises((UnreadableInputError, UsageError)):
        Residuals.of(tmp_path / "a.csv", 0.25)


def test_no_rows_are_no_calibration(tmp_path) -> None:
    write_rows(tmp_path / "a.csv", [])
    with pytest.raises(UsageError, match=r"no rows in a\.csv"):
        stated_covariance([tmp_path / "a.csv"], 0.25, 0.85)
