"""A nudge in words: the map goes where the words say, judged by balls and by SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

import mureg
from mureg.assessment.move import Move
from mureg.errors import GeometryError, RegistrationError, UsageError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration.by_hand import PoseByHand
from mureg.registration.nudge import Nudge
from mureg.study import PreparedStudy

HEART_MM = (40.0, -30.0, 12.0)
BEFORE = RigidTransform.from_six((6.0, -4.0, 3.0), (4.0, -3.0, 5.0), (0.0, 0.0, 0.0))
WAYS = {
    "left": (1, 0, 0),
    "right": (-1, 0, 0),
    "back": (0, 1, 0),
    "front": (0, -1, 0),
    "head": (0, 0, 1),
    "feet": (0, 0, -1),
}
"""DICOM PS3.3 C.7.6.2.1.1: x increases to the left hand, y to the posterior, z to the head."""


def place_after(words: str, seen_mm) -> np.ndarray:
    """Where the map shows, after the nudge, the anatomy that it showed at `seen_mm` before."""
    in_ct = BEFORE.apply(seen_mm)
    return Nudge.from_words(words).applied(BEFORE, HEART_MM).inverse().apply(in_ct)


@pytest.mark.parametrize("way", WAYS)
def test_the_map_moves_where_the_words_say(way) -> None:
    seen = np.array((-70.0, 25.0, -40.0))
    np.testing.assert_allclose(place_after(f"7.5 mm {way}", seen) - seen, 7.5 * np.array(WAYS[way]), atol=1e-9)


@pytest.mark.parametrize("start", WAYS)
@pytest.mark.parametrize("end", WAYS)
def test_a_turn_carries_the_first_direction_to_the_second_and_leaves_the_heart(start, end) -> None:
    a, b = np.array(WAYS[start], dtype=float), np.array(WAYS[end], dtype=float)
    words = f"90 degrees {start} to {end}"
    if abs(a @ b):
        with pytest.raises(UsageError, match="a turn from"):
            Nudge.from_words(words)
        return
    np.testing.assert_allclose(place_after(words, HEART_MM), HEART_MM, atol=1e-9)
    np.testing.assert_allclose(place_after(words, HEART_MM + 20.0 * a), HEART_MM + 20.0 * b, atol=1e-9)


def test_shifts_and_turns_add_whatever_their_order() -> None:
    parts = ["3 mm head", "2 mm to the patient's left", "1 degree front to left", "0.5° head to back", "1.25 mm front"]
    first = Nudge.from_words(", ".join(parts)).applied(BEFORE, HEART_MM)
    second = Nudge.from_words(", ".join(parts[::-1])).applied(BEFORE, HEART_MM)
    np.testing.assert_allclose(first.matrix, second.matrix, atol=1e-12)
    shift = Nudge.from_words("3 mm head, 2 mm left, 1.25 mm front")
    alone = Move.of(shift.applied(RigidTransform.identity(), HEART_MM), HEART_MM)
    np.testing.assert_allclose(alone.mean_mm, (2.0, -1.25, 3.0), atol=1e-9)
    again = Nudge.from_words(alone.components().split(";")[0])
    np.testing.assert_allclose(again.shift_mm, (2.0, -1.2, 3.0), atol=0.051)


@pytest.mark.parametrize(
    "words",
    [
        "3 mm", "mm head", "-3 mm head", "3 mm up", "2,5 mm left", "3 mm head, 2 mm feet", "3 mm head 2 mm left",
        "1 degree", "1 degree left to right", "1 degree clockwise", "3 cm head", "1e3 mm head", "nan mm head", ",",
        "1 degree front to left, 1 degree left to back", "3 mm head;; 2 mm left", "٣ mm hèad",
    ],
)  # fmt: skip
def test_other_words_are_refused_in_one_sentence(words) -> None:
    with pytest.raises(UsageError, match=r"the nudge .* expected words such as"):
        Nudge.from_words(words)


def balls() -> tuple[Volume, PreparedStudy]:
    """A map of three balls of different size that no symmetry maps onto each other, and a SPECT of its middle."""
    grid = Grid.centred((60, 56, 50), (4.0, 4.0, 4.0), (3.0, -5.0, 7.0))
    points = grid.points(np.moveaxis(np.indices(grid.shape), 0, -1))
    values = np.zeros(grid.shape)
    for place, size in (((60.0, -45.0, 30.0), 1.0), ((-70.0, 12.0, 5.0), 0.7), ((15.0, 60.0, -50.0), 0.5)):
        values += size * np.exp(-((points - place) ** 2).sum(-1) / (2 * 9.0**2))
    body = Volume.from_numpy(0.15 * values, grid, Quantity.MU_PER_CM)
    spect_grid = Grid.centred((40, 36, 30), (5.0, 5.0, 5.0), (1.0, 2.0, 3.0))
    spect_points = spect_grid.points(np.moveaxis(np.indices(spect_grid.shape), 0, -1))
    spect = np.exp(-((spect_points - HEART_MM) ** 2).sum(-1) / (2 * 25.0**2))
    return body, PreparedStudy.from_images(Volume.from_numpy(spect, spect_grid, Quantity.ACTIVITY), body)


def test_simpleitk_lays_the_map_where_the_words_say(tmp_path) -> None:
    """SimpleITK alone reads the file and warps the map: the largest ball has moved left, back and to the head."""
    body, prepared = balls()
    words = "10 mm left, 6 mm back, 14 mm head"
    registration = PoseByHand(nudge=words).register(prepared)
    mureg.write_transform(registration.ct_from_spect, tmp_path / "pose.tfm", (5.0, 6.0, 7.0))
    image = body.to_sitk()
    moved = sitk.Resample(image, image, sitk.ReadTransform(str(tmp_path / "pose.tfm")), sitk.sitkLinear, 0.0)
    peaks = []
    for each in (image, moved):
        values = sitk.GetArrayFromImage(each)
        k, j, i = np.unravel_index(values.argmax(), values.shape)
        peaks.append(np.array(each.TransformIndexToPhysicalPoint((int(i), int(j), int(k)))))
    np.testing.assert_allclose(peaks[1] - peaks[0], (10.0, 6.0, 14.0), atol=4.0)
    ours = body.resampled(body.grid, registration.ct_from_spect)
    inside = ~ours.outside if ours.outside is not None else np.ones(ours.grid.shape, dtype=bool)
    theirs = sitk.GetArrayFromImage(moved).T
    np.testing.assert_allclose(theirs[inside], np.asarray(ours)[inside], atol=1e-5)


def test_a_nudge_comes_on_top_of_the_pose() -> None:
    _, prepared = balls()
    registration = PoseByHand.at(BEFORE, "4 mm feet, 3 degrees left to head", HEART_MM).register(prepared)
    expected = Nudge.from_words("4 mm feet, 3 degrees left to head").applied(BEFORE, HEART_MM)
    np.testing.assert_allclose(registration.ct_from_spect.matrix, expected.matrix, atol=1e-12)
    assert registration.registrar == "by-hand"
    assert registration.covariance is None
    assert "4 mm feet" in registration.notes[0]
    plain = PoseByHand.at(BEFORE).register(prepared)
    assert plain.ct_from_spect == BEFORE, "to the last digit"
    assert plain.notes == ()


def test_a_pose_beside_the_body_or_not_rigid_is_refused() -> None:
    _, prepared = balls()
    with pytest.raises(RegistrationError, match="no overlap"):
        PoseByHand(nudge="400 mm head").register(prepared)
    stretched = ((1.1, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    with pytest.raises(GeometryError, match="scales, shears or mirrors"):
        PoseByHand(stretched)
