"""Networks on crops around the heart: where the correction is applied, in which direction, about which point."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from mureg.attenuation.maps import AttenuationMap
from mureg.errors import UsageError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.heart.find import HeartLocation
from mureg.notes import Rank, rank_of
from mureg.recon import Osem
from mureg.registration import NearHeart, near_heart
from mureg.registration import refined_pose as refined_pose_module
from mureg.registration.card import Card, read_card
from mureg.registration.confidence import settings_sha256
from mureg.registration.inputs import InputGrid
from mureg.registration.networks import initialised
from mureg.registration.refined_pose import RefinedPose, refined_pose
from mureg.study import PreparedStudy
from mureg.training.settings import as_table, load_settings
from mureg.training.weights import save_network

prepared = PreparedStudy.from_images

pytestmark = pytest.mark.usefixtures("remembered_ventricles")

GRID = Grid.centred((48, 48, 40), (6.8, 6.8, 6.8), (12.0, -30.0, 55.0))
CARD = Card(network={"kind": "densenet"}, grid=InputGrid((32, 32, 32), 6.8), around="heart")
START = RigidTransform.from_six((3.0, -5.0, 8.0), (2.0, -1.0, 4.0), GRID.centre_mm)


class Says:
    """Networks of which each says the same rigid parameters whatever it sees."""

    def __init__(self, *sixes: tuple[float, ...]) -> None:
        self.sixes = np.array(sixes)

    def predicted(self, images, first_alone: bool = False) -> np.ndarray:
        assert all(image.shape == (32, 32, 32) for pair in images for image in pair)
        return np.stack([self.sixes[: 1 if first_alone else None]] * len(images))


def pair() -> tuple[Volume, Volume]:
    spect, mu = np.random.default_rng(3).random((2, *GRID.shape), dtype=np.float32)
    return Volume(spect, GRID, Quantity.ACTIVITY), Volume(np.float32(0.15) * mu, GRID, Quantity.MU_PER_CM)


def step(found: RefinedPose) -> np.ndarray:
    """The small motion about the heart that was added to the start, mm and degrees."""
    return np.concatenate((START.inverse() @ found.ct_from_spect).six(found.heart.centre_mm))


def seen(six: tuple[float, ...], passes: int = 1, crops: int = 7):  # type: ignore[no-untyped-def]
    spect, mu = pair()
    return refined_pose(spect, mu, START, Says(six), CARD, passes=passes, crops=crops)


def test_a_shift_is_taken_in_spect_space_before_the_start() -> None:
    found = seen((0.0, 0.0, 1.0, 0.0, 0.0, 0.0))  # one voxel of 6.8 mm towards the head
    heart = np.asarray(found.heart.centre_mm)
    np.testing.assert_allclose(
        found.ct_from_spect.apply(heart), START.apply(heart + np.array([0.0, 0.0, 6.8])), atol=1e-9, rtol=0
    )
    np.testing.assert_allclose(step(found), [0, 0, 6.8, 0, 0, 0], atol=1e-9)


def test_turns_about_places_around_the_heart_average_to_a_turn_about_the_heart() -> None:
    found = seen((0.0, 0.0, 0.0, 0.0, 0.0, 10.0))
    heart = np.asarray(found.heart.centre_mm)
    turned = RigidTransform.from_six((0.0, 0.0, 0.0), (0.0, 0.0, 10.0), found.heart.centre_mm)
    point = heart + np.array([20.0, 10.0, -5.0])
    np.testing.assert_allclose(found.ct_from_spect.apply(heart), START.apply(heart), atol=1e-9)
    np.testing.assert_allclose(found.ct_from_spect.apply(point), START.apply(turned.apply(point)), atol=1e-9)
    # about each place the same turn moves the heart by 2 sin(5 degrees) times the distance, so the crops are apart
    apart = 2 * np.sin(np.deg2rad(5.0)) * 5.0
    assert np.linalg.norm(found.spread[:3]) == pytest.approx(apart * np.sqrt(4 / 7), rel=1e-3)


def test_of_several_networks_the_mean_counts_and_their_differences_are_spread() -> None:
    spect, mu = pair()
    three = Says(*((0, 0, z, 0, 0, 0) for z in (0.5, 1.0, 1.5)))
    found = refined_pose(spect, mu, START, three, CARD, passes=1, crops=1)
    np.testing.assert_allclose(step(found), [0, 0, 6.8, 0, 0, 0], atol=1e-9)
    assert found.spread[2] == pytest.approx(6.8 * np.std([0.5, 1.0, 1.5]))


def test_a_parameter_with_gain_zero_is_not_applied() -> None:
    spect, mu = pair()
    card = replace(CARD, gains=(0.0, 0.5, 1.0, 0.0, 0.0, 0.0))
    found = refined_pose(spect, mu, START, Says((1.0, 1.0, 1.0, 0.0, 0.0, 3.0)), card, passes=2, crops=1)
    np.testing.assert_allclose(step(found), [0, 3.4, 13.6, 0, 0, 0], atol=1e-9)
    assert found.turned_deg == 0.0


def test_how_far_the_heart_was_turned_is_told() -> None:
    assert seen((0.0, 0.0, 1.0, 3.0, 0.0, 4.0), passes=2, crops=1).turned_deg == pytest.approx(5.0)


def test_each_pass_goes_on_along_the_body_and_the_last_alone_moves_across_it() -> None:
    thrice = seen((0.5, -0.25, 0.5, 0.0, 0.0, 0.0), passes=3, crops=1)
    np.testing.assert_allclose(step(thrice)[:3], [3.4, -1.7, 10.2], atol=1e-9)
    assert not thrice.spread.any()


def test_the_ways_to_the_heart_move_along_the_body_alone() -> None:
    spect, mu = pair()
    two = Says((1.0, 1.0, 0.5, 0.0, 5.0, 0.0), (0.0, 0.0, 7.0, 0.0, 0.0, 0.0))  # the first alone is asked
    found = refined_pose(spect, mu, START, two, CARD, passes=3, crops=1, axial_alone=True)
    np.testing.assert_allclose(step(found), [0, 0, 10.2, 0, 0, 0], atol=1e-9)


def test_a_network_of_the_whole_field_is_refused(tmp_path: Path) -> None:
    settings = load_settings("near-heart")
    card = Card(network=as_table(settings)["network"], grid=settings.grid)
    save_network(tmp_path / "whole.onnx", initialised(settings.network, 1), card)
    spect, mu = pair()
    with pytest.raises(UsageError, match="takes the whole field as input"):
        NearHeart(weights=str(tmp_path / "whole.onnx")).register(prepared(spect, mu))


def test_a_card_that_knows_its_errors_states_them_wider_where_the_crops_disagree() -> None:
    errors = tuple(map(tuple, np.diag([1.0, 1.0, 9.0, 0.1, 0.1, 0.1]).tolist()))
    card = Card(network={}, grid=InputGrid((32, 32, 32), 6.8), errors=errors, errors_grow_mm=2.0)
    narrow, wide = card.covariance(0.0), card.covariance(2.0)
    assert narrow is not None
    assert wide is not None
    np.testing.assert_allclose(narrow, np.diag([1.0, 1.0, 9.0, 0.1, 0.1, 0.1]))
    np.testing.assert_allclose(wide, 4 * narrow)
    assert CARD.covariance(0.0) is None
    assert card.covariance(0.0, quick=True) is None


def test_quick_mode_has_its_own_errors() -> None:
    one, four = (tuple(map(tuple, (k * np.eye(6)).tolist())) for k in (1.0, 4.0))
    grid = InputGrid((32, 32, 32), 6.8)
    card = Card(network={}, grid=grid, errors=one, quick_errors=four, quick_errors_grow_mm=3.0)
    np.testing.assert_allclose(card.covariance(3.0), np.eye(6))
    np.testing.assert_allclose(card.covariance(3.0, quick=True), 16 * np.eye(6))


def two_ways(monkeypatch, free: RigidTransform, held: RigidTransform):
    """What is taken, and how far apart the ways ended, where mutual information ends at these and the network stays."""
    monkeypatch.setattr(near_heart, "starts_by", lambda *_: ([free, held], ()))
    # in noise there is no heart to find, and the search takes seconds
    monkeypatch.setattr(refined_pose_module, "find_left_ventricle", lambda *_: HeartLocation((40.0, -50.0, 50.0), 1.0))
    spect, mu = pair()
    pose, _, apart_mm, _ = NearHeart(finish=False)._start(prepared(spect, mu), Says((0, 0, 0, 0, 0, 0)), CARD, False)
    return pose, apart_mm


def shifted(x: float, y: float, z: float) -> RigidTransform:
    return RigidTransform.from_six((x, y, z), (0.0, 0.0, 0.0), GRID.centre_mm)


def test_of_two_ways_that_do_not_meet_the_one_that_moves_the_heart_less_is_taken(monkeypatch) -> None:
    for far, near in ((shifted(0, 0, 60), shifted(1, 0, 9)), (shifted(0, -40, 0), shifted(0, 12, 0))):
        for free, held in ((far, near), (near, far)):
            pose, apart_mm = two_ways(monkeypatch, free, held)
            assert pose == near
            expected = np.linalg.norm(np.asarray(far.matrix - near.matrix)[:3, 3])
            assert apart_mm == pytest.approx(expected)


def test_where_both_ways_meet_the_free_one_is_taken(monkeypatch) -> None:
    pose, apart_mm = two_ways(monkeypatch, shifted(2, 0, 12), shifted(0, 0, 10))
    assert pose == shifted(2, 0, 12)
    assert apart_mm == pytest.approx(np.sqrt(8.0))


def test_quick_mode_is_one_crop_at_the_coarse_place() -> None:
    quick = NearHeart(largest_shift_mm=50.0).quick_mode()
    assert (quick.finish, quick.passes, quick.crops, quick.largest_shift_mm) == (False, 1, 1, 50.0)


def test_the_shipped_covariance_is_calibrated_for_the_shipped_settings_alone() -> None:
    """Any other crops, passes or input, and an ablated SPECT, were not measured."""
    card = read_card(near_heart.weights_path(near_heart.SHIPPED))
    expected = {
        "attenuation": settings_sha256(asdict(AttenuationMap())),
        "reconstructor": settings_sha256(asdict(Osem())),
    }
    for measured in (NearHeart(), NearHeart().quick_mode()):
        assert measured._calibrated_for(card) == expected
    for other in (NearHeart(ablated=True), NearHeart(passes=3), NearHeart(crops=1), replace(NearHeart(), finish=False)):
        assert other._calibrated_for(card) == {}


def test_networks_that_answer_alike_are_said_to_be_damaged_and_state_no_calibrated_bound(monkeypatch) -> None:
    spect, mu = pair()
    card = replace(CARD, errors=tuple(map(tuple, np.eye(6))), calibrated_for={"default": NearHeart().settings_sha256()})
    monkeypatch.setattr(near_heart, "_networks", lambda _: (Says(*np.zeros((2, 6))), card))
    found = NearHeart().register(prepared(spect, mu))
    assert found.calibrated_for == {}
    (note,) = [note for note in found.warnings if "identical" in note]
    assert rank_of(note) is Rank.CHANGES_ANSWER
