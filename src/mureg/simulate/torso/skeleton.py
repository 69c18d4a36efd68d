"""Ribs, spine, sternum, shoulder girdle, arms and skull; drawn by eye, see `mureg.simulate.torso`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mureg.simulate.anatomy import Points
from mureg.simulate.torso.body import Body
from mureg.simulate.torso.canvas import Patch
from mureg.simulate.torso.envelope import FIRST_RIB_MM, RIB_PITCH_MM, Envelope
from mureg.simulate.torso.parts import Part, bone, united
from mureg.simulate.torso.shapes import Box, Capsule, Ellipsoid, HeightProfile, smooth_min, tube

# sizes of the usual adult, drawn by eye; cortices are scaled by `Body.cortex`
_RIB_HALF_THICK_MM, _RIB_HALF_HIGH_MM = 3.6, 7.0
_RIB_CORTEX_MM, _SPINE_CORTEX_MM, _FLAT_CORTEX_MM, _SHAFT_CORTEX_MM = 1.1, 1.3, 1.2, 3.5
_TWELFTH_RIB_MM = FIRST_RIB_MM - 11 * RIB_PITCH_MM
_STERNUM_Z = (-52.0, -30.0, 0.0, 85.0, 95.0, 120.0, 128.0)
_STERNUM_WIDTH = HeightProfile(_STERNUM_Z, (4.0, 10.0, 19.0, 15.0, 17.0, 29.0, 24.0))


@dataclass(frozen=True)
class Skeleton:
    """Bones of one body, still in breathing but for the rise of the chest."""

    body: Body
    envelope: Envelope

    def parts(self) -> list[Part]:
        """Bones, in the order of painting."""
        return [
            Part(self._cage_box, self._ribs, still=True),
            *self._spine(),
            self._sternum(),
            *self._girdle(),
            *self._arms(),
            *self._skull(),
        ]

    @property
    def _cage_box(self) -> Box:
        b, s = self.body, self.body.scale
        reach = b.cage_x + 14.0
        return np.array([-reach, -1.35 * b.cage_y - 14.0, -230.0 * s]), np.array([reach, b.cage_y + 16.0, 195.0 * s])

    def _ribs(self, patch: Patch) -> None:
        """Ellipses (thickness across the cage, height along it) repeated along the rib number."""
        f, thick, high = patch.fields, _RIB_HALF_THICK_MM, _RIB_HALF_HIGH_MM
        out = f["cage"] + (thick + 1.2)
        number = f["rib"]
        off = (number - number.round()).mul_(f["rib_pitch"])
        k0 = (out * (1.0 / thick)).square_() + (off * (1.0 / high)).square_() + 1e-6
        k1 = (out * (1.0 / thick**2)).square_() + (off * (1.0 / high**2)).square_() + 1e-9
        distance = (k0.sqrt() - k0).mul_(k1.rsqrt_())
        patch.paint(torch.minimum(distance, f["rib_cartilage"]), "cartilage")
        cortex = _RIB_CORTEX_MM * self.body.cortex
        patch.paint_shell(torch.minimum(distance, f["rib_bone"]), cortex, "cortical_bone", "spongy_bone")

    def _spine(self) -> list[Part]:
        body, s = self.body, self.body.scale
        # heights from which the middle of the vertebrae hardly departs from a straight line
        edges = np.linspace(-600.0 * s, 200.0 * s, 9)
        parts = []
        for low, high in pairwise(edges):
            levels = self.envelope.spine_y(torch.tensor([low, (low + high) / 2, high])).numpy()
            box = (
                np.array([-48.0, levels.min() - 26.0, low]),
                np.array([48.0, levels.max() + 78.0, high]),
            )
            parts.append(Part(box, lambda patch, low=low, high=high: self._vertebrae(patch, low, high), still=True))  # type: ignore[misc]
        neck = tube([(0, body.spine_y - 18 * s, 198 * s), (0, body.spine_y - 34, 270 * s)], [13.0, 11.0])
        return [*parts, bone(neck, _SPINE_CORTEX_MM)]

    def _vertebrae(self, patch: Patch, low: float, high: float) -> None:
        body, s = self.body, self.body.scale
        x, y, z = patch.wall
        height, ax = z * (1.0 / s), x.abs()
        slab = torch.minimum(z - low, high - z) + 0.5 * patch.voxel_mm  # neighbours share the plane between them
        pitch = RIB_PITCH_MM + 0.022 * (_TWELFTH_RIB_MM - height).clamp_min(0.0)
        number = (FIRST_RIB_MM - 6.0 - height) / pitch
        off = (number - number.round()) * (pitch * s)
        growth = 1.0 + 0.0011 * (-height).clamp(-150.0, 250.0)
        rx, ry = body.spine_radius
        back = y - self.envelope.spine_y(z)
        keep = slab > 0
        # bodies and discs: waisted columns
        flat = back.clamp_min(0.0) * 0.25
        waist = 1.0 - 0.09 * torch.cos(off * (2.0 * np.pi) / (pitch * s))
        radius = ((x * (1.0 / rx)).square() + ((back + flat) * (1.0 / ry)).square()).sqrt()
        column = (growth * waist - radius) * (0.5 * (rx + ry))
        patch.blend(patch.cover(torch.where(keep, column - 0.5, -99.0)), "disc")
        body_half = 0.40 * pitch * s
        bodies = torch.where(keep, smooth_min(column, body_half - off.abs(), 3.0), -99.0)
        cortex = _SPINE_CORTEX_MM * body.cortex
        # the arch: a ring around the canal, bars to the sides and the spinous process
        canal_y = ry * growth * 0.82 + 8.0
        ring_at = back - canal_y
        ring = (x.square() * 0.8 + ring_at.square()).sqrt()
        canal = 8.0 - ring
        arch = torch.minimum(14.0 - ring, 0.34 * pitch * s - (off + 0.25 * ring_at).abs())
        bar_at = (off + 3.0).square() + (ring_at - 2.0 - 0.35 * ax).square()
        bar = torch.minimum(5.5 - bar_at.sqrt(), 34.0 * growth - ax)
        spinous = torch.minimum(4.0 - ax, 8.0 - (off + 0.45 * ring_at - 2.0).abs())
        spinous = torch.minimum(spinous, torch.minimum(ring_at - 8.0, 40.0 - ring_at))
        bones = torch.maximum(torch.maximum(bodies, bar), torch.maximum(arch, spinous))
        bones = torch.minimum(bones, torch.minimum(-canal, torch.where(keep, 99.0, -99.0)))
        bones = torch.minimum(bones, patch.fields["muscle"] - 1.0)
        patch.paint_shell(bones, cortex, "cortical_bone", "spongy_bone")

    def _sternum(self) -> Part:
        b, s = self.body, self.body.scale
        low, high = -52.0 * s, 128.0 * s

        def paint(patch: Patch) -> None:
            x, _, z = patch.wall
            out = patch.fields["cage"] + 6.5
            width = _STERNUM_WIDTH(z * (1.0 / s))
            plate = smooth_min(5.5 - out.abs(), width - x.abs(), 4.0)
            plate = torch.minimum(plate, torch.minimum(z - low, high - z))
            front = patch.wall[1] < 0
            patch.paint_shell(
                torch.where(front, plate, -9.0), _FLAT_CORTEX_MM * b.cortex, "cortical_bone", "spongy_bone"
            )

        return Part((np.array([-32.0, -1.3 * b.cage_y - 14.0, low]), np.array([32.0, 0.0, high])), paint, still=True)

    def _girdle(self) -> list[Part]:
        """Clavicles, and scapulae lying on the back of the cage (turned outwards with the arms up)."""
        b, s = self.body, self.body.scale
        (sx, sy, sz), _, _ = self.envelope.arm_joints
        up = 0.0 if b.arms_down else 1.0
        parts: list[Part] = []
        for side in (-1.0, 1.0):
            inner = (side * 24.0, -0.46 * b.cage_y - 8.0, 128.0 * s)
            middle = (side * 0.5 * sx, -0.22 * b.cage_y - 6.0, 140.0 * s + 6.0 * up)
            acromion = (side * (sx - 4.0), sy + 6.0, sz + 24.0 - 4.0 * up)
            parts.append(bone(tube([inner, middle, acromion], [9.0, 6.5, 7.0], 3), 1.8 * b.cortex))
            parts.append(self._scapula(side, up))
            glenoid = (side * (sx - 27.0), sy + 8.0, sz - 2.0)
            root = (side * (0.62 * b.cage_x + 8.0 * up), 0.95 * b.cage_y, sz - 22.0)
            parts.append(
                bone(
                    tube([root, (side * (sx - 18.0), sy + 30.0, sz + 12.0), acromion], [4.0, 6.0, 7.5]), 1.5 * b.cortex
                )
            )
            coracoid = (side * (sx - 34.0), sy - 24.0, sz + 6.0)
            parts.append(bone(tube([glenoid, coracoid], [11.0, 6.0], 1), 1.4 * b.cortex))
        return parts

    def _scapula(self, side: float, up: float) -> Part:
        """A plate at a steady distance from the ribs, bounded by three edges."""
        b, s = self.body, self.body.scale
        (sx, _, sz), _, _ = self.envelope.arm_joints
        # corners seen from behind (across, height): upper inner, lower, outer at the joint
        inner_x = (0.52 + 0.12 * up) * b.cage_x
        corners = np.array([
            (inner_x + 4.0, sz + 2.0), (inner_x + 12.0 + 34.0 * up, sz - 122.0 * s + 26.0 * up), (sx - 24.0, sz - 4.0),
        ])  # fmt: skip

        def paint(patch: Patch) -> None:
            x, y, z = patch.wall
            across = x * side
            edges: Tensor | None = None
            for a, c in zip(corners, np.roll(corners, -1, axis=0), strict=True):
                along = (c - a) / np.linalg.norm(c - a)
                edge = (z - a[1]) * float(-along[0]) + (across - a[0]) * float(along[1])
                edge = -edge if (corners.mean(0) - a) @ np.array([along[1], -along[0]]) < 0 else edge
                edges = edge if edges is None else smooth_min(edges, edge, 10.0)
            assert edges is not None
            rise = 20.0 + 0.22 * (across - inner_x).clamp_min(0.0)
            plate = 2.6 - (patch.fields["cage"] + rise).abs()
            plate = torch.where(y > -0.25 * b.cage_y, torch.minimum(plate, edges), -9.0)
            plate = torch.minimum(plate, patch.fields["muscle"] - 2.0)
            patch.paint_shell(plate, 1.3 * b.cortex, "cortical_bone", "spongy_bone")

        xs = np.sort(side * np.array([corners[:, 0].min() - 4.0, corners[:, 0].max() + 4.0]))
        low = np.array([xs[0], -0.25 * b.cage_y, corners[:, 1].min() - 4.0])
        return Part((low, np.array([xs[1], b.cage_y + 60.0, corners[:, 1].max() + 4.0])), paint, still=True)

    def _arms(self) -> list[Part]:
        b = self.body
        shoulder, elbow, wrist = (np.asarray(p) for p in self.envelope.arm_joints)
        shaft = _SHAFT_CORTEX_MM * b.cortex
        parts: list[Part] = []
        for side in (-1.0, 1.0):
            mirror = np.array([side, 1.0, 1.0])
            s, e, w = shoulder * mirror, elbow * mirror, wrist * mirror
            toward = (e - s) / np.linalg.norm(e - s)
            head = Ellipsoid(_t(s), (23.0, 23.0, 23.0))
            neck = Capsule(_t(s), _t(s + 45.0 * toward), 19.0, 11.5)
            parts.append(bone([Capsule(_t(s + 40.0 * toward), _t(e - 30.0 * toward), 11.0, 10.5)], shaft))
            parts.append(bone([head, neck], 1.6 * b.cortex, 6.0))
            across = np.array([side * 12.0, 6.0, 0.0])
            parts.append(bone([Capsule(_t(e - across - 30.0 * toward), _t(e + across), 11.0, 14.0)], 1.8 * b.cortex))
            parts += [
                bone([Capsule(_t(e + k * across), _t(w + k * across), 9.0, 7.0)], 2.6 * b.cortex) for k in (-0.9, 0.9)
            ]
        return parts

    def _skull(self) -> list[Part]:
        s = self.body.scale
        vault = Ellipsoid((0.0, 4.0, 345.0 * s), (69.0, 86.0, 100.0))

        def paint(patch: Patch) -> None:
            patch.paint_shell(united([vault], *patch.wall), 6.0, "cortical_bone", "soft_tissue")

        jaw = tube([(-44.0, -10.0, 262.0 * s), (0.0, -72.0, 252.0 * s), (44.0, -10.0, 262.0 * s)], [7.0, 9.0, 7.0], 3)
        return [Part(vault.box, paint, still=True), bone(jaw, 2.5)]


def _t(place: Points) -> tuple[float, float, float]:
    return float(place[0]), float(place[1]), float(place[2])
