"""Where the tissue of a CT lies in a virtual patient, by overall size, smooth deformation and breathing, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.geometry import Grid, RigidTransform
from mureg.geometry.rigid import triple
from mureg.simulate.anatomy import Breath, Points
from mureg.simulate.ct_anatomy.base import CtBase
from mureg.simulate.ct_anatomy.motion import rises_mm
from mureg.simulate.ct_anatomy.sampling import SamplePlaces
from mureg.simulate.fields import SmoothField
from mureg.simulate.measured_motion import MEASURED_MM, MeasuredMotion

_NODES_MM = 12.0
"""Between the places that are worked out; what moves them is smooth over this (blurs of 5 to 14 mm). Chosen."""
_STEPS = 3
"""Secant steps in single precision, three times as many in double: they end at its rounding."""
_SLOPE_MM = 5.0
"""Over which the slope of the displacement is taken: less than a voxel of its weights (6.5 mm)."""
_SLOPES = (0.35, 3.0)
"""Limits of a secant's slope, about 1 where little is squeezed: steps stay within a factor of three. Chosen."""
REST = Breath()
"""End expiration."""


@dataclass(frozen=True, eq=False)
class CtCoordinates:
    """The frames of a patient made from a CT: the CT's own, patient space as scanned ("scan"), at rest, in any breath.

    Attributes:
        base: the prepared CT.
        scale: overall size relative to the CT.
        deformation: displacement in mm [x, y, z] of the CT's frame over patient space as scanned; None for none.
    """

    base: CtBase
    scale: float = 1.0
    deformation: SmoothField | None = None

    def ct_from_scan(self, points: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point 3"]:
        """From patient space, breathing as in the scan, to the CT's frame."""
        origin = torch.tensor(self.base.origin_mm).to(points)
        straight = origin + (points + self.lift().to(points)) / self.scale
        if self.deformation is None:
            return straight
        moved: Tensor = straight + self.deformation.at(points).movedim(0, -1)
        return moved

    def scan_from_ct(self, points_mm: Points) -> Points:
        """The inverse of `ct_from_scan`."""
        target = torch.from_numpy(np.asarray(points_mm, dtype=np.float64))
        result = (target - torch.tensor(self.base.origin_mm).to(target)) * self.scale - self.lift()
        if self.deformation is not None:
            for _ in range(20):  # a step leaves about a tenth of the error, the slope of the deformation
                result = result + (target - self.ct_from_scan(result)) * self.scale
        array: Points = result.numpy()
        return array

    def rest_from_ct(self, points_mm: Points) -> Points:
        """From the CT's frame to patient space at end expiration."""
        scan = torch.from_numpy(self.scan_from_ct(points_mm))
        moved: Points = scan.numpy().copy()
        moved[..., 2] += self.rise(scan, REST).numpy()
        return moved

    def lift(self) -> Float[Tensor, " 3"]:
        """What puts the ventricle's middle at z = 0 at end expiration."""
        return torch.tensor([0.0, 0.0, rises_mm(REST, self.base.landmarks)[1]], dtype=torch.float64)

    def rise(self, scan: Float[Tensor, "*point 3"], breath: Breath) -> Float[Tensor, "*point"]:
        """How much higher tissue stands than in the scan, at places as scanned."""
        return _weighted(self.weights(scan), rises_mm(breath, self.base.landmarks))

    def weights(self, scan: Float[Tensor, "*point 3"]) -> Float[Tensor, "motion ..."]:
        """How far tissue follows the diaphragm and the heart, at places as scanned."""
        return self.base.motions.at(self.ct_from_scan(scan))

    def scan_from_patient(self, points: Float[Tensor, "*point 3"], breath: Breath) -> Float[Tensor, "*point 3"]:
        """Where the tissue at these places was in the scan: z by secant steps."""
        points, breath = self.undo_measured(points, breath)
        if rises_mm(breath, self.base.landmarks) == (0.0, 0.0):
            return points
        target = points[..., 2]
        earlier, scan = points, points.clone()
        earlier_miss = self.rise(points, breath)
        scan[..., 2] = target - earlier_miss
        for _ in range(_STEPS if points.dtype == torch.float32 else 3 * _STEPS):
            miss = scan[..., 2] + self.rise(scan, breath) - target
            step = scan[..., 2] - earlier[..., 2]
            slope = (miss - earlier_miss) / torch.where(step.abs() < 1e-6, torch.ones_like(step), step)
            slope = torch.where(step.abs() < 1e-6, torch.ones_like(slope), slope).clamp(*_SLOPES)
            earlier, earlier_miss, scan = scan, miss, scan.clone()
            scan[..., 2] -= miss / slope
        return scan

    @cached_property
    def measured(self) -> MeasuredMotion:
        """Measured displacement over patient space at end expiration."""
        corners = self.base.grid.points(
            np.indices((2, 2, 2)).reshape(3, 8).T * (np.asarray(self.base.grid.shape) - 1.0)
        )
        ends = (corners - self.base.origin_mm) * self.scale - self.lift().numpy()
        shape = [math.ceil(extent / MEASURED_MM) for extent in np.ptp(ends, axis=0)]
        grid = Grid.centred((shape[0], shape[1], shape[2]), (MEASURED_MM,) * 3, triple(ends.mean(0)))
        points = torch.from_numpy(grid.points(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)))
        return self.base.measured.carried(grid, self.ct_from_scan(self.scan_from_patient(points, REST)))

    def undo_measured(
        self, points: Float[Tensor, "*point 3"], breath: Breath
    ) -> tuple[Float[Tensor, "*point 3"], Breath]:
        """A measured breath taken back to end expiration; a drawn one as it is."""
        return (self.measured.source(points, *breath.sinks_mm), REST) if breath.measured else (points, breath)

    def places(
        self, grid: Grid, patient_from_grid: RigidTransform, breath: Breath
    ) -> tuple[Float[Tensor, "3 3"], SamplePlaces]:
        """The edges of a voxel in patient space (columns, mm), and what its points are."""
        nodes = []
        for n, spacing in zip(grid.shape, grid.spacing_mm, strict=True):
            nodes.append(torch.linspace(0.0, n - 1.0, max(2, math.ceil((n - 1) * spacing / _NODES_MM) + 1)))
        matrix = torch.from_numpy(patient_from_grid.matrix @ grid.affine).float()
        now = torch.stack(torch.meshgrid(*nodes, indexing="ij"), -1) @ matrix[:3, :3].T + matrix[:3, 3]
        undone, pose_breath = self.undo_measured(now, breath)
        scan = self.scan_from_patient(undone, pose_breath)
        weights, above = (self.weights(scan + torch.tensor([0.0, 0.0, dz])) for dz in (0.0, _SLOPE_MM))
        slope = _weighted(above - weights, rises_mm(pose_breath, self.base.landmarks)) / _SLOPE_MM
        growth = (1.0 + slope).clamp_min(0.1)  # a tenth of the volume: beyond `_MOST_DENSITY`, so never seen
        if breath.measured:
            growth = growth * self.measured.volume_ratio(undone, *breath.sinks_mm).clamp_min(0.1)
        at_rest = scan.clone()
        at_rest[..., 2] += _weighted(weights, rises_mm(REST, self.base.landmarks))
        return matrix[:3, :3], SamplePlaces(
            ct_mm=self.ct_from_scan(scan).movedim(-1, 0),
            rest_mm=at_rest.movedim(-1, 0),
            moved_mm=(at_rest - now).abs().reshape(-1, 3).max(0).values.double().numpy(),
            squeezed=1.0 / growth,
            shape=grid.shape,
        )


def _weighted(weights: Float[Tensor, "motion ..."], rises: tuple[float, float]) -> Float[Tensor, " ..."]:
    return rises[0] * weights[0] + rises[1] * weights[1]
