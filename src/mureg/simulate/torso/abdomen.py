"""What lies below the diaphragm: liver, gallbladder, spleen, stomach, colon, loops of bowel, kidneys, psoas.

Numbers are drawn by eye, see `mureg.simulate.torso`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mureg.simulate.torso.body import Body
from mureg.simulate.torso.canvas import Patch
from mureg.simulate.torso.envelope import Envelope
from mureg.simulate.torso.parts import Part, Shape, each, solid, united
from mureg.simulate.torso.shapes import Box, Capsule, Ellipsoid, tube

_LOOP_EDGE_MM = 9.0
"""Steepness of the random field that makes bowel loops, as mm for one standard deviation; chosen by eye."""
_COLON_WALL_MM, _HAUSTRA_MM = 2.0, 38.0
"""Thickness of the wall, and distance of the haustra; drawn by eye."""


@dataclass(frozen=True)
class Abdomen:
    """Organs of one body below the diaphragm; all move with it."""

    body: Body
    envelope: Envelope

    def parts(self) -> list[Part]:
        """Organs of the abdomen, in the order of painting."""
        return [
            Part(self._loops_box, self._loops),
            *self._psoas(),
            *self._kidneys(),
            *[self._bowel(shapes) for shapes in self._colon],
            self._spleen(),
            self._stomach(),
            Part(self.liver_box, self._liver),
            *each(self._portal, "blood", "liver", 4.0),
            solid([self.gallbladder], "gallbladder"),
        ]

    @property
    def _loops_box(self) -> Box:
        b = self.body
        reach = b.cage_x + 5.0
        return np.array([-reach, -2.0 * b.cage_y, -480.0]), np.array([reach, b.cage_y, b.dome_left - 40.0])

    def _loops(self, patch: Patch) -> None:
        """Small bowel in front of the spine: what the random field lifts out of the fat, gas in some of it."""
        b = self.body
        _, y, z = patch.viscera
        inner = patch.fields["cage"] - 9.0
        region = torch.minimum(inner, b.dome_left - 70.0 - z)
        region = torch.minimum(region, 0.25 * b.cage_y - y)
        level = patch.fields["mix"]
        loops = torch.minimum((level + 0.55 - b.abdominal_fat) * _LOOP_EDGE_MM, region)
        patch.paint(loops, "bowel")
        if b.bowel_gas > 0:
            gas = torch.minimum((level - 2.0 + 2.0 * b.bowel_gas) * _LOOP_EDGE_MM, -0.2 * b.cage_y - y)
            patch.paint(torch.minimum(gas, region - 2.0), "air")

    def _psoas(self) -> list[Part]:
        s, parts = self.body.scale, []
        for side in (-1.0, 1.0):
            heights = (-105.0, -180.0, -260.0, -380.0)
            levels = self.envelope.spine_y(torch.tensor(heights, dtype=torch.float64) * s)
            points = [
                (side * across, float(y) + 6.0, z * s)
                for across, y, z in zip((26, 34, 42, 58), levels, heights, strict=True)
            ]
            parts += each(tube(points, [8.0, 15.0, 20.0, 24.0]), "soft_tissue")
            crus = [
                (side * 14.0, float(levels[0]) - 20.0, -70.0 * s),
                (side * 16.0, float(levels[1]) - 16.0, -175.0 * s),
            ]
            parts += each(tube(crus, [6.0, 4.0]), "soft_tissue")
        return parts

    def _kidneys(self) -> list[Part]:
        b, parts = self.body, []
        for side, down in ((-1.0, 172.0), (1.0, 158.0)):
            z = -down * b.scale + 0.3 * b.dome_left
            y = float(self.envelope.spine_y(torch.tensor([z], dtype=torch.float64))) + 6.0
            lean = np.radians(14.0)
            axes = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-side * float(np.sin(lean)), 0.0, float(np.cos(lean))))
            axes = ((float(np.cos(lean)), 0.0, side * float(np.sin(lean))), axes[1], axes[2])
            k = b.kidney
            place = (side * (66.0 + 0.3 * (b.bmi - 24.0)), y, z)
            fat = Ellipsoid(place, (36.0 * k, 34.0 * k, 66.0 * k), axes)
            outer = Ellipsoid(place, (25.0 * k, 23.0 * k, 54.0 * k), axes)
            sinus = Ellipsoid((place[0] - side * 15.0, y - 5.0, z), (13.0 * k, 10.0 * k, 24.0 * k), axes)
            parts += [solid([fat], "fat"), solid([outer], "kidney"), solid([sinus], "fat")]
        return parts

    def _spleen(self) -> Part:
        b = self.body
        k = b.spleen
        place = (0.70 * b.cage_x, 0.44 * b.cage_y, b.dome_left - 44.0)
        tilt = np.radians(35.0)
        axes = (
            (float(np.cos(tilt)), float(np.sin(tilt)), 0.0),
            (-float(np.sin(tilt)), float(np.cos(tilt)), 0.0),
            (0.0, 0.0, 1.0),
        )
        shape = Ellipsoid(place, (24.0 * k, 46.0 * k, 46.0 * k), axes)

        def paint(patch: Patch) -> None:
            distance = torch.minimum(shape.distance(*patch.viscera), patch.fields["cage"] - 2.0)
            patch.paint(torch.minimum(distance, patch.fields["below"] - 3.0), "spleen")

        return Part(shape.box, paint)

    @cached_property
    def stomach(self) -> tuple[Shape, ...]:
        """Fundus under the left dome, body, antrum across the midline."""
        b = self.body
        r = b.stomach
        fundus = (0.40 * b.cage_x, 0.10 * b.cage_y, b.dome_left - 1.0 * r - 3.0)
        middle = (0.44 * b.cage_x, -0.32 * b.cage_y, b.dome_left - 55.0 - r)
        lower = (0.22 * b.cage_x, -0.55 * b.cage_y, b.dome_left - 82.0 - r)
        antrum = (-0.12 * b.cage_x, -0.48 * b.cage_y, b.dome_left - 80.0 - r)
        return (
            Ellipsoid(fundus, (1.0 * r, 1.05 * r, 1.15 * r)),
            *tube([fundus, middle, lower, antrum], [0.8 * r, 0.78 * r, 0.62 * r, 0.4 * r]),
        )

    def _stomach(self) -> Part:
        b = self.body
        shapes = self.stomach
        low = np.min([shape.box[0] for shape in shapes], axis=0)
        high = np.max([shape.box[1] for shape in shapes], axis=0)
        surface = low[1] + b.stomach_gas * (high[1] - low[1])  # gas gathers at the front

        def paint(patch: Patch) -> None:
            x, y, z = patch.viscera
            distance = united(shapes, x, y, z, fillet_mm=16.0)
            distance = torch.minimum(distance, torch.minimum(patch.fields["cage"] - 4.0, patch.fields["below"] - 2.5))
            patch.paint_shell(distance, b.stomach_wall, "stomach_wall", "stomach")
            if b.stomach_gas > 0:
                patch.paint(torch.minimum(distance - b.stomach_wall, surface - y), "air")

        return Part((low - 4.0, high + 4.0), paint)

    @cached_property
    def _colon(self) -> list[tuple[Capsule, ...]]:
        b, s, r = self.body, self.body.scale, self.body.colon
        belly = -b.cage_y * (1.0 + b.belly)
        splenic = (0.74 * b.cage_x, -0.10 * b.cage_y, b.dome_left - b.flexure - r)
        hepatic_z = b.dome_right - b.liver_length + 5.0
        hepatic = (-0.70 * b.cage_x, -0.25 * b.cage_y, hepatic_z)
        descending = [
            splenic,
            (0.80 * b.cage_x, 0.22 * b.cage_y, splenic[2] - 70.0),
            (0.78 * b.cage_x, 0.2 * b.cage_y, -320.0 * s),
            (0.6 * b.cage_x, 0.0, -440.0 * s),
        ]
        sag = min(hepatic_z, splenic[2]) - 55.0
        transverse = [
            splenic,
            (0.55 * b.cage_x, 0.62 * belly, splenic[2] - 25.0),
            (0.05 * b.cage_x, 0.72 * belly, sag),
            (-0.45 * b.cage_x, 0.65 * belly, hepatic_z - 25.0),
            hepatic,
        ]
        ascending = [
            hepatic,
            (-0.74 * b.cage_x, 0.0, hepatic_z - 70.0),
            (-0.66 * b.cage_x, -0.1 * b.cage_y, -440.0 * s),
        ]
        return [tube(points, [r] * len(points)) for points in (descending, ascending, transverse)]

    def _bowel(self, shapes: tuple[Capsule, ...]) -> Part:
        """Colon with haustra; its gas lies at the front."""
        b = self.body
        low = np.min([shape.box[0] for shape in shapes], axis=0)
        high = np.max([shape.box[1] for shape in shapes], axis=0)

        def paint(patch: Patch) -> None:
            x, y, z = patch.viscera
            distance = united(shapes, x, y, z, fillet_mm=6.0)
            distance = distance - 2.5 - 2.5 * torch.cos((x + z) * (2.0 * np.pi / _HAUSTRA_MM))
            distance = torch.minimum(distance, torch.minimum(patch.fields["cage"] - 5.0, patch.fields["below"] - 3.0))
            patch.paint_shell(distance, _COLON_WALL_MM, "stomach_wall", "bowel")
            if b.colon_gas > 0:
                filled = (patch.fields["mix"] - 1.2 + 2.4 * b.colon_gas) * _LOOP_EDGE_MM
                surface = -0.1 * b.cage_y - y
                patch.paint(torch.minimum(distance - _COLON_WALL_MM, torch.minimum(filled, surface)), "air")

        return Part((low, high), paint)

    @property
    def liver_box(self) -> Box:
        """Bounding box of the undeformed liver."""
        b = self.body
        low = np.array([-b.cage_x, -1.5 * b.cage_y, b.dome_right - b.liver_length - 20.0])
        return low, np.array([b.liver_left + 20.0, b.cage_y, b.dome_right + 5.0])

    def _liver(self, patch: Patch) -> None:
        patch.paint(patch.fields["liver"], "liver")

    @cached_property
    def _portal(self) -> tuple[Capsule, ...]:
        b = self.body
        start = (-0.08 * b.cage_x, 0.05 * b.cage_y, b.dome_left - 75.0)
        right = (-0.45 * b.cage_x, 0.05 * b.cage_y, b.dome_right - 75.0)
        return (
            *tube([start, right], [6.0, 4.0], 1),
            *tube([start, (0.05 * b.cage_x, -0.4 * b.cage_y, b.dome_left - 50.0)], [5.0, 3.0], 1),
        )

    @cached_property
    def gallbladder(self) -> Ellipsoid:
        """Under the liver, its fundus at the front."""
        b = self.body
        x = -0.36 * b.cage_x
        z = b.dome_right - 0.66 * b.liver_length - 12.0
        return Ellipsoid((x, -0.45 * b.cage_y, z), (13.0, 24.0, 15.0))
