"""Reading a rigid transform from SPECT to CT, in whatever form it is stored, and saying which form and direction."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mureg.errors import GeometryError, UnreadableInputError
from mureg.geometry import RigidTransform
from mureg.io.dicom.spatial_registration import is_dicom, matrix_from_registration
from mureg.io.elastix_text import is_elastix, matrix_from_elastix
from mureg.io.plain_text import read_text
from mureg.io.sources import source_of
from mureg.study import Source

_ROUNDED = 5e-4
"""How far a rotation written with four decimals departs from one."""
_LARGEST_FILE = 2**24
"""Bytes, 16 MiB: a thousand times what one linear transform takes; a round value."""

Matrix = npt.NDArray[np.float64]


class TransformFile(NamedTuple):
    """A transform that was read.

    Attributes:
        ct_from_spect: maps a point of the SPECT to where it lies in the CT, LPS mm.
        source: fingerprint of the file.
        note: its form and how its direction was determined, one sentence.
    """

    ct_from_spect: RigidTransform
    source: Source
    note: str


def read_transform(path: Path | str, frames: tuple[str, str] | None = None) -> TransformFile:
    """Read ``ct_from_spect``; content decides the form, not the name.

    - ``registration.json``: its ``ct_from_spect``.
    - DICOM Spatial Registration: items map their frame into the registered one; the images they name tell SPECT and CT.
    - elastix text: from the fixed image, which must be the SPECT, to the moving one.
    - ITK text (.tfm): the same direction.
    - plain text of 16 numbers, row by row: taken for ``ct_from_spect`` in LPS millimetres.

    Args:
        path: of the file.
        frames: frames of reference of SPECT and CT where they are known, for a DICOM object that names no images.

    Raises:
        UnreadableInputError: missing, damaged, or something else than one linear transform of a known direction.
        GeometryError: not rigid.
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableInputError(
            f"no transform file named {path.name}", "a registration.json, .tfm, DICOM or text file", "check the path"
        )
    if path.stat().st_size > _LARGEST_FILE:
        raise UnreadableInputError(
            f"{path.name} has {path.stat().st_size >> 20} MiB", "one transform, a small file", "check the path"
        )
    matrix, note = _read(path, frames)
    return TransformFile(_rigid(matrix), source_of("transform", [path]), note)


def decision_in(path: Path) -> str:
    """The decision that a ``registration.json`` states; "" for a transform in another form."""
    try:
        table = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return ""
    return str(table.get("decision", "")) if isinstance(table, dict) else ""


def _read(path: Path, frames: tuple[str, str] | None) -> tuple[Matrix, str]:
    if is_dicom(path):
        return matrix_from_registration(path, frames)
    try:
        text = read_text(path)
    except UnicodeDecodeError:
        text = ""  # ITK has binary forms too
    if path.suffix.lower() == ".json" or text.lstrip().startswith("{"):
        return _from_json(path, text)
    if is_elastix(text):
        return (
            matrix_from_elastix(text, path.name),
            f"{path.name} is an elastix transform, from fixed to moving image: the fixed image is taken for the SPECT",
        )
    if not text.lstrip().startswith("#Insight"):
        numbers = _numbers(text)
        if numbers is not None:
            return _from_numbers(numbers, path.name)
    return _from_itk(path), f"{path.name} is an ITK transform, from fixed image (SPECT) to moving image (CT)"


def _rigid(matrix: Matrix) -> RigidTransform:
    """The transform; a rotation that was written with few decimals is brought to the nearest one."""
    rotation = matrix[:3, :3]
    if np.isfinite(matrix).all() and np.abs(rotation @ rotation.T - np.eye(3)).max() <= _ROUNDED:
        u, _, right = np.linalg.svd(rotation)
        if np.linalg.det(u @ right) > 0:
            matrix = matrix.copy()
            matrix[:3, :3] = u @ right
    return RigidTransform(matrix)


def _from_json(path: Path, text: str) -> tuple[Matrix, str]:
    """The pose given out, and a note, also where another one was found."""
    note = f"{path.name} is a registration.json: ct_from_spect as it stands there"
    try:
        table = json.loads(text)
        if table.get("decision") == "review" and table.get("pose_found_given_out") is False:
            note = f"{note}, the scanner position; the pose found, which was not given out, is not used"
        return np.array(table["ct_from_spect"], dtype=np.float64), note
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise UnreadableInputError(
            f"{path.name} has no usable ct_from_spect ({type(problem).__name__})",
            "a registration.json with a 4x4 ct_from_spect",
            "use a file written by mureg register",
        ) from problem


def _numbers(text: str) -> list[float] | None:
    """All numbers of a text that holds nothing else but brackets, separators and comments; None for other text."""
    lines = [line.split("#")[0] for line in text.splitlines()]
    words = " ".join(lines).translate(str.maketrans("[](),;", "      ")).split()
    try:
        return [float(word) for word in words] if words else None
    except ValueError:
        return None


def _from_numbers(numbers: list[float], name: str) -> tuple[Matrix, str]:
    if len(numbers) != 16:
        raise UnreadableInputError(
            f"{name} holds {len(numbers)} numbers", "16, a 4x4 matrix row by row", "write the whole matrix"
        )
    matrix = np.array(numbers, dtype=np.float64).reshape(4, 4)
    if not np.allclose(matrix[3], (0.0, 0.0, 0.0, 1.0), atol=1e-9):
        transposed = np.allclose(matrix[:, 3], (0.0, 0.0, 0.0, 1.0), atol=1e-9)
        what = "translation in the last row" if transposed else f"last row {matrix[3].tolist()}"
        raise GeometryError(
            f"the 4x4 matrix in {name} has its {what}",
            "the translation in the last column and a last row of 0 0 0 1",
            "transpose it" if transposed else "export a rigid transform",
        )
    return matrix, (
        f"{name} is a plain 4x4 matrix, which does not say its direction: taken for ct_from_spect (a point of the "
        "SPECT to its place in the CT) in LPS millimetres"
    )


def _from_itk(path: Path) -> Matrix:
    import SimpleITK as sitk  # a tenth of a second that other forms do not need

    try:
        transform = sitk.ReadTransform(str(path))
    except RuntimeError as problem:
        raise UnreadableInputError(
            f"{path.name} is no transform in a known form",
            "ITK (.tfm, .txt), registration.json, DICOM Spatial Registration, elastix or 16 numbers",
            "export the transform again",
        ) from problem
    if transform.GetDimension() != 3 or not transform.IsLinear():
        raise UnreadableInputError(
            f"{path.name} holds a transform that is not linear in 3-D",
            "one rigid transform",
            "export the rigid part alone",
        )
    return matrix_of(transform.TransformPoint)


def matrix_of(mapped: Callable[[tuple[float, float, float]], tuple[float, ...]]) -> Matrix:
    """The 4x4 matrix of a linear map of points."""
    origin = np.array(mapped((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for axis, unit in enumerate(np.eye(3)):
        matrix[:3, axis] = np.array(mapped(tuple(unit.tolist()))) - origin
    return matrix
