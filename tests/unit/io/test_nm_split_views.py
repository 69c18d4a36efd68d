"""Projections that an archive or camera stores as one object for each view, or spread over several objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from mureg.errors import MuregError
from mureg.io import inspect, read_gates, read_spect
from mureg.io.worklist.find import find_pairs
from support.dicom import (
    change,
    chest_like,
    detector,
    project_point,
    rotation,
    tomo_vectors,
    uid,
    view_directions,
    write_ct,
    write_nm,
)

POINT = (20.0, -10.0, 15.0)
N, STEP = 12, -15.0
ANGLES = 225 + STEP * np.arange(N)
VECTORS = ("EnergyWindowVector", "DetectorVector", "RotationVector", "AngularViewVector")


def view_object(folder: Path, k: int, *, number: int, start: float, planned: int = N, **elements) -> Path:
    """View k (from 0) as an object; names are in no order, its detector stands where the view was taken."""
    folder.mkdir(parents=True, exist_ok=True)
    turn = rotation(start, abs(STEP), planned, sense="CW", **elements.pop("turn", {}))
    defaults = {"SeriesInstanceUID": uid("acquisition"), "InstanceNumber": k + 1, "SeriesDescription": "MYO STRESS"}
    return write_nm(
        folder / f"{(7 * k) % 100:02d}-{k}.dcm",
        project_point(POINT, [ANGLES[k]], counts=100 + k),
        {keyword: [1] for keyword in VECTORS[:3]} | {"AngularViewVector": [number]},
        detectors=[detector(float(ANGLES[k if start != ANGLES[0] else 0]))],
        rotations=[turn],
        **(defaults | elements),
    )


def assert_every_view_sees_the_point(acquisition, views=range(N)) -> None:
    """The hottest pixel is where the point is seen from the angle by the geometry of PS3.3, with its own counts."""
    assert acquisition.n_views == len(views)
    for frame, angle, k in zip(acquisition.photopeak_counts, acquisition.angles_deg, views, strict=True):
        assert float(angle - ANGLES[k]) % 360 == pytest.approx(0, abs=1e-6)
        row, column = np.unravel_index(frame.argmax(), frame.shape)
        _, right = view_directions(float(angle))
        assert abs(row - (7.5 - POINT[2] / 5)) <= 0.51
        assert abs(column - (5.5 + np.asarray(POINT) @ right / 5)) <= 0.51
        assert frame.max() == 100 + k


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("numbers", "by their vectors"),
        ("angles", "by their start angles"),
        ("both", "by their start angles"),
        ("instances", "by InstanceNumber"),
    ],
)
@pytest.mark.parametrize("planned", [N, 1])
def test_one_object_for_each_view(way, words, planned, tmp_path) -> None:
    """The views say which they are by AngularViewVector, their start angles, both, or InstanceNumber alone."""
    if way == "instances" and planned == 1:
        planned = N
    for k in range(N):
        number = k + 1 if way in ("numbers", "both") else 1
        start = float(ANGLES[k] % 360) if way in ("angles", "both") else 225.0
        view_object(tmp_path, k, number=number, start=start, planned=planned)
    acquisition, source = read_spect(tmp_path)
    assert_every_view_sees_the_point(acquisition)
    assert source.files == N
    assert any(f"{N} objects of projections joined" in note and words in note for note in acquisition.notes)
    (found,) = inspect(tmp_path).found
    assert (found.kind, found.files, found.refusal) == ("projections", N, "")


def test_a_series_for_each_view(tmp_path) -> None:
    for k in range(N):
        view_object(tmp_path, k, number=k + 1, start=225.0, SeriesInstanceUID=uid("of view", k))
    assert_every_view_sees_the_point(read_spect(tmp_path)[0])


def test_without_vectors_and_number_of_frames(tmp_path) -> None:
    for k in range(N):
        path = view_object(tmp_path, k, number=1, start=float(ANGLES[k] % 360))
        ds = pydicom.dcmread(path)
        for keyword in (*VECTORS, "FrameIncrementPointer", "NumberOfFrames"):
            del ds[keyword]
        ds.save_as(path)
    assert_every_view_sees_the_point(read_spect(tmp_path)[0])


def test_radius_duration_and_slope_are_those_of_each_view(tmp_path) -> None:
    """An orbit that follows the body, views of 20 and 25 s, and half the objects with stored values halved."""
    for k in range(N):
        turn = {"RadialPosition": 200.0 + k, "ActualFrameDuration": 25000 if k % 2 else 20000}
        path = view_object(tmp_path, k, number=k + 1, start=225.0, turn=turn, CorrectedImage=["DECY"])
        if k % 2:
            ds = pydicom.dcmread(path)
            ds.PixelData = (ds.pixel_array.astype(float) * 2).astype("<u2").tobytes()
            ds.RescaleSlope, ds.RescaleIntercept = "0.5", "0"
            ds.save_as(path)
    acquisition = read_spect(tmp_path)[0]
    assert_every_view_sees_the_point(acquisition)
    np.testing.assert_allclose(acquisition.radii_mm, 200.0 + np.arange(N))
    np.testing.assert_allclose(acquisition.view_weights, [1.25 if k % 2 else 1.0 for k in range(N)], rtol=1e-6)


def test_a_view_that_is_missing_is_said_and_the_others_keep_their_angles(tmp_path) -> None:
    for k in range(N):
        if k != 4:
            view_object(tmp_path, k, number=1, start=float(ANGLES[k] % 360))
    acquisition = read_spect(tmp_path)[0]
    assert_every_view_sees_the_point(acquisition, [k for k in range(N) if k != 4])
    assert any("view 5 of 12 is missing" in note for note in acquisition.notes)


@pytest.mark.shared_data
def test_a_real_acquisition_taken_apart_is_the_one_it_was(shared_data, tmp_path) -> None:
    """Thirty views of a clinical study, each written by pydicom as an object of its own, in names of no order."""
    source = shared_data / "nm" / "mpi_stress_tomo_180deg_30views.dcm"
    whole, frames = read_spect(source)[0], pydicom.dcmread(source).pixel_array
    for k, frame in enumerate(frames):
        ds = pydicom.dcmread(source)
        ds.NumberOfFrames, ds.PixelData, ds.InstanceNumber = 1, frame.tobytes(), k + 1
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid("view", k)
        for keyword in VECTORS:
            setattr(ds, keyword, [list(ds[keyword].value)[k]])
        ds.save_as(tmp_path / f"{(7 * k) % 97:02d}.dcm")
    joined, source = read_spect(tmp_path)
    np.testing.assert_array_equal(joined.counts, whole.counts)
    np.testing.assert_allclose(joined.angles_deg, whole.angles_deg)
    np.testing.assert_allclose(joined.centre_mm, whole.centre_mm)
    np.testing.assert_allclose(joined.radii_mm, whole.radii_mm)
    assert source.files == len(frames)


@pytest.mark.parametrize("own_start", [True, False])
def test_an_object_for_each_of_two_heads(own_start, tmp_path) -> None:
    """Each head's views in an object of one series, its own start angle in its detector or in its rotation."""
    for head, first in enumerate((225.0, 135.0)):
        orbit = first + STEP * np.arange(6)
        item = detector(first, **({"StartAngle": first} if own_start else {}))
        write_nm(
            tmp_path / f"{1 - head}.dcm",
            project_point(POINT, orbit, counts=100),
            tomo_vectors(6) | {"DetectorVector": [head + 1] * 6},
            detectors=[item],
            rotations=[rotation(225.0 if own_start else first, 15, 6, sense="CW")],
            SeriesInstanceUID=uid("acquisition"),
        )
    acquisition = read_spect(tmp_path)[0]
    np.testing.assert_allclose(acquisition.angles_deg, [*(225 - 15.0 * np.arange(6)), *(135 - 15.0 * np.arange(6))])
    for frame, angle in zip(acquisition.photopeak_counts, acquisition.angles_deg, strict=True):
        column = np.unravel_index(frame.argmax(), frame.shape)[1]
        assert abs(column - (5.5 + np.asarray(POINT) @ view_directions(float(angle))[1] / 5)) <= 0.51


def test_an_object_for_each_energy_window(tmp_path) -> None:
    windows = ((126.5, 154.5), (114.0, 126.0))
    for k in (1, 2):
        write_nm(
            tmp_path / f"{k}.dcm",
            project_point(POINT, ANGLES, counts=100 * k),
            tomo_vectors(N) | {"EnergyWindowVector": [k] * N},
            detectors=[detector(225.0)],
            rotations=[rotation(225.0, 15, N, sense="CW")],
            windows=windows,
            SeriesInstanceUID=uid("acquisition"),
        )
    acquisition = read_spect(tmp_path)[0]
    assert [float(window.max()) for window in acquisition.counts] == [100.0, 200.0]
    assert acquisition.photopeak == 0


@pytest.mark.parametrize("axis", ["EnergyWindowVector", "TimeSlotVector"])
@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("alternate", "by their vectors"),
        ("numbers", "by their vectors"),
        ("angles", "by their start angles"),
        ("instances", "by InstanceNumber"),
    ],
)
def test_views_in_two_energy_windows_or_gates_stay_apart(way, words, axis, tmp_path) -> None:
    """An object for each view in both, or for each view in each of them, in alternation."""
    for k in range(N):
        frames = [project_point(POINT, [ANGLES[k]], counts=counts + k) for counts in (100, 40)]
        number = k + 1 if way in ("alternate", "numbers") else 1
        start = float(ANGLES[k] % 360) if way == "angles" else 225.0
        for n, held in enumerate(((0,), (1,)) if way == "alternate" else ((0, 1),)):
            vectors = tomo_vectors(1, windows=1) | {"AngularViewVector": [number], "TimeSlotVector": [1]}
            vectors = {name: value * len(held) for name, value in vectors.items()} | {axis: [h + 1 for h in held]}
            write_nm(
                tmp_path / f"{(7 * k) % 97:02d}-{n}.dcm",
                np.concatenate([frames[h] for h in held]),
                vectors,
                kind="TOMO" if axis == "EnergyWindowVector" else "GATED TOMO",
                detectors=[detector(225.0)],
                rotations=[rotation(start, abs(STEP), N, sense="CW")],
                windows=((126.5, 154.5), (114.0, 126.0)),
                SeriesInstanceUID=uid("acquisition"),
                InstanceNumber=k + 1,
            )
    acquisition = read_spect(tmp_path)[0]
    assert any(words in note for note in acquisition.notes)
    if axis == "EnergyWindowVector":
        assert_every_view_sees_the_point(acquisition)
        second = acquisition.counts[1]
    else:
        first, gated = read_gates(tmp_path)
        assert_every_view_sees_the_point(first)
        second = gated.photopeak_counts
    np.testing.assert_array_equal(second.max((1, 2)), 40 + np.arange(N))


def test_an_object_for_each_gate(tmp_path) -> None:
    for k in (1, 2):
        write_nm(
            tmp_path / f"{3 - k}.dcm",
            project_point(POINT, ANGLES, counts=100 * k),
            tomo_vectors(N) | {"TimeSlotVector": [k] * N},
            kind="GATED TOMO",
            detectors=[detector(225.0)],
            rotations=[rotation(225.0, 15, N, sense="CW")],
            SeriesInstanceUID=uid("acquisition"),
        )
    assert [float(gate.counts.max()) for gate in read_gates(tmp_path)] == [100.0, 200.0]
    assert float(read_spect(tmp_path)[0].counts.max()) == 300.0


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"windows": ((114.0, 126.0),)}, "differ in their energy windows"),
        ({"turn": {"AngularStep": 6.0}}, "differ in their rotation"),
        ({"turn": {"RotationDirection": "CC"}}, "differ in their rotation"),
        ({"pixel": 6.0}, "differ in PixelSpacing"),
        ({"nuclide": "^123^Iodine"}, "differ in their nuclide"),
        ({"number": 3}, "some are the same view"),
        ({"start": 60.0}, "different start angles"),
        ({"turn": {"RadialPosition": None}}, "differ in RadialPosition"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(odd, words, tmp_path) -> None:
    for k in range(N):
        view_object(tmp_path, k, **({"number": k + 1, "start": 225.0} | (odd if k == 5 else {})))
    with pytest.raises(MuregError, match=words) as refusal:
        read_spect(tmp_path)
    assert "export" in str(refusal.value)


def test_angles_between_the_steps_are_refused(tmp_path) -> None:
    for k in range(N):
        view_object(tmp_path, k, number=1, start=float(ANGLES[k] % 360) + (4.0 if k == 5 else 0.0))
    with pytest.raises(MuregError, match="not whole steps of 15 degrees"):
        read_spect(tmp_path)


def test_angles_that_run_against_the_view_numbers_are_refused(tmp_path) -> None:
    for k in range(N):
        view_object(tmp_path, k, number=N - k, start=float(ANGLES[k] % 360))
    with pytest.raises(MuregError, match="contradict their view numbers"):
        read_spect(tmp_path)


def test_instance_numbers_that_the_orientations_contradict_are_refused(tmp_path) -> None:
    for k in range(N):
        path = view_object(tmp_path, k, number=1, start=225.0, InstanceNumber=N - k)
        ds = pydicom.dcmread(path)
        place = detector(float(ANGLES[k]))
        ds.DetectorInformationSequence[0].ImageOrientationPatient = place.ImageOrientationPatient
        ds.save_as(path)
    with pytest.raises(MuregError, match="orientations of the objects contradict"):
        read_spect(tmp_path)


@pytest.mark.parametrize(
    "elements", [{"PatientID": "T2"}, {"StudyInstanceUID": "1.2.8"}, {"FrameOfReferenceUID": "1.9"}]
)
def test_views_of_two_scans_are_not_joined(elements, tmp_path) -> None:
    for k in range(N):
        view_object(tmp_path, k, number=k + 1, start=225.0, **(elements if k > 5 else {}))
    with pytest.raises(MuregError, match="2 NM objects"):
        read_spect(tmp_path)


def test_two_whole_acquisitions_of_one_series_stay_two(tmp_path) -> None:
    for name in ("rest", "stress"):
        write_nm(
            tmp_path / f"{name}.dcm",
            project_point(POINT, ANGLES),
            tomo_vectors(N),
            detectors=[detector(225.0)],
            rotations=[rotation(225.0, 15, N, sense="CW")],
            SeriesInstanceUID=uid("acquisition"),
        )
    with pytest.raises(MuregError, match="2 NM objects found"):
        read_spect(tmp_path)


def test_batch_pairs_the_views_with_their_ct(tmp_path) -> None:
    for k in range(N):
        view_object(tmp_path / "p" / "nm", k, number=k + 1, start=225.0)
    for file in write_ct(tmp_path / "p" / "ct", chest_like()):
        change(file, FrameOfReferenceUID=uid("frame"))
    (pair,) = find_pairs(tmp_path)
    assert (pair.problem, pair.ct) == ("", tmp_path / "p" / "ct")
    assert_every_view_sees_the_point(read_spect(pair.spect, pair.spect_series)[0])
