"""``mureg settings``, ``--settings`` and ``--set``: what is printed reads back, and the last word counts."""

from __future__ import annotations

import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.maps import AttenuationMap
from mureg.cli import main
from mureg.cli.algorithms import Algorithms, Tuning
from mureg.cli.docstrings import attribute_texts
from mureg.cohort.settings import SHIPPED as COHORTS
from mureg.cohort.settings import CohortSettings
from mureg.cohort.settings import load_settings as load_cohort
from mureg.comparison.settings import Settings
from mureg.recon import Osem
from mureg.registration import REGISTRARS, Combination, NearHeart
from mureg.spect import Physics
from mureg.training.settings import SHIPPED as TRAININGS
from mureg.training.settings import TrainingSettings
from mureg.training.settings import load_settings as load_training

CLASSES = {"reconstructor": Osem, "physics": Physics, "attenuation": AttenuationMap, "decision": Thresholds}


def printed(capsys, *arguments: str) -> str:
    assert main(["settings", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return str(out)


@pytest.mark.parametrize("kind", REGISTRARS)
def test_what_is_printed_reads_back_to_the_defaults(kind: str, tmp_path: Path, capsys) -> None:
    """Read by pydantic and tomllib themselves, and by --settings."""
    text = printed(capsys, "--registrar", kind)
    tables = tomllib.loads(text)
    for name, settings in {"registrar": REGISTRARS[kind], **CLASSES}.items():
        assert TypeAdapter(settings).validate_python(tables[name]) == settings(), name
    (tmp_path / "all.toml").write_text(text)
    assert Tuning(tmp_path / "all.toml").algorithms() == Algorithms(registrar=REGISTRARS[kind]())
    assert printed(capsys, "--settings", str(tmp_path / "all.toml")) == text


@pytest.mark.parametrize("name", COHORTS)
def test_the_settings_of_a_cohort_read_back(name: str, capsys) -> None:
    tables = tomllib.loads(printed(capsys, "simulate", "--settings", name))
    assert TypeAdapter(CohortSettings).validate_python(tables) == load_cohort(name)


@pytest.mark.parametrize("name", TRAININGS)
def test_the_settings_of_a_training_read_back(name: str, capsys) -> None:
    tables = tomllib.loads(printed(capsys, "train", "--settings", name))
    assert TypeAdapter(TrainingSettings).validate_python(tables) == load_training(name)


def test_the_settings_of_a_comparison_read_back(capsys) -> None:
    assert TypeAdapter(Settings).validate_python(tomllib.loads(printed(capsys, "evaluate"))) == Settings()


def test_changed_values_read_back_too(tmp_path: Path, capsys) -> None:
    """A table, a list, a truth value, a text and a number; the comments still name the defaults."""
    changes = (
        "registrar.near_heart.coarse.shrink_factors=[3]", "physics.resolution=false", "physics.collimator=LEHR",
        "registrar.near_heart.weights=a \"quoted\" file", "attenuation.below_water=scanner", "decision.aligned-mm=3.5",
    )  # fmt: skip
    text = printed(capsys, *(word for change in changes for word in ("--set", change)))
    (tmp_path / "mine.toml").write_text(text)
    algorithms = Tuning(tmp_path / "mine.toml").algorithms()
    assert isinstance(algorithms.registrar, Combination)
    networks = algorithms.registrar.near_heart
    assert networks.coarse.shrink_factors == (3,)
    assert networks.coarse.smoothing_mm == NearHeart().coarse.smoothing_mm
    assert networks.weights == 'a "quoted" file'
    assert (algorithms.physics.resolution, algorithms.physics.collimator) == (False, "LEHR")
    assert algorithms.attenuation.below_water == "scanner"
    assert algorithms.decision.aligned_mm == 3.5
    assert "Default: 4.5." in text


def test_every_setting_has_a_comment_with_its_default(capsys) -> None:
    for verb in ("register", "evaluate", "train", "simulate"):
        lines = printed(capsys, verb).splitlines()
        for k, line in enumerate(lines):
            if " = " in line and not line.startswith(("#", "kind = ")):
                assert lines[k - 1].startswith("# "), line
                before = " ".join(line.removeprefix("# ") for line in lines[max(0, k - 5) : k] if line[:1] == "#")
                assert "Default: " in before or "Required." in before, line


@pytest.mark.parametrize("settings", [*REGISTRARS.values(), *CLASSES.values()])
def test_every_setting_is_described_with_its_unit(settings: Any) -> None:
    texts = attribute_texts(settings)
    units = {"_mm": "mm", "_deg": "degrees", "_per_cm": "1/cm", "_percent": ("%", "percentage points"), "_ml": "ml"}
    for one in fields(settings):
        if one.name == "kind" or is_dataclass(one.default):
            continue
        assert len(texts[one.name].split()) >= 3, one.name
        for end, unit in units.items():
            if one.name.endswith(end):
                assert any(word in texts[one.name] for word in ((unit,) if isinstance(unit, str) else unit)), one.name


def test_the_last_word_counts(tmp_path: Path) -> None:
    """Default, then file, then --set, and of several the last; --registrar before the kind of the file."""
    file = tmp_path / "mine.toml"
    file.write_text("[registrar.near_heart]\npasses = 4\ncrops = 5\n[reconstructor]\niterations = 3\n")
    registrar = Tuning(file).algorithms().registrar
    assert isinstance(registrar, Combination)
    registrar = registrar.near_heart
    assert (registrar.passes, registrar.crops, registrar.coarse) == (4, 5, NearHeart().coarse)
    changed = Tuning(
        file, ("registrar.near_heart.passes=6", "registrar.near_heart.passes=7", "reconstructor.subsets=2")
    ).algorithms()
    assert isinstance(changed.registrar, Combination)
    assert (changed.registrar.near_heart.passes, changed.registrar.near_heart.crops) == (7, 5)
    assert (changed.reconstructor.iterations, changed.reconstructor.subsets) == (3, 2)
    file.write_text('[registrar]\nkind = "projection"\nrebin = 4\n')
    assert Tuning(file).algorithms() == Algorithms(registrar=REGISTRARS["projection"](rebin=4))
    assert Tuning(file).algorithms("mutual-information") == Algorithms(registrar=REGISTRARS["mutual-information"]())
    assert Tuning(file, ("registrar.start=scanner-position",)).algorithms() == Algorithms(
        registrar=REGISTRARS["projection"](rebin=4, start="scanner-position")
    )


def test_a_nested_table_keeps_the_defaults_of_its_place(tmp_path: Path) -> None:
    """Coarse mutual information of near-heart has other defaults than mutual information alone."""
    (tmp_path / "mine.toml").write_text("[registrar.near_heart.coarse]\nstarts = 1\n")
    algorithms = Tuning(tmp_path / "mine.toml").algorithms()
    assert isinstance(algorithms.registrar, Combination)
    networks = algorithms.registrar.near_heart
    assert networks.coarse.starts == 1
    assert networks.coarse.voxel_mm == NearHeart().coarse.voxel_mm == 13.6


def test_an_unused_registrar_of_a_file_is_reported(tmp_path: Path, caplog) -> None:
    (tmp_path / "mine.toml").write_text('[registrar]\nkind = "projection"\nrebin = 4\n')
    with caplog.at_level("WARNING", "mureg"):
        Tuning(tmp_path / "mine.toml").algorithms("near-heart")
    assert "another registrar" in caplog.text
