"""How far a pose moves the map at the heart: one number, its components and the turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple

HEART_RADIUS_MM = 45.0
"""Of the ball that holds a heart: a large left ventricle of 110 mm length with its right neighbour fits into it."""
_LATTICE_MM = 15.0
"""Spacing of the heart points (docs/concepts/decision.md)."""

TOWARD = (
    ("to the patient's left", "to the patient's right"),
    ("to the back", "to the front"),
    ("to the head", "to the feet"),
)
"""Direction words by axis (x, y, z of LPS+), for a positive and a negative component."""


@dataclass(frozen=True)
class Move:
    """How the anatomy of the map moves at the heart when a pose is applied, against the scanner position.

    Attributes:
        rms_mm: root mean square displacement of the heart points, the one number for a move; a turn counts.
        mean_mm: mean displacement of the heart points along x (left), y (back), z (head).
        turn_deg: size of the rotation.
    """

    rms_mm: float
    mean_mm: Triple
    turn_deg: float

    @classmethod
    def of(cls, ct_from_spect: RigidTransform, heart_mm: Triple) -> Move:
        """Measure a pose at the heart.

        ``ct_from_spect`` maps a SPECT point p to the place q in the CT where that anatomy lies, so applying the pose
        moves the map's anatomy from q to p: the displacement is p - q.

        Args:
            ct_from_spect: the pose.
            heart_mm: centre of the heart in SPECT space, LPS+.
        """
        points = heart_points_mm(heart_mm)
        off = points - ct_from_spect.apply(points)
        x, y, z = (float(value) for value in off.mean(0))
        return cls(float(np.sqrt((off**2).sum(-1).mean())), (x, y, z), ct_from_spect.rotation_deg)

    @property
    def toward(self) -> tuple[str, str, str]:
        """Direction words axis by axis: "to the patient's left"."""
        x, y, z = (way[0] if mm >= 0 else way[1] for mm, way in zip(self.mean_mm, TOWARD, strict=True))
        return x, y, z

    def components(self) -> str:
        """Mean displacement in words, and the turn: "8.7 mm to the feet, 1.0 mm to the back; turned by 2.1 degrees"."""
        parts = [
            f"{abs(mm):.1f} mm {toward}"
            for mm, toward in sorted(zip(self.mean_mm, self.toward, strict=True), key=lambda part: -abs(part[0]))
            if abs(mm) >= 0.05  # the others round to 0.0
        ]
        return f"{', '.join(parts) or 'no shift'}; turned by {self.turn_deg:.1f} degrees"


def heart_points_mm(centre_mm: Triple) -> Float[np.ndarray, "point 3"]:
    """Points all over a ball of `HEART_RADIUS_MM` that holds the heart, a lattice of 15 mm, in the space of its centre.

    Target errors and moves of a patient whose heart points are not known are measured over these.
    """
    # 7 points along each axis: 3 x 15 mm to either side of the middle reach the radius of the ball
    lattice = _LATTICE_MM * (np.indices((7, 7, 7)).reshape(3, -1).T - 3.0)
    return np.asarray(lattice[np.linalg.norm(lattice, axis=1) <= HEART_RADIUS_MM] + np.asarray(centre_mm))
