"""Rigid transforms on disk: written as ITK text files (.tfm), read in every form of `mureg.io.transform_files`."""

from __future__ import annotations

import errno
from pathlib import Path

import SimpleITK as sitk

from mureg.files.atomic import writing
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.io.transform_files import TransformFile, read_transform

__all__ = ["TransformFile", "read_transform", "write_tfm"]


def write_tfm(ct_from_spect: RigidTransform, centre_mm: Triple, path: Path) -> None:
    """Write an ITK transform file that opens in SimpleITK, 3D Slicer and plastimatch.

    ITK maps points of the fixed image (SPECT) to the moving image (CT), in LPS millimetres: exactly ``ct_from_spect``.
    Written as a VersorRigid3DTransform about `centre_mm`, since plastimatch reads no Euler3DTransform, and read back:
    ITK does not say that a disk was full.
    """
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
