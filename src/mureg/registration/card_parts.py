"""Entries of a card that are checked when it is read: covariances, and the size of motions."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

Share = Annotated[float, Field(ge=0, le=1)]
Length = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_ROUNDED = 1e-5
"""Of a covariance on a card (mm and degrees squared): entries with six decimals leave so much of an eigenvalue open."""


def _covariance(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    if not rows:
        return rows
    if {len(rows), *map(len, rows)} != {6}:
        raise ValueError("a covariance that is not 6 x 6")
    matrix = np.asarray(rows, dtype=np.float64)
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, rtol=0.0, atol=_ROUNDED):
        raise ValueError("a covariance that is not finite and symmetric")
    if np.linalg.eigvalsh(matrix).min() < -_ROUNDED or np.diag(matrix).min() <= 0.0:
        raise ValueError("a covariance that is not positive")
    return rows


Covariance = Annotated[tuple[tuple[float, ...], ...], AfterValidator(_covariance)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class MotionSize:
    """Size of the motions that a network was trained to predict, about the centre of its input.

    Attributes:
        shift_mm: median of the length of their translations.
        largest_shift_mm: of the longest.
        angle_deg: median of their angles of rotation.
        largest_angle_deg: of the largest.
    """

    shift_mm: Length
    largest_shift_mm: Length
    angle_deg: Length
    largest_angle_deg: Length
