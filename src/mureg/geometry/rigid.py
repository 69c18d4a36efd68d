"""Rigid motions of points, named ``target_from_source``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from mureg.errors import GeometryError
from mureg.geometry.grid import Matrix, Points, apply_affine, frozen_matrix

Triple = tuple[float, float, float]


def triple(values: npt.ArrayLike) -> Triple:
    """Three numbers of an array."""
    x, y, z = (float(v) for v in np.asarray(values))
    return x, y, z


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """A rotation followed by a translation that maps points from one space to another.

    Attributes:
        matrix: 4x4 float64, applied to column vectors (x, y, z, 1) in mm, LPS+.

    Every variable is called ``target_from_source``, so that ``a_from_b @ b_from_c`` is ``a_from_c``.
    Raises `GeometryError` where the upper 3x3 is not a rotation to 1e-6.
    """

    matrix: Matrix

    def __post_init__(self) -> None:
        matrix = frozen_matrix(self.matrix, "the transform")
        rotation = matrix[:3, :3]
        error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        if error > 1e-6 or np.linalg.det(rotation) < 0:
            raise GeometryError(
                f"the transform scales, shears or mirrors (departs from a rotation by {error:.2g})",
                "a rigid transform, right-handed",
                "export the rigid alignment, not an affine one",
            )
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def identity(cls) -> RigidTransform:
        """The motion that leaves every point where it is."""
        return cls(np.eye(4))

    @classmethod
    def from_six(
        cls, translation_mm: npt.ArrayLike, angles_deg: npt.ArrayLike, centre_mm: npt.ArrayLike
    ) -> RigidTransform:
        """Rotate about a centre, then translate: ``p -> R (p - centre) + centre + translation``.

        Args:
            translation_mm: along x, y, z.
            angles_deg: right-handed about the fixed axes x, then y, then z (``R = Rz @ Ry @ Rx``).
            centre_mm: the point that rotation alone leaves in place.
        """
        translation, centre = (
            np.asarray(translation_mm, dtype=np.float64),
            np.asarray(centre_mm, dtype=np.float64),
        )
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_euler("xyz", np.asarray(angles_deg, dtype=np.float64), degrees=True).as_matrix()
        matrix[:3, 3] = centre + translation - matrix[:3, :3] @ centre
        return cls(matrix)

    @classmethod
    def best_fit(cls, source_mm: npt.ArrayLike, target_mm: npt.ArrayLike) -> RigidTransform:
        """``target_from_source`` that brings points [n, 3] nearest to their partners, in the least-squares sense.

        Kabsch, Acta Cryst A 1976; a mirror image is never taken. Raises `GeometryError` for fewer than 3 pairs.
        """
        source, target = np.asarray(source_mm, dtype=np.float64), np.asarray(target_mm, dtype=np.float64)
        if source.shape != target.shape or len(source) < 3:
            raise GeometryError(
                f"{len(source)} points and {len(target)} partners", "at least 3 pairs", "give each point its partner"
            )
        middle_source, middle_target = source.mean(0), target.mean(0)
        rotation, _ = Rotation.align_vectors(target - middle_target, source - middle_source)
        matrix = np.eye(4)
        matrix[:3, :3] = rotation.as_matrix()
        matrix[:3, 3] = middle_target - matrix[:3, :3] @ middle_source
        return cls(matrix)

    def six(self, centre_mm: npt.ArrayLike) -> tuple[Triple, Triple]:
        """Translation (mm) and angles (degrees) about a stated centre; the inverse of `from_six` for |angle y| < 90."""
        centre = np.asarray(centre_mm, dtype=np.float64)
        tx, ty, tz = self.apply(centre) - centre
        ax, ay, az = Rotation.from_matrix(self.matrix[:3, :3]).as_euler("xyz", degrees=True)
        return (float(tx), float(ty), float(tz)), (float(ax), float(ay), float(az))

    @property
    def rotation_deg(self) -> float:
        """Size of the rotation, as one angle about its own axis."""
        return float(np.degrees(Rotation.from_matrix(self.matrix[:3, :3]).magnitude()))

    def apply(self, points_mm: npt.ArrayLike) -> Points:
        """Map points [..., 3] in mm."""
        return apply_affine(self.matrix, points_mm)

    def inverse(self) -> RigidTransform:
        """The motion back, from the transposed rotation (no matrix inversion, no loss)."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.matrix[:3, :3].T
        matrix[:3, 3] = -self.matrix[:3, :3].T @ self.matrix[:3, 3]
        return RigidTransform(matrix)

    def __matmul__(self, other: RigidTransform) -> RigidTransform:
        return RigidTransform(self.matrix @ other.matrix)

    def __repr__(self) -> str:
        mm, degrees = (", ".join(f"{value:.2f}" for value in values) for values in self.six((0.0, 0.0, 0.0)))
        return f"RigidTransform(translation ({mm}) mm, rotation ({degrees}) degrees about the origin)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RigidTransform):
            return NotImplemented
        return bool(np.array_equal(self.matrix, other.matrix))

    def __hash__(self) -> int:
        return hash(self.matrix.tobytes())
