"""The numbers in a file of weights: refused where no network can work with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.errors import UnreadableInputError
from mureg.registration.onnx_wire import Graph


def refuse_unusable_values(content: bytes, name: str) -> None:
    """Refuse weights that are not finite, or whose matrices are all zero.

    A file that cannot be taken apart passes: the runtime, which reads all of it, says what is wrong with it.

    Raises:
        UnreadableInputError: such weights.
    """
    try:
        tensors = stored_tensors(content)
    except Exception:  # whatever damaged bytes lead to
        return
    problem = ""
    matrices = [tensor for tensor in tensors if tensor.ndim >= 2]
    if not all(bool(np.isfinite(tensor).all()) for tensor in tensors):
        problem = "holds weights that are not finite numbers"
    elif matrices and not any(bool(matrix.any()) for matrix in matrices):
        problem = "holds weights that are all zero"
    if problem:
        raise UnreadableInputError(
            f"{name} {problem}", "the weights of a trained network", "copy the weights and their card again"
        )


def stored_tensors(content: bytes) -> list[npt.NDArray[Any]]:
    """The floating-point tensors of an ONNX file. Raises whatever damaged bytes lead to."""
    tensors = Graph.of(content).tensors.values()
    return [tensor for tensor in tensors if isinstance(tensor, np.ndarray) and tensor.dtype.kind == "f"]
