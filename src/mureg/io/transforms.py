"""Rigid transforms on disk: written as ITK text files (.tfm), read in every form of `mureg.io.transform_files`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scipy.spatial.transform import Rotation

from mureg.errors import UsageError
from mureg.files.atomic import writing
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.io.transform_files import TransformFile, decision_in, read_transform

__all__ = ["TransformFile", "decision_in", "read_transform", "write_transform"]

_TEXT = (".tfm", ".txt")


def write_transform(ct_from_spect: RigidTransform, path: Path | str, centre_mm: Triple = (0.0, 0.0, 0.0)) -> Path:
    """Write an ITK transform file (.tfm) that opens in SimpleITK, 3D Slicer and plastimatch.

    ITK maps points of the fixed image (SPECT) to the moving image (CT), in LPS millimetres: exactly ``ct_from_spect``.
    Written as a VersorRigid3DTransform, since plastimatch reads no Euler3DTransform.

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
    versor = Rotation.from_matrix(ct_from_spect.matrix[:3, :3]).as_quat(canonical=True)[:3]
    parameters = (*versor, *ct_from_spect.six(centre_mm)[0])
    lines = (
        "#Insight Transform File V1.0",
        "#Transform 0",
        "Transform: VersorRigid3DTransform_double_3_3",
        f"Parameters: {_in_line(parameters)}",
        f"FixedParameters: {_in_line(centre_mm)}",
    )
    with writing(path) as scratch:
        scratch.write_text("\n".join(lines) + "\n", "ascii")
    return path


def _in_line(numbers: Sequence[float]) -> str:
    """Numbers with all their digits."""
    return " ".join(repr(float(number)) for number in numbers)
