import numpy as np
import pytest

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.heart import find
from mureg.heart.axis_search import best_likeness
from mureg.heart.find import find_left_ventricle

FINE = Grid.centred((64, 64, 64), (6.8, 6.8, 6.8), (0.0, 0.0, -170.0))
FRONT_LEFT_DOWN = np.array([0.7, -0.55, -0.3]) / np.linalg.norm([0.7, -0.55, -0.3])


def _study(heart_mm: np.ndarray, liver: float, grid: Grid = FINE, seed: int = 0) -> tuple[Volume, Volume, np.ndarray]:
    """A cup open at the base in a chest with lungs and a hot liver; emission, map and the wall's centroid."""
    places = grid.points(np.indices(grid.shape).transpose(1, 2, 3, 0))
    body = ((places[..., :2] / (170.0, 115.0)) ** 2).sum(-1) < 1
    offset = places - heart_mm
    along = offset @ FRONT_LEFT_DOWN
    across = np.sqrt(np.maximum((offset**2).sum(-1) - along**2, 0))
    outer = (across / 34.0) ** 2 + ((along + 25) / 72.0) ** 2 < 1
    inner = (across / 23.0) ** 2 + ((along + 25) / 61.0) ** 2 < 1
    wall = outer & ~inner & (along > -25)
    in_liver = (((places - np.add(heart_mm, (-95.0, 20.0, -75.0))) / (95.0, 75.0, 50.0)) ** 2).sum(-1) < 1
    lungs = ((np.abs(places[..., 0]) - 80) / 60) ** 2 + (places[..., 1] / 90) ** 2 < 1
    lungs &= (places[..., 2] > heart_mm[2] - 35) & ~(np.linalg.norm(offset, axis=-1) < 50)
    expected = 12.0 * (1.0 * wall + liver * (in_liver & ~outer) + 0.06 * (body & ~wall))
    emission = np.random.default_rng(seed).poisson(expected).astype(float)
    mu = np.where(body, np.where(lungs, 0.04, 0.15), 0.0)
    return (
        Volume.from_numpy(emission, grid, Quantity.ACTIVITY),
        Volume.from_numpy(mu, grid, Quantity.MU_PER_CM),
        places[wall].mean(axis=0),
    )


@pytest.mark.parametrize("liver", [0.3, 2.0])
@pytest.mark.parametrize("heart_mm", [(40.0, -25.0, -160.0), (55.0, -35.0, -195.0)])
@pytest.mark.parametrize("with_map", [True, False])
def test_the_ventricle_is_found_beside_a_liver_that_is_brighter(
    liver: float, heart_mm: tuple[float, float, float], with_map: bool
) -> None:
    spect, mu, truth = _study(np.array(heart_mm), liver)
    found = find_left_ventricle(spect, mu if with_map else None)
    assert np.linalg.norm(np.array(found.centre_mm) - truth) < 10.0
    assert found.confidence > 0.3
    assert found.note == ""


def test_the_place_does_not_depend_on_how_the_grid_is_laid() -> None:
    turned = RigidTransform.from_six((0, 0, 0), (10.0, -5.0, 20.0), FINE.centre_mm).matrix @ FINE.affine
    flipped = turned.copy()
    flipped[:3, 3] = Grid(FINE.shape, turned).points((63, 0, 63))
    flipped[:3, [0, 2]] *= -1
    spect, mu, truth = _study(np.array([45.0, -30.0, -165.0]), 1.0, Grid(FINE.shape, flipped))
    assert np.linalg.norm(np.array(find_left_ventricle(spect, mu).centre_mm) - truth) < 12.0


def test_brightness_alone_changes_nothing() -> None:
    spect, _, _ = _study(np.array([45.0, -30.0, -165.0]), 1.0)
    brighter = spect.with_values(spect.values * 1000.0)
    np.testing.assert_allclose(find_left_ventricle(brighter).centre_mm, find_left_ventricle(spect).centre_mm, atol=1e-3)


def test_a_blank_image_and_an_image_of_noise_say_so() -> None:
    blank = Volume.from_numpy(np.zeros(FINE.shape), FINE, Quantity.ACTIVITY)
    found = find_left_ventricle(blank)
    assert (found.centre_mm, found.confidence) == (FINE.centre_mm, 0.0)
    assert found.note
    noise = np.random.default_rng(1).poisson(5.0, FINE.shape)
    assert find_left_ventricle(Volume.from_numpy(noise, FINE, Quantity.ACTIVITY)).confidence < 0.3


def test_a_place_is_not_drawn_again_for_another_pose_of_the_map_and_the_answer_is_that_of_a_fresh_search(
    monkeypatch,
) -> None:
    drawn = []

    def counted(spect, starts):
        drawn.extend(starts)
        return best_likeness(spect, starts)

    monkeypatch.setattr(find, "best_likeness", counted)
    spect, mu, _ = _study(np.array([45.0, -30.0, -165.0]), 1.0)
    find_left_ventricle(spect, mu)
    moved = mu.resampled(mu.grid, RigidTransform.from_six((4.0, -3.0, 5.0), (0, 0, 0), FINE.centre_mm))
    again = find_left_ventricle(spect, moved)
    assert len(set(drawn)) == len(drawn)
    copy = spect.with_values(spect.values.copy())  # another volume, of which nothing is kept
    assert find_left_ventricle(copy, moved) == again
