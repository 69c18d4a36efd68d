"""Rigid transforms on disk: ITK text files (.tfm) and JSON."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from mureg.errors import UnreadableInputError
from mureg.files.atomic import writing
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.io.sources import source_of
from mureg.study import Source


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


def read_transform(path: Path) -> tuple[RigidTransform, Source]:
    """Read ``ct_from_spect`` from an ITK transform file or from a ``registration.json``.

    Raises:
        UnreadableInputError: the file is missing, damaged or holds something else than one linear transform.
        GeometryError: the transform is not rigid.
    """
    if not path.is_file():
        raise UnreadableInputError(
            f"no transform file named {path.name}", "a .tfm or registration.json file", "check the path"
        )
    matrix = _matrix_from_json(path) if path.suffix.lower() == ".json" else _matrix_from_itk(path)
    return RigidTransform(matrix), source_of("transform", [path])


def _matrix_from_json(path: Path) -> npt.NDArray[np.float64]:
    try:
        return np.array(json.loads(path.read_text("utf-8"))["ct_from_spect"], dtype=np.float64)
    except (ValueError, KeyError, TypeError) as problem:
        raise UnreadableInputError(
            f"{path.name} has no usable ct_from_spect ({type(problem).__name__})",
            "a registration.json with a 4x4 ct_from_spect",
            "use a file written by mureg register",
        ) from problem


def _matrix_from_itk(path: Path) -> npt.NDArray[np.float64]:
    try:
        transform = sitk.ReadTransform(str(path))
    except RuntimeError as problem:
        raise UnreadableInputError(
            f"{path.name} is not an ITK transform file",
            "a .tfm or .txt file of ITK",
            "export the transform again",
        ) from problem
    if transform.GetDimension() != 3 or not transform.IsLinear():
        raise UnreadableInputError(
            f"{path.name} holds a transform that is not linear in 3-D",
            "one rigid transform",
            "export the rigid part alone",
        )
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for axis, unit in enumerate(np.eye(3)):
        matrix[:3, axis] = np.array(transform.TransformPoint(unit.tolist())) - origin
    return matrix
