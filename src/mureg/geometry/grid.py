"""Where the voxels of an image lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mureg.errors import GeometryError

Matrix = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]


def frozen_matrix(values: npt.ArrayLike, what: str) -> Matrix:
    """Return a read-only float64 copy of a homogeneous 4x4 matrix, or refuse it by name."""
    matrix = np.array(values, dtype=np.float64) + 0.0  # no negative zeros: equal matrices have equal bytes
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise GeometryError(
            f"{what} has shape {matrix.shape} or non-finite values", "a finite 4x4 matrix", "check the header"
        )
    if not np.array_equal(matrix[3], (0.0, 0.0, 0.0, 1.0)):
        raise GeometryError(
            f"{what} ends in the row {matrix[3].tolist()}",
            "0 0 0 1",
            "give an affine matrix, not a projective one",
        )
    matrix.flags.writeable = False
    return matrix


def apply_affine(matrix: Matrix, points: npt.ArrayLike) -> Points:
    """Apply a homogeneous 4x4 matrix to points [..., 3]."""
    return np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular lattice of voxels in patient space.

    Attributes:
        shape: number of voxels (nx, ny, nz).
        affine: 4x4 float64; ``affine @ (i, j, k, 1)`` is the centre of voxel (i, j, k) in mm, DICOM LPS+
            (x to the patient's left, y to the back, z to the head).
        frame_of_reference: DICOM frame-of-reference UID, empty where none is known.

    Equality compares all three, exactly. Raises `GeometryError` for an empty or degenerate lattice.
    """

    shape: tuple[int, int, int]
    affine: Matrix
    frame_of_reference: str = ""

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(f"grid shape {self.shape}", "three counts of at least 1", "check the image size")
        affine = frozen_matrix(self.affine, "the voxel-to-patient matrix")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        # volume of the cell over that of a box: 0.001 is two axes within 0.06 degrees
        if spacing.min() <= 0 or abs(np.linalg.det(affine[:3, :3] / np.maximum(spacing, 1e-30))) < 1e-3:
            raise GeometryError(
                f"voxel axes {affine[:3, :3].tolist()} mm",
                "three independent directions",
                "check spacing and orientation",
            )
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def centred(
        cls,
        shape: tuple[int, int, int],
        spacing_mm: tuple[float, float, float],
        centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
        frame_of_reference: str = "",
    ) -> Grid:
        """A grid along the patient axes (x left, y back, z head) around a centre in mm."""
        affine = np.diag([*spacing_mm, 1.0])
        affine[:3, 3] = np.asarray(centre_mm) - 0.5 * (np.asarray(shape) - 1) * np.asarray(spacing_mm)
        return cls(shape, affine, frame_of_reference)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along i, j, k."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def centre_mm(self) -> tuple[float, float, float]:
        """The point half-way between the first and the last voxel centre."""
        x, y, z = self.points((np.asarray(self.shape) - 1) / 2)
        return float(x), float(y), float(z)

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Edge lengths of the box that holds every voxel whole."""
        x, y, z = np.asarray(self.shape) * np.asarray(self.spacing_mm)
        return float(x), float(y), float(z)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def along_patient_axes(self) -> bool:
        """Whether i, j, k run along +x, +y, +z exactly as patient space does (to 1e-4 of a direction cosine)."""
        return bool(np.allclose(self.affine[:3, :3] / np.asarray(self.spacing_mm), np.eye(3), atol=1e-4))

    def points(self, indices: npt.ArrayLike) -> Points:
        """Patient positions (mm) of voxel indices [..., 3]; fractional indices are welcome."""
        return apply_affine(self.affine, indices)

    def indices(self, points_mm: npt.ArrayLike) -> Points:
        """Fractional voxel indices of patient positions [..., 3] in mm."""
        return apply_affine(np.asarray(np.linalg.inv(self.affine), dtype=np.float64), points_mm)

    def corners_mm(self) -> Points:
        """The eight outer corners [8, 3] of the box that holds every voxel whole."""
        ends = [(-0.5, n - 0.5) for n in self.shape]
        return self.points(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(8, 3))

    def size_in_words(self) -> str:
        """Number of voxels and their spacing: "64 x 64 x 40 voxels of 6.8 x 6.8 x 6.8 mm"."""
        n, mm = (" x ".join(f"{value:.4g}" for value in values) for values in (self.shape, self.spacing_mm))
        return f"{n} voxels of {mm} mm"

    def __repr__(self) -> str:
        x, y, z = self.centre_mm
        turn_note = "" if self.along_patient_axes else ", not along the patient axes"
        return f"Grid({self.size_in_words()} around ({x:.1f}, {y:.1f}, {z:.1f}) mm{turn_note})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grid):
            return NotImplemented
        return (
            self.shape == other.shape
            and self.frame_of_reference == other.frame_of_reference
            and bool(np.array_equal(self.affine, other.affine))
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes(), self.frame_of_reference))
