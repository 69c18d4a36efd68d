"""The large smooth surfaces of a torso, worked out at the nodes of a lattice: skin, muscle, rib cage, lungs, liver.

Heights of profiles are those of a person of 172 cm; half widths are relative to the rib cage at the heart. All are
drawn by eye, see `mureg.simulate.torso`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mureg.simulate.fields import SmoothField
from mureg.simulate.torso.body import RIB_MM, Body
from mureg.simulate.torso.heart import TorsoHeart
from mureg.simulate.torso.motion import Coordinates
from mureg.simulate.torso.shapes import (
    Capsule,
    Ellipsoid,
    HeightProfile,
    Profiles,
    outline,
    smooth_max,
    smooth_min,
    smoothstep,
)  # fmt: skip

# z in mm from the level of the heart, and half widths there relative to those at the heart; belly, fat and muscle:
# shares of what the body has. Drawn by eye
_CAGE_Z = (-600.0, -260.0, -200.0, -140.0, -90.0, -45.0, 0.0, 40.0, 80.0, 115.0, 145.0, 168.0, 185.0, 200.0)
_CAGE_WIDTH = HeightProfile(_CAGE_Z, (0.92, 0.92, 0.94, 0.97, 1.0, 1.01, 1.0, 0.95, 0.86, 0.73, 0.57, 0.42, 0.32, 0.25))
_CAGE_FRONT = HeightProfile(_CAGE_Z, (1.0, 1.0, 1.02, 1.05, 1.06, 1.04, 1.0, 0.94, 0.82, 0.64, 0.42, 0.18, -0.1, -0.25))
_CAGE_BACK = HeightProfile(_CAGE_Z, (0.80, 0.80, 0.83, 0.90, 0.96, 1.0, 1.0, 1.0, 0.97, 0.91, 0.83, 0.74, 0.66, 0.6))
_SKIN_Z = (-600.0, -300.0, -200.0, -100.0, 0.0, 60.0, 100.0, 130.0, 152.0, 172.0, 192.0, 420.0)
_SKIN_WIDTH = HeightProfile(_SKIN_Z, (1.0, 0.96, 0.94, 0.98, 1.0, 1.02, 1.03, 0.92, 0.66, 0.38, 0.27, 0.27))
_SKIN_FRONT = HeightProfile(_SKIN_Z, (1.0, 1.0, 1.03, 1.06, 1.0, 0.95, 0.87, 0.76, 0.60, 0.46, 0.42, 0.42))
_SKIN_BACK = HeightProfile(_SKIN_Z, (0.88, 0.86, 0.86, 0.95, 1.0, 1.03, 1.04, 1.0, 0.92, 0.78, 0.60, 0.5))
_BELLY = HeightProfile((-600.0, -320.0, -170.0, -70.0, 10.0), (0.8, 1.0, 0.9, 0.3, 0.0))
_FAT = HeightProfile((-600.0, -200.0, 0.0, 110.0, 170.0, 300.0), (1.5, 1.35, 1.0, 0.8, 0.6, 0.5))
_MUSCLE = HeightProfile((-600.0, -60.0, 60.0, 110.0, 160.0, 300.0), (0.8, 0.8, 1.0, 1.4, 1.0, 0.5))
_CAGE = Profiles((_CAGE_WIDTH, _CAGE_FRONT, _CAGE_BACK, _BELLY))
_SKIN = Profiles((_SKIN_WIDTH, _SKIN_FRONT, _SKIN_BACK, _BELLY, _FAT, _MUSCLE))
_CAGE_SQUARE, _SKIN_SQUARE = 0.35, 0.45  # see `outline`: between an ellipse (0) and a rectangle (1)

# ribs at the back are a pitch apart, and each goes down by `_DROP_MM` + (number - 1) `_MORE_DROP_MM` to its lowest
# place; drawn by eye. Vertebrae of thirteen adults are 23 to 29 mm apart (docs/concepts/decision.md)
RIB_PITCH_MM = 22.5
FIRST_RIB_MM = 172.0
_DROP_MM, _MORE_DROP_MM = 34.0, 8.0
_RIB_NUMBERS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0)
# angle around the cage (radians from the spine) where the bone of a rib ends, and where its cartilage; drawn by eye
_BONE_END = HeightProfile(_RIB_NUMBERS, (2.35, 2.55, 2.62, 2.62, 2.58, 2.5, 2.4, 2.28, 2.12, 1.95, 1.4, 0.95))
_CARTILAGE_END = HeightProfile(_RIB_NUMBERS, (3.3, 3.3, 3.3, 3.3, 3.3, 3.25, 3.15, 2.85, 2.6, 2.35, 1.45, 0.95))
_RIB_ENDS = Profiles((_BONE_END, _CARTILAGE_END))


@dataclass(frozen=True)
class Envelope:
    """Smooth fields of one body."""

    body: Body
    heart: TorsoHeart

    def still_fields(self, wall: Coordinates) -> dict[str, Tensor]:
        """Fields of skin, muscle and skeleton at places of the `wall`."""
        cage = self.cage(*wall)
        trunk, skin, fat_depth = self.skin(*wall)
        muscle = self.muscle(trunk, skin, fat_depth, cage, *wall)
        fields = {"cage": cage, "skin": skin, "muscle": muscle, **self.ribs(cage, *wall)}
        if self.body.breast > 0:
            fields["breast"] = self.breasts(*wall)
        return fields

    def moving_fields(self, cage: Tensor, wall: Coordinates, viscera: Coordinates) -> dict[str, Tensor]:
        """Fields of what moves with the diaphragm; `cage` is the distance to it at the places of the `wall`."""
        return self.organs(cage, wall, viscera) | {
            "dense": self.lung_density(*viscera),
            "mix": self._loops.at(torch.stack(viscera, -1))[0],
        }

    def organs(self, cage: Tensor, wall: Coordinates, viscera: Coordinates) -> dict[str, Tensor]:
        """Those of `moving_fields` that bound lungs and liver."""
        domes = self.above_domes(*viscera)
        mediastinum = smooth_max(self.mediastinum(*viscera), self._spine_cover(*wall), 10.0)
        lung = smooth_min(smooth_min(cage - 1.5, domes - 1.5, 6.0), -mediastinum, 8.0)
        return {"lung": lung, "liver": self.liver(cage, domes, *viscera), "below": -domes}

    def cage(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Distance to the inner surface of the chest and belly wall."""
        body, height = self.body, z / self.body.scale
        width, front, back, belly = _CAGE(height)
        front, back = -body.cage_y * (front + body.belly * belly), body.cage_y * back
        side = outline(x, y - (front + back) / 2, body.cage_x * width, (back - front) / 2, _CAGE_SQUARE)
        return smooth_min(side, 162.0 * body.scale - z, 25.0)

    def skin(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Distance to the skin of the trunk, to all skin, and the thickness of the fat under it."""
        body, height = self.body, z / self.body.scale
        width, front, back, belly, fat, muscle = _SKIN(height)
        half_x = body.cage_x * width + RIB_MM + body.muscle_side * muscle + body.fat * fat
        front = body.cage_y * (front + body.belly * belly)
        front = front + RIB_MM + body.muscle_front * muscle + 0.8 * body.fat * fat
        back = body.cage_y * back + RIB_MM + body.muscle_back + 0.7 * body.fat * fat
        half_y = (front + back) / 2
        middle = y - (back - front) / 2
        trunk = outline(x, middle, half_x, half_y, _SKIN_SQUARE)
        trunk = smooth_min(trunk, body.back - 3.0 - y, 12.0)  # lying on the table
        u, v = (x / half_x).square(), (middle / half_y).square()
        depth = body.fat * fat * (u + v * torch.where(middle < 0, 0.8, 0.7)) / (u + v + 1e-3)
        skin = trunk
        ax = x.abs()
        for limb, fillet in self.limbs:
            skin = smooth_max(skin, limb.distance(ax, y, z), fillet)
        if body.breast > 0:
            skin = smooth_max(skin, self.breasts(x, y, z), 30.0)
        return trunk, skin, depth

    def muscle(
        self, trunk: Tensor, skin: Tensor, fat_depth: Tensor, cage: Tensor, x: Tensor, y: Tensor, z: Tensor
    ) -> Tensor:
        """Distance to the surface below the subcutaneous fat; axillary fat is taken out."""
        body, ax = self.body, x.abs()
        # muscle lies on the cage: thick beside the spine and around the shoulder blades
        beside_spine = torch.exp(-(x / 48.0).square()) * (y > 0)
        shoulders = smoothstep((z / body.scale - 45.0) * (1.0 / 60.0))
        most = RIB_MM + body.muscle_side + 6.0 + (body.muscle_back - 4.0) * beside_spine + 60.0 * shoulders
        inside = smooth_min(trunk - fat_depth, cage + most, 8.0)
        thickness = 0.45 * body.fat + 1.0
        for limb, fillet in self.limbs:
            inside = smooth_max(inside, limb.distance(ax, y, z) - thickness, fillet)
        inside = torch.minimum(torch.maximum(inside, cage + RIB_MM + 4.0), skin - 1.5)
        for pad in self._axilla:
            inside = smooth_min(inside, -pad.distance(ax, y, z), 8.0)
        return inside

    @cached_property
    def limbs(self) -> tuple[tuple[Capsule | Ellipsoid, float], ...]:
        """Shoulder, arm, neck and head of the left side, each with the fillet that joins it."""
        body, s = self.body, self.body.scale
        neck_r = 52.0 + 0.5 * (body.bmi - 24.0) - (7.0 if body.female else 0.0)
        neck = Capsule((0.0, 20.0, 120.0 * s), (0.0, 10.0, 260.0 * s), neck_r + 8.0, neck_r)
        head = Ellipsoid((0.0, 0.0, 335.0 * s), (76.0, 96.0, 118.0))
        shoulder, elbow, wrist = self.arm_joints
        cap = Capsule((0.55 * shoulder[0], 22.0, shoulder[2] + 8.0), shoulder, body.arm + 4.0, body.arm + 9.0)
        upper = Capsule(shoulder, elbow, body.arm + 4.0, 0.88 * body.arm)
        lower = Capsule(elbow, wrist, 0.88 * body.arm, 0.66 * body.arm)
        join = 10.0 if body.arms_down else 25.0
        return (neck, 30.0), (head, 25.0), (cap, 30.0), (upper, join), (lower, 8.0)

    @cached_property
    def arm_joints(self) -> tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]:
        """Shoulder, elbow and wrist of the left arm."""
        body, s = self.body, self.body.scale
        if body.arms_down:
            elbow_x = body.half_width + body.arm_reach - 0.88 * body.arm
            shoulder = (min(body.shoulder_x, elbow_x), 18.0, 122.0 * s)
            return shoulder, (elbow_x, 38.0, -165.0 * s), (elbow_x - 8.0, 15.0, -420.0 * s)
        return (
            (0.90 * body.shoulder_x, 18.0, 158.0 * s), (1.05 * body.shoulder_x, -8.0, 440.0 * s),
            (0.3 * body.shoulder_x, -30.0, 520.0 * s),
        )  # fmt: skip

    @cached_property
    def _axilla(self) -> tuple[Ellipsoid, ...]:
        body, s = self.body, self.body.scale
        size = 0.7 + 0.02 * (body.bmi - 20.0)
        centre = (0.84 * body.cage_x + 22.0, -22.0, (92.0 if body.arms_down else 104.0) * s)
        return (Ellipsoid(centre, (11.0 * size, 20.0 * size, 34.0 * size)),)

    def breasts(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Distance to both breasts, flattened and lying to the sides as in a supine woman."""
        body = self.body
        r = body.breast
        shape = Ellipsoid(body.breast_place, (1.15 * r, 0.55 * r + body.fat * 0.5, r))
        return shape.distance(x.abs(), y, z)

    def above_domes(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Distance to the diaphragm, positive above."""
        body = self.body
        tops = ((-0.50 * body.cage_x, body.dome_right), (0.54 * body.cage_x, body.dome_left))
        levels, steepness = [], []
        for middle, top in tops:
            # steep towards the ribs and the back, gentle towards the middle, where the heart lies, and the front
            outwards, ahead = x * middle > middle**2, y < -0.12 * body.cage_y
            half_x = body.cage_x * torch.where(outwards, 0.56, 1.15)
            half_y = body.cage_y * torch.where(ahead, 1.2, 0.98)
            rho2 = ((x - middle) / half_x).square() + ((y + 0.12 * body.cage_y) / half_y).square()
            drop = body.dome_drop * (0.25 * rho2 + 0.75 * rho2.square())
            levels.append(top - drop.clamp_max(4.0 * body.dome_drop))
            steepness.append(body.dome_drop * (0.5 + 3.0 * rho2) * rho2.sqrt() / (0.65 * body.cage_x))
        level = smooth_max(levels[0], levels[1], 30.0)
        slope = torch.where(levels[0] > levels[1], steepness[0], steepness[1]).clamp_max(4.0)
        return (z - level) * (1.0 + slope.square()).rsqrt()

    def mediastinum(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Distance to what separates the lungs: a curtain, wide in the middle, and the bed of the heart."""
        body = self.body
        width = _MEDIASTINUM(z / body.scale)
        behind = smoothstep((y / body.cage_y + 0.72) * (1.0 / 0.4))
        curtain = 7.0 + (width - 7.0) * behind - (x - 3.0).abs()
        # below its middle the heart's bed goes on to the diaphragm
        middle = body.ventricle.centre_mm[2]
        low = torch.where(z < middle, middle + 0.45 * (z - middle), z)
        bed = self.heart.distances(x, y, low).envelope + 0.8 * body.heart_fat
        return smooth_max(curtain, bed, 12.0)

    def _spine_cover(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        rx, ry = self.body.spine_radius
        return outline(x, y - self.spine_y(z) - 12.0, x.new_tensor(rx + 8.0), y.new_tensor(ry + 20.0), 0.4)

    def spine_y(self, z: Tensor) -> Tensor:
        """Middle of the vertebral bodies."""
        return self.body.spine_y + _SPINE(z / self.body.scale)

    def lung_density(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Relative density: more at the back (gravity), and from region to region."""
        regions = self._regions.at(torch.stack((x, y, z), -1))[0]
        return 1.0 + 0.18 * (y / self.body.cage_y) + 0.05 * regions

    def liver(self, cage: Tensor, domes: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Distance to the liver: under the domes, along the right wall, ending at a slanting lower surface."""
        body = self.body
        normal = np.array([-0.62, -0.22, 0.75])
        normal = normal / np.linalg.norm(normal)
        right_low = np.array([-0.85 * body.cage_x, 0.0, body.dome_right - body.liver_length])
        left_tip = np.array([body.liver_left, -0.5 * body.cage_y, body.dome_left - 22.0])
        # the plane through the lower edge at the right and the tip at the left, its tilt front to back kept
        run = left_tip - right_low
        normal[2] = -(normal[0] * run[0] + normal[1] * run[1]) / run[2]
        normal = normal / np.linalg.norm(normal)
        below = (x - right_low[0]) * normal[0] + (y - right_low[1]) * normal[1] + (z - right_low[2]) * normal[2]
        left_end = body.liver_left + 12.0 - x
        shape = smooth_min(smooth_min(cage - 5.0, -domes - 3.0, 14.0), smooth_min(below, left_end, 30.0), 24.0)
        # it does not wrap around the spine
        behind = body.spine_y - 10.0 - y + 0.9 * (-x - 22.0).clamp_min(0.0)
        return smooth_min(shape, behind, 20.0)

    def ribs(self, cage: Tensor, x: Tensor, y: Tensor, z: Tensor) -> dict[str, Tensor]:
        """Number of the rib at each place, and distances inside the range of its bone and of its cartilage."""
        body, height = self.body, z / self.body.scale
        ax = x.abs()
        width, front, back, _ = _CAGE(height)
        centre = body.cage_y * 0.5 * (back + front)
        angle = torch.atan2(ax * (0.85 * body.cage_y / body.cage_x), y - centre)
        falling = 0.5 * (1.0 - torch.cos(1.12 * angle)) - 0.42 * smoothstep((angle - 2.35) / 0.75)
        number = 1.0 + (FIRST_RIB_MM - height - _DROP_MM * falling) / (RIB_PITCH_MM + _MORE_DROP_MM * falling)
        radius = 0.9 * body.cage_x * width
        bone_end, cartilage_end = _RIB_ENDS(number)
        bone = (bone_end - angle) * radius
        span = torch.minimum((number - 0.55) * 25.0, (12.45 - number) * 25.0)
        beside_spine = ax - body.spine_radius[0] - 2.0
        cartilage = torch.minimum(-bone, (cartilage_end - angle) * radius)
        cartilage = torch.minimum(torch.minimum(cartilage, ax - 12.0), (10.4 - number) * 25.0)
        pitch = (RIB_PITCH_MM + _MORE_DROP_MM * falling) * body.scale
        tilt = 1.0 - 0.25 * torch.sin(angle.clamp(0.0, np.pi))  # the bone runs obliquely
        return {
            "rib": number,
            "rib_pitch": pitch * tilt,
            "rib_bone": torch.minimum(torch.minimum(bone, span), beside_spine),
            "rib_cartilage": torch.minimum(cartilage, span),
        }

    @cached_property
    def _loops(self) -> SmoothField:
        generator = np.random.default_rng((self.body.seed, 1))
        return SmoothField.draw(generator, 1, 26.0, (360.0, 300.0, 460.0), (0.0, 0.0, -200.0), refine=3)

    @cached_property
    def _regions(self) -> SmoothField:
        generator = np.random.default_rng((self.body.seed, 2))
        return SmoothField.draw(generator, 1, 45.0, (320.0, 240.0, 360.0), (0.0, 0.0, 40.0), refine=3)


# half width of the mediastinum, and how far the spine bends to the front (mm), over z; drawn by eye
_MEDIASTINUM = HeightProfile(
    (-300.0, -60.0, 20.0, 60.0, 90.0, 120.0, 170.0, 200.0), (23.0, 23.0, 23.0, 27.0, 29.0, 28.0, 26.0, 40.0)
)
_SPINE = HeightProfile(
    (-600.0, -330.0, -230.0, -130.0, -50.0, 20.0, 80.0, 130.0, 180.0, 240.0, 320.0),
    (-10.0, -22.0, -28.0, -18.0, -5.0, 0.0, 0.0, -6.0, -18.0, -28.0, -30.0),
)
