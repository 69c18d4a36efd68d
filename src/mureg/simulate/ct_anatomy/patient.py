"""Virtual patients made from real CTs: one CT, overall size, smooth deformation and breathing drawn anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as settings
from torch import Tensor

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.geometry.rigid import Triple, triple
from mureg.heart.ventricle import LeftVentricle
from mureg.simulate.anatomy import Breath, Emission, Points
from mureg.simulate.ct_anatomy.base import LATTICE_MM, CtBase
from mureg.simulate.ct_anatomy.coordinates import REST, CtCoordinates
from mureg.simulate.ct_anatomy.labels import CODE
from mureg.simulate.ct_anatomy.landmarks import ventricle_between
from mureg.simulate.ct_anatomy.sampling import SamplePlaces, averaged, denser, share_inside, texture, uptake_of_codes
from mureg.simulate.ct_anatomy.shell import outer_distance_mm, wall_distance_mm
from mureg.simulate.fields import SmoothField
from mureg.simulate.tissues import AIR_HU
from mureg.simulate.tracer import Tracer

_BODY_MM = (480.0, 360.0, 560.0)
"""Box of the random deformation: about a chest; beyond it the field goes on as at its edge."""
_SKIN_PER_CM = 0.05
"""A third of soft tissue (0.16) and more than lung (0.04): where partial volume ends the body; chosen."""


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class CtAnatomyRange:
    """Variation of virtual patients that are made from one CT.

    Attributes:
        kind: names this family of patients in stored settings.
        scale: smallest and largest overall size, relative to the CT.
        deformation_mm: largest standard deviation of the smooth deformation along each axis (mm).
        wavelength_mm: distance between independent values of the deformation (mm).
        cts: names of the CTs (default: the three of the difficulty level real-ct).
    """

    kind: Literal["real-ct"] = "real-ct"
    scale: tuple[float, float] = (0.93, 1.07)
    deformation_mm: float = 5.0
    wavelength_mm: float = 110.0
    cts: tuple[str, ...] | None = None

    def draw(self, generator: np.random.Generator, patient: str, base: CtBase) -> CtAnatomy:
        """One patient, called `patient`: patients made from one CT should share a name, or its beginning."""
        scale = float(generator.uniform(*self.scale))
        # from a third of the largest deformation on: no two patients are the bare CT; chosen
        amplitude = float(generator.uniform(0.3, 1.0)) * self.deformation_mm
        field = SmoothField.draw(generator, 3, self.wavelength_mm, _BODY_MM)
        return CtAnatomy(patient, base, scale, SmoothField(field.lattice * amplitude, field.grid))


@dataclass(frozen=True, eq=False)
class CtAnatomy:
    """A virtual patient made from a real CT (see `Anatomy`).

    The tissue stays that of the CT, which is rendered with one trilinear interpolation. The left ventricle that takes
    up tracer is a parametric one, placed by hand on the heart of the CT. Below and above what was scanned the
    last slice goes on; for `hounsfield` it counts as outside there.

    Attributes:
        patient: who this is.
        base: the prepared CT.
        scale: overall size relative to the CT.
        deformation: displacement in mm [x, y, z] of the CT's frame over patient space as scanned; None for none.
    """

    patient: str
    base: CtBase
    scale: float = 1.0
    deformation: SmoothField | None = None

    @cached_property
    def coordinates(self) -> CtCoordinates:
        """Where tissue of the CT lies in patient space."""
        return CtCoordinates(self.base, self.scale, self.deformation)

    @cached_property
    def ventricle(self) -> LeftVentricle:
        """The left ventricle at end expiration."""
        marks = self.base.landmarks
        base, apex = self.coordinates.rest_from_ct(np.asarray([marks.base_mm, marks.apex_mm]))
        return ventricle_between(base, apex, marks.radius_mm * self.scale, marks.wall_mm * self.scale)

    @property
    def anchors(self) -> Mapping[str, Triple]:
        """`inferior_wall` is 12 mm below the outer surface at the middle of the axis."""
        ventricle = self.ventricle
        below = np.asarray(ventricle.centre_mm) - ventricle.axes[0] * (ventricle.radius_mm + 12.0)
        return {"inferior_wall": triple(below)}

    @cached_property
    def back_mm(self) -> float:
        """Where the lowest skin is along y."""
        return float(self.coordinates.scan_from_ct(self.base.back_points_mm)[:, 1].max())

    @property
    def facts(self) -> Mapping[str, float | str]:
        """Sizes of this patient; `ct` names what it was made from."""
        sizes, ventricle = self.base.sizes, self.ventricle
        return {
            "kind": "real-ct",
            "ct": self.base.name,
            "scale": self.scale,
            "body_width_mm": sizes["body_width_mm"] * self.scale,
            "body_depth_mm": sizes["body_depth_mm"] * self.scale,
            "lung_as_scanned_ml": sizes["lung_ml"] * self.scale**3,
            "as_scanned_mm": self.base.landmarks.as_scanned_mm,
            "lv_length_mm": ventricle.length_mm,
            "lv_radius_mm": ventricle.radius_mm,
            "lv_wall_mm": ventricle.wall_mm,
        }

    @property
    def as_scanned(self) -> Breath:
        """The breath in which the CT was taken."""
        marks = self.base.landmarks
        return Breath(marks.as_scanned_mm, marks.as_scanned_share)

    def hounsfield(
        self, grid: Grid, patient_from_grid: RigidTransform, breath: Breath, contrast_hu: float = 0.0
    ) -> Volume:
        """The CT's HU in air, in a state of breathing; lung is denser where its volume is smaller."""
        edges, places = self.coordinates.places(grid, patient_from_grid, breath)
        values = self.base.hu
        if contrast_hu:
            values = torch.where(self.base.codes == CODE["blood"], values + contrast_hu, values)
        values = averaged(values, self.base.grid.spacing_mm, self._voxel_mm(edges))
        density = places.read(values[None], self.base.grid)[0].sub_(AIR_HU)
        # above air: lung has 260 in all of its volume, fat 900; what lies between is partly lung. Chosen
        values = denser(density, places, 500.0, 850.0).add_(AIR_HU)
        outside = self._unknown(grid, patient_from_grid)
        values = values.masked_fill_(outside, 0.0)
        return Volume(values.numpy(), grid, Quantity.HU, outside.numpy() if bool(outside.any()) else None)

    def hounsfields(
        self, grid: Grid, patient_from_grid: RigidTransform, breaths: Sequence[Breath], contrast_hu: float = 0.0
    ) -> list[Volume]:
        """`hounsfield` in several states of breathing."""
        return [self.hounsfield(grid, patient_from_grid, breath, contrast_hu) for breath in breaths]

    def emission(self, grid: Grid, patient_from_grid: RigidTransform, breath: Breath, tracer: Tracer) -> Emission:
        """Attenuation and activity for the camera, hot spots left out.

        Texture stays with the tissue; it varies the uptake of everything but the ventricle's wall, whose uptake is its
        perfusion alone.
        """
        edges, places = self.coordinates.places(grid, patient_from_grid, breath)
        lattice, voxel_mm = self.base.lattice, self._voxel_mm(edges)
        uptake = uptake_of_codes(tracer)[self.base.codes.int()].numpy()
        fine = Volume(uptake, self.base.grid, Quantity.ACTIVITY)
        activity = torch.from_numpy(fine.coarsened(LATTICE_MM).values)
        if tracer.texture:
            activity = activity * texture(lattice, tracer)
        pair = [averaged(values, lattice.spacing_mm, voxel_mm) for values in (self.base.mu, activity)]
        mu, activity = places.read(torch.stack(pair), lattice)
        box, points = self._near_ventricle(grid, patient_from_grid, places)
        share = share_inside(wall_distance_mm, self.ventricle, points, edges)
        perfusion = torch.from_numpy(self.ventricle.perfusion(points.numpy(), tracer.segments)).to(points)
        activity[box] = activity[box] * (1.0 - share) + share * perfusion * tracer.uptake["lv_wall"]
        return Emission(denser(mu, places, 0.075, 0.13), activity)  # the same limits as for HU, by `mu_from_hu`

    def emissions(
        self, grid: Grid, patient_from_grid: RigidTransform, breaths: Sequence[Breath], tracer: Tracer
    ) -> list[Emission]:
        """`emission` in several states of breathing."""
        return [self.emission(grid, patient_from_grid, breath, tracer) for breath in breaths]

    def inside_skin(self, grid: Grid, patient_from_grid: RigidTransform) -> Bool[Tensor, "x y z"]:
        """Which voxels' middles lie in the body at end expiration; lungs count as such where they are not air."""
        _, places = self.coordinates.places(grid, patient_from_grid, REST)
        return places.read(self.base.mu[None], self.base.lattice)[0] > _SKIN_PER_CM

    def heart_masks(
        self, grid: Grid, patient_from_grid: RigidTransform, breath: Breath
    ) -> tuple[Float[Tensor, "x y z"], Float[Tensor, "x y z"]]:
        """Share of each voxel inside the left-ventricular wall, and inside the whole heart (walls and chambers)."""
        edges, places = self.coordinates.places(grid, patient_from_grid, breath)
        lattice = self.base.lattice
        heart = places.read(averaged(self.base.heart, lattice.spacing_mm, self._voxel_mm(edges))[None], lattice)[0]
        wall = torch.zeros_like(heart)
        box, points = self._near_ventricle(grid, patient_from_grid, places)
        wall[box] = share_inside(wall_distance_mm, self.ventricle, points, edges)
        whole = share_inside(outer_distance_mm, self.ventricle, points, edges)
        heart[box] = torch.maximum(heart[box], whole)
        return wall, heart

    def heart_points_mm(self, n: int, generator: np.random.Generator) -> Points:
        """Places [n, 3] evenly over the heart at end expiration."""
        return self._spread(self.base.heart_points_mm, n, generator)

    def liver_points_mm(self, n: int, generator: np.random.Generator) -> Points:
        """Places [n, 3] evenly over the liver, as far as the CT shows it or it is taken to go on; none without one."""
        liver = self.base.liver_points_mm
        return self._spread(liver, n, generator) if len(liver) else np.empty((0, 3))

    def _spread(self, of: Points, n: int, generator: np.random.Generator) -> Points:
        """Some voxels by their middles in the CT, a place in each, at end expiration."""
        indices = generator.choice(len(of), n)
        spread = generator.uniform(-0.5, 0.5, (n, 3)) * self.base.grid.spacing_mm
        return self.coordinates.rest_from_ct(of[indices] + spread)

    def breathed(self, points_mm: Points, breath: Breath) -> Points:
        """Where the tissue that lies at these places at end expiration lies in a state of breathing."""
        points = torch.from_numpy(np.asarray(points_mm, dtype=np.float64))
        if breath.measured:
            return np.asarray((points + self.coordinates.measured.shift(points, *breath.sinks_mm)).numpy())
        scan = self.coordinates.scan_from_patient(points, REST)
        moved = scan.numpy().copy()
        moved[..., 2] += self.coordinates.rise(scan, breath).numpy()
        return moved

    def _voxel_mm(self, edges: Float[Tensor, "3 3"]) -> npt.NDArray[np.float64]:
        """How far a voxel with these edges reaches along each axis of the CT."""
        return np.asarray(edges.abs().max(1).values.double().numpy() / self.scale)

    def _unknown(self, grid: Grid, patient_from_grid: RigidTransform) -> Bool[Tensor, "x y z"]:
        """Beyond what was scanned, breathing and deformation left aside: a CT ends in planes."""
        ct_from_patient = np.eye(4)
        ct_from_patient[:3, :3] /= self.scale
        ct_from_patient[:3, 3] = np.asarray(self.base.origin_mm) + self.coordinates.lift().numpy() / self.scale
        matrix = torch.from_numpy(ct_from_patient @ patient_from_grid.matrix @ grid.affine)
        u, v, w = (torch.arange(n, dtype=torch.float64) for n in grid.shape)
        corners = torch.from_numpy(np.indices((2, 2, 2)).reshape(3, 8).T * (np.asarray(grid.shape) - 1.0))
        result = torch.zeros(grid.shape, dtype=torch.bool)
        for row, (low, high) in zip(matrix[:3], self.base.known_mm.tolist(), strict=True):
            ends = corners @ row[:3] + row[3]
            if float(ends.min()) < low or float(ends.max()) > high:
                place = (u * row[0] + row[3])[:, None, None] + (v * row[1])[:, None] + w * row[2]
                result |= (place < low - 1e-3) | (place > high + 1e-3)
        return result

    def _near_ventricle(
        self, grid: Grid, patient_from_grid: RigidTransform, places: SamplePlaces
    ) -> tuple[tuple[slice, slice, slice], Float[Tensor, "i j k 3"]]:
        """A box of the grid that holds the ventricle in any breath, and where its points are at end expiration."""
        ventricle = self.ventricle
        # and 8 mm, a little more than a voxel of a usual SPECT
        reach = np.hypot(ventricle.length_mm / 2, ventricle.radius_mm) + 8.0 + places.moved_mm
        corners = np.stack(np.meshgrid(*[(-r, r) for r in reach], indexing="ij"), -1).reshape(-1, 3)
        index = grid.indices(patient_from_grid.inverse().apply(corners + ventricle.centre_mm))
        low, high = np.floor(index.min(0)).astype(int), np.ceil(index.max(0)).astype(int) + 1
        ends = zip(np.clip(low, 0, grid.shape), np.clip(high, 0, grid.shape), strict=True)
        x, y, z = (slice(int(first), int(last)) for first, last in ends)
        matrix = torch.from_numpy(patient_from_grid.matrix @ grid.affine).float()
        axes = [torch.arange(s.start, s.stop, dtype=torch.float32) for s in (x, y, z)]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) @ matrix[:3, :3].T + matrix[:3, 3]
        moved = [axis for axis in range(3) if axis == 2 or places.moved_mm[axis] > 0]
        points[..., moved] = places.spread(places.rest_mm[moved])[:, x, y, z].movedim(0, -1)
        return (x, y, z), points
