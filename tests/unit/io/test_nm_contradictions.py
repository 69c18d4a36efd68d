"""Statements of one NM header that contradict each other: a third one decides, or the object is refused.

Balls are projected by the angles of PS3.3 and found again; the amounts in them, seen through an elliptical chest of
water in closed form, show from which side the attenuation is taken.
"""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from mureg import Osem, reconstruct
from mureg.errors import GeometryError, UnitsError, UnreadableInputError
from mureg.geometry import Quantity, Volume
from mureg.io import read_spect
from mureg.io.dicom.files import DicomFile
from mureg.io.nm.choose import load_nm_map, read_nm
from mureg.notes import Rank, rank_of
from mureg.spect.physics import WITHOUT
from support import dicom
from support.balls import AXIS_MM, BALLS, PIXEL_MM, SHAPE, SIGMA_MM, place_of

N, START, STEP, RADIUS = 30, 225.0, 6.0, 250.0
WATER_PER_MM, CHEST_MM = 0.0154, (150.0, 115.0)


def depth_mm(place: np.ndarray, away: np.ndarray) -> float:
    """From a place in the elliptical chest to its surface, towards the detector."""
    p, d = place[:2] / CHEST_MM, away[:2] / CHEST_MM
    a, b, c = d @ d, p @ d, p @ p - 1.0
    return float((-b + np.sqrt(b * b - a * c)) / a)


def seen_through_the_chest(angles) -> np.ndarray:
    """Projections of the balls, weakened by the water between each ball and the detector."""
    rows, columns = SHAPE
    z = ((rows - 1) / 2 - np.arange(rows)) * PIXEL_MM
    u = (np.arange(columns) - (columns - 1) / 2) * PIXEL_MM
    frames = []
    for angle in angles:
        away, right = dicom.view_directions(angle)
        frame = np.zeros(SHAPE)
        for place, brightness in BALLS.values():
            offset = np.asarray(place) - AXIS_MM
            ball = np.exp(-((z[:, None] - offset[2]) ** 2 + (u - offset @ right) ** 2) / (2 * SIGMA_MM**2))
            frame += brightness * np.exp(-WATER_PER_MM * depth_mm(offset, away)) * ball
        frames.append(np.round(20000 * frame))
    return np.stack(frames)


def write(path, *, stated_start=START, head=None, frames=None, turn=None, **elements):
    """The balls over 180 degrees; `head` is the detector item, `stated_start` what the rotation item says."""
    angles = START - STEP * np.arange(N)
    return dicom.write_nm(
        path,
        seen_through_the_chest(angles) if frames is None else frames,
        dicom.tomo_vectors(N),
        detectors=[head if head is not None else standing_at(START)],
        rotations=[dicom.rotation(stated_start, STEP, N, sense="CW", RadialPosition=RADIUS, **(turn or {}))],
        pixel=PIXEL_MM,
        CorrectedImage="DECY",
        **elements,
    )


def standing_at(angle, **elements):
    return dicom.detector(angle, axis=AXIS_MM, radius=RADIUS, shape=SHAPE, pixel=PIXEL_MM, **elements)


def amounts(acquisition) -> dict[str, float]:
    """What is found in each ball, as a share of what was put there, and where, after correction with the chest."""
    grid = acquisition.grid()
    x, y, _ = np.moveaxis(grid.points(np.moveaxis(np.indices(grid.shape), 0, -1)) - AXIS_MM, -1, 0)
    chest = np.where((x / CHEST_MM[0]) ** 2 + (y / CHEST_MM[1]) ** 2 < 1, 10 * WATER_PER_MM, 0.0)
    mu = Volume.from_numpy(chest, grid, Quantity.MU_PER_CM)
    image = reconstruct(acquisition, mu, Osem(iterations=8, subsets=6), WITHOUT)
    points = grid.points(np.moveaxis(np.indices(grid.shape), 0, -1))
    shares = {}
    for name, (place, brightness) in BALLS.items():
        near = np.linalg.norm(points - place, axis=-1) < 32.0
        put = 20000 * brightness * 2 * np.pi * SIGMA_MM**2 / PIXEL_MM**2
        shares[name] = float(image.values[near].sum() / put)
        assert np.linalg.norm(place_of(image, place, 0.02 * image.values.max()) - place) < 0.5 * PIXEL_MM
    return shares


@pytest.mark.parametrize("stated", [START, START + 180.0, START + 90.0])
def test_a_start_angle_against_orientation_and_position_is_put_right(tmp_path, stated) -> None:
    acquisition, _ = read_spect(write(tmp_path / "nm.dcm", stated_start=stated))
    assert np.allclose(np.mod(acquisition.angles_deg - (START - STEP * np.arange(N)) + 1, 360), 1, atol=1e-3)
    assert np.allclose(acquisition.centre_mm, AXIS_MM, atol=1e-2)
    assert any("agrees with the orientation, which is used" in n for n in acquisition.notes) == (stated != START)
    for name, share in amounts(acquisition).items():
        assert share == pytest.approx(1.0, abs=0.12), name


def test_an_orientation_turned_about_the_long_axis_gives_way_to_angle_and_position(tmp_path) -> None:
    head = standing_at(START)
    row = np.asarray(head.ImageOrientationPatient, dtype=float)[:3]
    head.ImageOrientationPatient = [f"{v:.6f}" for v in (*-row, 0.0, 0.0, -1.0)]
    acquisition, _ = read_spect(write(tmp_path / "nm.dcm", head=head))
    assert any("agrees with the start angle" in n for n in acquisition.notes)
    assert np.allclose(acquisition.centre_mm, AXIS_MM, atol=1e-2)
    for name, share in amounts(acquisition).items():
        assert share == pytest.approx(1.0, abs=0.12), name


@pytest.mark.parametrize(
    "spoil",
    [
        lambda head: delattr(head, "ImagePositionPatient"),
        lambda head: setattr(head, "ImagePositionPatient", [900.0, 900.0, 0.0]),
    ],
)
@pytest.mark.parametrize("off_deg", [180.0, 90.0, 12.0])
def test_without_a_position_that_decides_it_is_refused_with_both_angles(tmp_path, spoil, off_deg) -> None:
    head = standing_at(START)
    spoil(head)
    with pytest.raises(GeometryError, match=r"is .* degrees but its orientation says 225\.0") as refusal:
        read_spect(write(tmp_path / "nm.dcm", head=head, stated_start=START + off_deg))
    assert f"{(START + off_deg) % 360:.1f}" in refusal.value.found


def test_a_position_of_the_cube_is_no_witness(tmp_path) -> None:
    head = standing_at(START)
    half = (SHAPE[1] - 1) / 2 * PIXEL_MM
    head.ImagePositionPatient = [AXIS_MM[0] - half, AXIS_MM[1] - half, 0.0]
    with pytest.raises(GeometryError, match="position does not decide"):
        read_spect(write(tmp_path / "nm.dcm", head=head, stated_start=START + 180.0))
    with pytest.raises(GeometryError, match="position does not decide"):
        read_spect(write(tmp_path / "ge.dcm", stated_start=START + 180.0, Manufacturer="GE MEDICAL SYSTEMS"))


@pytest.mark.parametrize("arc", [180.0, 174.0, None, 0])
def test_arcs_that_fit_step_and_number(tmp_path, arc) -> None:
    turn = {} if arc is None else {"ScanArc": arc}
    acquisition, _ = read_spect(write(tmp_path / "nm.dcm", turn=turn))
    assert np.allclose(np.diff(acquisition.angles_deg), -STEP)


@pytest.mark.parametrize("arc", [360.0, 90.0, 200.0])
def test_an_arc_that_does_not_is_refused(tmp_path, arc) -> None:
    with pytest.raises(GeometryError, match=f"span 180 degrees but ScanArc says {arc:g}"):
        read_spect(write(tmp_path / "nm.dcm", turn={"ScanArc": arc}))


def test_detector_and_rotation_state_the_same_thing_differently(tmp_path) -> None:
    twice = standing_at(START, StartAngle=45.0)
    acquisition, _ = read_spect(write(tmp_path / "start.dcm", head=twice))
    assert np.isclose(acquisition.angles_deg[0], START)
    assert any("the orientation of the detector decides for 225" in n for n in acquisition.notes)
    with pytest.raises(GeometryError, match="StartAngle is 225 degrees in the rotation and 45 in the detector"):
        read_spect(write(tmp_path / "none.dcm", head=dicom.detector(None, StartAngle=45.0)))
    with pytest.raises(GeometryError, match="RotationDirection is CW in the rotation and CC in the detector"):
        read_spect(write(tmp_path / "sense.dcm", head=standing_at(START, RotationDirection="CC")))
    with pytest.raises(GeometryError, match="RadialPosition is 250 mm in the rotation and 200 mm in the detector"):
        read_spect(write(tmp_path / "radius.dcm", head=standing_at(START, RadialPosition=200.0)))
    three = standing_at(START, AngularStep=3.0)
    with pytest.raises(GeometryError, match="AngularStep is 6 degrees in the rotation and 3 in the detector"):
        read_spect(write(tmp_path / "step.dcm", head=three))
    acquisition, _ = read_spect(write(tmp_path / "arc.dcm", head=three, turn={"ScanArc": 180}))
    assert np.allclose(np.diff(acquisition.angles_deg), -STEP)


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"CollimatorType": "SLNT"}, "a SLNT collimator .*slant hole"),
        ({"CollimatorType": "ASTG"}, "a ASTG collimator .*astigmatic"),
        ({"CollimatorType": "CONE"}, "CONE"),
        ({"CollimatorType": "PINH"}, "PINH"),
        ({"CollimatorType": "CVGB"}, "CVGB"),
        ({"CollimatorGridName": "SMARTZOOM"}, "'SMARTZOOM'"),
        ({"CollimatorType": "UNKN", "CollimatorGridName": "IQ SPECT"}, "'IQ SPECT'"),
        ({"CollimatorType": "", "CollimatorGridName": "LEHR FAN"}, "'LEHR FAN'"),
        ({"CollimatorGridName": "Cone Beam HR"}, "'Cone Beam HR'"),
        ({"CollimatorGridName": "Pinhole 3mm"}, "'Pinhole 3mm'"),
        ({"FocalDistance": 500}, "FocalDistance 500 mm, converging"),
        ({"FocalDistance": -500}, "FocalDistance -500 mm, diverging"),
        ({"ZoomCenter": [0.0, 20.0]}, "ZoomCenter 0 and 20 mm"),
        ({"ZoomCenter": [-3.5, 0.0]}, "ZoomCenter -3.5 and 0 mm"),
    ],
)
def test_what_is_not_parallel_or_not_in_the_middle_is_refused_by_name(tmp_path, elements, words) -> None:
    head = standing_at(START)
    for keyword, value in elements.items():
        setattr(head, keyword, value)
    with pytest.raises(UnreadableInputError, match=words):
        read_spect(write(tmp_path / "nm.dcm", head=head))


@pytest.mark.parametrize(
    "elements",
    [
        {"CollimatorType": "UNKN"},
        {"CollimatorType": ""},
        {"CollimatorType": "PARA", "FocalDistance": 0, "ZoomCenter": [0.0, 0.0]},
        {"CollimatorGridName": "LEHR SILICONE", "FocalDistance": None},
        {"CollimatorGridName": "ELEGP"},
    ],
)
def test_what_is_parallel_or_says_nothing_is_read(tmp_path, elements) -> None:
    head = standing_at(START)
    for keyword, value in elements.items():
        setattr(head, keyword, value)
    assert read_spect(write(tmp_path / "nm.dcm", head=head))[0].n_views == N


def mapping(slope, unit="", intercept=0.0):
    units = [dicom.coded(unit, unit, "UCUM")] if unit else []
    return dicom.item(RealWorldValueSlope=slope, RealWorldValueIntercept=intercept, MeasurementUnitsCodeSequence=units)


def test_real_world_values_against_rescale(tmp_path) -> None:
    frames = np.full((N, *SHAPE), 7)
    total = int(frames.sum())
    lines = {"RescaleSlope": 1, "RescaleIntercept": 0}

    def counts(name, **elements):
        acquisition, _ = read_spect(write(tmp_path / f"{name}.dcm", frames=frames, **lines, **elements))
        return float(acquisition.counts[0, 0, 0, 0]), acquisition.notes

    value, notes = counts("rescale", RealWorldValueMappingSequence=[mapping(0.5)], CountsAccumulated=total)
    assert value == 7
    assert any("counts in the header decides for the rescale values" in note for note in notes)
    value, notes = counts("mapping", RealWorldValueMappingSequence=[mapping(0.5)], CountsAccumulated=total // 2)
    assert value == 3.5
    assert any("decides for the real-world mapping" in note for note in notes)
    value, notes = counts("other", RealWorldValueMappingSequence=[mapping(0.5, "Bq/ml")])
    assert value == 7
    assert any("in Bq/ml were left alone" in note for note in notes)
    value, notes = counts("same", RealWorldValueMappingSequence=[mapping(1.0)])
    assert value == 7
    assert not any("mapping" in note for note in notes)
    with pytest.raises(UnitsError, match=r"RescaleSlope says 1 .* mapping 0\.5"):
        counts("neither", RealWorldValueMappingSequence=[mapping(0.5)])


def map_file(path, values, **elements):
    place = dicom.item(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    dicom.write_nm(
        path,
        values,
        {"SliceVector": list(range(1, len(values) + 1))},
        kind="RECON TOMO",
        source=elements.pop("source", "TRANSMISSION"),
        detectors=[place],
        SpacingBetweenSlices=-5,
        **elements,
    )
    return DicomFile(path, pydicom.dcmread(path, stop_before_pixels=True))


def test_the_tissue_of_a_map_decides_between_its_two_lines(tmp_path) -> None:
    values = np.zeros((6, 8, 8), dtype=np.uint16)
    values[1:-1, 1:-1, 1:-1] = 1540

    def read(name, rescale, mapped, unit=""):
        sequence = [mapping(mapped, unit)]
        lines = {"RescaleSlope": rescale, "RescaleIntercept": 0, "RealWorldValueMappingSequence": sequence}
        volume, notes = load_nm_map(map_file(tmp_path / name, values, **lines))
        return float(volume.values.max()), " ".join(notes)

    largest, notes = read("a", 1e-4, 5e-3)
    assert largest == pytest.approx(0.154)
    assert "tissue of the map decides for the rescale values" in notes
    largest, notes = read("b", 5e-3, 1e-4)
    assert largest == pytest.approx(0.154)
    assert "decides for the mapping" in notes
    largest, notes = read("c", 1, 1e-4, "cm-1")
    assert largest == pytest.approx(0.154)
    with pytest.raises(UnitsError, match="its tissue does not decide"):
        read("d", 1e-4, 0.9e-4)


def test_a_map_typed_emission_is_said_and_refused_as_spect(tmp_path) -> None:
    values = np.zeros((6, 8, 8), dtype=np.uint16)
    values[1:-1, 1:-1, 1:-1] = 1540
    file = map_file(
        tmp_path / "a.dcm", values, source="EMISSION", RealWorldValueMappingSequence=[mapping(1e-4, "cm-1")]
    )
    _, notes = load_nm_map(file)
    assert any("typed EMISSION" in note for note in notes)
    with pytest.raises(UnreadableInputError, match="typed EMISSION whose values are in 1/cm"):
        read_spect(file.path)


def blob(peak: float) -> np.ndarray:
    y, x = np.mgrid[0:40, 0:48]
    return peak * np.exp(-((y - 20) ** 2 + (x - 24) ** 2) / (2 * 4.0**2))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (np.minimum(blob(400), 255), "pixels stand at 255"),
        (np.minimum(blob(90000), 65535), "pixels stand at 65535"),
        (np.minimum(blob(40000), 32767), "pixels stand at 32767"),
        (blob(90000) % 65536, "wrapped around"),
        (blob(300) % 256, "wrapped around"),
        (blob(65535), ""),
        (blob(255), ""),
        (blob(3000), ""),
    ],
)
def test_numbers_that_ran_out_are_said_first(tmp_path, frame, words) -> None:
    frames = np.repeat(np.floor(frame)[None], N, axis=0)
    spect, _ = read_spect(write(tmp_path / "nm.dcm", frames=frames))
    notes = [note for note in spect.notes if rank_of(note) is Rank.CHANGES_ANSWER]
    assert [words in note for note in notes] == ([True] if words else [])


def test_spacing_between_slices_against_their_thickness(tmp_path) -> None:
    values = np.ones((6, 8, 8), dtype=np.uint16)

    def notes(name, **elements):
        file = map_file(tmp_path / name, values, source="EMISSION", **elements)
        from mureg.io.nm.choose import load_nm

        volume, said = load_nm(file)
        return volume.grid.spacing_mm[2], " ".join(said)

    assert notes("a", SliceThickness=5) == (5.0, "")
    spacing, said = notes("b", SliceThickness=10)
    assert spacing == 5.0
    assert "as the pixels of 5 mm agree with it" in said
    with pytest.raises(GeometryError, match="is 5 mm and SliceThickness 8 mm, and the pixels of 8"):
        notes("c", SliceThickness=8, PixelSpacing=[8, 8])


def test_read_nm_says_nothing_of_a_header_without_contradictions(tmp_path) -> None:
    said = " ".join(read_nm(write(tmp_path / "nm.dcm", turn={"ScanArc": 180})).notes)
    for word in ("agrees", "decides", "but"):
        assert word not in said
