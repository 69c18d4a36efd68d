"""Mutual information: evidence, refusals, settings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydantic
import pytest

from mureg.errors import RegistrationError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration import MutualInformation
from mureg.registration.base import Registration
from mureg.registration.mutual_information import without_hot_spots
from mureg.registration.starts import started_by
from mureg.study import PreparedStudy
from support.phantoms import chest, mu_volume, voxel_points

prepared = PreparedStudy.from_images

SPECT_GRID = Grid.centred((28, 28, 28), (12.0, 12.0, 12.0))
CT_GRID = Grid.centred((42, 36, 36), (11.0, 11.0, 11.0))
SHIFT = RigidTransform.from_six((24.0, 0.0, -18.0), (0, 0, 0), (0, 0, 0))
ONE_START = MutualInformation(starts=1)


@pytest.fixture(scope="module")
def spect() -> Volume:
    return Volume.from_numpy(chest(voxel_points(SPECT_GRID), edge_mm=16.0)[0], SPECT_GRID, Quantity.ACTIVITY)


def test_sums_have_a_fixed_order_so_that_starts_searched_together_or_alone_agree(spect) -> None:
    """To a hundredth of a millimetre, the step at which the search ends; the same call gives the same digits."""
    moving = mu_volume(CT_GRID, SHIFT)
    one, again = (MutualInformation(starts=2).register(prepared(spect, moving)) for _ in range(2))
    assert one.ct_from_spect == again.ct_from_spect
    assert one.evidence == again.evidence


def test_the_evidence_tells_how_much_was_gained_and_whether_starts_agree(spect) -> None:
    registration = MutualInformation(starts=3).register(prepared(spect, mu_volume(CT_GRID, SHIFT)))
    evidence = registration.evidence
    assert evidence["mutual_information_at_optimum"] > evidence["mutual_information_at_identity"] > 0
    assert evidence["starts"] == 3
    assert 1 <= evidence["starts_that_agree"] <= 3
    assert evidence["spread_of_starts_mm"] >= 0
    said = registration.notes[0]
    for name in ("mutual_information_at_identity", "mutual_information_at_optimum"):
        assert f"{evidence[name]:.4f}" in said
    assert f"{evidence['spread_of_starts_mm']:.1f} mm" in said


def test_registrars_that_begin_with_the_same_search_share_it(spect, monkeypatch) -> None:
    """Also from two threads at once; another study or other settings are searched anew."""
    searches = []

    def register(settings: MutualInformation, study: PreparedStudy) -> Registration:
        searches.append(settings)
        return original(settings, study)

    original = MutualInformation.register
    monkeypatch.setattr(MutualInformation, "register", register)
    study = prepared(spect, mu_volume(CT_GRID, SHIFT))
    with ThreadPoolExecutor(2) as threads:
        starts = list(threads.map(lambda _: started_by(ONE_START, study), range(2)))
    assert starts[0] == starts[1] == (original(ONE_START, study).ct_from_spect, ())
    assert len(searches) == 1
    started_by(MutualInformation(starts=2), study)
    started_by(ONE_START, prepared(spect, mu_volume(CT_GRID)))
    assert len(searches) == 3


def test_one_start_alone_has_no_spread(spect) -> None:
    evidence = ONE_START.register(prepared(spect, mu_volume(CT_GRID, SHIFT))).evidence
    assert evidence["starts_that_agree"] == 1
    assert evidence["spread_of_starts_mm"] == pytest.approx(0.0, abs=1e-6)


def test_a_gall_bladder_a_hundred_times_hotter_than_the_chest_does_not_lead_astray(spect) -> None:
    """Without the limit on brightness it takes every bin but one, and nothing of the chest is left to go by."""
    hot = spect.values.copy()
    x, y, z = np.round(SPECT_GRID.indices((-60.0, -40.0, -90.0))).astype(int)
    hot[x : x + 2, y : y + 2, z : z + 2] = 100.0 * spect.values.max()
    moving = mu_volume(CT_GRID, SHIFT)

    def miss_mm(settings: MutualInformation) -> float:
        found = settings.register(prepared(spect.with_values(hot), moving)).ct_from_spect
        return float(np.linalg.norm(found.apply((0.0, 0.0, 0.0)) - SHIFT.apply((0.0, 0.0, 0.0))))

    undisturbed = ONE_START.register(prepared(spect, moving)).ct_from_spect
    calm = float(np.linalg.norm(undisturbed.apply((0.0, 0.0, 0.0)) - SHIFT.apply((0.0, 0.0, 0.0))))
    assert miss_mm(ONE_START) < calm + 2.0
    assert miss_mm(MutualInformation(starts=1, brightest=1.0)) > calm + 5.0


def test_across_the_body_the_shift_along_it_stays_and_the_rest_is_found(spect) -> None:
    """Given the true place along the body, what is across it is found; given none, it is not looked for."""
    moving, settings = mu_volume(CT_GRID, SHIFT), MutualInformation(shrink_factors=(1,), smoothing_mm=(8.0,))
    middle = np.asarray(SPECT_GRID.centre_mm)
    for along_mm in (-18.0, 0.0):
        start = RigidTransform.from_six((0.0, 0.0, along_mm), (0, 0, 0), SPECT_GRID.centre_mm)
        found = settings.across(spect, moving, start).apply(middle) - middle
        assert found[2] == pytest.approx(along_mm, abs=1e-6)
        np.testing.assert_allclose(found[:2], [24.0, 0.0], atol=4.0)


def test_coarse_voxels_are_those_of_both_images_averaged(spect) -> None:
    """The setting does what averaging by hand does."""
    moving = mu_volume(CT_GRID, SHIFT)
    plain = {"starts": 1, "shrink_factors": (1,), "smoothing_mm": (12.0,)}
    asked = MutualInformation(voxel_mm=24.0, **plain).register(prepared(spect, moving))
    dimmed = without_hot_spots(spect, MutualInformation().brightest)
    by_hand = MutualInformation(brightest=1.0, **plain).register(prepared(dimmed.coarsened(24.0), moving))
    np.testing.assert_allclose(asked.ct_from_spect.matrix, by_hand.ct_from_spect.matrix, atol=1e-9)


def test_no_place_without_overlap_is_looked_for_across(spect) -> None:
    far = RigidTransform.from_six((0.0, 0.0, 900.0), (0, 0, 0), SPECT_GRID.centre_mm)
    with pytest.raises(RegistrationError, match="near the start"):
        MutualInformation().across(spect, mu_volume(CT_GRID, SHIFT), far)


def test_a_short_ct_of_a_small_field_is_registered_too(spect) -> None:
    """It fills a fifth of the field of the SPECT, as a CT of the heart alone does."""
    grid = Grid.centred((20, 20, 15), (11.0, 11.0, 11.0), (20.0, -10.0, 0.0))
    moving = mu_volume(grid, SHIFT)
    share = grid.voxel_volume_mm3 * moving.values.size / (SPECT_GRID.voxel_volume_mm3 * spect.values.size)
    assert share < 0.22
    start = RigidTransform.from_six((0.0, 0.0, -18.0), (0, 0, 0), SPECT_GRID.centre_mm)
    settings = MutualInformation(shrink_factors=(1,), smoothing_mm=(8.0,))
    middle = np.asarray(SPECT_GRID.centre_mm)
    found = settings.across(spect, moving, start).apply(middle) - middle
    np.testing.assert_allclose(found, [24.0, 0.0, -18.0], atol=5.0)


def test_finishing_every_optimum_is_never_worse_than_finishing_one(spect) -> None:
    moving = mu_volume(CT_GRID, SHIFT)
    one, all_of_them = (MutualInformation(starts=3, finish=n).register(prepared(spect, moving)) for n in (1, 3))
    key = "mutual_information_at_optimum"
    assert all_of_them.evidence[key] >= one.evidence[key]


def test_the_finest_level_may_go_without_smoothing(spect) -> None:
    sharp = MutualInformation(starts=1, shrink_factors=(4, 2, 1), smoothing_mm=(16.0, 10.0, 0.0)).register(
        prepared(spect, mu_volume(CT_GRID, SHIFT))
    )
    assert np.linalg.norm(np.subtract(sharp.shift_mm, SHIFT.six(SPECT_GRID.centre_mm)[0])) < 6.0, "half a voxel"


def test_a_map_that_lies_well_is_hardly_moved(spect) -> None:
    registration = MutualInformation(starts=1).register(prepared(spect, mu_volume(CT_GRID)))
    assert np.linalg.norm(registration.shift_mm) < 12.0 / 2


def test_the_same_pose_is_found_wherever_the_scanner_puts_its_origin(spect) -> None:
    """Moving both images together in space must not matter."""
    together = np.array((300.0, -200.0, 1000.0))
    far = [Grid.centred(g.shape, g.spacing_mm, tuple(together + g.centre_mm)) for g in (SPECT_GRID, CT_GRID)]
    mu = mu_volume(CT_GRID, SHIFT)
    here = ONE_START.register(prepared(spect, mu))
    there = ONE_START.register(
        prepared(Volume(spect.values, far[0], Quantity.ACTIVITY), Volume(mu.values, far[1], Quantity.MU_PER_CM))
    )
    np.testing.assert_allclose(there.shift_mm, here.shift_mm, atol=0.05)
    np.testing.assert_allclose(there.angles_deg, here.angles_deg, atol=0.05)


def test_a_shift_beyond_the_plausible_is_refused(spect) -> None:
    with pytest.raises(RegistrationError, match=r"moves the map by .* expected at most 10 mm") as refusal:
        MutualInformation(starts=1, largest_shift_mm=10.0).register(prepared(spect, mu_volume(CT_GRID, SHIFT)))
    assert refusal.value.exit_code == 3


def test_a_rotation_beyond_the_plausible_is_refused(spect) -> None:
    turned = RigidTransform.from_six((0, 0, 0), (0, 0, 12.0), (0, 0, 0))
    with pytest.raises(RegistrationError, match="and 5 degrees"):
        MutualInformation(starts=1, largest_angle_deg=5.0).register(prepared(spect, mu_volume(CT_GRID, turned)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"starts": 0},
        {"starts": 8},
        {"sampling": 0.0},
        {"sampling": 1.5},
        {"bins": 2},
        {"seed": 0},
        {"largest_shift_mm": -1.0},
        {"kind": "elastix"},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong) -> None:
    with pytest.raises(pydantic.ValidationError):
        MutualInformation(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shrink_factors": (4, 2, 1)},
        {"shrink_factors": (2, 0)},
        {"smoothing_mm": (8.0,)},
        {"smoothing_mm": (10.0, -1.0)},
    ],
)
def test_levels_that_do_not_match_are_refused(wrong) -> None:
    with pytest.raises(pydantic.ValidationError):
        MutualInformation(**wrong)
