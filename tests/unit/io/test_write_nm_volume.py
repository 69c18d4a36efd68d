"""Reconstructions and maps as DICOM: they come back, say whose they are, and overwrite nothing."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from mureg.errors import GeometryError, UnitsError, UnreadableInputError, UsageError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io import inspect, read_mu, read_spect, write_nm_volume
from mureg.io.nm.stored import StoredUnit
from support.dicom import change, detector, item, project_point, rotation, tomo_vectors, write_nm

SHAPE = (9, 8, 7)


def map_of_a_patient(grid: Grid) -> Volume:
    """Air, an ellipse of tissue, some lung and bone, in 1/cm."""
    values = np.full(SHAPE, 0.0)
    values[1:-1, 1:-1] = 0.1537
    values[2:4, 2:5, 3:] = 0.0371
    values[5, 6, 2] = 0.2862
    return Volume.from_numpy(values, grid, Quantity.MU_PER_CM)


def counts(grid: Grid, quantity=Quantity.COUNTS) -> Volume:
    return Volume.from_numpy(np.random.default_rng(5).gamma(2.0, 30.0, SHAPE), grid, quantity)


def grid(frame="") -> Grid:
    return Grid.centred(SHAPE, (6.8, 6.8, 6.4), (3.0, -20.0, 77.7), frame)


@pytest.fixture
def source(tmp_path):
    """Two windows and a maker, a patient who went in feet first."""
    frames = np.tile(project_point((0, 0, 0), 225 - 6.0 * np.arange(8)), (2, 1, 1))
    return write_nm(
        tmp_path / "source.dcm",
        frames,
        tomo_vectors(8, windows=2),
        detectors=[detector(225)],
        rotations=[rotation(225, 6, 8, sense="CW")],
        windows=((114, 126), (126.5, 154.5)),
        feet_first=True,
        Manufacturer="ACME",
        StudyDate="20240131",
        StudyID="17",
        SpecificCharacterSet="ISO_IR 192",
        PatientName="Müller^Jürg",
    )


def test_a_map_comes_back_in_its_unit(tmp_path):
    volume = map_of_a_patient(grid("1.2.3"))
    path = write_nm_volume(volume, tmp_path / "mu.dcm", kind="TRANSMISSION", patient_id="P1")
    back, notes, _ = read_mu(path)
    assert (back.quantity, back.grid.frame_of_reference, notes) == (Quantity.MU_PER_CM, "1.2.3", ())
    tissue = volume.values > 0
    assert np.abs(back.values / np.where(tissue, volume.values, 1) - 1)[tissue].max() < 1e-3
    assert np.abs(back.values - volume.values).max() < 0.51e-5
    assert np.allclose(back.grid.affine, volume.grid.affine, atol=1e-6)
    assert inspect(path).found[0].kind == "attenuation map"


@pytest.mark.parametrize("lowest", [0.0, -7.5])
def test_counts_come_back(tmp_path, lowest):
    volume = counts(grid())
    volume = Volume(volume.values + lowest, volume.grid, volume.quantity)
    path = write_nm_volume(volume, tmp_path / "recon.dcm", kind="EMISSION", patient_id="P1")
    back, _ = read_spect(path)
    assert 32.767 < float(volume.values.max()) < 327.67
    assert np.allclose(back.values, np.maximum(volume.values, 0), rtol=0, atol=0.51 * 0.01)


def test_stored_values_of_a_map_are_hundred_thousandths_of_one_over_cm_whatever_is_in_it(tmp_path):
    """Two patients of whom one has metal: the same tissue is the same number, and no rescale value says otherwise."""
    plain = map_of_a_patient(grid())
    metal = plain.values.copy()
    metal[4, 4, 4] = 0.61
    for name, volume in (("plain", plain), ("metal", Volume(metal, plain.grid, plain.quantity))):
        ds = pydicom.dcmread(write_nm_volume(volume, tmp_path / name, kind="TRANSMISSION", patient_id="P1"))
        np.testing.assert_array_equal(ds.pixel_array[3, 2, 1:3], [15370, 3710], name)
        assert "RescaleSlope" not in ds
        assert "RescaleIntercept" not in ds
        assert "Divide stored values by 100000 to have 1/cm" in ds.DerivationDescription
        mapping = ds.RealWorldValueMappingSequence[0]
        assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1e-5, 0)
        assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "cm-1"
        assert (float(ds.WindowCenter), float(ds.WindowWidth)) == (10000, 20000), "0 to 0.2 1/cm"
    assert ds.LargestImagePixelValue == 61000
    assert ds.SmallestImagePixelValue == 0


def test_what_no_map_can_hold_is_cut_and_counted(tmp_path):
    volume = map_of_a_patient(grid())
    values = volume.values.copy()
    values[4, 4, 4] = values[4, 4, 5] = 2.0
    metal = Volume(values, volume.grid, volume.quantity)
    ds = pydicom.dcmread(write_nm_volume(metal, tmp_path / "mu.dcm", kind="TRANSMISSION", patient_id="P1"))
    assert ds.pixel_array.max() == 65535
    assert "2 voxels beyond 0.65535 1/cm are stored as that" in ds.DerivationDescription


@pytest.mark.parametrize(("factor", "unit"), [(1e-3, 1e-5), (1.0, 1e-2), (1e5, 1e3)])
def test_images_are_stored_in_a_power_of_ten_with_a_window_from_nothing_to_the_brightest(tmp_path, factor, unit):
    volume = counts(grid())
    volume = Volume(volume.values * factor, volume.grid, volume.quantity)
    ds = pydicom.dcmread(write_nm_volume(volume, tmp_path / "r.dcm", kind="EMISSION", patient_id="P1"))
    largest = float(volume.values.max())
    assert ds.RealWorldValueMappingSequence[0].RealWorldValueSlope == pytest.approx(unit)
    assert ds.LargestImagePixelValue == ds.pixel_array.max() == round(largest / unit)
    assert 3276 <= ds.LargestImagePixelValue <= 32767
    low, high = (float(ds.WindowCenter) + sign * float(ds.WindowWidth) / 2 for sign in (-1, 1))
    assert (low, high) == pytest.approx((0, largest / unit), abs=1)
    np.testing.assert_allclose(ds.pixel_array.transpose(2, 1, 0) * unit, volume.values, atol=0.51 * unit)


def test_values_below_zero_are_stored_below_zero(tmp_path):
    volume = Volume(counts(grid()).values - 50, grid(), Quantity.COUNTS)
    ds = pydicom.dcmread(write_nm_volume(volume, tmp_path / "r.dcm", kind="EMISSION", patient_id="P1"))
    assert ds.PixelRepresentation == 1
    assert ds.SmallestImagePixelValue == ds.pixel_array.min() < -4000
    np.testing.assert_allclose(ds.pixel_array.transpose(2, 1, 0) * 0.01, volume.values, atol=0.0051)


def test_a_stored_unit_that_is_not_round_is_refused(tmp_path):
    for odd in (0.003, 0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="a power of ten"):
            StoredUnit(odd)


def test_volumes_that_are_compared_share_a_unit():
    one, other = (Volume(counts(grid()).values * f, grid(), Quantity.ACTIVITY) for f in (1, 90))
    assert StoredUnit.holding(one, other).value == pytest.approx(1.0)
    assert StoredUnit.holding(one).value == pytest.approx(0.01)


def test_a_map_whose_unit_is_lost_on_the_way_is_still_known(tmp_path):
    """Another program's NIfTI, and an archive that drops what it does not know, hold the stored values alone."""
    volume = map_of_a_patient(grid())
    path = write_nm_volume(volume, tmp_path / "mu.dcm", kind="TRANSMISSION", patient_id="P1")
    change(path, RealWorldValueMappingSequence=None)
    back, notes, _ = read_mu(path)
    assert "1/cm times 100,000" in " ".join(notes)
    assert np.abs(back.values - volume.values).max() < 0.51e-5


def test_zero_everywhere_stays_zero(tmp_path):
    empty = Volume.from_numpy(np.zeros(SHAPE), grid(), Quantity.ACTIVITY)
    back, _ = read_spect(write_nm_volume(empty, tmp_path / "recon.dcm", kind="EMISSION", patient_id="P1"))
    assert float(np.abs(back.values).max()) == 0


def test_a_map_whose_tissue_contradicts_its_stated_unit_is_refused(tmp_path):
    path = write_nm_volume(map_of_a_patient(grid()), tmp_path / "mu.dcm", kind="TRANSMISSION", patient_id="P1")
    mapping = pydicom.dcmread(path).RealWorldValueMappingSequence[0]
    mapping.RealWorldValueSlope = mapping.RealWorldValueSlope / 10  # 1/mm that calls itself 1/cm
    change(path, RealWorldValueMappingSequence=[mapping])
    with pytest.raises(UnitsError, match=r"says 1/cm and whose tissue says otherwise"):
        read_mu(path)


def test_whose_it_is_is_taken_from_the_template(tmp_path, source):
    path = write_nm_volume(
        map_of_a_patient(grid()),
        tmp_path / "mu.dcm",
        kind="TRANSMISSION",
        template=source,
        derivation="CT map, registered",
        corrections=("ATTN", "SCAT"),
    )
    ours, theirs = pydicom.dcmread(path), pydicom.dcmread(source)
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyID", "FrameOfReferenceUID"):
        assert ours[keyword].value == theirs[keyword].value, keyword
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert ours[keyword].value != theirs[keyword].value
    assert ours.SourceImageSequence[0].ReferencedSOPInstanceUID == theirs.SOPInstanceUID
    assert ours.DerivationDescription.startswith("CT map, registered. Divide stored values by 100000")
    assert ours.SoftwareVersions.endswith(", research use only")
    assert list(ours.CorrectedImage) == ["ATTN", "SCAT"]
    assert [i.Manufacturer for i in ours.ContributingEquipmentSequence] == ["mureg", "ACME"]
    window = ours.EnergyWindowInformationSequence[0].EnergyWindowRangeSequence[0]
    assert float(window.EnergyWindowLowerLimit) == 126.5  # of the photopeak, not of the first window
    assert ours.PatientGantryRelationshipCodeSequence[0].CodeMeaning == "feet-first"
    assert float(ours.RotationInformationSequence[0].StartAngle) == 225
    assert read_mu(path)[0].grid.frame_of_reference == theirs.FrameOfReferenceUID


def test_private_elements_stay_behind(tmp_path, source):
    ds = pydicom.dcmread(source)
    ds.RotationInformationSequence[0].add_new(0x00110010, "LO", "SOMEBODY")
    ds.RotationInformationSequence[0].add_new(0x00111001, "LO", "secret")
    ds.save_as(source)
    path = write_nm_volume(counts(grid()), tmp_path / "r.dcm", kind="EMISSION", template=source)
    assert not any(element.tag.is_private for element in pydicom.dcmread(path).iterall())


def test_further_sources_are_named_once(tmp_path, source):
    other = tmp_path / "folder"
    other.mkdir()
    view = project_point((0, 0, 0), [0.0])
    write_nm(other / "a.dcm", view, tomo_vectors(1), detectors=[detector(0)], rotations=[rotation(0, 6, 1)])
    path = write_nm_volume(
        counts(grid()), tmp_path / "r.dcm", kind="EMISSION", template=source, sources=[other, source]
    )
    named = [i.ReferencedSOPInstanceUID for i in pydicom.dcmread(path).SourceImageSequence]
    assert len(named) == len(set(named)) == 2


def test_what_is_unknown_is_said(tmp_path):
    outside = np.zeros(SHAPE, dtype=bool)
    outside[0] = True
    volume = map_of_a_patient(grid())
    volume = Volume(volume.values, volume.grid, volume.quantity, outside)
    path = write_nm_volume(volume, tmp_path / "mu.dcm", kind="TRANSMISSION", patient_id="P1", derivation="Map.")
    assert ". 11.1 % of the voxels are unknown" in pydicom.dcmread(path).DerivationDescription


def test_bytes_are_the_same_each_time(tmp_path, source):
    for name in ("a", "b"):
        write_nm_volume(counts(grid()), tmp_path / name / "r.dcm", kind="EMISSION", template=source)
    assert (tmp_path / "a" / "r.dcm").read_bytes() == (tmp_path / "b" / "r.dcm").read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["r.dcm"]
    other = write_nm_volume(counts(grid()), tmp_path / "c.dcm", kind="EMISSION", template=source, seed="x")
    assert pydicom.dcmread(other).SOPInstanceUID != pydicom.dcmread(tmp_path / "a" / "r.dcm").SOPInstanceUID


def test_nothing_is_overwritten_silently(tmp_path):
    path = tmp_path / "r.dcm"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_nm_volume(counts(grid()), path, kind="EMISSION", patient_id="P1")
    assert path.read_text() == "mine"
    write_nm_volume(counts(grid()), path, kind="EMISSION", patient_id="P1", overwrite=True)
    assert isinstance(read_spect(path)[0], Volume)


def test_what_cannot_be_written_is_refused(tmp_path, source):
    path = tmp_path / "r.dcm"
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    with pytest.raises(UnitsError, match="as EMISSION"):
        write_nm_volume(map_of_a_patient(grid()), path, kind="EMISSION", patient_id="P1")
    with pytest.raises(UnitsError, match="as TRANSMISSION"):
        write_nm_volume(counts(grid()), path, kind="TRANSMISSION", patient_id="P1")
    with pytest.raises(UsageError, match="neither a template nor"):
        write_nm_volume(counts(grid()), path, kind="EMISSION")
    with pytest.raises(GeometryError, match="sheared"):
        write_nm_volume(counts(Grid(SHAPE, sheared)), path, kind="EMISSION", patient_id="P1")
    with pytest.raises(GeometryError, match="another frame of reference"):
        write_nm_volume(counts(grid("1.2.3")), path, kind="EMISSION", template=source)
    (tmp_path / "text").write_text("no image")
    with pytest.raises(UnreadableInputError, match="no DICOM image"):
        write_nm_volume(counts(grid()), path, kind="EMISSION", template=tmp_path / "text")
    assert not path.exists()


def test_a_template_with_odd_windows_is_no_obstacle(tmp_path, source):
    change(source, EnergyWindowInformationSequence=[item(EnergyWindowName="odd"), item(EnergyWindowName="odder")])
    path = write_nm_volume(counts(grid()), tmp_path / "r.dcm", kind="EMISSION", template=source)
    assert len(pydicom.dcmread(path).EnergyWindowInformationSequence) == 1
