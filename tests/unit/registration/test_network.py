"""The registrar network: which way it moves, how passes add up, what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import mureg
from mureg.errors import RegistrationError, UnreadableInputError, UsageError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.jobs.threads import threads_set_to
from mureg.registration import Registrar
from mureg.registration import card as card_module
from mureg.registration.card import UNIT_MM, Card, card_path
from mureg.registration.inputs import InputGrid
from mureg.registration.network import NetworkRegistrar
from mureg.registration.networks import NETWORKS, initialised
from mureg.registration.networks.together import Together
from mureg.registration.onnx_networks import load_network
from mureg.study import PreparedStudy, Study
from mureg.training.weights import read_network, save_network
from support.cards import rewritten
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
    def test_the_rigid_parameters_are_those_of_ct_from_spect(self, tmp_path, spect) -> None:
        six = (2.0, -1.0, 1.5, 4.0, -3.0, 6.0)
        weights = stored(Constant(six), tmp_path / "known.onnx")
        found = NetworkRegistrar(weights).register(prepared(spect, mu_volume(CT_GRID)))
        np.testing.assert_allclose(found.shift_mm, UNIT_MM * np.asarray(six[:3]), atol=1e-5)
        np.testing.assert_allclose(found.angles_deg, six[3:], atol=1e-5)
        np.testing.assert_allclose(found.centre_mm, CHEST_GRID.centre_mm)

    def test_a_network_that_knows_the_motion_brings_the_map_back(self, tmp_path) -> None:
        """An object without symmetry, moved by a known motion: the registered map shows it where the SPECT does."""
        six = (2.0, -1.5, 1.0, 10.0, -8.0, 15.0)
        motion = RigidTransform.from_six(UNIT_MM * np.asarray(six[:3]), six[3:], SPECT_GRID.centre_mm)
        pair = toy_pair(motion)
        found = NetworkRegistrar(stored(Constant(six), tmp_path / "w.onnx")).register(prepared(pair.spect, pair.mu))
        right, unregistered, wrong = (
            np.corrcoef(pair.mu.resampled(pair.spect.grid, pose).values.ravel(), pair.spect.values.ravel())[0, 1]
            for pose in (found.ct_from_spect, None, found.ct_from_spect.inverse())
        )
        assert right > 0.999
        assert unregistered < 0.9
        assert wrong < unregistered

    def test_what_an_image_shows_decides_the_direction(self, tmp_path) -> None:
        """A network that can see: the middle of the object in the map less that in the SPECT."""
        motion = RigidTransform.from_six((12.0, -9.0, 6.0), (0, 0, 0), SPECT_GRID.centre_mm)
        pair = toy_pair(motion, sigma_mm=9.0)
        found = NetworkRegistrar(stored(Centroids(10.0), tmp_path / "w.onnx")).register(prepared(pair.spect, pair.mu))
        np.testing.assert_allclose(found.shift_mm, (12.0, -9.0, 6.0), atol=0.7)


class TestPasses:
    def test_they_add_up_as_matrices(self, tmp_path, spect) -> None:
        six = (1.0, -0.5, 0.75, 4.0, -3.0, 6.0)  # exact in half precision
        step = RigidTransform.from_six(UNIT_MM * np.asarray(six[:3]), six[3:], CHEST_GRID.centre_mm)
        weights = stored(Constant(six), tmp_path / "w.onnx")
        thrice = NetworkRegistrar(weights, passes=3).register(prepared(spect, mu_volume(CT_GRID)))
        np.testing.assert_allclose(thrice.ct_from_spect.matrix, (step @ step @ step).matrix, atol=1e-5)
        assert not np.allclose(thrice.shift_mm, 3 * np.asarray(step.six(CHEST_GRID.centre_mm)[0]), atol=0.5)

    def test_a_later_pass_sees_what_is_left(self, tmp_path) -> None:
        """A network that sees half of the shift leaves a half, a quarter, an eighth."""
        motion = RigidTransform.from_six((16.0, 0.0, -8.0), (0, 0, 0), SPECT_GRID.centre_mm)
        pair = toy_pair(motion, sigma_mm=9.0)
        weights = stored(Centroids(5.0), tmp_path / "w.onnx")
        left = [
            16.0 - NetworkRegistrar(weights, passes=n).register(prepared(pair.spect, pair.mu)).shift_mm[0]
            for n in (1, 2, 3)
        ]
        np.testing.assert_allclose(left, (8.0, 4.0, 2.0), atol=0.7)


def test_a_ablated_spect_is_ones_and_the_map_alone_decides(tmp_path, spect) -> None:
    weights = stored(Tiny(), tmp_path / "w.onnx", 30.0)
    other = spect.with_values(np.flip(spect.values, 0))
    seen, seen_other, blank, blank_other = (
        NetworkRegistrar(weights, ablated=ablated).register(prepared(image, mu_volume(CT_GRID)))
        for ablated in (False, True)
        for image in (spect, other)
    )
    assert seen.ct_from_spect != seen_other.ct_from_spect
    assert blank.ct_from_spect == blank_other.ct_from_spect
    assert "was ablated" in blank.warnings[0]


def test_weights_that_were_trained_without_the_spect_never_see_it(tmp_path, spect) -> None:
    weights = stored(Tiny(), tmp_path / "w.onnx", 30.0)
    module, card = read_network(weights)
    without = tmp_path / "without.onnx"
    save_network(without, module, replace(card, ablated=True))
    ablated, always = (
        learned.register(prepared(spect, mu_volume(CT_GRID)))
        for learned in (NetworkRegistrar(weights, ablated=True), NetworkRegistrar(without))
    )
    assert always.ct_from_spect == ablated.ct_from_spect
    assert "was ablated" in always.warnings[0]
    assert "its SPECT input was ablated, in training too" in always.notes[0]


class TestContract:
    """As in tests/contracts/test_registrars.py; this registrar needs weights and is not in that catalogue."""

    def test_settings(self, tmp_path) -> None:
        registrar = NetworkRegistrar(tmp_path / "w.onnx", passes=2)
        assert isinstance(registrar, Registrar)
        assert registrar.kind == "network"
        assert NetworkRegistrar(**asdict(registrar)) == registrar
        assert hash(NetworkRegistrar(**asdict(registrar))) == hash(registrar)
        with pytest.raises(AttributeError):
            registrar.passes = 1
        for wrong in ({"passes": 0}, {"no_such_setting": 1}, {"largest_shift_mm": 0.0}, {"kind": "other"}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                NetworkRegistrar(tmp_path / "w.onnx", **wrong)

    def test_the_same_digits_each_time_and_images_left_alone(self, tmp_path, spect) -> None:
        weights, mu = stored(Tiny(), tmp_path / "w.onnx", 30.0), mu_volume(CT_GRID)
        before = spect.values.copy(), mu.values.copy()
        one, two = (NetworkRegistrar(weights).register(prepared(spect, mu)) for _ in range(2))
        assert one.ct_from_spect == two.ct_from_spect
        assert one.evidence == two.evidence
        assert np.array_equal(spect.values, before[0])
        assert np.array_equal(mu.values, before[1])
        assert one.decision == "moved"
        assert one.seconds > 0
        assert "tiny" in one.notes[0]
        assert "4.5 mm mean error at the heart" in one.notes[0]
        assert all(np.isfinite(value) for value in one.evidence.values())

    @pytest.mark.parametrize("which", ["SPECT", "attenuation map"])
    def test_an_empty_image(self, tmp_path, spect, which) -> None:
        weights, mu = stored(Constant(), tmp_path / "w.onnx"), mu_volume(CT_GRID)
        images = {"SPECT": spect, "attenuation map": mu}
        images[which] = images[which].with_values(np.zeros_like(images[which].values))
        with pytest.raises(RegistrationError, match=f"the {which} has the same value everywhere"):
            NetworkRegistrar(weights).register(prepared(*images.values()))

    def test_no_overlap(self, tmp_path, spect) -> None:
        elsewhere = Grid.centred(CT_GRID.shape, CT_GRID.spacing_mm, (900.0, 0.0, 0.0))
        away = RigidTransform.from_six((900.0, 0.0, 0.0), (0, 0, 0), (0, 0, 0))
        with pytest.raises(RegistrationError, match="no overlap: 0 % of the SPECT counts lie inside"):
            NetworkRegistrar(stored(Constant(), tmp_path / "w.onnx")).register(
                prepared(spect, mu_volume(elsewhere, away))
            )

    def test_an_implausible_motion(self, tmp_path, spect) -> None:
        weights = stored(Constant((0, 0, 19.0, 0, 0, 0)), tmp_path / "w.onnx")
        with pytest.raises(RegistrationError, match="moves the map by 129 mm"):
            NetworkRegistrar(weights).register(prepared(spect, mu_volume(CT_GRID)))


class TestRefusedWeights:
    """One sentence each, before anything is registered."""

    def refusal(self, weights: Path) -> str:
        with pytest.raises(UnreadableInputError) as refused:
            load_network(weights)
        return str(refused.value)

    def test_no_file_and_no_card(self, tmp_path) -> None:
        weights = stored(Tiny(), tmp_path / "w.onnx")
        assert "none.onnx cannot be read" in self.refusal(tmp_path / "none.onnx")
        shutil.copy(weights, tmp_path / "alone.onnx")
        assert "alone.json cannot be read" in self.refusal(tmp_path / "alone.onnx")

    def test_weights_and_card_of_two_networks(self, tmp_path) -> None:
        weights, other = stored(Tiny(), tmp_path / "w.onnx"), stored(Tiny(norm=True), tmp_path / "other.onnx")
        shutil.copy(card_path(weights), card_path(other))
        assert "is not the file that other.json describes" in self.refusal(other)
        card_path(other).write_text("{}")
        assert "no card" in self.refusal(other)

    def test_one_changed_byte(self, tmp_path) -> None:
        weights = stored(Tiny(), tmp_path / "w.onnx")
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
        assert "is not the file that w.json describes" in self.refusal(weights)

    @pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x08"], ids=["empty", "text", "no graph"])
    def test_no_network_though_the_card_names_its_hash(self, tmp_path, content) -> None:
        weights = stored(Tiny(), tmp_path / "w.onnx")
        self.forge(weights, content)
        assert "w.onnx is no network that onnxruntime can run" in self.refusal(weights)

    def test_a_network_for_images_of_another_size(self, tmp_path) -> None:
        weights = stored(Tiny(), tmp_path / "w.onnx")
        network = {**asdict(Tiny()), "shape": [12, 12, 8]}
        rewritten(card_path(weights), network=network, grid={"shape": [12, 12, 8], "spacing_mm": 10.0})
        refusal = self.refusal(weights)
        assert "spect [1, 1, 12, 12, 12]" in refusal
        assert "spect [1, 1, 12, 12, 8]" in refusal

    def test_tensors_in_other_files_are_not_read(self, tmp_path) -> None:
        """A file of weights that names another file, however that is called, gets nothing of it."""
        weights = stored(Tiny(), tmp_path / "w.onnx")
        model = onnx.load_model(weights)
        tensor = next(one for one in model.graph.initializer if one.name.endswith("told.weight"))
        (tmp_path / "secret").write_bytes(tensor.raw_data)
        del tensor.external_data[:]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", str(tmp_path / "secret")
        self.forge(weights, model.SerializeToString())
        assert "no network that onnxruntime can run" in self.refusal(weights)
        with pytest.raises(UnreadableInputError, match="its tensors lie in other files"):
            read_network(weights)

    def test_a_file_that_is_too_large(self, tmp_path, monkeypatch) -> None:
        weights = stored(Tiny(), tmp_path / "w.onnx")
        monkeypatch.setattr(card_module, "_MOST_BYTES", 2**20)
        weights.write_bytes(bytes(2**20 + 1))
        assert "w.onnx has more than 1 MiB" in self.refusal(weights)

    def test_weights_of_the_version_before(self, tmp_path) -> None:
        refusal = self.refusal(tmp_path / "best.safetensors")
        assert "weights in the format of mureg 0.1.0" in refusal
        assert 'python -m mureg.training.convert "best.safetensors"' in refusal

    def test_a_set_of_which_one_network_is_missing(self, tmp_path) -> None:
        settings = Tiny()
        card = Card(asdict(settings), InputGrid((12, 12, 12), 10.0), others=(asdict(settings),))
        save_network(tmp_path / "w.onnx", Together([initialised(settings, seed) for seed in (3, 4)]), card)
        (tmp_path / "w.2.onnx").unlink()
        assert "w.2.onnx cannot be read" in self.refusal(tmp_path / "w.onnx")

    def forge(self, weights: Path, content: bytes) -> None:
        """Other bytes, with their hash on the card."""
        weights.write_bytes(content)
        rewritten(card_path(weights), weights_sha256=hashlib.sha256(content).hexdigest())


class TestThreads:
    def test_the_digits_do_not_depend_on_their_number(self, tmp_path) -> None:
        """Several networks and images, divided among one, two and three threads."""
        settings = Tiny(norm=True)
        card = Card(asdict(settings), InputGrid((12, 12, 12), 10.0), others=(asdict(settings),))
        save_network(tmp_path / "w.onnx", Together([initialised(settings, seed) for seed in (3, 4)]), card)
        networks, _ = load_network(tmp_path / "w.onnx")
        images = [tuple(pair) for pair in np.random.default_rng(1).random((3, 2, 12, 12, 12), dtype=np.float32)]
        answers = []
        for threads in (1, 2, 3):
            with threads_set_to(threads):
                answers.append(networks.predicted(images))
        assert answers[0].shape == (3, 2, 6)
        assert np.array_equal(answers[0], answers[1])
        assert np.array_equal(answers[0], answers[2])
        assert np.array_equal(networks.predicted(images, first_alone=True), answers[0][:, :1])
        assert len({tuple(answer) for answer in answers[0].reshape(6, 6)}) == 6, "each in its own place"

    def test_images_of_another_size_are_refused(self, tmp_path) -> None:
        networks, _ = load_network(stored(Tiny(), tmp_path / "w.onnx"))
        with pytest.raises(UsageError, match="a SPECT of 12 x 12 x 11 voxels; expected 12 x 12 x 12"):
            networks.predicted([(np.zeros((12, 12, 11)), np.zeros((12, 12, 11)))])


def test_weights_that_were_replaced_are_read_again(tmp_path, spect) -> None:
    weights, mu = stored(Constant((1.0, 0, 0, 0, 0, 0)), tmp_path / "w.onnx"), mu_volume(CT_GRID)
    before = NetworkRegistrar(weights).register(prepared(spect, mu))
    stored(Constant((2.0, 0, 0, 0, 0, 0)), weights)
    after = NetworkRegistrar(weights).register(prepared(spect, mu))
    assert after.shift_mm[0] == pytest.approx(2 * before.shift_mm[0])


def test_the_pipeline_takes_it_and_says_which_weights(tmp_path, spect) -> None:
    six = (1.0, 0.0, -1.0, 0.0, 0.0, 2.0)
    weights = stored(Constant(six), tmp_path / "w.onnx")
    outcome = mureg.examine(
        Study(spect, mu_volume(CT_GRID)), mureg.StudySettings(registrar=NetworkRegistrar(weights=weights))
    )
    np.testing.assert_allclose(outcome.registration.shift_mm, UNIT_MM * np.asarray(six[:3]), atol=1e-5)
    assert outcome.provenance.weights_sha256 == load_network(weights)[1].weights_sha256
    assert outcome.provenance.settings["registrar"]["weights"] == "w.onnx", "no path of this machine"
    json.dumps(outcome.provenance.settings)


QUIET = """\
import os
from mureg.registration.card import shipped
from mureg.registration.onnx_networks import load_network

load_network(shipped("near-heart"))
print(sorted(os.environ.get(name, "") for name in ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")))
"""


def test_the_runtime_of_the_networks_keeps_no_identifier_and_sends_nothing(tmp_path) -> None:
    """In an empty home, and without the variables by which continuous integration is spared."""
    kept = ("PATH", "PYTHONPATH", "SYSTEMROOT", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= dict.fromkeys(("HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA"), str(tmp_path))
    done = subprocess.run([sys.executable, "-c", QUIET], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "['1', '1']", done.stderr
    assert list(tmp_path.rglob("*")) == []
