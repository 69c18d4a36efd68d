"""Where target registration errors are measured when no points of an organ are at hand."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.geometry.rigid import Triple


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class LiverRegion:
    """Ball in place of the liver, for cases that hold no liver points.

    It is placed by the heart alone. In 16 virtual patients of the levels `easy` and `clinical` 98 % of this ball lay in
    the liver. Truth there is the same rigid motion as for the heart (the case knows no other): the figure says how far
    the found pose carries the neighbourhood of the liver off the true pose, not how the liver itself breathed.

    Attributes:
        from_heart_mm: centre of the ball relative to the mean of the heart points (x, y, z, LPS+, mm).
        radius_mm: radius of the ball (mm).
        spacing_mm: distance of the points in it (mm).
    """

    from_heart_mm: Triple = (-75.0, 10.0, -80.0)
    radius_mm: Annotated[float, Field(gt=0)] = 40.0
    spacing_mm: Annotated[float, Field(gt=0)] = 10.0

    def points_mm(self, heart_points_mm: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "place 3"]:
        """A lattice over the ball, in the space of the heart's points."""
        n = int(self.radius_mm / self.spacing_mm)
        lattice = self.spacing_mm * (np.indices((2 * n + 1,) * 3).reshape(3, -1).T - n).astype(np.float64)
        inside = lattice[np.linalg.norm(lattice, axis=1) <= self.radius_mm]
        return np.asarray(inside + heart_points_mm.mean(0) + np.asarray(self.from_heart_mm))
