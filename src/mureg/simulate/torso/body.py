"""The numbers that make one torso."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mureg.geometry.rigid import Triple
from mureg.heart.ventricle import WIDEST, LeftVentricle

RIB_MM = 8.0
"""Thickness of the rib cage: a little more than a rib (7.2 mm, `skeleton`); drawn by eye."""


@dataclass(frozen=True)
class Body:
    """Sizes of one undeformed torso at end expiration, in mm unless stated otherwise.

    Attributes:
        female: sex.
        bmi: kg/m2.
        height_cm: of the person.
        scale: length along z relative to a person of 172 cm.
        cage_x, cage_y: inner half width and half depth of the rib cage at the heart.
        fat: subcutaneous, at the side of the chest.
        muscle_side, muscle_front, muscle_back: between ribs and fat.
        belly: how much further than the chest the abdomen goes to the front, as a share of `cage_y`.
        breast: radius of each breast, 0 for none; breast_place: middle of the left one; gland: share of glandular
            tissue.
        arms_down: beside the body, or beside the head.
        arm_reach: arms down, how far their skin is beyond that of the trunk.
        arm: radius of the upper arm with fat.
        shoulder_x: middle of the shoulder joint.
        dome_right, dome_left: z of the tops of the diaphragm.
        dome_drop: from the top of the domes to where they meet the wall.
        lung_density: g/cm3, mean.
        ventricle: the undeformed left ventricle.
        rv: size of the right ventricle relative to the left.
        rv_wall, heart_fat: thickness.
        rv_shift, atria_shift: how far the right ventricle and the atria lie off their usual place beside the left one.
        aorta: radius of the descending aorta.
        liver_length: from the right dome to the lowest edge; liver_left: x of the tip of the left lobe.
        stomach: radius of the fundus; stomach_wall: thickness; stomach_gas: share of the height filled with gas.
        colon: radius; colon_gas: share of it filled with gas; flexure: z of the splenic flexure below the left dome.
        bowel_gas: share of the loops with gas.
        spleen, kidney: sizes relative to the usual.
        abdominal_fat: share of fat between the organs of the abdomen.
        cortex: thickness of cortical bone relative to the usual.
        seed: of everything drawn as a field or a tree.
    """

    female: bool
    bmi: float
    height_cm: float
    scale: float
    cage_x: float
    cage_y: float
    fat: float
    muscle_side: float
    muscle_front: float
    muscle_back: float
    belly: float
    breast: float
    breast_place: Triple
    gland: float
    arms_down: bool
    arm_reach: float
    arm: float
    shoulder_x: float
    dome_right: float
    dome_left: float
    dome_drop: float
    lung_density: float
    ventricle: LeftVentricle
    rv: float
    rv_wall: float
    heart_fat: float
    aorta: float
    liver_length: float
    liver_left: float
    stomach: float
    stomach_wall: float
    stomach_gas: float
    colon: float
    colon_gas: float
    flexure: float
    bowel_gas: float
    spleen: float
    kidney: float
    abdominal_fat: float
    cortex: float
    seed: int
    rv_shift: Triple = (0.0, 0.0, 0.0)
    atria_shift: Triple = (0.0, 0.0, 0.0)

    @property
    def half_width(self) -> float:
        """Half the width of the trunk at the heart, skin to skin, mm."""
        return self.cage_x + RIB_MM + self.muscle_side + self.fat

    @property
    def front(self) -> float:
        """How far the skin lies before the middle at the heart, without breasts."""
        return self.cage_y + RIB_MM + self.muscle_front + 0.8 * self.fat

    @property
    def back(self) -> float:
        """How far the skin lies behind the middle at the heart."""
        return self.cage_y + RIB_MM + self.muscle_back + 0.7 * self.fat

    @property
    def spine_radius(self) -> tuple[float, float]:
        """Half width and half depth of a vertebral body at the heart; drawn by eye, smaller by 8 % in women."""
        size = (0.92 if self.female else 1.0) * self.height_cm / 172.0
        return 16.5 * size, 14.5 * size

    @property
    def spine_y(self) -> float:
        """Middle of the vertebral bodies at the heart."""
        return self.cage_y - 32.0


MYOCARDIUM_DENSITY = 1.05
"""g/cm3: that of `mureg.simulate.tissues`, and usual for ventricular mass."""
NARROWING = 0.93
"""Outer radius at the base plane relative to the largest; drawn by eye."""
APEX_WALL = 0.75
"""Thickness of the wall at the apex relative to the rest; drawn by eye."""


def lv_volumes_ml(length: float, radius: float, wall: float) -> tuple[float, float]:
    """Cavity and wall of the shell described in `heart`, in closed form."""
    outer = _filled_ml((1.0 - WIDEST) * length, WIDEST * length, radius)
    cavity = _filled_ml((1.0 - WIDEST) * length - APEX_WALL * wall, WIDEST * length, radius - wall)
    return cavity, outer - cavity


def _filled_ml(cap: float, base: float, radius: float) -> float:
    """Half an ellipsoid of length `cap`, and a slice of one whose radius falls to `NARROWING` over `base`."""
    return float(np.pi * radius**2 * (2.0 / 3.0 * cap + base * (1.0 - (1.0 - NARROWING**2) / 3.0)) / 1000.0)
