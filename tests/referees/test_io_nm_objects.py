"""The NM objects we write, judged by others: the words and tables of the standard, SimpleITK (GDCM), dciodvfy."""

from __future__ import annotations

import subprocess
import warnings

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from mureg.geometry import Grid, Quantity, Volume
from mureg.io import read_spect, write_nm_tomo, write_nm_volume
from mureg.spect.acquisition import Acquisition, EnergyWindow
from support.dicom import detector, project_point, rotation, tomo_vectors, write_nm
from support.programs import program

SHAPE = (9, 8, 7)
SPACING = (4.0, 5.0, 6.0)
MARKS = {(1, 2, 5): 900.0, (7, 3, 1): 700.0, (4, 6, 3): 500.0}  # no flip, swap or half turn maps one onto another

# columns: where i, j, k run
AXES = {
    "left, back, head": np.eye(3),
    "left, back, feet": np.diag([1.0, 1.0, -1.0]),
    "right, front, head": np.diag([-1.0, -1.0, 1.0]),
    "right, back, head": np.diag([-1.0, 1.0, 1.0]),
    "left, feet, back": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "left, feet, front": np.array([[1.0, 0, 0], [0, 0, -1], [0, -1, 0]]),
    "short axis": Rotation.from_euler("xyz", [35, -40, 20], degrees=True).as_matrix(),
    "short axis, against it": Rotation.from_euler("xyz", [35, -40, 20], degrees=True).as_matrix() @ np.diag([1, 1, -1]),
}


def volume(axes=AXES["left, back, head"], quantity=Quantity.COUNTS) -> Volume:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes * SPACING, (-31.0, 12.5, 404.0)
    values = np.zeros(SHAPE)
    for index, value in MARKS.items():
        values[index] = value
    if quantity is Quantity.MU_PER_CM:
        values[1:-1, 1:-1] = np.where(values[1:-1, 1:-1] > 0, values[1:-1, 1:-1] / 3000, 0.15)
    return Volume.from_numpy(values, Grid(SHAPE, affine, "1.2.3"), quantity)


def unit_of(ds: Dataset) -> float:
    """What a reader of stored values multiplies them by."""
    return float(ds.RealWorldValueMappingSequence[0].RealWorldValueSlope)


def places_by_the_standard(ds: Dataset) -> dict[int, np.ndarray]:
    """Patient positions of the three brightest voxels, worked out from the words of PS3.3.

    C.7.6.2.1.1: pixel (column, row) of the first frame lies at S + X dx column + Y dy row, PixelSpacing being row
    spacing, column spacing. C.8.4.15: further slices lie along the normal, row x column, "behind" for a positive
    SpacingBetweenSlices and "in front" for a negative one, measured from centre to centre.
    """
    detector = ds.DetectorInformationSequence[0]
    first = np.array([float(v) for v in detector.ImagePositionPatient])
    along = np.array([float(v) for v in detector.ImageOrientationPatient])
    row_spacing, column_spacing = (float(v) for v in ds.PixelSpacing)
    normal = np.cross(along[:3], along[3:])
    frames = ds.pixel_array * unit_of(ds)
    found = {}
    for value in MARKS.values():
        frame, row, column = np.unravel_index(np.abs(frames - value).argmin(), frames.shape)
        slice_number = list(ds.SliceVector)[frame] - 1
        found[value] = (
            first
            + along[:3] * column_spacing * column
            + along[3:] * row_spacing * row
            + normal * float(ds.SpacingBetweenSlices) * slice_number
        )
    return found


def places_by_itk(path) -> dict[int, np.ndarray]:
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image) * unit_of(pydicom.dcmread(path, stop_before_pixels=True))
    found = {}
    for value in MARKS.values():
        k, j, i = (int(n) for n in np.unravel_index(np.abs(array - value).argmin(), array.shape))
        found[value] = np.asarray(image.TransformIndexToPhysicalPoint((i, j, k)))
    return found


def misses(found, expected) -> float:
    return max(float(np.linalg.norm(found[value] - expected[value])) for value in expected)


@pytest.mark.parametrize("axes", AXES)
def test_voxels_lie_where_the_standard_and_gdcm_put_them(tmp_path, axes):
    written = volume(AXES[axes])
    path = write_nm_volume(written, tmp_path / "recon.dcm", kind="EMISSION", patient_id="P1")
    expected = {value: written.grid.points(index) for index, value in MARKS.items()}
    assert misses(places_by_the_standard(pydicom.dcmread(path)), expected) < 1e-3
    assert misses(places_by_itk(path), expected) < 1e-3
    back, _ = read_spect(path)
    for index, value in MARKS.items():
        assert np.linalg.norm(back.grid.points(index) - expected[value]) < 1e-6
        assert float(back.values[index]) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_flip_is_noticed(tmp_path, axis):
    """The same comparison on values flipped left-right, front-back or head-foot misses by several voxels."""
    written = volume()
    flipped = Volume(np.flip(written.values, axis), written.grid, written.quantity)
    path = write_nm_volume(flipped, tmp_path / "recon.dcm", kind="EMISSION", patient_id="P1")
    expected = {value: written.grid.points(index) for index, value in MARKS.items()}
    for found in (places_by_the_standard(pydicom.dcmread(path)), places_by_itk(path)):
        assert misses(found, expected) > 2 * SPACING[axis]


def test_a_spacing_whose_sign_was_dropped_is_noticed(tmp_path):
    written = volume(AXES["left, back, feet"])
    path = write_nm_volume(written, tmp_path / "recon.dcm", kind="EMISSION", patient_id="P1")
    ds = pydicom.dcmread(path)
    assert float(ds.SpacingBetweenSlices) == -6
    ds.SpacingBetweenSlices = 6
    ds.save_as(path)
    expected = {value: written.grid.points(index) for index, value in MARKS.items()}
    assert misses(places_by_the_standard(ds), expected) > 10
    assert misses(places_by_itk(path), expected) > 10


def test_itk_reads_the_map_in_hundred_thousandths_of_one_over_cm(tmp_path):
    written = volume(quantity=Quantity.MU_PER_CM)
    path = write_nm_volume(written, tmp_path / "mu.dcm", kind="TRANSMISSION", patient_id="P1")
    by_itk = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).transpose(2, 1, 0)
    assert np.abs(by_itk / 100_000 - written.values).max() < 0.6e-5
    code = pydicom.dcmread(path).RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("cm-1", "UCUM")


def written_objects(tmp_path):
    """One of each: projections, reconstruction without and with a template, map."""
    frames = project_point((0, 0, 0), 225 - 6.0 * np.arange(8))
    template = write_nm(
        tmp_path / "template.dcm",
        frames,
        tomo_vectors(8),
        detectors=[detector(225)],
        rotations=[rotation(225, 6, 8, sense="CW", ScanArc=48)],
        FrameOfReferenceUID="1.2.3",
    )
    acquisition = Acquisition(
        np_counts(frames[None]),
        (EnergyWindow(126.5, 154.5, "Tc99m"),),
        0,
        225 - 6.0 * np.arange(8),
        (5.0, 5.0),
        radii_mm=np.full(8, 200.0),
        seconds_per_view=20.0,
    )
    return {
        "projections": write_nm_tomo(acquisition, tmp_path / "a.dcm", patient_id="P1", sources=[template]),
        "two heads": write_nm_tomo(acquisition, tmp_path / "b.dcm", patient_id="P1", n_detectors=2),
        "reconstruction": write_nm_volume(volume(), tmp_path / "c.dcm", kind="EMISSION", patient_id="P1"),
        "derived reconstruction": write_nm_volume(
            volume(), tmp_path / "d.dcm", kind="EMISSION", template=template, corrections=("ATTN",), derivation="OSEM"
        ),
        "map": write_nm_volume(
            volume(quantity=Quantity.MU_PER_CM), tmp_path / "e.dcm", kind="TRANSMISSION", template=template
        ),
    }


def np_counts(frames):
    return frames.astype(np.float32)


# PS3.3 A.5.4: modules of the NM Image IOD that are mandatory, or whose condition these objects meet
MODULES = [
    "patient",
    "general-study",
    "general-series",
    "nm-pet-patient-orientation",
    "frame-of-reference",
    "general-equipment",
    "general-acquisition",
    "general-image",
    "image-pixel",
    "nm-image-pixel",
    "multi-frame",
    "nm-multi-frame",
    "nm-image",
    "nm-isotope",
    "nm-detector",
    "nm-tomo-acquisition",
    "sop-common",
]


def missing_attributes(ds: Dataset, modules) -> list[str]:
    """Attributes of Type 1 that are absent or empty and of Type 2 that are absent, sequences followed where present."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        standard = pytest.importorskip("highdicom._standard_utils")
    faults = []
    for module in modules:
        for attribute in standard.get_module_attribute_map()[module]:
            if attribute["type"] not in ("1", "2"):
                continue
            holders = [ds]
            for keyword in attribute["path"]:
                holders = [inner for holder in holders for inner in (holder.get(keyword) or [])]
            for holder in holders:
                absent = attribute["keyword"] not in holder
                empty = not absent and attribute["type"] == "1" and holder[attribute["keyword"]].is_empty
                if absent or empty:
                    faults.append("/".join([module, *attribute["path"], attribute["keyword"]]))
    return faults


def test_every_attribute_that_the_standard_requires_is_there(tmp_path):
    for name, path in written_objects(tmp_path).items():
        ds = pydicom.dcmread(path)
        modules = MODULES if name in ("projections", "two heads") else [*MODULES, "nm-reconstruction"]
        assert missing_attributes(ds, modules) == [], name
        # conditions of C.8.4.8 and C.8.4.15
        vectors = {pydicom.datadict.keyword_for_tag(tag) for tag in np.atleast_1d(ds.FrameIncrementPointer)}
        tomo = {"EnergyWindowVector", "DetectorVector", "RotationVector", "AngularViewVector"}
        assert vectors == (tomo if "RECON TOMO" not in ds.ImageType else {"SliceVector"})
        assert all(len(ds[keyword].value) == ds.NumberOfFrames for keyword in vectors)
        assert len(ds.DetectorInformationSequence) == ds.NumberOfDetectors
        assert ds.NumberOfRotations == 1


def test_the_table_of_required_attributes_bites(tmp_path):
    ds = pydicom.dcmread(written_objects(tmp_path)["map"])
    del ds.SpacingBetweenSlices
    del ds.DetectorInformationSequence[0].FocalDistance
    ds.ImageType = None
    faults = missing_attributes(ds, [*MODULES, "nm-reconstruction"])
    assert "nm-reconstruction/SpacingBetweenSlices" in faults
    assert "nm-detector/DetectorInformationSequence/FocalDistance" in faults
    assert "nm-image/ImageType" in faults


def test_dciodvfy_finds_no_error(tmp_path):
    for name, path in written_objects(tmp_path).items():
        said = subprocess.run([program("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]
        assert errors == [], name
