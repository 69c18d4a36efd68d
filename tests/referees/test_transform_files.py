"""The .tfm file: SimpleITK and plastimatch lay the CT where we lay it; files of earlier versions are still read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from mureg.errors import UnreadableInputError
from mureg.geometry import RigidTransform
from mureg.io import read_transform, write_transform
from support.dicom import change
from support.dicom_study import study
from support.programs import program

CENTRE_MM = (57.0, -28.0, -184.0)
POSES = {
    "small": RigidTransform.from_six((9.1, -6.4, 8.0), (1.9, -2.1, 3.4), CENTRE_MM),
    "none": RigidTransform.identity(),
    "upside down": RigidTransform.from_six((3.0, -200.0, 41.0), (179.0, 4.0, -91.0), CENTRE_MM),
}
PLACES = np.array([[0.0, 0.0, 0.0], [57.0, -28.0, -184.0], [120.0, -90.0, 33.0]])
EULER = """#Insight Transform File V1.0
#Transform 0
Transform: Euler3DTransform_double_3_3
Parameters: 0.03313897632314907 -0.03667205794828633 0.06055679098389792 9.099999999999994 -6.399999999999999 8
FixedParameters: 57 -28 -184 0
"""
"""As versions up to 0.1.0 wrote the pose that is called small."""


def blobs() -> sitk.Image:
    """A CT grid with three spots of different brightness, in no symmetry."""
    image = sitk.Image((70, 60, 50), sitk.sitkFloat32)
    image.SetSpacing((4.0, 4.0, 5.0))
    image.SetOrigin((57 - 138.0, -28 - 118.0, -184 - 122.5))
    k, j, i = np.indices((50, 60, 70))
    places = [np.array(image.TransformIndexToPhysicalPoint((0, 0, 0))) + np.array((4.0, 4.0, 5.0)) * n
              for n in ((30, 20, 20), (45, 35, 28), (28, 42, 34))]  # fmt: skip
    values = np.zeros(k.shape)
    for brightness, at in zip((1000.0, 700.0, 400.0), places, strict=True):
        x, y, z = (index * step + first for index, step, first in zip(
            (i, j, k), image.GetSpacing(), image.GetOrigin(), strict=True))  # fmt: skip
        values += brightness * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2) / (2 * 9.0**2))
    filled = sitk.GetImageFromArray(values.astype(np.float32))
    filled.CopyInformation(image)
    return filled


@pytest.mark.parametrize("name", POSES)
def test_simpleitk_maps_points_as_we_do(name: str, tmp_path: Path) -> None:
    write_transform(POSES[name], tmp_path / "a.tfm", CENTRE_MM)
    transform = sitk.ReadTransform(str(tmp_path / "a.tfm"))
    assert transform.GetName() == "VersorRigid3DTransform"
    for place in PLACES:
        np.testing.assert_allclose(transform.TransformPoint(place.tolist()), POSES[name].apply(place), atol=1e-9)
    np.testing.assert_allclose(read_transform(tmp_path / "a.tfm")[0].matrix, POSES[name].matrix, atol=1e-12)


@pytest.mark.parametrize("name", ["small", "none"])
def test_plastimatch_lays_the_image_where_simpleitk_does(name: str, tmp_path: Path) -> None:
    plastimatch, image = program("plastimatch"), blobs()
    sitk.WriteImage(image, str(tmp_path / "ct.mha"))
    write_transform(POSES[name], tmp_path / "ct_from_spect.tfm", CENTRE_MM)
    subprocess.run(
        [plastimatch, "convert", "--input", "ct.mha", "--xf", "ct_from_spect.tfm", "--fixed", "ct.mha",
         "--output-type", "float", "--output-img", "moved.mha"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    moved = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "moved.mha")))
    right, wrong = sitk.AffineTransform(3), sitk.AffineTransform(3)
    for transform, pose in ((right, POSES[name]), (wrong, POSES[name].inverse())):
        transform.SetMatrix(pose.matrix[:3, :3].ravel().tolist())
        transform.SetTranslation(pose.matrix[:3, 3].tolist())
    expected, other = (
        sitk.GetArrayFromImage(sitk.Resample(image, image, transform, sitk.sitkLinear, 0.0))
        for transform in (right, wrong)
    )
    assert np.abs(moved - expected).max() < 2.0
    if name != "none":
        assert np.abs(moved - other).max() > 300.0, "the other direction is noticed"


def test_files_of_earlier_versions_are_still_read(tmp_path: Path) -> None:
    (tmp_path / "old.tfm").write_text(EULER)
    np.testing.assert_allclose(read_transform(tmp_path / "old.tfm")[0].matrix, POSES["small"].matrix, atol=1e-9)


def moved(name: str) -> RigidTransform:
    """``spect_from_ct``: where a place of the CT comes to lie in the SPECT."""
    return POSES[name].inverse()


@pytest.fixture(scope="module")
def objects(tmp_path_factory) -> Path:
    folder = study(tmp_path_factory.mktemp("objects") / "study")
    for path in sorted((folder / "ct").iterdir())[3:]:
        path.unlink()  # three slices are enough to be named
    return folder


@pytest.mark.parametrize("fixed", ["SPECT", "CT"])
@pytest.mark.parametrize("name", POSES)
def test_a_registration_built_by_pydicomrt_is_read_in_its_direction(name: str, fixed: str, objects, tmp_path) -> None:
    """Its matrices run from the moving series to the fixed one, whichever of the two stays."""
    reg = pytest.importorskip("pydicomrt.reg", reason="pydicomrt is not installed (it comes with the extra dev)")
    spect = [pydicom.dcmread(objects / "spect.dcm")]
    ct = [pydicom.dcmread(path) for path in sorted((objects / "ct").iterdir())]
    for one in ct:
        one.FrameOfReferenceUID = "1.2.3.4"  # pydicomrt joins items of one frame of reference
    still, moves = (spect, ct) if fixed == "SPECT" else (ct, spect)
    pose = moved(name) if fixed == "SPECT" else POSES[name]
    built = reg.SpatialRegistrationBuilder(still).add_registration(moves, pose.matrix.ravel().tolist()).build()
    built.save_as(tmp_path / "theirs.dcm", enforce_file_format=True)
    found = read_transform(tmp_path / "theirs.dcm")
    np.testing.assert_allclose(found.ct_from_spect.matrix, POSES[name].matrix, atol=1e-5)
    assert "DICOM Spatial Registration" in found.note


@pytest.mark.parametrize("name", ["small", "none"])
def test_a_registration_written_by_plastimatch_is_read_in_its_direction(name: str, objects, tmp_path) -> None:
    """SimpleITK writes it, fixed SPECT to moving CT; plastimatch makes the object, whose items name frames alone."""
    plastimatch, theirs = program("plastimatch"), sitk.AffineTransform(3)
    theirs.SetMatrix(POSES[name].matrix[:3, :3].ravel().tolist())
    theirs.SetTranslation(POSES[name].matrix[:3, 3].tolist())
    sitk.WriteTransform(theirs, str(tmp_path / "sitk.tfm"))
    fixed, ct = tmp_path / "fixed", shutil.copytree(objects / "ct", tmp_path / "ct")
    fixed.mkdir()
    shutil.copy(objects / "spect.dcm", fixed)
    for slice_file in ct.iterdir():
        change(slice_file, FrameOfReferenceUID="1.2.3.4")
    subprocess.run(
        [plastimatch, "xf-convert", "--input", "sitk.tfm", "--output-dicom", "out", "--fixed-rcs", str(fixed),
         "--moving-rcs", str(ct)],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    (path,) = (tmp_path / "out").glob("*.dcm")
    frame = str(pydicom.dcmread(objects / "spect.dcm").FrameOfReferenceUID)
    found = read_transform(path, (frame, "1.2.3.4"))
    np.testing.assert_allclose(found.ct_from_spect.matrix, POSES[name].matrix, atol=1e-4)
    assert "identified by the frames of reference" in found.note
    for frames in (None, ("1.2.3.4", "1.2.3.4"), ("", "")):
        with pytest.raises(UnreadableInputError, match="0 name SPECT and 0 CT images"):
            read_transform(path, frames)
