"""The .tfm file: SimpleITK and plastimatch lay the CT where we lay it; files of earlier versions are still read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from mureg.geometry import RigidTransform
from mureg.io import read_transform, write_transform
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
