"""How large the motions are that a network is trained on, for its card."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mureg.geometry import RigidTransform
from mureg.registration.card_parts import MotionSize
from mureg.training.examples import Examples
from mureg.training.motion import AnyMotion

_DRAWS = 2000
"""Motions that are drawn at least, where training draws them anew: their median is known to two percent. Chosen."""
_DECIMALS = 2
"""Of a millimetre and a degree on the card: less than any motion matters by."""


def motion_size(examples: Examples, motion: AnyMotion, seed: int) -> MotionSize:
    """Size of the motions about the centre of the input: those of the cases, or draws of those that training draws."""
    chance, motions = np.random.default_rng(seed), list[RigidTransform]()
    own = list(zip(examples.ct_from_spect, examples.heart_mm, strict=True))
    draws = 1 if motion.kind == "as-in-the-case" else -(-_DRAWS // len(own))
    for pose, heart_mm in own * draws:
        old_from_new = motion.new_from(pose, heart_mm, examples.half_field_mm, chance)
        motions.append(RigidTransform(pose.numpy() if old_from_new is None else (pose @ old_from_new).numpy()))
    return size_of(motions)


def size_of(motions: Sequence[RigidTransform]) -> MotionSize:
    """Size of motions about the origin."""
    shifts_mm = np.linalg.norm([motion.matrix[:3, 3] for motion in motions], axis=1)
    angles_deg = np.array([motion.rotation_deg for motion in motions])
    figures = (np.median(shifts_mm), shifts_mm.max(), np.median(angles_deg), angles_deg.max())
    return MotionSize(*(round(float(figure), _DECIMALS) for figure in figures))


def joined(sizes: Sequence[MotionSize | None]) -> MotionSize | None:
    """Size of the motions of networks whose predictions are averaged; None where one is not known."""
    measured = [size for size in sizes if size is not None]
    if len(measured) < len(sizes) or not measured:
        return None
    return MotionSize(
        shift_mm=float(np.mean([size.shift_mm for size in measured])),
        largest_shift_mm=max(size.largest_shift_mm for size in measured),
        angle_deg=float(np.mean([size.angle_deg for size in measured])),
        largest_angle_deg=max(size.largest_angle_deg for size in measured),
    )
