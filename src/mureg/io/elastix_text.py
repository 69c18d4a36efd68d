"""elastix transform parameters (TransformParameters.0.txt): from the fixed image to the moving one."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from mureg.errors import UnreadableInputError

_LINE = re.compile(r"^\s*\((\w+)\s+(.*?)\)\s*(?://.*)?$")
_WITHOUT_INITIAL = ("NoInitialTransform", "")

Matrix = npt.NDArray[np.float64]


def is_elastix(text: str) -> bool:
    """Whether a text is a file of transform parameters."""
    return "(Transform " in text and "(TransformParameters " in text


def matrix_from_elastix(text: str, name: str) -> Matrix:
    """``moving_from_fixed`` of an EulerTransform or TranslationTransform, LPS mm.

    An EulerTransform has angles x, y, z in radians, then the translation: ``R (p - c) + c + t``, with
    ``R = Rz @ Rx @ Ry``, or ``Rz @ Ry @ Rx`` where ComputeZYX is true (ITK's Euler3DTransform).

    Raises `UnreadableInputError` for other transforms, chains of them, and other dimensions.
    """
    values = {m.group(1): m.group(2).split() for line in text.splitlines() if (m := _LINE.match(line))}
    words = {key: [word.strip('"') for word in listed] for key, listed in values.items()}
    kind = " ".join(words.get("Transform", []))
    for keyword in ("InitialTransformParametersFileName", "InitialTransformParameterFileName"):
        if " ".join(words.get(keyword, [])) not in _WITHOUT_INITIAL:
            raise UnreadableInputError(
                f"{name} builds on another transform ({keyword})",
                "one transform in one file",
                "compose them, for instance with transformix, or write them as one .tfm",
            )
    parameters, centre = _numbers(words, "TransformParameters", name), _numbers(words, "CenterOfRotationPoint", name)
    matrix = np.eye(4)
    if kind == "TranslationTransform" and len(parameters) == 3:
        matrix[:3, 3] = parameters
        return matrix
    if kind != "EulerTransform" or len(parameters) != 6 or len(centre) != 3:
        raise UnreadableInputError(
            f"{name} is an elastix {kind or 'transform'} of {len(parameters)} parameters",
            "an EulerTransform in 3-D with its CenterOfRotationPoint",
            "export the rigid alignment",
        )
    order = "xyz" if words.get("ComputeZYX", ["false"]) == ["true"] else "yxz"
    angles = dict(zip("xyz", parameters[:3], strict=True))
    rotation = Rotation.from_euler(order, [angles[axis] for axis in order]).as_matrix()
    middle = np.asarray(centre)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = middle + np.asarray(parameters[3:]) - rotation @ middle
    return matrix


def _numbers(words: dict[str, list[str]], keyword: str, name: str) -> list[float]:
    try:
        return [float(word) for word in words.get(keyword, [])]
    except ValueError as problem:
        raise UnreadableInputError(
            f"{keyword} in {name} holds no usable numbers", "numbers", "export the transform again"
        ) from problem
