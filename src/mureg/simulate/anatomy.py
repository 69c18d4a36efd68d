"""What every virtual patient can be asked for, whether drawn from distributions or made from a real CT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float
from torch import Tensor

from mureg.geometry import Grid, RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.ventricle import LeftVentricle
from mureg.simulate.tracer import Tracer

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Breath:
    """A state of breathing.

    Attributes:
        diaphragm_mm: how far the domes stand below end expiration: 0 to 20 in free breathing, 25 to 60 after a deep
            breath; below 0 above it.
        heart_share: how far the middle of the heart follows them, as a share: near 0.9 in free breathing; in a deep
            breath the heart gets longer and its middle follows by 0.5 to 0.7.
        upward_mm: the heart and what lies below stand this much higher than at end expiration (creep after exercise).
        measured: tissue moves as measured in a 4-D CT (`measured_motion`), not as drawn. Then the domes may also stand
            above end expiration (`diaphragm_mm` below 0), the heart share may be small, and the chest wall stays.
    """

    diaphragm_mm: float = 0.0
    heart_share: float = 0.9
    upward_mm: float = 0.0
    measured: bool = False

    @property
    def sinks_mm(self) -> tuple[float, float]:
        """How far domes and heart stand below end expiration."""
        return self.diaphragm_mm - self.upward_mm, self.diaphragm_mm * self.heart_share - self.upward_mm


@dataclass(frozen=True, eq=False)
class Emission:
    """Object of the gamma camera, on one grid.

    Attributes:
        mu: attenuation at 140.5 keV in 1/cm of the body, 0 in air.
        activity: per volume, relative to normal left-ventricular myocardium = 1.
    """

    mu: Float[Tensor, "x y z"]
    activity: Float[Tensor, "x y z"]


@runtime_checkable
class Anatomy(Protocol):
    """A virtual patient's body in its own space: mm, LPS+, supine, the middle of the chest near the origin.

    Rendering takes a grid of any voxel size along its own axes and says for every voxel the mean over its volume
    (partial volume); `patient_from_grid` maps points of the grid's space to patient space.
    """

    @property
    def patient(self) -> str:
        """Who this is: cases with the same name never fall into different sets."""
        ...

    @property
    def ventricle(self) -> LeftVentricle:
        """The left ventricle at end expiration."""
        ...

    @property
    def anchors(self) -> Mapping[str, Triple]:
        """Named places at end expiration: at least `inferior_wall` (just below it, outside the heart)."""
        ...

    @property
    def back_mm(self) -> float:
        """Where the lowest skin is along y, and so where the table is met."""
        ...

    @property
    def facts(self) -> Mapping[str, float | str]:
        """Sizes and kinds worth a histogram (body width, lung volume, ventricle, sex, ...)."""
        ...

    def hounsfield(
        self, grid: Grid, patient_from_grid: RigidTransform, breath: Breath, contrast_hu: float = 0.0
    ) -> Volume:
        """The body in HU in surrounding air, without table and noise; `contrast_hu` is added to blood.

        Voxels about which nothing is known are marked outside.
        """
        ...

    def hounsfields(
        self, grid: Grid, patient_from_grid: RigidTransform, breaths: Sequence[Breath], contrast_hu: float = 0.0
    ) -> list[Volume]:
        """`hounsfield` in several states of breathing: what stays the same may be worked out once."""
        ...

    def emission(self, grid: Grid, patient_from_grid: RigidTransform, breath: Breath, tracer: Tracer) -> Emission:
        """Attenuation and activity for the camera, hot spots left out."""
        ...

    def emissions(
        self, grid: Grid, patient_from_grid: RigidTransform, breaths: Sequence[Breath], tracer: Tracer
    ) -> list[Emission]:
        """`emission` in several states of breathing: what stays the same may be worked out once."""
        ...

    def inside_skin(self, grid: Grid, patient_from_grid: RigidTransform) -> Bool[Tensor, "x y z"]:
        """Which voxels' middles lie in the body, arms included, at end expiration."""
        ...

    def heart_masks(
        self, grid: Grid, patient_from_grid: RigidTransform, breath: Breath
    ) -> tuple[Float[Tensor, "x y z"], Float[Tensor, "x y z"]]:
        """Share of each voxel inside the left-ventricular wall, and inside the whole heart (walls and chambers)."""
        ...

    def heart_points_mm(self, n: int, generator: np.random.Generator) -> Points:
        """Places [n, 3] evenly over the heart at end expiration."""
        ...

    def liver_points_mm(self, n: int, generator: np.random.Generator) -> Points:
        """Places [n, 3] evenly over the liver at end expiration; none of a body without a known liver."""
        ...

    def breathed(self, points_mm: Points, breath: Breath) -> Points:
        """Where the tissue that lies at these places at end expiration lies in a state of breathing."""
        ...
