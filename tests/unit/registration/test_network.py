"""The learned registrar: which way it moves, how passes add up, what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mureg
from mureg.errors import RegistrationError, UnreadableInputError, UsageError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration import Registrar
from mureg.registration.inputs import InputGrid
from mureg.registration.network import Card, NetworkRegistrar, Together, card_path, load_network, save_network
from mureg.registration.networks import NETWORKS, UNIT_MM, initialised
from mureg.study import PreparedStudy, Study
from support.phantoms import chest, mu_volume, voxel_points
from support.tiny_network import ALL, Centroids, Constant, Tiny
from support.toy_pairs import SPECT_GRID, toy_pair

prepared = PreparedStudy.from_images

CHEST_GRID = Grid.centred((40, 40, 40), (9.0, 9.0, 9.0), (10.0, -20.0, 30.0))
CT_GRID = Grid.centred((60, 50, 48), (8.0, 8.0, 8.0), (0.0, 0.0, 20.0))


@pytest.fixture(autouse=True)
def _tiny_networks(monkeypatch) -> None:
    for kind, settings in ALL.items():
        monkeypatch.setitem(NETWORKS, kind, settings)


def stored(settings, path: Path, spacing_mm: float = 10.0) -> Path:
    card = Card(asdict(settings), InputGrid(settings.shape, spacing_mm), validation={"heart_mm": 4.5}, version="0.0.0")
    save_network(path, initialised(settings, 7), card)
    return path


@pytest.fixture
def spect() -> Volume:
    return Volume.from_numpy(chest(voxel_points(CHEST_GRID), edge_mm=16.0)[0], CHEST_GRID, Quantity.ACTIVITY)


class TestDirection:
    def test_the_six_numbers_are_those_of_ct_from_spect(self, tmp_path, spect) -> None:
        six = (2.0, -1.0, 1.5, 4.0, -3.0, 6.0)
        weights = stored(Constant(six), tmp_path / "known.safetensors")
        found = NetworkRegistrar(weights).register(prepared(spect, mu_volume(CT_GRID)))
        np.testing.assert_allclose(found.shift_mm, UNIT_MM * np.asarray(six[:3]), atol=1e-5)
        np.testing.assert_allclose(found.angles_deg, six[3:], atol=1e-5)
        np.testing.assert_allclose(found.centre_mm, CHEST_GRID.centre_mm)

    def test_a_network_that_knows_the_motion_brings_the_map_back(self, tmp_path) -> None:
        """An object without symmetry, moved by a known motion: the registered map shows it where the SPECT does."""
        six = (2.0, -1.5, 1.0, 10.0, -8.0, 15.0)
        motion = RigidTransform.from_six(UNIT_MM * np.asarray(six[:3]), six[3:], SPECT_GRID.centre_mm)
        pair = toy_pair(motion)
        found = NetworkRegistrar(stored(Constant(six), tmp_path / "w.safetensors")).register(
            prepared(pair.spect, pair.mu)
        )
        right, by_headers, wrong = (
            np.corrcoef(pair.mu.resampled(pair.spect.grid, pose).numpy().ravel(), pair.spect.numpy().ravel())[0, 1]
            for pose in (found.ct_from_spect, None, found.ct_from_spect.inverse())
        )
        assert right > 0.999
        assert by_headers < 0.9
        assert wrong < by_headers

    def test_what_an_image_shows_decides_the_direction(self, tmp_path) -> None:
        """A network that can see: the middle of the object in the map less that in the SPECT."""
        motion = RigidTransform.from_six((12.0, -9.0, 6.0), (0, 0, 0), SPECT_GRID.centre_mm)
        pair = toy_pair(motion, sigma_mm=9.0)
        found = NetworkRegistrar(stored(Centroids(10.0), tmp_path / "w.safetensors")).register(
            prepared(pair.spect, pair.mu)
        )
        np.testing.assert_allclose(found.shift_mm, (12.0, -9.0, 6.0), atol=0.7)


class TestPasses:
    def test_they_add_up_as_matrices(self, tmp_path, spect) -> None:
        six = (1.0, -0.5, 0.7, 4.0, -3.0, 6.0)
        step = RigidTransform.from_six(UNIT_MM * np.asarray(six[:3]), six[3:], CHEST_GRID.centre_mm)
        weights = stored(Constant(six), tmp_path / "w.safetensors")
        thrice = NetworkRegistrar(weights, passes=3).register(prepared(spect, mu_volume(CT_GRID)))
        np.testing.assert_allclose(thrice.ct_from_spect.matrix, (step @ step @ step).matrix, atol=1e-5)
        assert not np.allclose(thrice.shift_mm, 3 * np.asarray(step.six(CHEST_GRID.centre_mm)[0]), atol=0.5)

    def test_a_later_pass_sees_what_is_left(self, tmp_path) -> None:
        """A network that sees half of the shift leaves a half, a quarter, an eighth."""
        motion = RigidTransform.from_six((16.0, 0.0, -8.0), (0, 0, 0), SPECT_GRID.centre_mm)
        pair = toy_pair(motion, sigma_mm=9.0)
        weights = stored(Centroids(5.0), tmp_path / "w.safetensors")
        left = [
            16.0 - NetworkRegistrar(weights, passes=n).register(prepared(pair.spect, pair.mu)).shift_mm[0]
            for n in (1, 2, 3)
        ]
        np.testing.assert_allclose(left, (8.0, 4.0, 2.0), atol=0.7)


def test_a_blanked_spect_is_ones_and_the_map_alone_decides(tmp_path, spect) -> None:
    weights = stored(Tiny(), tmp_path / "w.safetensors", 30.0)
    other = spect.with_values(spect.values.flip(0))
    seen, seen_other, blank, blank_other = (
        NetworkRegistrar(weights, blanked=blanked).register(prepared(image, mu_volume(CT_GRID)))
        for blanked in (False, True)
        for image in (spect, other)
    )
    assert seen.ct_from_spect != seen_other.ct_from_spect
    assert blank.ct_from_spect == blank_other.ct_from_spect
    assert "was ablated" in blank.warnings[0]


def test_weights_that_were_trained_without_the_spect_never_see_it(tmp_path, spect) -> None:
    weights = stored(Tiny(), tmp_path / "w.safetensors", 30.0)
    module, card = load_network(weights)
    without = tmp_path / "without.safetensors"
    save_network(without, module, replace(card, blanked=True))
    blanked, always = (
        learned.register(prepared(spect, mu_volume(CT_GRID)))
        for learned in (NetworkRegistrar(weights, blanked=True), NetworkRegistrar(without))
    )
    assert always.ct_from_spect == blanked.ct_from_spect
    assert "was ablated" in always.warnings[0]
    assert "its SPECT input was ablated, in training too" in always.notes[0]


class TestContract:
    """As in tests/contracts/test_registrars.py; a learned registrar needs weights and is not in that catalogue."""

    def test_settings(self, tmp_path) -> None:
        registrar = NetworkRegistrar(tmp_path / "w.safetensors", passes=2)
        assert isinstance(registrar, Registrar)
        assert registrar.kind == "learned"
        assert NetworkRegistrar(**asdict(registrar)) == registrar
        assert hash(NetworkRegistrar(**asdict(registrar))) == hash(registrar)
        with pytest.raises(AttributeError):
            registrar.passes = 1
        for wrong in ({"passes": 0}, {"no_such_setting": 1}, {"largest_shift_mm": 0.0}, {"kind": "other"}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                NetworkRegistrar(tmp_path / "w.safetensors", **wrong)

    def test_the_same_digits_each_time_and_images_left_alone(self, tmp_path, spect) -> None:
        weights, mu = stored(Tiny(), tmp_path / "w.safetensors", 30.0), mu_volume(CT_GRID)
        before = spect.values.clone(), mu.values.clone(), torch.get_rng_state()
        one, two = (NetworkRegistrar(weights).register(prepared(spect, mu)) for _ in range(2))
        assert one.ct_from_spect == two.ct_from_spect
        assert one.evidence == two.evidence
        assert torch.equal(spect.values, before[0])
        assert torch.equal(mu.values, before[1])
        assert torch.equal(torch.get_rng_state(), before[2])
        assert one.decision == "moved"
        assert one.seconds > 0
        assert "tiny" in one.notes[0]
        assert "4.5 mm mean error at the heart" in one.notes[0]
        assert all(np.isfinite(value) for value in one.evidence.values())

    @pytest.mark.parametrize("which", ["SPECT", "attenuation map"])
    def test_an_empty_image(self, tmp_path, spect, which) -> None:
        weights, mu = stored(Constant(), tmp_path / "w.safetensors"), mu_volume(CT_GRID)
        images = {"SPECT": spect, "attenuation map": mu}
        images[which] = images[which].with_values(torch.zeros_like(images[which].values))
        with pytest.raises(RegistrationError, match=f"the {which} has the same value everywhere"):
            NetworkRegistrar(weights).register(prepared(*images.values()))

    def test_no_overlap(self, tmp_path, spect) -> None:
        elsewhere = Grid.centred(CT_GRID.shape, CT_GRID.spacing_mm, (900.0, 0.0, 0.0))
        away = RigidTransform.from_six((900.0, 0.0, 0.0), (0, 0, 0), (0, 0, 0))
        with pytest.raises(RegistrationError, match="no overlap: 0 % of the SPECT counts lie inside"):
            NetworkRegistrar(stored(Constant(), tmp_path / "w.safetensors")).register(
                prepared(spect, mu_volume(elsewhere, away))
            )

    def test_an_implausible_motion(self, tmp_path, spect) -> None:
        weights = stored(Constant((0, 0, 19.0, 0, 0, 0)), tmp_path / "w.safetensors")
        with pytest.raises(RegistrationError, match="moves the map by 129 mm"):
            NetworkRegistrar(weights).register(prepared(spect, mu_volume(CT_GRID)))


class TestWeights:
    def test_what_is_saved_comes_back(self, tmp_path) -> None:
        settings = Tiny(norm=True)
        module = initialised(settings, 3)
        module.norm.running_mean += 2.0
        card = save_network(
            tmp_path / "a" / "w.safetensors", module, Card(asdict(settings), InputGrid((12, 12, 12), 10.0))
        )
        back, read = load_network(tmp_path / "a" / "w.safetensors")
        assert read == card
        assert read.settings() == (settings,)
        assert not back.training
        state = back.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
        assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["w.json", "w.safetensors"]

    def test_several_networks_come_back_and_their_mean_counts(self, tmp_path) -> None:
        settings = Tiny(norm=True)
        members = [initialised(settings, seed) for seed in (3, 4, 5)]
        for member in members:
            member.eval()
        card = Card(asdict(settings), InputGrid((12, 12, 12), 10.0), others=(asdict(settings),) * 2)
        save_network(tmp_path / "w.safetensors", Together(members).half(), card)
        back, read = load_network(tmp_path / "w.safetensors")
        assert read.settings() == (settings,) * 3
        pair = torch.rand(2, 1, 1, 12, 12, 12, generator=torch.Generator().manual_seed(1))
        each = [member.float()(*pair) for member in members]  # rounded to half precision, as stored
        assert not torch.equal(each[0], each[1])
        torch.testing.assert_close(back(*pair), sum(each) / 3)
        torch.testing.assert_close(back.each(*pair), torch.stack(each))

    def test_refusals(self, tmp_path, spect) -> None:
        weights = stored(Tiny(), tmp_path / "w.safetensors")
        with pytest.raises(UnreadableInputError, match=r"none\.safetensors cannot be read"):
            NetworkRegistrar(tmp_path / "none.safetensors").register(prepared(spect, mu_volume(CT_GRID)))
        alone = tmp_path / "alone.safetensors"
        shutil.copy(weights, alone)
        with pytest.raises(UnreadableInputError, match=r"alone\.json cannot be read"):
            load_network(alone)
        other = stored(Tiny(norm=True), tmp_path / "other.safetensors")
        shutil.copy(card_path(weights), card_path(other))
        with pytest.raises(UnreadableInputError, match=r"is not the file that other\.json speaks of"):
            load_network(other)
        card_path(other).write_text("{}")
        with pytest.raises(UnreadableInputError, match="no card"):
            load_network(other)

    def test_a_card_of_another_network(self, tmp_path) -> None:
        weights = stored(Tiny(), tmp_path / "w.safetensors")
        said = json.loads(card_path(weights).read_text())
        for network, words in (
            ({"kind": "of-tomorrow"}, "of-tomorrow"),
            ({"kind": "tiny", "colour": 3}, "do not fit"),
            ({"kind": "tiny", "shape": [8, 8, 8]}, "does not fit a tiny network"),
        ):
            card_path(weights).write_text(json.dumps({**said, "network": network}))
            with pytest.raises(UnreadableInputError, match=words):
                load_network(weights)

    def test_a_folder_that_cannot_be_written(self, tmp_path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="cannot write"):
            stored(Tiny(), tmp_path / "file" / "w.safetensors")


def test_the_pipeline_takes_it_and_says_which_weights(tmp_path, spect) -> None:
    six = (1.0, 0.0, -1.0, 0.0, 0.0, 2.0)
    weights = stored(Constant(six), tmp_path / "w.safetensors")
    outcome = mureg.examine(
        Study(spect, mu_volume(CT_GRID)), mureg.StudySettings(registrar=NetworkRegistrar(weights=weights))
    )
    np.testing.assert_allclose(outcome.registration.shift_mm, UNIT_MM * np.asarray(six[:3]), atol=1e-5)
    assert outcome.provenance.weights_sha256 == load_network(weights)[1].weights_sha256
    assert outcome.provenance.settings["registrar"]["weights"] == "w.safetensors", "no path of this machine"
    json.dumps(outcome.provenance.settings)
