"""Where the tracer sits: uptake of the organs, perfusion of the segments, what lies hot beside the heart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as settings
from scipy.special import ndtr

from mureg.geometry.rigid import Triple
from mureg.heart.ventricle import SEGMENTS, TERRITORIES

ORGANS = (
    "soft_tissue", "fat", "breast", "bone", "lung", "blood", "lv_wall", "rv_wall", "liver", "gallbladder", "spleen",
    "kidney", "stomach_wall", "stomach", "bowel",
)  # fmt: skip
"""Every place with an uptake of its own."""

Range = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]
Share = Annotated[float, Field(ge=0, le=1)]

# how strongly each organ follows two hidden causes, as correlations: how early after injection the patient is imaged
# (blood, lung and liver still bright), and how much has passed from the liver into bile and gut. Chosen
_FOLLOWS: Mapping[str, tuple[float, float]] = {
    "blood": (0.8, 0.0),
    "lung": (0.7, 0.0),
    "soft_tissue": (0.5, 0.0),
    "liver": (0.7, -0.3),
    "gallbladder": (-0.2, 0.7),
    "bowel": (-0.3, 0.7),
    "stomach": (-0.1, 0.5),
    "stomach_wall": (-0.1, 0.5),
    "kidney": (0.3, 0.0),
}


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
    segments: tuple[float, ...] = (1.0,) * len(SEGMENTS)
    hot_spots: tuple[HotSpot, ...] = ()
    texture: float = 0.06
    texture_mm: float = 15.0
    seed: int = 0
    state: str = "stress"

    @property
    def defect_extent(self) -> int:
        """How many segments hold less than three quarters of the normal uptake."""
        return sum(value < 0.75 for value in self.segments)


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class TracerRange:
    """From what a tracer distribution is drawn: 99mTc-sestamibi or tetrofosmin, 15 to 90 minutes after injection.

    Uptake is log-uniform within its range, with correlations: early imaging leaves blood, lung and liver bright
    together; what has left the liver brightens gallbladder, stomach and bowel together. At rest the liver takes the
    upper part of its range, under exercise the lower (Wackers et al., J Nucl Med 1989, gives both).

    Muscle may take up more than the 0.06 usually given: a real exercise study shows 3.1 times as much in the heart as
    in the chest above it, which 0.06 does not reach (docs/concepts/virtual-patients.md).

    Attributes:
        share_rest: share of rest studies (0 to 1).
        blood, lung, soft_tissue, fat, breast, bone, rv_wall: lowest and highest uptake (per volume, normal wall is 1).
        liver, gallbladder, spleen, kidney, stomach_wall, stomach, bowel: lowest and highest uptake, as above.
        share_with_defect: share of studies with a perfusion defect (0 to 1).
        defect_segments: fewest and most segments of a defect, within one territory and its neighbours.
        defect_severity: lowest and highest relative loss of uptake in a defect (0 to 1).
        wall_variation: standard deviation of the relative uptake between normal segments.
        share_hot_gut: share of studies with hot bowel or stomach wall beside the inferior wall (0 to 1).
        hot_gut: lowest and highest uptake of hot bowel.
        share_injection_site: share of studies with residual tracer at the injection site in an arm (0 to 1).
        injection_site: lowest and highest uptake there.
        share_spill: share of studies with activity in bile duct or duodenum, beside the left liver lobe (0 to 1).
        texture: largest relative standard deviation of the smooth variation inside organs.
    """

    share_rest: Share = 0.5
    blood: Range = (0.03, 0.12)
    lung: Range = (0.03, 0.08)
    soft_tissue: Range = (0.02, 0.09)
    fat: Range = (0.01, 0.02)
    breast: Range = (0.015, 0.04)
    bone: Range = (0.03, 0.09)
    rv_wall: Range = (0.3, 0.6)
    liver: Range = (0.25, 1.5)
    gallbladder: Range = (0.05, 8.0)
    spleen: Range = (0.4, 1.1)
    kidney: Range = (0.8, 3.0)
    stomach_wall: Range = (0.1, 0.6)
    stomach: Range = (0.02, 0.4)
    bowel: Range = (0.1, 1.0)
    share_with_defect: Share = 0.5
    defect_segments: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(le=9)]] = (1, 6)
    defect_severity: tuple[Share, Share] = (0.2, 0.9)
    wall_variation: Share = 0.04
    share_hot_gut: Share = 0.3
    hot_gut: Range = (0.4, 2.0)
    share_injection_site: Share = 0.0
    injection_site: Range = (3.0, 20.0)
    share_spill: Share = 0.1
    texture: Share = 0.10
    kind: Literal["tracer"] = "tracer"

    def draw(self, generator: np.random.Generator) -> Tracer:
        """Draw one study's tracer distribution."""
        state = "rest" if generator.random() < self.share_rest else "stress"
        early, passed = generator.standard_normal(2)
        uptake = {"lv_wall": 1.0}
        for organ in ORGANS:
            own = generator.standard_normal()
            if organ == "lv_wall":
                continue
            with_early, with_passed = _FOLLOWS.get(organ, (0.0, 0.0))
            remaining = float(np.sqrt(1.0 - with_early**2 - with_passed**2))
            deviate = with_early * early + with_passed * passed + remaining * own
            if organ == "liver":
                deviate += 0.5 if state == "rest" else -0.5  # one standard deviation apart; chosen
            uptake[organ] = _log_uniform(float(ndtr(deviate)), getattr(self, organ))
        return Tracer(
            uptake,
            self._segments(generator),
            self._hot_spots(generator),
            # a third of the largest texture at least, over 1 to 2.5 cm; chosen
            texture=float(generator.uniform(0.3, 1.0)) * self.texture,
            texture_mm=float(generator.uniform(10.0, 25.0)),
            seed=int(generator.integers(2**31)),
            state=state,
        )

    def _segments(self, generator: np.random.Generator) -> tuple[float, ...]:
        # at most a fifth off, five deviations by default: no normal segment looks like a defect; chosen
        values = np.clip(1.0 + self.wall_variation * generator.standard_normal(len(SEGMENTS)), 0.8, 1.2)
        values[16] *= generator.uniform(0.85, 1.0)  # the apex is thinner, by up to 15 %; chosen
        if generator.random() < self.share_with_defect:
            territory = list(TERRITORIES)[generator.integers(len(TERRITORIES))]
            size = int(generator.integers(self.defect_segments[0], self.defect_segments[1] + 1))
            severity = generator.uniform(*self.defect_severity)
            segments = list(generator.permutation(TERRITORIES[territory])[:1])
            while len(segments) < size:  # grow from neighbour to neighbour, inside the territory first
                edge = sorted({n for segment in segments for n in NEIGHBOURS[segment]} - set(segments))
                inside = [segment for segment in edge if segment in TERRITORIES[territory]]
                segments.append(int(generator.permutation(inside or edge)[0]))
            values[np.asarray(segments) - 1] *= 1.0 - severity
        return tuple(float(value) for value in values)

    def _hot_spots(self, generator: np.random.Generator) -> tuple[HotSpot, ...]:
        # places and sizes in mm, and the uptake of spilled bile (1.5), are chosen; no study was measured for them
        spots: list[HotSpot] = []
        chances = generator.random(3)
        if chances[0] < self.share_hot_gut:
            offset = generator.uniform((-20.0, -20.0, -25.0), (20.0, 20.0, 0.0))
            radius, uptake = generator.uniform(8.0, 18.0), generator.uniform(*self.hot_gut)
            spots.append(HotSpot("inferior_wall", _triple(offset), float(radius), float(uptake)))
        if chances[1] < self.share_injection_site:
            arm = ("left_arm", "right_arm")[generator.integers(2)]
            radius, uptake = generator.uniform(6.0, 12.0), generator.uniform(*self.injection_site)
            spots.append(HotSpot(arm, _triple(generator.uniform(-5.0, 5.0, 3)), float(radius), float(uptake)))
        if chances[2] < self.share_spill:
            offset = generator.uniform(-15.0, 15.0, 3)
            spots.append(HotSpot("gallbladder", _triple(offset), float(generator.uniform(6.0, 14.0)), 1.5))
        return tuple(spots)


def _neighbours() -> dict[int, tuple[int, ...]]:
    """Which segments (counted from 1) share an edge."""
    pairs = [(k, k % 6 + 1) for k in range(1, 7)] + [(k + 6, k % 6 + 7) for k in range(1, 7)]
    pairs += [(k, k + 6) for k in range(1, 7)] + [(13, 14), (14, 15), (15, 16), (16, 13)]
    pairs += [(7, 13), (8, 14), (9, 14), (10, 15), (11, 16), (12, 16)] + [(k, 17) for k in range(13, 17)]
    neighbours: dict[int, set[int]] = {k: set() for k in range(1, 18)}
    for a, b in pairs:
        neighbours[a].add(b)
        neighbours[b].add(a)
    return {k: tuple(sorted(numbers)) for k, numbers in neighbours.items()}


NEIGHBOURS = _neighbours()


def _log_uniform(share: float, bounds: tuple[float, float]) -> float:
    """The value below which this share of a log-uniform distribution lies."""
    low, high = max(bounds[0], 1e-3), max(bounds[1], 1e-3)
    return float(low * (high / low) ** share)


def _triple(values: npt.NDArray[np.float64]) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z
