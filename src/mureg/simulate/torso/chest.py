"""Vessels and airways of the chest, and the vessels inside the lungs; drawn by eye, see `mureg.simulate.torso`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from mureg.geometry.rigid import Triple
from mureg.simulate.torso.body import Body
from mureg.simulate.torso.envelope import Envelope
from mureg.simulate.torso.heart import TorsoHeart
from mureg.simulate.torso.parts import Part, each, hollow, solid
from mureg.simulate.torso.shapes import Capsule, tube

Array = npt.NDArray[np.float64]

_ROOTS_PER_LUNG, _GENERATIONS = 7, 2
"""Trees at each hilum and forks of each: the larger vessels only, since finer ones are below a voxel. Chosen."""


@dataclass(frozen=True)
class Chest:
    """Great vessels, airways, oesophagus and lung vessels of one body; all move with the viscera."""

    body: Body
    heart: TorsoHeart
    envelope: Envelope

    def parts(self) -> list[Part]:
        """Organs of the chest, in the order of painting; the heart comes after them."""
        aorta = [part for shapes in self._aorta for part in each(shapes, "blood", None)]
        veins = [part for shapes in self._veins for part in each(shapes, "blood", None)]
        pulmonary = [part for shapes in self._pulmonary for part in each(shapes, "blood", None)]
        oesophagus = each(self._oesophagus, "soft_tissue", None)
        airways = [hollow(shapes, 1.5, "soft_tissue", "air", inside=None) for shapes in self._airways]
        return [*self._lung_vessels, *oesophagus, *veins, *pulmonary, *airways, *aorta]

    def before_spine(self, z: float) -> float:
        """Y of the front of the vertebral bodies."""
        level = self.envelope.spine_y(torch.tensor([z], dtype=torch.float64))
        return float(level) - self.body.spine_radius[1]

    @cached_property
    def _aorta(self) -> list[tuple[Capsule, ...]]:
        b, s, r = self.body, self.body.scale, self.body.aorta
        root = self._root
        top = 104.0 * s
        rx = b.spine_radius[0]
        front = self.before_spine
        rising = [root, (root[0] - 14.0, root[1] - 14.0, root[2] + 30.0), (-12.0, root[1] - 12.0, 76.0 * s)]
        arch = [(-4.0, -18.0 + 0.4 * root[1], top - 8.0), (9.0, 0.4 * front(top), top)]
        falling = [(rx + 4.0, front(top) + 2.0, top - 14.0), (rx + 7.0, front(60 * s) + 6.0, 62.0 * s)]
        low = [(rx + 4.0, front(0.0) + 2.0, 0.0), (rx - 6.0, front(-60 * s) - 8.0, -60.0 * s)]
        belly = [(4.0, front(-110 * s) - 12.0, -110.0 * s), (6.0, front(-200 * s) - 11.0, -200.0 * s)]
        belly.append((2.0, front(-320 * s) - 11.0, -320.0 * s))
        radii = [
            1.35 * r,
            1.35 * r,
            1.3 * r,
            1.2 * r,
            1.12 * r,
            1.05 * r,
            r,
            0.98 * r,
            0.92 * r,
            0.85 * r,
            0.75 * r,
            0.68 * r,
        ]
        main = tube([*rising, *arch, *falling, *low, *belly], radii)
        branches = [
            tube([(-2.0, -14.0, top - 2.0), (-14.0, -8.0, 150.0 * s), (-24.0, 4.0, 210.0 * s)], [7.0, 6.0, 4.0]),
            tube([(8.0, -2.0, top), (16.0, 0.0, 150.0 * s), (24.0, 6.0, 215.0 * s)], [5.5, 5.0, 4.0]),
            tube([(14.0, 8.0, top), (26.0, 12.0, 150.0 * s), (70.0, 5.0, 172.0 * s)], [5.5, 5.5, 5.0]),
        ]
        return [main, *branches]

    @property
    def _root(self) -> Triple:
        """Where the aorta leaves the left ventricle."""
        lv = self.body.ventricle
        return self.heart.at(0.35 * lv.radius_mm, -0.45 * lv.radius_mm, -0.5 * lv.length_mm - 4.0)

    @cached_property
    def _veins(self) -> list[tuple[Capsule, ...]]:
        b, s = self.body, self.body.scale
        x, y, z = self.heart.right_atrium.centre
        x -= 1.0
        upper = tube(
            [(x, y, z + 15.0), (-30.0, y - 4.0, 75.0 * s), (-28.0, -0.2 * b.cage_y, 118.0 * s)], [10.0, 9.5, 8.5]
        )
        left = tube(
            [
                (-28.0, -0.2 * b.cage_y, 116.0 * s),
                (18.0, -0.35 * b.cage_y, 128.0 * s),
                (80.0, -0.15 * b.cage_y, 150.0 * s),
            ],
            [7.5, 7.0, 6.0],
        )
        right = tube(
            [
                (-28.0, -0.2 * b.cage_y, 116.0 * s),
                (-46.0, -0.15 * b.cage_y, 140.0 * s),
                (-90.0, -0.1 * b.cage_y, 152.0 * s),
            ],
            [8.0, 7.0, 6.0],
        )
        lower = tube(
            [(x + 2.0, y + 4.0, z - 18.0), (-20.0, self.before_spine(-45 * s) - 20.0, -50.0 * s),
             (-17.0, self.before_spine(-120 * s) - 12.0, -125.0 * s),
             (-18.0, self.before_spine(-320 * s) - 8.0, -320.0 * s)],
            [11.5, 12.0, 11.0, 10.0],
        )  # fmt: skip
        return [upper, left, right, lower]

    @cached_property
    def _pulmonary(self) -> list[tuple[Capsule, ...]]:
        b, s = self.body, self.body.scale
        lv = b.ventricle
        outlet = self.heart.at(0.75 * lv.radius_mm, -0.80 * lv.radius_mm, -0.25 * lv.length_mm)
        fork = (14.0, 0.08 * b.cage_y - 8.0, 72.0 * s)
        trunk = tube(
            [outlet, (0.5 * (outlet[0] + fork[0]), outlet[1] + 6.0, 0.55 * (outlet[2] + fork[2])), fork],
            [15.0, 14.0, 13.0],
        )
        left = tube([fork, (36.0, 12.0, 76.0 * s), self._hilum(1.0)], [12.0, 10.5, 8.0])
        right = tube([fork, (-14.0, 6.0, 65.0 * s), self._hilum(-1.0)], [12.0, 10.5, 8.5])
        atrium = self.heart.left_atrium.centre
        veins = []
        for side in (-1.0, 1.0):
            for up in (-8.0, 12.0):
                mouth = (atrium[0] + side * 24.0, atrium[1], atrium[2] + up)
                veins.append(tube([mouth, (side * 58.0, atrium[1] + 8.0, atrium[2] + 2.0 * up)], [7.0, 5.0]))
        return [trunk, left, right, *veins]

    def _hilum(self, side: float) -> Triple:
        return (side * 50.0, 0.18 * self.body.cage_y, (60.0 if side > 0 else 52.0) * self.body.scale)

    @cached_property
    def _airways(self) -> list[tuple[Capsule, ...]]:
        s = self.body.scale
        front = self.before_spine
        fork = (2.0, front(78 * s) - 20.0, 80.0 * s)
        r = 7.5 if self.body.female else 9.0
        trachea = tube(
            [(0.0, front(230 * s) - 26.0, 240.0 * s), (0.0, front(150 * s) - 22.0, 150.0 * s), fork], [r, r, r]
        )
        right = tube(
            [fork, (-32.0, fork[1] + 2.0, 60.0 * s), (-52.0, fork[1] + 8.0, 34.0 * s)], [r - 1.0, r - 2.0, 4.0]
        )
        left = tube([fork, (34.0, fork[1] + 4.0, 58.0 * s), (56.0, fork[1] + 12.0, 36.0 * s)], [r - 2.0, r - 2.5, 4.0])
        return [left, right, trachea]

    @cached_property
    def _oesophagus(self) -> tuple[Capsule, ...]:
        s, front = self.body.scale, self.before_spine
        heights = (235.0, 150.0, 80.0, 30.0, -10.0)
        points = [(4.0, front(z * s) - 8.0, z * s) for z in heights]
        points.append((22.0, front(-50 * s) - 24.0, self.body.dome_left - 12.0))
        return tube(points, [7.0, 7.0, 7.5, 8.0, 8.5, 9.0])

    @cached_property
    def _lung_vessels(self) -> list[Part]:
        """A random tree in each lung, from the hilum outwards, thinner at every fork."""
        generator = np.random.default_rng((self.body.seed, 3))
        parts: list[Part] = []
        for side in (-1.0, 1.0):
            hilum = np.asarray(self._hilum(side)) - [0.0, 0.0, 22.0]
            for k in range(_ROOTS_PER_LUNG):
                up = np.cos(np.pi * (k + 0.5) / _ROOTS_PER_LUNG)
                direction = np.array([0.7 * side, generator.uniform(-0.9, 0.9), 1.6 * up])
                start = hilum + np.array([0.0, generator.uniform(-12, 12), 22.0 * up])
                parts += self._branches(generator, start, direction, 4.2, _GENERATIONS)
        return parts

    def _branches(
        self, generator: np.random.Generator, start: Array, direction: Array, radius: float, remaining: int
    ) -> list[Part]:
        """A branch and what grows from its end."""
        direction = direction / np.linalg.norm(direction)
        end = start + direction * generator.uniform(24.0, 42.0) * (0.75 + 0.12 * remaining)
        shape = Capsule(
            (float(start[0]), float(start[1]), float(start[2])), (float(end[0]), float(end[1]), float(end[2])),
            radius, 0.75 * radius,
        )  # fmt: skip
        parts = [solid([shape], "blood", "lung", 3.0, detail_mm=1.6 * radius)]
        if remaining > 0:
            for _ in range(2):
                new_direction = direction + 0.55 * generator.standard_normal(3)
                parts += self._branches(generator, end, new_direction, 0.68 * radius, remaining - 1)
        return parts
