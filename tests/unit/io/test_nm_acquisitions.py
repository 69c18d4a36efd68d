"""Acquisitions as they come: heads, rotations, gaps, repeats, decay, centre-of-rotation offsets, gates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mureg.errors import UnreadableInputError
from mureg.io import inspect, read_gates, read_spect
from mureg.io.nm import views as nm_views
from mureg.io.nm.choose import read_nm
from mureg.io.nm.views import views_in_words
from mureg.notes import Rank
from support.dicom import detector, project_point, rotation, tomo_vectors, view_directions, write_nm

POINT = (12.0, -8.0, 17.0)
SHAPE, PIXEL = (16, 12), 5.0
N, STEP = 20, -9.0
ANGLES = 225 + STEP * np.arange(N)


def assert_sees_point(acquisition, point=POINT) -> None:
    """In every view the hot pixel is where the point must be seen from the stated angle and offset."""
    offsets = acquisition.column_offsets_mm
    for v, (frame, angle) in enumerate(zip(acquisition.photopeak_counts, acquisition.angles_deg, strict=True)):
        _, right = view_directions(angle)
        row, column = np.unravel_index(frame.argmax(), frame.shape)
        across = (np.asarray(point) - acquisition.centre_mm) @ right + (0 if offsets is None else offsets[v])
        assert abs(row - (7.5 - (point[2] - acquisition.centre_mm[2]) / PIXEL)) <= 0.51
        assert abs(column - (5.5 + across / PIXEL)) <= 0.51


def write(tmp_path, angles=ANGLES, labels=None, *, heads=None, turns=None, frames=None, **elements):
    """One head, one rotation, unless said otherwise; `labels` are the view numbers."""
    frames = project_point(POINT, angles) if frames is None else frames
    vectors = elements.pop("vectors", tomo_vectors(len(frames)))
    if labels is not None:
        vectors["AngularViewVector"] = [int(k) for k in labels]
    return write_nm(
        tmp_path / "tomo.dcm",
        frames,
        vectors,
        detectors=heads or [detector(float(angles[0]))],
        rotations=turns or [rotation(float(angles[0]), abs(STEP), N, sense="CW")],
        **elements,
    )


def cut(tmp_path, there, *, planned=N, **elements):
    """The views `there` (from 0) of a rotation of `planned`."""
    there = np.asarray(there)
    turn = rotation(225.0, abs(STEP), planned, sense="CW", **elements.pop("turn", {}))
    return write(tmp_path, 225 + STEP * there, there + 1, turns=[turn], **elements)


@pytest.mark.parametrize("apart_deg", [90, 180, -90])
@pytest.mark.parametrize("sense", ["CW", "CC"])
def test_two_heads_count_at_the_same_time(tmp_path, apart_deg, sense):
    step = 9.0 if sense == "CC" else -9.0
    orbits = [start + step * np.arange(N) for start in (225.0, 225.0 + apart_deg)]
    path = write(
        tmp_path,
        frames=np.concatenate([project_point(POINT, orbit) for orbit in orbits]),
        vectors=tomo_vectors(N, detectors=2),
        heads=[detector(float(orbit[0]), StartAngle=float(orbit[0])) for orbit in orbits],
        turns=[rotation(225.0, 9.0, N, sense=sense)],
        ActualFrameDuration=20000,
    )
    acquisition = read_nm(path)
    assert np.allclose(acquisition.angles_deg, np.concatenate(orbits))
    assert_sees_point(acquisition)
    first, second = np.split(acquisition.view_weights, 2)
    assert np.allclose(first, second)
    assert first[0] == 1
    assert first[-1] == pytest.approx(0.5 ** (19 * 20 / (6.0067 * 3600)), rel=1e-9)


def test_decay_is_that_of_the_nuclide_and_said(tmp_path):
    for nuclide, hours, window in (("^123^Iodine", 13.22, (143, 175)), ("^99m^Technetium", 6.0067, (126.5, 154.5))):
        acquisition = read_nm(write(tmp_path, nuclide=nuclide, windows=[window]))
        expected = 0.5 ** (20 * np.arange(N) / (hours * 3600))
        assert np.allclose(acquisition.view_weights, expected, rtol=1e-12)
        assert any(f"half-life {hours:.4g} h" in note for note in acquisition.notes)


def test_corrected_brief_or_unknown_times_leave_all_views_alike(tmp_path):
    assert read_nm(write(tmp_path, CorrectedImage=["UNIF", "DECY"])).view_weights is None
    thallium = write(
        tmp_path, nuclide="^201^Thallium", windows=[(59.5, 80.5)], turns=[rotation(225, 9, N, ActualFrameDuration=1000)]
    )
    assert read_nm(thallium).view_weights is None
    unknown = read_nm(write(tmp_path, turns=[rotation(225, 9, N, ActualFrameDuration=None)]))
    assert unknown.view_weights is None
    assert any("no duration of the views" in note for note in unknown.notes)


@pytest.mark.parametrize("corrected", [True, False])
def test_rotations_follow_one_another_and_may_last_differently(tmp_path, corrected):
    vectors = tomo_vectors(N, detectors=2)
    vectors["RotationVector"], vectors["DetectorVector"] = vectors["DetectorVector"], vectors["RotationVector"]
    acquisition = read_nm(
        write(
            tmp_path,
            frames=np.concatenate([project_point(POINT, ANGLES), project_point(POINT, ANGLES[::-1])]),
            vectors=vectors,
            turns=[
                rotation(225, 9, N, sense="CW", ActualFrameDuration=20000),
                rotation(float(ANGLES[-1]), 9, N, sense="CC", ActualFrameDuration=30000),
            ],
            **({"CorrectedImage": "DECY"} if corrected else {}),
        )
    )
    assert_sees_point(acquisition)
    k = 0.0 if corrected else math.log(2) / (6.0067 * 3600)
    middle_s = np.concatenate([20 * np.arange(N) + 10, 20 * N + 30 * np.arange(N) + 15])
    expected = np.repeat([1.0, 1.5], N) * np.exp(-k * (middle_s - middle_s[0]))
    assert np.allclose(acquisition.view_weights, expected, rtol=1e-7)
    assert any("views of 20 to 30 s" in note for note in acquisition.notes)
    assert "20 of 40 views repeat the angles of others and are kept, each as a measurement of its own" in (
        acquisition.notes
    )


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ([k for k in range(N) if k not in (16, 17)], "views 17 and 18 of 20 are missing"),
        (list(range(17)), "views 18 to 20 of 20 are missing"),
        (list(range(1, N)), "view 1 of 20 is missing"),
        ([k for k in range(N) if k not in (3, 8, 9, 10)], "views 4 and 9 to 11 of 20 are missing"),
    ],
)
def test_views_that_are_there_keep_their_angles(tmp_path, there, said):
    radii = 200.0 + np.arange(N)
    head = detector(float(ANGLES[there[0]]), radius=radii[there[0]])
    acquisition = read_nm(cut(tmp_path, there, turn={"RadialPosition": radii.tolist()}, heads=[head]))
    assert np.allclose(acquisition.angles_deg, ANGLES[there])
    assert np.allclose(acquisition.radii_mm, radii[there])
    assert np.allclose(acquisition.view_weights, 0.5 ** (20 * (np.asarray(there) - there[0]) / (6.0067 * 3600)))
    assert said in acquisition.notes
    assert_sees_point(acquisition)


def test_views_of_a_second_head_may_be_missing(tmp_path):
    frames = np.concatenate([project_point(POINT, ANGLES), project_point(POINT, (ANGLES - 90)[2:])])
    numbers = np.concatenate([np.arange(1, N + 1), np.arange(3, N + 1)])
    for labels, total in ((numbers, N), (numbers, 2 * N), (numbers + np.repeat([0, N], [N, N - 2]), 2 * N)):
        vectors = tomo_vectors(len(frames))
        vectors["DetectorVector"] = np.repeat([1, 2], [N, N - 2]).tolist()
        heads = [detector(s, StartAngle=s) for s in (225.0, 135.0)]
        turn = rotation(225, 9, total, sense="CW")
        acquisition = read_nm(write(tmp_path, labels=labels, frames=frames, vectors=vectors, heads=heads, turns=[turn]))
        assert np.allclose(acquisition.angles_deg, np.concatenate([ANGLES, (ANGLES - 90)[2:]]))
        assert "views 1 and 2 of 20 are missing (detector 2, rotation 1)" in acquisition.notes
        assert_sees_point(acquisition)


def test_two_heads_stopped_half_way_are_refused(tmp_path):
    """9 of 20 views each must not pass for 9 of 10 because 20 could be the number of both heads."""
    frames = np.concatenate([project_point(POINT, ANGLES[:9]), project_point(POINT, (ANGLES - 90)[:9])])
    heads = [detector(s, StartAngle=s) for s in (225.0, 135.0)]
    with pytest.raises(UnreadableInputError, match="9 views of 20"):
        read_nm(write(tmp_path, frames=frames, vectors=tomo_vectors(9, detectors=2), heads=heads))


@pytest.mark.parametrize(
    ("there", "planned", "words"),
    [
        (list(range(14)), N, "14 views of 20"),
        ([*range(10), *range(16, N)], N, "14 views of 20"),
        ([*range(10), *range(12, N + 4)], N, "view 11 is missing and view 24 is there"),
    ],
)
def test_too_few_views_or_numbers_beyond_the_rotation_are_refused(tmp_path, there, planned, words):
    with pytest.raises(UnreadableInputError, match=words):
        read_nm(cut(tmp_path, there, planned=planned))


def test_more_than_a_turn_keeps_both_views(tmp_path):
    angles = 180 - 10.0 * np.arange(39)  # 390 degrees
    acquisition = read_nm(write(tmp_path, angles, turns=[rotation(180, 10, 39, sense="CW")]))
    assert acquisition.n_views == 39
    assert acquisition.arc_deg == 360
    assert any(note.startswith("3 of 39 views repeat the angles") for note in acquisition.notes)
    assert_sees_point(acquisition)


def test_empty_views_are_left_out_and_said(tmp_path):
    frames = project_point(POINT, ANGLES)
    frames[[7, 8]] = 0
    acquisition = read_nm(write(tmp_path, frames=frames))
    assert np.allclose(acquisition.angles_deg, np.delete(ANGLES, [7, 8]))
    assert "views 8 and 9 of 20 hold no counts and are left out" in acquisition.notes
    assert_sees_point(acquisition)
    frames[:6] = 0
    with pytest.raises(UnreadableInputError, match="12 views of 20"):
        read_nm(write(tmp_path, frames=frames))
    assert read_nm(write(tmp_path, frames=0 * frames)).n_views == N


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("offset", [10.0, -15.0])
def test_centre_of_rotation_offset_is_where_the_axis_is_seen(tmp_path, offset, mirrored):
    axis = np.array([4.0, 3.0, 40.0])
    stored = -offset if mirrored else offset
    frames = np.roll(project_point(axis + POINT, ANGLES, axis=axis), round(offset / PIXEL), axis=2)
    _, right = view_directions(225.0)
    head = detector(225.0, axis=axis - offset * right, mirrored=mirrored, CenterOfRotationOffset=stored)
    frames = frames[:, :, :: -1 if mirrored else 1]
    acquisition = read_nm(write(tmp_path, frames=frames, heads=[head]))
    assert np.allclose(acquisition.column_offsets_mm, offset)
    assert np.allclose(acquisition.centre_mm, axis, atol=1e-3)
    assert any(f"({stored:g} mm) applied" in note for note in acquisition.notes)
    assert_sees_point(acquisition, axis + POINT)


@pytest.mark.parametrize(
    ("value", "elements", "words"),
    [
        (10.0, {"CorrectedImage": ["UNIF", "COR"]}, "not applied"),
        (120.0, {}, "not plausible"),
        ([1.0, 2.0], {}, "2 centre-of-rotation offsets"),
        (0.0, {}, ""),
    ],
)
def test_offsets_that_must_not_be_applied(tmp_path, value, elements, words):
    path = write(tmp_path, heads=[detector(225.0, CenterOfRotationOffset=value)], **elements)
    acquisition = read_nm(path)
    assert acquisition.column_offsets_mm is None
    assert any(words in note for note in acquisition.notes if "centre-of-rotation" in note) == bool(words)


def test_each_gate_on_request(tmp_path):
    frames = np.concatenate([(slot + 1) * project_point(POINT, ANGLES, counts=10) for slot in range(8)])
    vectors = {
        **tomo_vectors(N, detectors=8),
        "DetectorVector": [1] * 8 * N,
        "RRIntervalVector": [1] * 8 * N,
        "TimeSlotVector": np.repeat(np.arange(8, 0, -1), N).tolist(),  # last slot first
    }
    path = write(tmp_path, frames=frames, vectors=vectors, kind="GATED TOMO")
    gates = read_gates(path)
    assert [int(gate.counts[0, 0].sum()) for gate in gates] == [80, 70, 60, 50, 40, 30, 20, 10]
    summed, _ = read_spect(path)
    assert np.array_equal(sum(gate.counts for gate in gates), summed.counts)
    for k, gate in enumerate(gates, start=1):
        assert f"gate {k} of 8; the gates share the time of each view" in gate.notes
        assert np.array_equal(gate.angles_deg, summed.angles_deg)
        assert_sees_point(gate)
    with pytest.raises(UnreadableInputError, match="not gated"):
        read_gates(write(tmp_path))


def test_inspection_says_what_is_special(tmp_path):
    path = cut(tmp_path, [k for k in range(N) if k != 4], heads=[detector(225.0, CenterOfRotationOffset=3.0)])
    (found,) = inspect(path).found
    assert found.facts["centre_of_rotation_offset_mm"] == [3.0, 3.0]
    low, high = found.facts["view_weights"]
    assert (low, high) == (pytest.approx(0.5 ** (19 * 20 / (6.0067 * 3600)), abs=1e-4), 1.0)
    assert "view 5 of 20 is missing" in found.notes


def test_the_maker_is_kept(tmp_path):
    assert read_nm(write(tmp_path, Manufacturer="SIEMENS NM")).manufacturer == "SIEMENS NM"


def test_views_in_words():
    assert views_in_words([7]) == "view 7"
    assert views_in_words([18, 17]) == "views 17 and 18"
    assert views_in_words([3, 9, 57, 58, 59, 60]) == "views 3, 9 and 57 to 60"


@pytest.mark.parametrize(("missing", "rank"), [(3, Rank.GUESSED), (6, Rank.GUESSED), (7, Rank.CHANGES_ANSWER)])
def test_views_that_are_missing_change_the_answer_above_a_tenth(missing, rank) -> None:
    assert nm_views._rank_without(missing, 60) is rank
