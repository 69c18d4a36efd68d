"""Cohort settings: one TOML, whole, read back as written; mistakes named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mureg.cohort.settings import LEVELS, SHIPPED, as_toml, from_toml, load_settings
from mureg.errors import UsageError
from mureg.simulate.ct_anatomy import CtAnatomyRange
from mureg.simulate.torso import TorsoRange


@pytest.mark.parametrize("level", SHIPPED)
def test_every_population_reads_back_as_written(level: str) -> None:
    settings = load_settings(level)
    assert settings.name == level
    assert from_toml(as_toml(settings)) == settings
    assert as_toml(from_toml(as_toml(settings))) == as_toml(settings)


@pytest.mark.parametrize(
    ("level", "fingerprint"),
    [
        ("easy", "1f8779d9be598598"),
        ("clinical", "14e218ec48f476ec"),
        ("hard", "024ac92fc7af0a6b"),
        ("real-ct", "f416abd0695ca157"),
        ("wide", "4a502a7821aca56a"),
    ],
)
def test_the_levels_are_frozen(level: str, fingerprint: str) -> None:
    """Published figures name a level: what it is drawn from, defaults included, may change under another name only."""
    assert hashlib.sha256(as_toml(load_settings(level)).encode()).hexdigest().startswith(fingerprint)


def test_the_levels_are_what_their_names_say() -> None:
    easy, clinical, hard, real = (load_settings(level) for level in LEVELS)
    assert easy.orbit.arc_deg == 360
    assert easy.orbit.counts == (8e6, 8e6)
    assert easy.breathing.amplitude_mm == (0.0, 0.0), "the CT shows the very body that the camera saw"
    assert easy.placement.motion.translation_mm == (54.4, 54.4, 27.2), "the paper's range"
    assert easy.placement.motion.angles_deg == (10.0, 10.0, 30.0)
    for settings in (clinical, hard, real):
        assert settings.orbit.arc_deg == 180
        assert settings.breathing.amplitude_mm[1] > 10
    assert clinical.orbit.counts == (5e6, 5e6)
    assert hard.orbit.counts == (2.5e6, 2.5e6)
    assert hard.breathing.deep_inspiration >= 0.5
    assert hard.ct.field_mm[1] < 500
    assert isinstance(real.anatomy, CtAnatomyRange)
    assert isinstance(clinical.anatomy, TorsoRange)
    assert real.orbit == clinical.orbit
    assert len({settings.seed for settings in (easy, clinical, hard, real)}) == 4, "no patient in two levels"
    assert load_settings("wide").seed not in {settings.seed for settings in (easy, clinical, hard, real)}


def test_the_camera_is_simulated_in_finer_voxels_than_any_reconstruction() -> None:
    for level in LEVELS:
        settings = load_settings(level)
        assert settings.voxel_mm < settings.orbit.pixel_mm
        assert (settings.orbit.pixel_mm / settings.voxel_mm) % 1 > 0.1, "nor on the same lattice"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("colour = 3\n", "colour"),
        ("[orbit]\narc_deg = 90\n", "arc_deg"),
        ("[tracer]\nshare_rest = 2.0\n", "share_rest"),
        ("[anatomy]\nkind = 'phantom'\n", "anatomy"),
        ("= 3", "cannot be used"),
    ],
)
def test_a_mistake_is_named(change: str, said: str) -> None:
    whole = "name = 'mine'\n" + change + "[placement.motion]\ntranslation_mm = [1, 1, 1]\nangles_deg = [1, 1, 1]\n"
    with pytest.raises(UsageError, match=said):
        from_toml(whole)


def test_a_file_of_ones_own_is_read_and_an_unknown_name_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(load_settings("clinical")).replace('name = "clinical"', 'name = "mine"'), "utf-8")
    assert load_settings(str(path)).name == "mine"
    with pytest.raises(UsageError, match="easy, clinical, hard, real-ct"):
        load_settings("clinic")


def test_a_name_that_could_not_name_a_folder_is_refused() -> None:
    text = as_toml(load_settings("easy"))
    for name in ("", "../out", "a b"):
        with pytest.raises(UsageError, match="name"):
            from_toml(text.replace('name = "easy"', f'name = "{name}"'))
