"""Rigid transforms on disk: written as ITK text files (.tfm), read in every form of `mureg.io.transform_files`."""

from __future__ import annotations

import errno
from pathlib import Path

import SimpleITK as sitk

from mureg.errors import UsageError
from mureg.files.atomic import writing
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.io.transform_files import TransformFile, read_transform

__all__ = ["TransformFile", "read_transform", "write_transform"]

_TEXT = (".tfm", ".txt")


def write_transform(ct_from_spect: RigidTransform, path: Path | str, centre_mm: Triple = (0.0, 0.0, 0.0)) -> Path:
    """Write an ITK transform file (.tfm) that opens in SimpleITK, 3D Slicer and plastimatch.

    ITK maps points of the fixed image (SPECT) to the moving image (CT), in LPS millimetres: exactly ``ct_from_spect``.
    Written as a VersorRigid3DTransform, since plastimatch reads no Euler3DTransform, and read back: ITK does not say
    that a disk was full.

    Args:
        ct_from_spect: the pose.
        path: ends in .tfm or .txt.
        centre_mm: the point in SPECT space about which the file states the rotation; the transform is the same for any.

    Raises:
        UsageError: another ending, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _TEXT:
        raise UsageError(f"a transform file named {path.name}", "a name that ends in .tfm", "choose another name")
    transform = sitk.VersorRigid3DTransform()
    transform.SetCenter(centre_mm)
    transform.SetMatrix(ct_from_spect.matrix[:3, :3].ravel().tolist(), 1e-8)
    transform.SetTranslation(ct_from_spect.six(centre_mm)[0])
    with writing(path) as scratch:
        try:
            sitk.WriteTransform(transform, str(scratch))
            whole = sitk.ReadTransform(str(scratch)).GetParameters() == transform.GetParameters()
        except RuntimeError:
            whole = False
        if not whole:
            raise OSError(errno.EIO, "written incompletely, the disk may be full")
    return path
