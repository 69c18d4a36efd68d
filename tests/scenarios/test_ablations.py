"""The rows of benchmarks/evidence/ablations.py change one thing each, and the patient stays who he is."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mureg.attenuation.maps import AttenuationMap, AttenuationMaps
from mureg.cohort.simulation import draw, generator
from mureg.comparison import target_registration_error_mm
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration import NearHeart, ProfileLikelihood
from mureg.spect import Physics

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "evidence"))
rows, ablations = import_module("ablation_rows"), import_module("ablations")
sys.path.pop(0)

BASE = rows.base()
GRID = Grid.centred((4, 5, 6), (6.8,) * 3, (10.0, -20.0, 30.0))
BODY, TABLE = (Volume(np.full(GRID.shape, mu), GRID, Quantity.MU_PER_CM) for mu in (0.15, 0.02))
MAPS = AttenuationMaps(BODY, TABLE, AttenuationMap())
WORLDS = [name for name, row in rows.ROWS.items() if row.world(BASE) != BASE]


@pytest.fixture(scope="module")
def drawn():
    return draw(BASE, 3)


@pytest.mark.parametrize("name", WORLDS)
def test_patient_motion_and_table_are_those_of_the_base(name, drawn) -> None:
    other = draw(rows.ROWS[name].world(BASE), 3)
    assert (other.motion, other.ct_from_patient, other.table) == (drawn.motion, drawn.ct_from_patient, drawn.table)
    assert other.tracer.uptake == drawn.tracer.uptake
    changed = {fact for fact, value in drawn.anatomy.facts.items() if other.anatomy.facts[fact] != value}
    assert changed == ({"arms"} if name == "arms-down" else set())
    assert (other.scan == drawn.scan) == (name not in ("field-350", "coverage-160"))
    assert (other.breathing == drawn.breathing) == (not name.startswith("breathing"))


@pytest.mark.parametrize("name", WORLDS)
def test_the_orbit_keeps_its_distance_from_the_skin(name) -> None:
    """A circle around a round patient is as wide, whatever the arc and the views; a new draw would change the gap."""
    reach = np.full(360, 200.0)
    one, other = (s.orbit.draw(generator(s, "orbit", 3), reach) for s in (BASE, rows.ROWS[name].world(BASE)))
    assert one.radii_mm[0] == other.radii_mm[0]
    assert one.counts == pytest.approx(other.counts) or name.startswith("counts")


def test_nobody_of_the_base_breathes_or_stays() -> None:
    for index in range(12):
        one = draw(BASE, index)
        assert one.breathing.amplitude_mm == one.breathing.creep_mm == one.breathing.ct_depth_mm == 0.0
        assert np.any(one.motion.translation_mm)
        assert one.anatomy.facts["arms"] == "up"


@pytest.mark.parametrize("index", range(4))
def test_the_start_lies_ten_millimetres_and_three_degrees_off(index) -> None:
    truth = RigidTransform.from_six((14.0, -9.0, 11.0), (3.0, -5.0, 7.0), (0.0, 0.0, 0.0))
    heart = np.random.default_rng(1).normal((40.0, -30.0, 10.0), 20.0, (64, 3))
    start = ablations.near(SimpleNamespace(truth=SimpleNamespace(ct_from_spect=truth, heart_points_mm=heart)), index)
    assert target_registration_error_mm(start, truth, heart.mean(0)[None]) == pytest.approx(10.0)
    assert (truth.inverse() @ start).rotation_deg == pytest.approx(3.0, abs=0.1)


class TestWhatIsTold:
    def test_attenuation_of_body_and_table(self) -> None:
        told = rows.attenuation(1.05)(rows.Told(None, MAPS)).maps
        assert np.allclose(told.body.values, 1.05 * BODY.values)
        assert np.allclose(told.table.values, 1.05 * TABLE.values)

    def test_a_table_that_moves_absorbs_as_much(self) -> None:
        told = rows.table_moves(rows.Told(None, MAPS)).maps
        assert told.table is None
        assert np.allclose(told.on_spect(GRID).values, MAPS.on_spect(GRID).values)

    @pytest.mark.parametrize("share", [0.5, 1.0, 1.5])
    def test_a_share_of_the_scatter_is_that_share_of_what_balances_the_counts(self, share) -> None:
        """30 of 100 expected photons scatter and 200 are counted: 60 of these are scatter."""
        photons = SimpleNamespace(
            project=lambda _: np.full((1, 2, 5), 7.0),
            acquisition=SimpleNamespace(photopeak_counts=np.full((1, 2, 5), 20.0)),
        )
        model = SimpleNamespace(estimate=lambda *_: np.full((1, 2, 5), 3.0))
        scatter = rows.SomeScatter(share, model).estimate(photons, BODY)
        assert scatter.sum().item() == pytest.approx(60.0 * share)


class TestLines:
    def test_each_row_has_settings_of_its_own_or_a_world_or_a_story(self) -> None:
        told = {"mu-less", "mu-more", "radius-less", "radius-more", "table-moves"}
        settings = [
            ablations.fingerprint("likelihood", row) for name, row in rows.ROWS.items() if name not in {*WORLDS, *told}
        ]
        assert len(set(settings)) == len(settings)

    def test_the_wrong_camera_is_the_one_that_is_used(self) -> None:
        registrar = ablations.registrar_of("likelihood", rows.ROWS["scatter-more"])
        begun = ablations.From(physics=registrar.physics, pose=RigidTransform.identity())
        assert begun.physics == rows.PhysicsOfSomeScatter(share=1.5)
        assert ablations.registrar_of("likelihood", rows.ROWS["base"]).physics == Physics()

    def test_image_registrars_are_asked_only_what_they_can_see(self) -> None:
        asked = ablations.rows_of("near-heart", list(rows.ROWS))
        assert {"base", "mu-more", "table-moves", "breathing-20"} <= set(asked)
        assert not {"no-scatter", "radius-more", "start-true"} & set(asked)
        assert ablations.rows_of("mutual-information", list(rows.ROWS)) == ["base"]
        assert isinstance(ablations.registrar_of("near-heart", rows.ROWS["mu-more"]), NearHeart)
        assert isinstance(ablations.registrar_of("likelihood", rows.ROWS["base"]), ProfileLikelihood)

    def test_a_row_is_compared_with_the_base_on_its_own_cases(self) -> None:
        def line(row: str, case: str, error: float, status: str = "done"):
            return ablations.Measured(row, case, "", "", status, "", error, 9.0, 1.0, -2.0, 3.0, *[0.0] * 5)

        measured = [line("base", "a", 2.0), line("base", "b", 4.0), line("no-scatter", "b", 7.0, "refused")]
        nothing, without = ablations.summary("near-heart", measured)
        assert nothing == "| nothing changed | 2 | 3.0 [2.0, 4.0] |  | 4.0 | +1.0, -2.0, +3.0 | 0 |"
        assert without == "| no scatter | 1 | 7.0 [7.0, 7.0] | +3.0 [+3.0, +3.0] | 7.0 | +1.0, -2.0, +3.0 | 1 |"

    def test_a_pose_ten_millimetres_off_is_the_start(self) -> None:
        def line(row: str, *off: float, error: float = 10.3):
            return ablations.Measured(row, "a", "", "", "done", "", error, 22.0, *off, *[0.0] * 5)

        assert ablations.stayed(line("base", 6.0, -8.0, 0.0))
        assert not ablations.stayed(line("base", 6.0, -7.9, 0.0))
        assert ablations.stayed(line("start-scanner-position", 13.0, 13.0, 3.0, error=22.0))
        assert not ablations.stayed(line("start-scanner-position", 6.0, -8.0, 0.0))
        assert not ablations.stayed(line("start-near-heart", 6.0, -8.0, 0.0))


def test_a_line_that_stands_there_is_not_measured_again(tmp_path, monkeypatch) -> None:
    made = []

    def measured(name, row, case, index):
        made.append((row, index))
        print_of = ablations.fingerprint(name, rows.ROWS[row])
        return ablations.Measured(row, f"ablations-{index:06d}", "", print_of, "done", "", *[1.0] * 10)

    monkeypatch.setattr(ablations, "simulated", lambda world, index: None)
    monkeypatch.setattr(ablations, "measure", measured)
    words = ["-o", str(tmp_path), "--rows", "base", "mu-less"]
    assert ablations.main([*words, "--cases", "1"]) == 0
    assert ablations.main([*words, "--cases", "2"]) == 0
    assert made == [("base", 0), ("mu-less", 0), ("base", 1), ("mu-less", 1)]
    monkeypatch.setattr(ablations, "STEPS", ((1.0, 1.0),))
    assert ablations.main([*words, "--cases", "1"]) == 0
    assert made[4:] == [("base", 0), ("mu-less", 0)]
    assert len((tmp_path / "likelihood.csv").read_text("utf-8").splitlines()) == 5
