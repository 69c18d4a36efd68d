from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from mureg.errors import GeometryError, UnitsError, UsageError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io import read_ct, read_spect
from mureg.io.dicom.ct_write import write_ct_series
from mureg.io.nm.write_tomo import write_nm_tomo
from mureg.spect.acquisition import Acquisition, EnergyWindow
from mureg.study import Ct


def small_ct() -> Ct:
    values = np.random.default_rng(0).integers(-1000, 1500, (6, 5, 4)).astype(float)
    outside = np.zeros(values.shape, dtype=bool)
    outside[0, 0] = True
    grid = Grid.centred((6, 5, 4), (1.25, 2.0, 5.0), (3.0, -200.0, 77.7), "1.2.3.4")
    return Ct(Volume.from_numpy(values, grid, Quantity.HU, outside), "SIEMENS", "Symbia T6", 130.0)


def small_acquisition(angles=None, centre=(4.0, -150.0, -33.0)) -> Acquisition:
    counts = np.random.default_rng(0).poisson(20, (2, 5, 8, 6)).astype(np.float32)
    return Acquisition(
        counts,
        (EnergyWindow(114, 126, "scatter"), EnergyWindow(126.5, 154.5, "Tc99m")),
        1,
        np.arange(5) * -6.0 + 231.3 if angles is None else np.asarray(angles, dtype=float),
        (6.8, 6.4),
        centre,
        np.linspace(200, 240, 5),
        25.0,
        "LEHR",
        "Tc-99m",
        frame_of_reference="1.2.3.4",
    )


def test_a_ct_comes_back(tmp_path):
    ct = small_ct()
    files = write_ct_series(ct, tmp_path / "ct", patient_id="P1", comment="made for a test")
    back, source = read_ct(tmp_path / "ct")
    assert source.files == len(files) == 4
    known = ~ct.volume.outside
    assert np.array_equal(back.volume.values[known], ct.volume.values[known])
    assert np.array_equal(back.volume.outside, ct.volume.outside)
    assert np.allclose(back.volume.grid.affine, ct.volume.grid.affine, atol=1e-6)
    assert back.volume.grid.frame_of_reference == "1.2.3.4"
    assert (back.manufacturer, back.model, back.kvp) == ("SIEMENS", "Symbia T6", 130.0)


@pytest.mark.parametrize("feet_first", [False, True])
@pytest.mark.parametrize("direction", [-1, 1])
def test_projections_come_back(tmp_path, feet_first, direction):
    acquisition = small_acquisition(231.3 + direction * 6.0 * np.arange(5))
    path = write_nm_tomo(acquisition, tmp_path / "nm.dcm", patient_id="P1", feet_first=feet_first)
    back, _ = read_spect(path)
    assert np.array_equal(back.counts, acquisition.counts)
    assert np.allclose(back.angles_deg, acquisition.angles_deg)
    assert np.allclose(back.radii_mm, acquisition.radii_mm)
    assert np.allclose(back.centre_mm, acquisition.centre_mm, atol=1e-6)
    assert (back.windows, back.photopeak) == (acquisition.windows, 1)
    assert (back.pixel_mm, back.collimator, back.nuclide) == ((6.8, 6.4), "LEHR", "Tc-99m")
    assert back.frame_of_reference == "1.2.3.4"
    assert back.patient_position == ("FFS" if feet_first else "HFS")
    assert back.notes == ()


def test_frame_one_lies_on_the_detector(tmp_path):
    acquisition = small_acquisition()
    ds = pydicom.dcmread(write_nm_tomo(acquisition, tmp_path / "nm.dcm", patient_id="P1"))
    item = ds.DetectorInformationSequence[0]
    row, column = np.split(np.asarray(item.ImageOrientationPatient, dtype=float), 2)
    middle = np.asarray(item.ImagePositionPatient, dtype=float) + 2.5 * 6.4 * row + 3.5 * 6.8 * column
    angle = math.radians(231.3)
    expected = np.array([4 + 200 * math.sin(angle), -150 + 200 * math.cos(angle), -33])
    assert np.allclose(middle, expected, atol=1e-6)
    # a viewer at the detector with his head up looks along row x column, towards the axis
    assert np.allclose(np.cross(row, column), -np.array([math.sin(angle), math.cos(angle), 0]), atol=1e-9)


def test_bytes_are_the_same_each_time_and_nothing_is_left_over(tmp_path):
    for name in ("a", "b"):
        write_ct_series(small_ct(), tmp_path / name / "ct", patient_id="P1")
        write_nm_tomo(small_acquisition(), tmp_path / name / "nm.dcm", patient_id="P1")
    for file in (tmp_path / "a").rglob("*.dcm"):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()
    assert not [p for p in tmp_path.rglob("*") if "partial" in p.name]


def test_what_cannot_be_written_is_refused(tmp_path):
    path = tmp_path / "nm.dcm"
    with pytest.raises(GeometryError, match="angular steps from"):
        write_nm_tomo(small_acquisition([0, 6, 12, 18, 25]), path, patient_id="P1")
    halves = small_acquisition()
    with pytest.raises(UnitsError, match="not whole"):
        write_nm_tomo(Acquisition(halves.counts + 0.5, *_rest(halves)), path, patient_id="P1")
    with pytest.raises(UnitsError, match="65535"):
        write_nm_tomo(Acquisition(halves.counts + 65536, *_rest(halves)), path, patient_id="P1")
    with pytest.raises(GeometryError, match="no detector radius"):
        write_nm_tomo(Acquisition(halves.counts, *_rest(halves)[:5]), path, patient_id="P1")
    assert not path.exists()
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "note.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write_ct_series(small_ct(), tmp_path / "ct", patient_id="P1")


def test_decay_is_expected_only_where_weights_say_so(tmp_path):
    acquisition = small_acquisition()
    plain, _ = read_spect(write_nm_tomo(acquisition, tmp_path / "a.dcm", patient_id="P1"))
    assert plain.view_weights is None
    weighted = replace(acquisition, view_weights=0.5 ** (25.0 * np.arange(5) / (6.0067 * 3600)))
    back, _ = read_spect(write_nm_tomo(weighted, tmp_path / "b.dcm", patient_id="P1"))
    assert np.allclose(back.view_weights, weighted.view_weights, rtol=1e-9)


def test_heads_offsets_position_and_sources_come_back(tmp_path):
    starts = np.repeat([225.0, 135.0], 5)
    acquisition = replace(
        small_acquisition(),
        counts=np.tile(small_acquisition().counts, (1, 2, 1, 1)),
        angles_deg=starts - 6.0 * np.tile(np.arange(5), 2),
        radii_mm=np.linspace(200, 240, 10),
        column_offsets_mm=np.repeat([2.5, -1.5], 5),
        patient_position="FFP",
    )
    source = write_nm_tomo(small_acquisition(), tmp_path / "source.dcm", patient_id="P1", description="first")
    path = write_nm_tomo(acquisition, tmp_path / "nm.dcm", patient_id="P1", n_detectors=2, sources=[source])
    back, _ = read_spect(path)
    for name in ("angles_deg", "radii_mm", "column_offsets_mm"):
        assert np.allclose(getattr(back, name), getattr(acquisition, name)), name
    assert np.array_equal(back.counts, acquisition.counts)
    assert np.allclose(back.centre_mm, acquisition.centre_mm, atol=1e-6)
    assert back.patient_position == "FFP"
    reference = pydicom.dcmread(path).SourceImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == pydicom.dcmread(source).SOPInstanceUID
    with pytest.raises(GeometryError, match="one for each detector"):
        write_nm_tomo(replace(acquisition, angles_deg=225 - 6.0 * np.arange(10)), tmp_path / "x.dcm", patient_id="P1")
    with pytest.raises(GeometryError, match="10 views of 3 detectors"):
        write_nm_tomo(acquisition, tmp_path / "x.dcm", patient_id="P1", n_detectors=3)
    with pytest.raises(UsageError, match="exists already"):
        write_nm_tomo(acquisition, path, patient_id="P1", n_detectors=2)


def _rest(a: Acquisition):
    return (a.windows, a.photopeak, a.angles_deg, a.pixel_mm, a.centre_mm, a.radii_mm)
