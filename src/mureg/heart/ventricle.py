"""The left ventricle as the polar map knows it: axis, walls, the 17 segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from scipy.special import expit

from mureg.errors import UsageError
from mureg.geometry import Array
from mureg.geometry.rigid import Triple

SEGMENTS = (
    "basal anterior", "basal anteroseptal", "basal inferoseptal", "basal inferior", "basal inferolateral",
    "basal anterolateral", "mid anterior", "mid anteroseptal", "mid inferoseptal", "mid inferior", "mid inferolateral",
    "mid anterolateral", "apical anterior", "apical septal", "apical inferior", "apical lateral", "apex",
)  # fmt: skip
"""The 17 segments of Cerqueira et al., Circulation 2002; segment n of the standard is entry n - 1."""

TERRITORIES = {
    "LAD": (1, 2, 7, 8, 13, 14, 17),
    "RCA": (3, 4, 9, 10, 15),
    "LCX": (5, 6, 11, 12, 16),
}
"""Segments (counted from 1) that each coronary artery feeds (Cerqueira et al.)."""

WIDEST = 0.3
"""Where a ventricle is widest, as a share of its length from the base plane: chosen, no measurement is recorded."""
USUAL_WALL_MM = 12.0
"""Thickness taken for a wall in an image, which a gamma camera does not resolve (docs/concepts/decision.md).

Walls of CTs with contrast medium measure 8.5 to 13 mm (medians, docs/concepts/anatomies.md)."""


@dataclass(frozen=True)
class LeftVentricle:
    """A thick shell around a long axis, open at the base; patient space at end expiration, mm, LPS+.

    Attributes:
        centre_mm: where the long axis meets the plane half-way between base and apex (outer surface).
        apex_direction: unit vector along the long axis, base to apex (to the left, the front and the feet).
        length_mm: outer surface, from base plane to apex.
        radius_mm: outer surface, largest across the axis.
        wall_mm: thickness of the wall.
    """

    centre_mm: Triple
    apex_direction: Triple
    length_mm: float
    radius_mm: float
    wall_mm: float

    def __post_init__(self) -> None:
        if abs(float(np.linalg.norm(self.apex_direction)) - 1.0) > 1e-6 or self.apex_direction[0] <= 0:
            raise UsageError(
                f"a heart that points along {self.apex_direction}",
                "a unit vector to the patient's left",
                "give the direction from base to apex in LPS coordinates",
            )
        if not 0 < self.wall_mm < self.radius_mm or self.length_mm <= self.wall_mm:
            raise UsageError(
                f"a ventricle of length {self.length_mm}, radius {self.radius_mm}, wall {self.wall_mm} mm",
                "a wall thinner than the radius and the length",
                "check the sizes",
            )

    @cached_property
    def axes(self) -> npt.NDArray[np.float64]:
        """Rows: unit vectors towards the anterior wall, the lateral wall and the apex (a right- or left-handed set).

        Anterior is up in a short-axis picture: the direction across the axis that is nearest the head. Lateral is
        across both, away from the right ventricle (to the patient's left).
        """
        apex = np.asarray(self.apex_direction)
        up = np.array([0.0, 0.0, 1.0]) - apex[2] * apex
        anterior = up / np.linalg.norm(up)
        lateral = np.cross(apex, anterior)
        if lateral @ np.array([0.5, 1.0, 0.0]) < 0:  # lateral points to the left and, more so, to the back
            lateral = -lateral
        return np.stack([anterior, lateral, apex])

    def coordinates(self, points_mm: Float[Array, "*point 3"]) -> Float[Array, "*point 3"]:
        """Distances (mm) from the centre along anterior, lateral and apex."""
        centre, axes = (np.asarray(of, dtype=points_mm.dtype) for of in (self.centre_mm, self.axes))
        return np.asarray((points_mm - centre) @ axes.T)

    def perfusion(
        self, points_mm: Float[Array, "*point 3"], segments: Sequence[float], blur_mm: float = 4.0
    ) -> Float[Array, "*point"]:
        """Relative uptake at points of the wall, from one value for each of the 17 segments.

        Segments go over into each other smoothly over about `blur_mm` on either side of their edges; 4 mm is chosen.
        """
        if len(segments) != len(SEGMENTS):
            raise UsageError(f"{len(segments)} segment values", "17", "give one for each segment of the standard")
        place = self.coordinates(points_mm)
        values = np.asarray(segments, dtype=place.dtype)
        along = place[..., 2] + self.length_mm / 2  # from the base plane
        # base, middle and apical third of the cavity's length, then the cap beyond the cavity
        cavity = self.length_mm - self.wall_mm
        angle = np.arctan2(place[..., 1], place[..., 0])  # 0 anterior, + lateral
        soft = blur_mm / self.radius_mm
        six = _around(-angle, (0.0, 60.0, 120.0, 180.0, 240.0, 300.0), soft)  # anterior, anteroseptal, ...
        four = _around(-angle, (0.0, 90.0, 180.0, 270.0), soft)
        edges = [expit((along - share * cavity) / (blur_mm / 2)) for share in (1 / 3, 2 / 3, 1.0)]
        result = six @ values[0:6]
        for edge, ring in zip(edges, (six @ values[6:12], four @ values[12:16], values[16]), strict=True):
            result = result + edge * (ring - result)
        return np.asarray(result)


def _around(angle: Float[Array, "*point"], centres_deg: Sequence[float], soft: float) -> Float[Array, "*point sector"]:
    """Weights of equal sectors around these centres, adding up to 1, with edges `soft` radians wide."""
    half = np.pi / len(centres_deg)
    offset = angle[..., None] - np.radians(centres_deg).astype(angle.dtype)
    distance = np.abs(np.arctan2(np.sin(offset), np.cos(offset)))
    weights = expit((half - distance) / (soft / 2))
    return np.asarray(weights / weights.sum(-1, keepdims=True))
