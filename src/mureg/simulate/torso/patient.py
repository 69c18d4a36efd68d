"""One drawn torso, rendered on any grid in any state of breathing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.ventricle import LeftVentricle
from mureg.simulate.anatomy import Breath, Emission, Points
from mureg.simulate.tissues import TISSUES, Tissue
from mureg.simulate.torso.body import MYOCARDIUM_DENSITY, Body, lv_volumes_ml
from mureg.simulate.torso.canvas import NODE_MM, Lattice, Palette
from mureg.simulate.torso.heart import TorsoHeart
from mureg.simulate.torso.motion import DEEP_MM, TorsoMotion
from mureg.simulate.torso.scene import Scene, Texture
from mureg.simulate.torso.shapes import cover
from mureg.simulate.tracer import Tracer

_MATERIALS: Mapping[str, tuple[str, str, float]] = {
    # painted as: (tissue, organ of the tracer, share of its uptake); shares below 1 are chosen
    "fat": ("fat", "fat", 1.0),
    "heart_fat": ("fat", "fat", 1.0),
    "breast": ("breast", "breast", 1.0),
    "soft_tissue": ("soft_tissue", "soft_tissue", 1.0),
    "disc": ("soft_tissue", "soft_tissue", 0.5),
    "cartilage": ("cartilage", "soft_tissue", 0.5),
    "cortical_bone": ("cortical_bone", "bone", 0.25),
    "spongy_bone": ("spongy_bone", "bone", 1.0),
    "blood": ("blood", "blood", 1.0),
    "lv_wall": ("myocardium", "lv_wall", 1.0),
    "rv_wall": ("myocardium", "rv_wall", 1.0),
    "liver": ("liver", "liver", 1.0),
    "gallbladder": ("gallbladder", "gallbladder", 1.0),
    "spleen": ("spleen", "spleen", 1.0),
    "kidney": ("kidney", "kidney", 1.0),
    "stomach_wall": ("stomach_wall", "stomach_wall", 1.0),
    "stomach": ("stomach", "stomach", 1.0),
    "bowel": ("bowel", "bowel", 1.0),
    "air": ("air", "lung", 0.0),
}
_AIR_HU = TISSUES["air"].hu


@dataclass(frozen=True, eq=False)
class Torso:
    """One drawn patient; an `Anatomy`.

    Attributes:
        patient: name.
        body: sizes of the undeformed body.
        motion: its deformation and breathing.
    """

    patient: str
    body: Body
    motion: TorsoMotion

    @cached_property
    def scene(self) -> Scene:
        """Geometry of all organs of this patient."""
        return Scene(self.body, self.motion)

    @property
    def heart(self) -> TorsoHeart:
        """The heart before the random deformation of the body."""
        return self.scene.heart

    @cached_property
    def ventricle(self) -> LeftVentricle:
        """The left ventricle at end expiration, its axis and sizes as deformed."""
        lv = self.body.ventricle
        half, r = lv.length_mm / 2, lv.radius_mm
        rim = [self.heart.at(a * r, b * r, 0.0) for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        places = self.motion.deformed(np.array([self.heart.at(0, 0, -half), self.heart.at(0, 0, half), *rim]))
        base, apex = places[:2]
        length = float(np.linalg.norm(apex - base))
        direction = (apex - base) / length
        across = np.linalg.norm(places[2] - places[3]) + np.linalg.norm(places[4] - places[5])
        return LeftVentricle(
            _triple((base + apex) / 2),
            _triple(direction),
            length,
            float(across / 4),
            lv.wall_mm * float(across / 4 / r),
        )

    @cached_property
    def anchors(self) -> Mapping[str, Triple]:
        """Middle of places at end expiration, in the patient: see `Anatomy.anchors`."""
        lv, heart = self.body.ventricle, self.heart
        below = lv.radius_mm + self.body.heart_fat + 8.0
        shoulder, elbow, _ = self.scene.envelope.arm_joints
        arm = tuple(0.35 * a + 0.65 * b for a, b in zip(shoulder, elbow, strict=True))
        stomach = self.scene.abdomen.stomach[0].centre  # type: ignore[union-attr]
        places = {
            "inferior_wall": heart.at(-below, 0.0, 0.05 * lv.length_mm),
            "heart": lv.centre_mm,
            "bowel": (0.35 * self.body.cage_x, -0.4 * self.body.cage_y, self.body.dome_left - 70.0),
            "stomach": stomach,
            "gallbladder": self.scene.abdomen.gallbladder.centre,
            "left_arm": arm,
            "right_arm": (-arm[0], arm[1], arm[2]),
        }
        moved = self.motion.deformed(np.array(list(places.values())))
        return {name: _triple(place) for name, place in zip(places, moved, strict=True)}

    @cached_property
    def back_mm(self) -> float:
        """Where the lowest skin is along y, from a coarse sampling of the trunk."""
        # 600 x 300 x 500 mm around the back of the trunk, at its level
        grid = Grid.centred((60, 30, 50), (10.0, 10.0, 10.0), (0.0, self.body.back - 60.0, 0.0))
        lattice = Lattice(grid, RigidTransform.identity())
        nodes = {"skin": self.scene.skin(lattice)}
        skin = torch.cat([lattice.fields(nodes, slab)["skin"] for slab in lattice.slabs([(0, n) for n in grid.shape])])
        return _lowest(skin, grid)

    @cached_property
    def facts(self) -> Mapping[str, float | str]:
        """Sizes and kinds; those in ml of large organs from a coarse rendering."""
        b, lv = self.body, self.ventricle
        x, y, z = lv.apex_direction
        cavity, wall = lv_volumes_ml(lv.length_mm, lv.radius_mm, lv.wall_mm)
        return {
            "sex": "female" if b.female else "male",
            "bmi": b.bmi,
            "height_cm": b.height_cm,
            "body_width_mm": 2.0 * b.half_width,
            "body_depth_mm": b.front + b.back,
            "fat_mm": b.fat,
            "breast_mm": b.breast,
            "arms": "down" if b.arms_down else "up",
            "right_dome_mm": b.dome_right,
            "left_dome_mm": b.dome_left,
            "lung_density": b.lung_density,
            "lv_length_mm": lv.length_mm,
            "lv_radius_mm": lv.radius_mm,
            "lv_cavity_ml": cavity,
            "lv_wall_ml": wall,
            "lv_wall_g": wall * MYOCARDIUM_DENSITY,
            "axis_aside_deg": float(np.degrees(np.arctan2(x, -y))),
            "axis_down_deg": float(np.degrees(np.arcsin(-z))),
            "stomach_gas": b.stomach_gas,
            "colon_gas": b.colon_gas,
        } | {f"{organ}_ml": volume for organ, volume in self.volumes_ml(Breath()).items()}

    def volumes_ml(self, breath: Breath) -> dict[str, float]:
        """Lungs (with the vessels in them) and liver, from nodes every 14 mm: right to a few per cent."""
        if breath not in self._volumes:
            # 378 x 322 x 588 mm: the widest cage, from the apices to below the liver
            grid = Grid.centred((27, 23, 42), (NODE_MM,) * 3, (0.0, 0.0, -60.0))
            fields = self.scene.organ_fields(Lattice(grid, RigidTransform.identity()), breath)
            self._volumes[breath] = {
                organ: float(cover(fields[organ], NODE_MM).sum()) * grid.voxel_volume_mm3 / 1000.0
                for organ in ("lung", "liver")
            }
        return self._volumes[breath]

    @cached_property
    def _volumes(self) -> dict[Breath, dict[str, float]]:
        return {}

    def hounsfield(
        self, grid: Grid, patient_from_grid: RigidTransform, breath: Breath, contrast_hu: float = 0.0
    ) -> Volume:
        """The body in HU; the myocardium takes up a quarter of the contrast of blood, liver and spleen a third."""
        return self.hounsfields(grid, patient_from_grid, [breath], contrast_hu)[0]

    def hounsfields(
        self, grid: Grid, patient_from_grid: RigidTransform, breaths: Sequence[Breath], contrast_hu: float = 0.0
    ) -> list[Volume]:
        """The body in HU in several states of breathing."""
        palettes = [[self._hu(breath, contrast_hu)] for breath in breaths]
        channels = self.scene.render(grid, patient_from_grid, breaths, palettes)
        return [Volume(values.numpy(), grid, Quantity.HU) for (values,) in channels]

    def emission(self, grid: Grid, patient_from_grid: RigidTransform, breath: Breath, tracer: Tracer) -> Emission:
        """Attenuation and activity for the camera, hot spots left out."""
        return self.emissions(grid, patient_from_grid, [breath], tracer)[0]

    def emissions(
        self, grid: Grid, patient_from_grid: RigidTransform, breaths: Sequence[Breath], tracer: Tracer
    ) -> list[Emission]:
        """Attenuation and activity in several states of breathing."""
        palettes = [self._mu_and_activity(breath, tracer) for breath in breaths]
        texture = Texture(1, tracer.texture, tracer.texture_mm, tracer.seed)
        channels = self.scene.render(grid, patient_from_grid, breaths, palettes, tracer.segments, texture)
        return [Emission(mu, activity) for mu, activity in channels]

    def _hu(self, breath: Breath, contrast_hu: float) -> Palette:
        palette = {name: tissue.hu for name, tissue in self._tissues.items()}
        palette |= {"": _AIR_HU, "lung": Tissue(self._lung_density(breath)).hu, "lung:base": _AIR_HU}
        palette["blood"] += contrast_hu
        palette["lv_wall:base"] = palette["lv_wall"]
        return palette

    def _mu_and_activity(self, breath: Breath, tracer: Tracer) -> list[Palette]:
        density = self._lung_density(breath)
        mu = {name: tissue.mu_per_cm for name, tissue in self._tissues.items()}
        mu |= {"air": 0.0, "lung": Tissue(density).mu_per_cm, "lung:base": 0.0}
        mu["lv_wall:base"] = mu["lv_wall"]
        activity = {name: share * tracer.uptake[organ] for name, (_, organ, share) in _MATERIALS.items()}
        fat, soft = tracer.uptake["fat"], tracer.uptake["soft_tissue"]
        activity["between"] = soft + self.body.abdominal_fat * (fat - soft)
        # uptake of the lung is per volume at end expiration
        activity |= {"lung": tracer.uptake["lung"] * density / self.body.lung_density, "lung:base": 0.0}
        activity["lv_wall:base"] = 0.0
        return [mu, activity]

    def inside_skin(self, grid: Grid, patient_from_grid: RigidTransform) -> Bool[Tensor, "x y z"]:
        """Which voxels' middles lie in the body, arms included, at end expiration."""
        index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)
        places = torch.from_numpy(patient_from_grid.apply(grid.points(index))).float()
        return self.scene.envelope.skin(*self.motion.undeformed(places).unbind(-1))[1] > 0

    def heart_masks(
        self, grid: Grid, patient_from_grid: RigidTransform, breath: Breath
    ) -> tuple[Float[Tensor, "x y z"], Float[Tensor, "x y z"]]:
        """Share of each voxel inside the left-ventricular wall, and inside the whole heart."""
        return self.scene.heart_masks(grid, patient_from_grid, breath)

    def heart_points_mm(self, n: int, generator: np.random.Generator) -> Points:
        """Places [n, 3] evenly over the heart at end expiration."""
        low, high = self.heart.box
        points = np.empty((0, 3))
        while len(points) < n:
            trial_points = generator.uniform(low, high, (4 * n + 64, 3))
            x, y, z = torch.from_numpy(trial_points).unbind(-1)
            points = np.concatenate([points, trial_points[(self.heart.distances(x, y, z).all > 0).numpy()]])
        return self.motion.deformed(points[:n])

    def liver_points_mm(self, n: int, generator: np.random.Generator) -> Points:
        """Places [n, 3] evenly over the liver, its vessels included, at end expiration."""
        (low, high), gallbladder = self.scene.abdomen.liver_box, self.scene.abdomen.gallbladder
        points = np.empty((0, 3))
        while len(points) < n:
            trial_points = generator.uniform(low, high, (4 * n + 64, 3))
            x, y, z = torch.from_numpy(trial_points).unbind(-1)
            places = (x, y, z)
            liver = self.scene.envelope.organs(self.scene.envelope.cage(*places), places, places)["liver"]
            inside = (liver > 0) & (gallbladder.distance(*places) < 0)
            points = np.concatenate([points, trial_points[inside.numpy()]])
        return self.motion.deformed(points[:n])

    def breathed(self, points_mm: Points, breath: Breath) -> Points:
        """Where the tissue that lies at these places [..., 3] at end expiration lies in a state of breathing.

        Inside the rib cage and the belly wall tissue moves with the diaphragm, outside with the chest wall.
        """
        undeformed = self.motion.undeformed(torch.from_numpy(np.asarray(points_mm, dtype=np.float64)))
        inside = (self.scene.envelope.cage(*undeformed.unbind(-1)) > 0).numpy()
        return self.motion.deformed(self.scene.breathed_in(breath).carried(undeformed.numpy(), inside))

    @cached_property
    def _tissues(self) -> dict[str, Tissue]:
        """What each painted name is made of; between the organs lies fat with strands of soft tissue."""
        share, fat, soft = self.body.abdominal_fat, TISSUES["fat"], TISSUES["soft_tissue"]
        between = Tissue(soft.density + share * (fat.density - soft.density), fat=share)
        return {name: TISSUES[tissue] for name, (tissue, _, _) in _MATERIALS.items()} | {"between": between}

    def _lung_density(self, breath: Breath) -> float:
        """g/cm3 with the mass kept while the volume changes."""
        if breath.diaphragm_mm == 0 and breath.upward_mm == 0:
            return self.body.lung_density
        at_rest, depth = self.volumes_ml(Breath())["lung"], breath.diaphragm_mm - breath.upward_mm
        if depth > DEEP_MM or breath.measured:
            return self.body.lung_density * at_rest / self.volumes_ml(breath)["lung"]
        # up to here the volume grows evenly with the depth
        growth = self.volumes_ml(Breath(DEEP_MM))["lung"] - at_rest
        return self.body.lung_density * at_rest / (at_rest + growth * depth / DEEP_MM)


def _lowest(skin: Float[Tensor, "x y z"], grid: Grid) -> float:
    """The largest y of the surface where a distance is 0, linear between voxels."""
    best = float(grid.centre_mm[1])
    ys = grid.points(np.stack([np.zeros(grid.shape[1]), np.arange(grid.shape[1]), np.zeros(grid.shape[1])], -1))[:, 1]
    for k in range(grid.shape[1] - 1):
        a, b = skin[:, k], skin[:, k + 1]
        leaves = (a > 0) & (b <= 0)
        if bool(leaves.any()):
            share = (a / (a - b))[leaves].max()
            best = max(best, float(ys[k] + share * (ys[k + 1] - ys[k])))
    return best


def _triple(values: np.ndarray | tuple[float, ...]) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z
