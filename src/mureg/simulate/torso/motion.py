"""How the tissue of a torso moves: a fixed smooth deformation of the whole body, and breathing.

Rendering pulls back: for a place in the patient it needs the place in the undeformed body at end expiration. The
motion of tissue is the inverse, found by fixed-point iteration.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mureg.geometry.rigid import Triple
from mureg.simulate.anatomy import Breath, Points
from mureg.simulate.fields import SmoothField
from mureg.simulate.measured_motion import MeasuredMotion
from mureg.simulate.torso.shapes import HeightProfile, smoothstep

Coordinates = tuple[Tensor, Tensor, Tensor]
Inside = npt.NDArray[np.bool_]

DEEP_MM = 20.0
"""Depth of the diaphragm up to which the chest wall is still, and beyond which it rises as well: the deepest of free
breathing (5 to 20 mm: Wang et al., Magn Reson Med 1995)."""
_DEEPEST_MM, _CHEST_RISE_MM = 60.0, 8.0
"""Depth of the deepest breath (see `Breath`), and how far the front of the chest rises in it; chosen."""
_FORWARD = 0.12
"""How far the viscera go to the front for each mm down; chosen (in data/breathing.toml the heart has 0.12 as well)."""
_TO_THE_MIDDLE = 0.12
"""How far the heart goes to the right for each mm of depth beyond `DEEP_MM`; chosen."""
_TENDON = 0.45
"""The diaphragm below the heart follows the domes by ``share + 0.45 (1 - share)``; chosen."""
_ITERATIONS = 60
"""Fixed-point steps at most; they end at their tolerance, of which 1e-6 mm is the finest."""
_FIELD_SIZE_MM = (720.0, 500.0, 960.0)
"""Box of the random deformation: holds the largest torso with its arms (`arm_limit_mm` 295), neck to pelvis."""


@dataclass(frozen=True)
class TorsoMotion:
    """Deformation and breathing of one torso.

    Attributes:
        seed: of the deformation.
        amplitude_mm: twice its standard deviation along each axis.
        wavelength_mm: distance between independent values.
        heart_mm: middle of the left ventricle, undeformed.
        lungs_top_mm: z of the apices, which stay.
        floor_mm: z below which the abdomen moves less and less.
        half_depth_mm: of the chest.
    """

    seed: int
    amplitude_mm: float
    wavelength_mm: float
    heart_mm: Triple
    lungs_top_mm: float
    floor_mm: float
    half_depth_mm: float

    @cached_property
    def _field(self) -> SmoothField:
        generator = np.random.default_rng(self.seed)
        return SmoothField.draw(generator, 3, self.wavelength_mm, _FIELD_SIZE_MM, (0.0, 0.0, -50.0), refine=8)

    def undeformed(self, points_mm: Tensor) -> Tensor:
        """Places [..., 3] in the undeformed body of the tissue seen at places in the patient."""
        shift = self._field.at(points_mm) * (0.5 * self.amplitude_mm)
        return points_mm + torch.movedim(shift, 0, -1)

    def breathed_in(self, breath: Breath) -> BreathingMotion:
        """The motion of the undeformed body in a state of breathing."""
        return BreathingMotion(self, breath)

    def deformed(self, points_mm: Points, tolerance_mm: float = 1e-6) -> Points:
        """Where tissue of the undeformed body at end expiration lies in the patient (inverse of `undeformed`)."""
        target = torch.from_numpy(np.asarray(points_mm, dtype=np.float64))
        points = target.clone()
        for _ in range(_ITERATIONS):
            step = target - self.undeformed(points)
            points = points + step
            if float(step.abs().max()) < tolerance_mm:
                break
        return np.asarray(points.numpy())


@dataclass(frozen=True)
class BreathingMotion:
    """Pull-back of one state of breathing; `wall` for the chest wall, `viscera` for what moves with the diaphragm.

    With `measured` the viscera move as measured, over the undeformed body, and the chest wall stays.
    """

    motion: TorsoMotion
    breath: Breath
    measured: MeasuredMotion | None = None

    @property
    def still(self) -> bool:
        """Whether this is end expiration."""
        return self.breath.diaphragm_mm == 0 and self.breath.upward_mm == 0

    @property
    def depth(self) -> float:
        """How deep the breath is: 0 up to `DEEP_MM`, 1 at 60 mm; a measured one stays 0."""
        if self.measured is not None:
            return 0.0
        return float(np.clip((self.breath.diaphragm_mm - DEEP_MM) / (_DEEPEST_MM - DEEP_MM), 0.0, 1.0))

    def wall(self, x: Tensor, y: Tensor, z: Tensor) -> Coordinates:
        """Where the tissue of skin and skeleton at these places lies at end expiration."""
        if self.depth == 0:
            return x, y, z
        half = self.motion.half_depth_mm
        return x, y + self.depth * _CHEST_RISE_MM * smoothstep((half - y) / (2.0 * half)), z

    def viscera(self, x: Tensor, y: Tensor, z: Tensor) -> Coordinates:
        """Where the tissue inside the chest wall at these places lies at end expiration."""
        if self.still:
            return x, y, z
        if self.measured is not None:
            x, y, z = self.measured.source(torch.stack((x, y, z), -1), *self.breath.sinks_mm).unbind(-1)
            return x, y, z
        heart, breath = self.motion.heart_mm, self.breath
        share = breath.heart_share
        # 50 mm: the tendon is about as wide as the heart; chosen
        around = torch.exp(-((x - heart[0]) ** 2 + (y - heart[1]) ** 2) / (2.0 * 50.0**2))
        below = (1.0 - (1.0 - _TENDON) * around) * (1.0 - share)  # how much more than the heart the diaphragm moves
        level, stretch, fading = _profiles(heart[2], self.motion.lungs_top_mm, self.motion.floor_mm, breath)
        down = breath.diaphragm_mm * (share * level(z) + below * stretch(z)) - breath.upward_mm * level(z)
        down = down * fading(z)
        aside = self.depth * _TO_THE_MIDDLE * (_DEEPEST_MM - DEEP_MM) * around * level(z)
        return x + aside, y + _FORWARD * down, z + down

    def carried(self, points_mm: Points, inside: Inside, tolerance_mm: float = 1e-5) -> Points:
        """Where tissue goes: with the viscera where `inside`, else with the wall (the inverse of the two)."""
        target = torch.from_numpy(np.asarray(points_mm, dtype=np.float64))
        mask = torch.from_numpy(np.array(inside))[..., None]
        if self.measured is not None:
            return np.asarray((target + mask * self.measured.shift(target, *self.breath.sinks_mm)).numpy())
        points = target.clone()
        for _ in range(_ITERATIONS):
            parts = points.unbind(-1)
            back = torch.where(mask, torch.stack(self.viscera(*parts), -1), torch.stack(self.wall(*parts), -1))
            step = target - back
            points = points + step
            if float(step.abs().max()) < tolerance_mm:
                break
        return np.asarray(points.numpy())


@lru_cache(maxsize=16)
def _profiles(
    heart: float, top: float, floor: float, breath: Breath
) -> tuple[HeightProfile, HeightProfile, HeightProfile]:
    """Along z: what follows the heart as a whole, what follows the diaphragm more than it, what stays below.

    Knots lie where the tissue is in this state of breathing; their distances and values are drawn by eye.
    Numbers are asked for, not the patient whose they are: a table that is kept must keep no patient.
    """
    middle = heart - breath.heart_share * breath.diaphragm_mm + breath.upward_mm
    bottom = heart - 50.0 - breath.diaphragm_mm + breath.upward_mm
    level = HeightProfile((floor - 400.0, middle, middle + 38.0, top), (1.0, 1.0, 0.97, 0.0))
    stretch = HeightProfile((floor - 400.0, bottom, middle, middle + 30.0, top), (1.0, 1.0, 0.0, -0.35, 0.0))
    return level, stretch, HeightProfile((floor - 420.0, floor - 60.0, floor + 60.0), (0.3, 0.9, 1.0))
