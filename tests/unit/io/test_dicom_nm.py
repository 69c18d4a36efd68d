from __future__ import annotations

import math

import numpy as np
import pytest

from mureg.errors import GeometryError, MuregError, UnreadableInputError
from mureg.io.nm.choose import read_nm
from mureg.spect.acquisition import Acquisition
from support.dicom import change, detector, item, project_point, rotation, tomo_vectors, write_nm

POINT = (12.0, -8.0, 17.0)  # left, front, up
N = 8
SHAPE, PIXEL = (16, 12), 5.0


def angles(start: float, step: float, n: int = N) -> list[float]:
    return [start + k * step for k in range(n)]


def assert_sees_point(acquisition: Acquisition, point=POINT) -> None:
    """In every view the hot pixel is where the point must be seen from the detector's stated angle."""
    s = acquisition.pixel_mm[0]
    rows, columns = acquisition.counts.shape[2:]
    offset = np.asarray(point) - np.asarray(acquisition.centre_mm)
    for frame, angle in zip(acquisition.photopeak_counts, acquisition.angles_deg, strict=True):
        t = math.radians(angle)
        row, column = np.unravel_index(frame.argmax(), frame.shape)
        assert abs(row - ((rows - 1) / 2 - offset[2] / s)) <= 0.51
        assert abs(column - ((columns - 1) / 2 + (-offset[0] * math.cos(t) + offset[1] * math.sin(t)) / s)) <= 0.51


def plain(tmp_path, *, start=225.0, step=-6.0, frames=None, **changes):
    """One detector, N views of POINT."""
    frames = project_point(POINT, angles(start, step)) if frames is None else frames
    settings = {
        "vectors": tomo_vectors(N),
        "detectors": [detector(start)],
        "rotations": [rotation(start, abs(step), N, sense="CC" if step > 0 else "CW")],
        **changes,
    }
    return write_nm(tmp_path / "tomo.dcm", frames, settings.pop("vectors"), **settings)


@pytest.mark.parametrize("feet_first", [False, True])
@pytest.mark.parametrize(("start", "step"), [(225.0, -6.0), (45.0, 6.0), (0.0, 45.0), (180.0, -45.0)])
def test_every_view_sees_the_point_where_it_must(tmp_path, start, step, feet_first):
    acquisition = read_nm(plain(tmp_path, start=start, step=step, feet_first=feet_first))
    assert np.allclose(acquisition.angles_deg, angles(start, step))
    assert np.allclose(acquisition.centre_mm, 0, atol=1e-3)
    assert np.allclose(acquisition.radii_mm, 200)
    assert acquisition.seconds_per_view == 20
    assert acquisition.patient_position == ("FFS" if feet_first else "HFS")
    assert acquisition.collimator == "LEHR"
    assert not any("turned" in note for note in acquisition.notes)
    assert_sees_point(acquisition)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("feet_up", [False, True])
def test_flipped_rows_and_columns_are_turned_and_said(tmp_path, mirrored, feet_up):
    frames = project_point(POINT, angles(225, -6))
    frames = frames[:, :: -1 if feet_up else 1, :: -1 if mirrored else 1]
    acquisition = read_nm(plain(tmp_path, frames=frames, detectors=[detector(225, mirrored=mirrored, feet_up=feet_up)]))
    assert_sees_point(acquisition)
    assert any("feet up" in n for n in acquisition.notes) == feet_up
    assert any("viewer's left" in n for n in acquisition.notes) == mirrored


def test_frames_follow_their_vectors_not_their_positions(tmp_path):
    order = np.random.default_rng(0).permutation(2 * N)
    lower = np.full((N, *SHAPE), 3, dtype=np.uint16)
    frames = np.concatenate([lower, project_point(POINT, angles(225, -6))])[order]
    vectors = {k: np.asarray(v)[order].tolist() for k, v in tomo_vectors(N, windows=2).items()}
    acquisition = read_nm(plain(tmp_path, frames=frames, vectors=vectors, windows=((114, 126), (126.5, 154.5))))
    assert acquisition.photopeak == 1
    assert acquisition.counts.shape == (2, N, *SHAPE)
    assert float(acquisition.counts[0].max()) == 3
    assert_sees_point(acquisition)


@pytest.mark.parametrize(
    ("nuclide", "windows", "photopeak", "name"),
    [
        ("^99m^Technetium", ((114, 126), (126.5, 154.5), (60, 80)), 1, "Tc-99m"),
        ("^201^Thallium", ((126, 154), (59.5, 80.5)), 1, "Tl-201"),
        ("Iodine I^123^", ((126, 154), (143, 175)), 1, "I-123"),
        ("Tc-99m", ((100, 180), (126, 154)), 1, "Tc-99m"),
        ("", ((90, 110), (126, 154)), 1, "Tc-99m"),
    ],
)
def test_photopeak_is_the_window_of_the_nuclides_line(tmp_path, nuclide, windows, photopeak, name):
    vectors = tomo_vectors(N, windows=len(windows))
    frames = np.tile(project_point(POINT, angles(225, -6)), (len(windows), 1, 1))
    acquisition = read_nm(plain(tmp_path, frames=frames, vectors=vectors, windows=windows, nuclide=nuclide))
    assert (acquisition.photopeak, acquisition.nuclide) == (photopeak, name)
    assert any("assumed" in n for n in acquisition.notes) == (nuclide == "")


def test_gates_are_summed_and_said(tmp_path):
    views = project_point(POINT, angles(225, -6), counts=10)
    frames = np.concatenate([views * (gate + 1) for gate in range(4)])
    vectors = {
        "EnergyWindowVector": [1] * 4 * N,
        "DetectorVector": [1] * 4 * N,
        "RotationVector": [1] * 4 * N,
        "RRIntervalVector": [1] * 4 * N,
        "TimeSlotVector": np.repeat([1, 2, 3, 4], N).tolist(),
        "AngularViewVector": list(range(1, N + 1)) * 4,
    }
    acquisition = read_nm(plain(tmp_path, frames=frames, vectors=vectors, kind="GATED TOMO"))
    assert acquisition.counts.shape == (1, N, *SHAPE)
    assert float(acquisition.counts[0, 0].sum()) == 10 * (1 + 2 + 3 + 4)
    assert "4 gates summed" in acquisition.notes
    assert_sees_point(acquisition)
    vectors["TimeSlotVector"][0] = 5
    with pytest.raises(UnreadableInputError, match="gates"):
        read_nm(plain(tmp_path, frames=frames, vectors=vectors, kind="GATED TOMO"))


def dual_head(tmp_path, *, own_start=True, oriented=True, **changes):
    starts = (225.0, 135.0)
    frames = np.concatenate([project_point(POINT, angles(s, -6)) for s in starts])
    heads = [detector(s if oriented else None, **({"StartAngle": s} if own_start else {})) for s in starts]
    return plain(tmp_path, frames=frames, vectors=tomo_vectors(N, detectors=2), detectors=heads, **changes)


@pytest.mark.parametrize("own_start", [True, False])
def test_two_heads_have_their_own_angles(tmp_path, own_start):
    acquisition = read_nm(dual_head(tmp_path, own_start=own_start))
    assert np.allclose(acquisition.angles_deg, angles(225, -6) + angles(135, -6))
    assert np.allclose(acquisition.centre_mm, 0, atol=1e-3)
    assert_sees_point(acquisition)
    assert any("taken from its orientation" in n for n in acquisition.notes) != own_start


def test_second_head_without_any_angle_is_refused(tmp_path):
    with pytest.raises(GeometryError, match="StartAngle of detector 2 is missing"):
        read_nm(dual_head(tmp_path, own_start=False, oriented=False))


def test_two_heads_agree_on_an_axis_far_from_the_origin(tmp_path):
    axis = (60.0, -70.0, -300.0)
    point = np.asarray(POINT) + axis
    starts = (225.0, 135.0)
    frames = np.concatenate([project_point(point, angles(s, -6), axis=axis) for s in starts])
    heads = [detector(s, axis=axis, StartAngle=s) for s in starts]
    acquisition = read_nm(plain(tmp_path, frames=frames, vectors=tomo_vectors(N, detectors=2), detectors=heads))
    assert np.allclose(acquisition.centre_mm, axis, atol=1e-3)
    assert_sees_point(acquisition, point)


def test_two_rotations_start_where_each_says(tmp_path):
    frames = np.concatenate([project_point(POINT, angles(225, -6)), project_point(POINT, angles(183, 6))])
    vectors = tomo_vectors(N, windows=1, detectors=2)
    vectors["RotationVector"], vectors["DetectorVector"] = vectors["DetectorVector"], vectors["RotationVector"]
    turns = [rotation(225, 6, N, sense="CW"), rotation(183, 6, N, sense="CC")]
    acquisition = read_nm(plain(tmp_path, frames=frames, vectors=vectors, rotations=turns))
    assert np.allclose(acquisition.angles_deg, angles(225, -6) + angles(183, 6))
    assert_sees_point(acquisition)


def test_geometry_may_sit_in_the_detector_item(tmp_path):
    radii = [200.0 + k for k in range(N)]
    head = detector(225, StartAngle=225, RotationDirection="CW", AngularStep=6, RadialPosition=radii)
    bare = rotation(None, 6, N, RotationDirection=None, AngularStep=None, RadialPosition=None)
    acquisition = read_nm(plain(tmp_path, detectors=[head], rotations=[bare]))
    assert np.allclose(acquisition.angles_deg, angles(225, -6))
    assert np.allclose(acquisition.radii_mm, radii)


def test_private_ge_radius_offsets_are_added(tmp_path):
    path = plain(tmp_path)
    import pydicom

    ds = pydicom.dcmread(path)
    inner = pydicom.Dataset()
    inner.add_new(0x00130010, "LO", "GEMS_GENIE_1")
    inner.add_new(0x0013101E, "DS", [str(k) for k in range(N)])
    ds.add_new(0x00550010, "LO", "GEMS_GENIE_1")
    ds.add_new(0x00551022, "SQ", [inner])
    ds.save_as(path)
    acquisition = read_nm(path)
    assert np.allclose(acquisition.radii_mm, 200 + np.arange(N))
    assert any("GE radius offsets added" in n for n in acquisition.notes)


def test_without_orientation_the_usual_one_is_assumed_and_said(tmp_path):
    for feet_first in (False, True):
        acquisition = read_nm(plain(tmp_path, detectors=[detector(None)], feet_first=feet_first))
        assert acquisition.centre_mm == (0.0, 0.0, 0.0)
        assert any("no orientation" in n for n in acquisition.notes)
        assert any("no position" in n for n in acquisition.notes)
        assert_sees_point(acquisition)


@pytest.mark.parametrize("feet_up", [False, True])
def test_orientation_against_the_angle_is_noted_with_both(tmp_path, feet_up):
    acquisition = read_nm(plain(tmp_path, detectors=[detector(225, turned_deg=90, feet_up=feet_up)]))
    note = next(n for n in acquisition.notes if "start angle used" in n)
    assert "225.0" in note
    assert ("315.0" in note) != feet_up
    frames = project_point(POINT, angles(225, -6))
    turned = frames[:, ::-1, ::-1] if feet_up else frames
    assert np.array_equal(acquisition.photopeak_counts, turned)


def test_position_as_corner_of_the_cube(tmp_path):
    axis = np.array([4.0, -6.0, 40.0])
    head = detector(225, axis=axis)
    corner = axis + np.array([-5.5 * PIXEL, -5.5 * PIXEL, 7.5 * PIXEL])
    head.ImagePositionPatient = [f"{v:.4f}" for v in corner]
    frames = project_point(axis + POINT, angles(225, -6), axis=axis)
    acquisition = read_nm(plain(tmp_path, detectors=[head], frames=frames))
    assert np.allclose(acquisition.centre_mm, axis, atol=1e-3)
    assert any("cube" in n for n in acquisition.notes)
    assert_sees_point(acquisition, axis + POINT)


def test_an_axis_far_away_is_not_used(tmp_path):
    acquisition = read_nm(plain(tmp_path, detectors=[detector(225, axis=(900.0, 0, 0))]))
    assert acquisition.centre_mm[:2] == (0.0, 0.0)
    assert any("the origin used instead" in n for n in acquisition.notes)


def test_rescale_and_real_world_values_are_applied(tmp_path):
    frames = project_point(POINT, angles(225, -6), counts=50)
    assert float(read_nm(plain(tmp_path, frames=frames, RescaleSlope=0.5, RescaleIntercept=2)).counts.max()) == 27
    mapping = item(RealWorldValueSlope=0.25, RealWorldValueIntercept=0.0)
    mapped = read_nm(plain(tmp_path, frames=frames, RealWorldValueMappingSequence=[mapping]))
    assert float(mapped.counts.max()) == 12.5


BROKEN = [
    ({"AngularViewVector": list(range(1, N))}, "AngularViewVector has 7 values"),
    ({"AngularViewVector": None}, "AngularViewVector, which is missing"),
    ({"AngularViewVector": [1, 1, *range(3, N + 1)]}, "two frames are both energy window 1.*view 1"),
    ({"AngularViewVector": [1, 2, 3, 4, 5, 6, 7, 9]}, "view 8 is missing"),
    ({"AngularViewVector": [0, *range(2, N + 1)]}, "from 0"),
    ({"FrameIncrementPointer": None}, "FrameIncrementPointer is missing"),
    ({"FrameIncrementPointer": [0x00540010]}, "does not name AngularViewVector"),
    ({"FrameIncrementPointer": [0x00540030]}, "dynamic or planar"),
    ({"NumberOfFrames": 0}, "0 frames"),
    ({"RotationInformationSequence": []}, "RotationInformationSequence"),
    ({"RotationInformationSequence": [rotation(None, 6, N, sense="CW")]}, "StartAngle is missing"),
    ({"RotationInformationSequence": [rotation(225, 6, N, RotationDirection=None)]}, "RotationDirection"),
    ({"RotationInformationSequence": [rotation(225, 6, N, AngularStep=None)]}, "AngularStep is missing"),
    ({"RotationInformationSequence": [rotation(225, 6, 2 * N)]}, "8 views of 16"),
    ({"RotationInformationSequence": [rotation(225, 6, N, RadialPosition=[200.0] * 3)]}, "RadialPosition holds 3"),
    ({"PixelSpacing": None}, "PixelSpacing is missing"),
    ({"PixelData": None}, "no pixel data"),
    ({"PixelData": b"\0" * 100}, "do not fit its header"),
    ({"EnergyWindowVector": [1] * (N - 1) + [2]}, "window 2 has 1 views"),
    ({"ManufacturerModelName": "Discovery NM 530c"}, "only form that is read from cameras such as the NM 530c"),
    ({"ManufacturerModelName": "StarGuide"}, "reconstructed volume"),
    ({"NumberOfDetectors": 19}, "reconstructed volume"),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]}, "STATIC"),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "NM"),
]


@pytest.mark.parametrize(("elements", "words"), BROKEN)
def test_broken_projections_are_refused_by_name(tmp_path, elements, words):
    path = plain(tmp_path)
    change(path, **elements)
    with pytest.raises(MuregError, match=words) as refusal:
        read_nm(path)
    assert "Secret" not in str(refusal.value)


def test_tilted_and_converging_detectors_are_refused(tmp_path):
    tilted = detector(180)
    tilted.ImageOrientationPatient = [1, 0, 0, 0, f"{math.sin(0.4):.6f}", f"{-math.cos(0.4):.6f}"]
    with pytest.raises(GeometryError, match="tilted by 23 degrees"):
        read_nm(plain(tmp_path, start=180.0, detectors=[tilted]))
    fan = detector(225)
    fan.CollimatorType = "FANB"
    with pytest.raises(UnreadableInputError, match="FANB collimator"):
        read_nm(plain(tmp_path, detectors=[fan]))


def test_no_window_with_the_line_is_refused(tmp_path):
    with pytest.raises(UnreadableInputError, match=r"no energy window holds the 140\.5 keV line of Tc-99m"):
        read_nm(plain(tmp_path, windows=((60, 80),)))


def test_derived_step_and_unknown_radius_are_said(tmp_path):
    turn = rotation(225, 6, N, sense="CW", AngularStep=None, RadialPosition=None, ScanArc=48)
    acquisition = read_nm(plain(tmp_path, rotations=[turn]))
    assert np.allclose(acquisition.angles_deg, angles(225, -6))
    assert acquisition.radii_mm is None
    assert any("scan arc" in n for n in acquisition.notes)
    assert any("no detector radius" in n for n in acquisition.notes)


def test_numbers_that_are_none_are_refused(tmp_path):
    path = plain(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"225.0 ", b"abc   "))
    with pytest.raises(UnreadableInputError, match="StartAngle"):
        read_nm(path)
