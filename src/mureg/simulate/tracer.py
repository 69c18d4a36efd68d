"""Where the tracer sits: uptake of the organs, perfusion of the segments, what lies hot beside the heart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mureg.geometry.rigid import Triple

ORGANS = (
    "soft_tissue", "fat", "breast", "bone", "lung", "blood", "lv_wall", "rv_wall", "liver", "gallbladder", "spleen",
    "kidney", "stomach_wall", "stomach", "bowel",
)  # fmt: skip
"""Every place with an uptake of its own."""


@dataclass(frozen=True)
class HotSpot:
    """A ball of tracer outside the organs: gut beside the inferior wall, an injection site, spilled liver activity.

    Attributes:
        anchor: name of the place in the anatomy (see `Anatomy.anchors`).
        offset_mm: from the anchor, LPS+.
        radius_mm: of the ball.
        uptake: relative to normal left-ventricular myocardium.
    """

    anchor: str
    offset_mm: Triple
    radius_mm: float
    uptake: float


@dataclass(frozen=True)
class Tracer:
    """Uptake per volume relative to normal left-ventricular myocardium = 1.

    Attributes:
        uptake: for each of `ORGANS`.
        segments: relative perfusion of the 17 segments, 1 for normal.
        hot_spots: tracer outside the organs.
        texture: standard deviation of the smooth relative variation inside organs.
        texture_mm: distance over which it varies.
        seed: of the texture.
        state: "rest" or "stress".
    """

    uptake: Mapping[str, float]
    segments: tuple[float, ...] = (1.0,) * 17
    hot_spots: tuple[HotSpot, ...] = ()
    texture: float = 0.06
    texture_mm: float = 15.0
    seed: int = 0
    state: str = "stress"
