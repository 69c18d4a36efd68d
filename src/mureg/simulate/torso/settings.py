"""Random anthropomorphic torsos: the distributions from which they are drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as settings

from mureg.errors import UsageError
from mureg.geometry.rigid import Triple
from mureg.heart.ventricle import LeftVentricle
from mureg.simulate.torso.body import MYOCARDIUM_DENSITY, RIB_MM, Body, lv_volumes_ml
from mureg.simulate.torso.motion import TorsoMotion
from mureg.simulate.torso.patient import Torso

__all__ = ["Torso", "TorsoRange", "draw_body"]

Share = Annotated[float, Field(ge=0, le=1)]
Range = tuple[float, float]

_BESIDE_STREAM = 1
"""Number of a stream of chance beside that of the body; any number would do, but cases are frozen with it."""
_LEFT_MM: Range = (30.0, 52.0)
"""Of the levels, which are frozen; chosen. Real CTs have 33 to 70 mm (docs/concepts/anatomies.md)."""


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class HeartRange:
    """What lies around the left ventricle.

    Attributes:
        dome_gap_mm: how far the left dome stands below the lower edge of the left ventricle.
        fat_mm: thickness of the fat around the heart at an index of 22.
        rv_size: of the right ventricle relative to the left.
        rv_shift_mm, atria_shift_mm: standard deviation, along each axis, of how far they lie off their usual place.
    """

    dome_gap_mm: Range = (-3.0, 8.0)
    fat_mm: Range = (3.0, 6.0)
    rv_size: Range = (0.92, 1.1)
    rv_shift_mm: float = 0.0
    atria_shift_mm: float = 0.0


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class TorsoRange:
    """Supine adults at end expiration, as nuclear cardiology sees them.

    Sizes of the chest follow from height and body mass index: the rib cage from height (and a little from the index),
    then ribs, muscle and fat outwards.

    Attributes:
        share_female: share of women (0 to 1).
        bmi: lowest and highest body mass index (kg/m2), from a beta distribution (2, 2.8).
        height_cm_male: mean and standard deviation of the height of men (cm), cut at two standard deviations.
        height_cm_female: the same for women (cm).
        arms_down: probability that the arms lie beside the body.
        arm_reach_mm: distance of the skin of the arms beyond the trunk on either side (mm); at least 1.6 radii of the
            arm.
        arm_limit_mm: largest half width over the arms, that of the bed (mm).
        breast_mm: radius of a breast at a body mass index of 26 (mm).
        lung_density: mean lung density at end expiration (g/cm3; 0.20 to 0.32 supine: Van Dyk, Keane, Rider, Int J
            Radiat Oncol Biol Phys 1982).
        dome_difference_mm: height of the right dome of the diaphragm above the left (mm).
        lv_length_mm: outer length of the left ventricle in an ungated study (mm).
        lv_radius_mm: outer radius of the left ventricle (mm).
        lv_wall_mm: wall thickness of the left ventricle (mm).
        lv_cavity_ml: accepted volumes of the cavity (ml; reference ranges of cardiac magnetic resonance: Kawel-Boehm et
            al., J Cardiovasc Magn Reson 2020); the upper limit is a quarter lower in women.
        lv_wall_g: accepted masses of the wall (g), from the same source; the upper limit is a quarter lower in women.
        lv_aside_deg: angle of the long axis from the sagittal plane, to the left (degrees).
        lv_down_deg: angle of the long axis below the horizontal (degrees).
        lv_left_mm: distance of the middle of the long axis from the middle of the chest, to the left (mm; default: 30
            to 52).
        liver_length_mm: length of the liver from the right dome to its lowest edge in a person of 172 cm (mm).
        share_stomach_gas: share of patients with gas in the stomach (0 to 1).
        share_colon_gas: share of patients with gas in the colon (0 to 1).
        deformation_mm: twice the standard deviation of the smooth deformation of the whole body (mm).
        deformation_wavelength_mm: distance over which the deformation changes (mm).
        hearts: variation of the heart around the left ventricle (default: the usual one).
    """

    share_female: Share = 0.45
    bmi: Range = (19.0, 45.0)
    height_cm_male: Range = (176.0, 7.0)
    height_cm_female: Range = (163.0, 6.5)
    arms_down: Share = 0.3
    arm_reach_mm: Range = (30.0, 70.0)
    arm_limit_mm: float = 295.0
    breast_mm: Range = (38.0, 68.0)
    lung_density: Range = (0.20, 0.32)
    dome_difference_mm: Range = (10.0, 25.0)
    lv_length_mm: Range = (75.0, 105.0)
    lv_radius_mm: Range = (28.0, 38.0)
    lv_wall_mm: Range = (8.0, 13.0)
    lv_cavity_ml: Range = (50.0, 150.0)
    lv_wall_g: Range = (90.0, 200.0)
    lv_aside_deg: Range = (40.0, 60.0)
    lv_down_deg: Range = (10.0, 40.0)
    lv_left_mm: Range | None = None
    liver_length_mm: Range = (110.0, 155.0)
    share_stomach_gas: Share = 0.6
    share_colon_gas: Share = 0.6
    deformation_mm: Range = (2.0, 7.0)
    deformation_wavelength_mm: Range = (110.0, 150.0)
    hearts: HeartRange | None = None
    kind: Literal["torso"] = "torso"

    def draw(self, generator: np.random.Generator, patient: str) -> Torso:
        """Draw the body and the random deformation of the patient with this pseudonym."""
        body = draw_body(self, generator)
        motion = TorsoMotion(
            seed=int(generator.integers(2**31)),
            amplitude_mm=float(generator.uniform(*self.deformation_mm)),
            wavelength_mm=float(generator.uniform(*self.deformation_wavelength_mm)),
            heart_mm=body.ventricle.centre_mm,
            lungs_top_mm=185.0 * body.scale,
            floor_mm=-240.0 * body.scale,
            half_depth_mm=body.cage_y,
        )
        return Torso(patient, body, motion)


def draw_body(ranges: TorsoRange, generator: np.random.Generator) -> Body:
    """Draw the numbers of one torso; ranges that `TorsoRange` does not name are drawn by eye."""
    uniform, normal = generator.uniform, generator.standard_normal
    hearts = ranges.hearts or HeartRange()
    female = bool(generator.random() < ranges.share_female)
    # most patients lie in the lower half of the range
    low, high = ranges.bmi
    bmi = float(low + (high - low) * generator.beta(2.0, 2.8))
    mean_cm, sd_cm = ranges.height_cm_female if female else ranges.height_cm_male
    height = float(mean_cm + sd_cm * np.clip(normal(), -2.0, 2.0))
    scale = height / 172.0
    cage_x = (128.0 if not female else 117.0) * scale**0.5 + 0.3 * (bmi - 26.0) + 4.0 * np.clip(normal(), -2, 2)
    cage_y = (85.0 if not female else 78.0) * scale**0.5 + 0.3 * (bmi - 26.0) + 3.5 * np.clip(normal(), -2, 2)
    sex_fat = 1.2 if female else 0.95
    fat = float(np.clip(sex_fat * (3.0 + 0.85 * (bmi - 18.0)) * uniform(0.8, 1.25), 3.0, 45.0))
    strong = float(uniform(0.8, 1.2)) * (0.85 if female else 1.05)
    arms_down = bool(generator.random() < ranges.arms_down)
    arm = (42.0 if female else 45.0) + 0.7 * (bmi - 26.0) + float(uniform(-3.0, 3.0))
    reach = float(uniform(*ranges.arm_reach_mm))
    half_width = cage_x + RIB_MM + 14.0 * strong + fat
    reach = min(max(reach, 1.6 * arm), ranges.arm_limit_mm - half_width)
    breast_fill = float(uniform(*ranges.breast_mm)) + 0.9 * (bmi - 26.0)
    breast = float(np.clip(breast_fill, 25.0, 90.0)) if female else 0.0
    place = (float(uniform(0.55, 0.72)) * cage_x, -(cage_y + 8.0) * float(uniform(0.78, 0.88)), float(uniform(5, 35)))
    ventricle = _draw_ventricle(ranges, generator, cage_y, female)
    below = ventricle.centre_mm[2] - ventricle.radius_mm
    dome_left = below - float(uniform(*hearts.dome_gap_mm))
    dome_right = dome_left + float(uniform(*ranges.dome_difference_mm))
    body = Body(
        female=female, bmi=bmi, height_cm=height, scale=scale, cage_x=float(cage_x), cage_y=float(cage_y), fat=fat,
        muscle_side=14.0 * strong, muscle_front=9.0 * strong, muscle_back=27.0 * strong,
        belly=float(0.02 + 0.016 * (bmi - 22.0) + uniform(-0.05, 0.08)),
        breast=breast, breast_place=place, gland=float(uniform(0.1, 0.6)),
        arms_down=arms_down, arm_reach=reach, arm=float(arm), shoulder_x=(158.0 if female else 174.0) * scale**0.7,
        dome_right=dome_right, dome_left=dome_left, dome_drop=float(uniform(32.0, 50.0)),
        lung_density=float(uniform(*ranges.lung_density)),
        ventricle=ventricle, rv=float(uniform(*hearts.rv_size)), rv_wall=float(uniform(3.0, 5.0)),
        heart_fat=float(uniform(*hearts.fat_mm)) + 0.15 * (bmi - 22.0), aorta=float(uniform(10.5, 14.0)),
        liver_length=float(uniform(*ranges.liver_length_mm)) * scale, liver_left=float(uniform(25.0, 85.0)),
        stomach=float(uniform(28.0, 46.0)), stomach_wall=float(uniform(3.0, 5.0)),
        stomach_gas=float(uniform(0.2, 0.7)) * float(generator.random() < ranges.share_stomach_gas),
        colon=float(uniform(17.0, 27.0)),
        colon_gas=float(uniform(0.3, 0.9)) * float(generator.random() < ranges.share_colon_gas),
        flexure=float(uniform(20.0, 75.0)), bowel_gas=float(uniform(0.0, 0.25)),
        spleen=float(uniform(0.85, 1.2)), kidney=float(uniform(0.9, 1.12)),
        abdominal_fat=float(np.clip(0.25 + 0.03 * (bmi - 19.0) + uniform(-0.1, 0.1), 0.15, 0.9)),
        cortex=float(uniform(0.75, 1.2)) * (0.9 if female else 1.0), seed=int(generator.integers(2**31)),
    )  # fmt: skip
    # chance of its own: what was drawn above stays for those whose heart is the usual one
    beside = np.random.default_rng([body.seed, _BESIDE_STREAM])
    return replace(body, rv_shift=_off(beside, hearts.rv_shift_mm), atria_shift=_off(beside, hearts.atria_shift_mm))


def _off(generator: np.random.Generator, sd_mm: float) -> Triple:
    x, y, z = sd_mm * np.clip(generator.standard_normal(3), -2.0, 2.0)
    return float(x), float(y), float(z)


def _draw_ventricle(ranges: TorsoRange, generator: np.random.Generator, cage_y: float, female: bool) -> LeftVentricle:
    """A ventricle whose cavity and wall keep to their limits; women's are smaller. Its place is drawn by eye."""
    uniform = generator.uniform
    share = 0.75 if female else 1.0
    for _ in range(200):
        length, radius = uniform(*ranges.lv_length_mm), uniform(*ranges.lv_radius_mm)
        wall = uniform(*ranges.lv_wall_mm)
        cavity, mass = lv_volumes_ml(length, radius, wall)
        lowest, highest = ranges.lv_cavity_ml
        light, heavy = ranges.lv_wall_g
        if lowest <= cavity <= highest * share and light <= mass * MYOCARDIUM_DENSITY <= heavy * share:
            break
    else:
        raise UsageError(
            "no left ventricle whose cavity and wall keep to their limits",
            "lengths, radii and walls that allow it",
            "widen lv_cavity_ml and lv_wall_g, or fit the sizes to them",
        )
    aside, down = np.radians(uniform(*ranges.lv_aside_deg)), np.radians(uniform(*ranges.lv_down_deg))
    direction = (np.cos(down) * np.sin(aside), -np.cos(down) * np.cos(aside), -np.sin(down))
    x, y, z = uniform(*(ranges.lv_left_mm or _LEFT_MM)), -cage_y + uniform(56.0, 68.0), uniform(-12.0, 12.0)
    return LeftVentricle(
        (float(x), float(y), float(z)),
        (float(direction[0]), float(direction[1]), float(direction[2])),
        float(length),
        float(radius),
        float(wall),
    )
