"""How the patient breathes and moves while the camera turns, and in which state the CT catches the body."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as settings

from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.simulate.anatomy import Breath

Array = npt.NDArray[np.float64]
Range = tuple[float, float]
Share = Annotated[float, Field(ge=0, le=1)]
CtPhase = Literal["end-expiration", "mid", "deep-inspiration", "average", "relative", "one-phase"]

_NODE_MM = 7.0
"""Between the states of a breath with creep: about a voxel of a usual SPECT (6.8 mm)."""
_STILL_MM, _DEEP_MM = 0.5, 15.0
"""Amplitudes from which a breath has two states and three; chosen. Two states of 15 mm lie 11 mm apart, which is the
resolution of a camera at 20 cm; 0.5 mm is less than a tenth of a voxel."""
_PHASES_OF_A_BREATH = 64
"""Even times of a breath: with so many the moments of sin^4 that the states keep are exact."""


@dataclass(frozen=True, eq=False)
class BreathPose:
    """One state in which the patient is rendered for the camera.

    Attributes:
        breath: state of breathing.
        shift_mm: how far the whole patient has moved since the start of the scan.
    """

    breath: Breath
    shift_mm: Triple


@dataclass(frozen=True)
class Breathing:
    """One patient's breathing and motion.

    Attributes:
        amplitude_mm: excursion of the diaphragm in free breathing, end expiration to end inspiration.
        heart_share: how far the middle of the heart follows it.
        creep_mm: how much heart and abdomen rise from the first view to the last.
        ct_phase: in which state the CT catches the patient; "relative" to the mean of the emission;
            "one-phase" of the measured cycle, or deeper.
        ct_depth_mm: the diaphragm below end expiration in the CT (above it below 0); for "average" the amplitude over
            which it averages.
        ct_heart_share: how far the heart follows in the CT.
        shift_mm: a single motion of the whole patient during the scan.
        shift_at: share of the views before it happens.
        measured: tissue moves as measured in a 4-D CT; `ct_depth_mm` may then be below 0 (above end expiration).
        cycle: depth at even times of one breath, 0 to 1; `sin^4` when empty.
    """

    amplitude_mm: float = 0.0
    heart_share: float = 0.9
    creep_mm: float = 0.0
    ct_phase: CtPhase = "end-expiration"
    ct_depth_mm: float = 0.0
    ct_heart_share: float = 0.9
    shift_mm: Triple = (0.0, 0.0, 0.0)
    shift_at: float = 0.5
    measured: bool = False
    cycle: tuple[float, ...] = ()

    def poses(self, n_views: int) -> tuple[list[BreathPose], Array]:
        """The states to render, and for each view the share of its time spent in each [view, state].

        Without creep the states are the nodes of a Gaussian quadrature over the depths of a breath: two or three states
        that have its mean, its variance and (nearly) its skewness. With creep they are evenly spaced, and depths are
        shared out between them so that each view keeps its mean.
        """
        depths = self.amplitude_mm * self._depths()
        time = (np.arange(n_views) + 0.5) / n_views
        if self.creep_mm == 0:
            n_nodes = 1 if self.amplitude_mm < _STILL_MM else 2 if self.amplitude_mm < _DEEP_MM else 3
            nodes, weights = _quadrature(depths, n_nodes)
            shares = np.tile(weights, (n_views, 1))
        else:
            low, high = -self.creep_mm, self.amplitude_mm
            nodes = np.linspace(low, high, max(2, round((high - low) / _NODE_MM) + 1))
            shares = np.stack([_onto_nodes(depths - self.creep_mm * t, nodes) for t in time])
        breaths = [Breath(max(float(d), 0.0), self.heart_share, max(0.0, -float(d)), self.measured) for d in nodes]
        poses = [BreathPose(breath, (0.0, 0.0, 0.0)) for breath in breaths]
        if np.any(self.shift_mm):
            later = (time > self.shift_at)[:, None]
            poses += [BreathPose(breath, self.shift_mm) for breath in breaths]
            shares = np.concatenate([shares * ~later, shares * later], axis=1)
        return poses, shares

    @property
    def mean_depth_mm(self) -> float:
        """Depth of the diaphragm below end expiration, averaged over the emission."""
        return float(self.amplitude_mm * self._depths().mean() - self.creep_mm / 2)

    def _depths(self) -> Array:
        """Depth at even times of one breath, 0 to 1."""
        return depths_of_a_cycle(self.cycle) if self.cycle else depths_of_a_breath()

    def ct_breaths(self) -> list[Breath]:
        """The states that the CT averages: one, or a few where it is slow."""
        if self.ct_phase != "average":
            return [Breath(self.ct_depth_mm, self.ct_heart_share, measured=self.measured)]
        # chosen: two depths whose mean, 0.385, is nearly that of sin^4 (0.375)
        depths = [share * self.ct_depth_mm for share in (0.12, 0.65)]
        return [Breath(depth, self.ct_heart_share, measured=self.measured) for depth in depths]


def depths_of_a_breath() -> Array:
    """Depth over one breath at even times, 0 at end expiration to 1: ``sin^4``, longest at end expiration.

    Lujan et al., Med Phys 1999.
    """
    phase = (np.arange(_PHASES_OF_A_BREATH) + 0.5) / _PHASES_OF_A_BREATH
    return np.asarray(np.sin(np.pi * phase) ** 4)


def depths_of_a_cycle(cycle: tuple[float, ...]) -> Array:
    """A breath given at a few even times, joined by straight lines around the clock."""
    phase = (np.arange(_PHASES_OF_A_BREATH) + 0.5) / _PHASES_OF_A_BREATH
    return np.asarray(np.interp(phase, np.arange(len(cycle) + 1) / len(cycle), (*cycle, cycle[0])))


def _onto_nodes(depths: Array, nodes: Array) -> Array:
    """Mean share of each node, every depth between two nodes divided so that its mean is kept."""
    place = np.clip((depths - nodes[0]) / (nodes[1] - nodes[0]), 0.0, len(nodes) - 1.0)
    weights = np.clip(1.0 - np.abs(place[:, None] - np.arange(len(nodes))), 0.0, None)
    return np.asarray(weights.mean(0))


def _quadrature(values: Array, n: int) -> tuple[Array, Array]:
    """Nodes and weights with the first 2 n moments of equally likely values (Golub and Welsch, Math Comp 1969)."""
    # three-term recurrence of the polynomials that are orthogonal over these values (Stieltjes)
    before, current = np.zeros_like(values), np.ones_like(values)
    diagonal, beside = [], []
    norm_before = 1.0
    for k in range(n):
        norm = float((current**2).mean())
        diagonal.append(float((values * current**2).mean()) / norm)
        if k:
            beside.append(np.sqrt(norm / norm_before))
        ratio = norm / norm_before if k else 0.0
        before, current = current, (values - diagonal[-1]) * current - ratio * before
        norm_before = norm
    nodes, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    return np.asarray(nodes), np.asarray(vectors[0] ** 2)


def shifted(patient_from_grid: RigidTransform, shift_mm: Triple) -> RigidTransform:
    """The same view of a patient who has moved by `shift_mm` in the grid's space."""
    back = RigidTransform.from_six(-np.asarray(shift_mm), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    return patient_from_grid @ back


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class CtDepthRange:
    """Depth of breath in the CT relative to the mean of the emission, and how far the heart follows in both.

    The diaphragm of one patient breathing freely varies by 13 mm about 7 mm below end expiration, and the heart follows
    by up to 0.46 (POPI 4-D CT; docs/concepts/anatomies.md).

    Attributes:
        depth_mm: lowest and highest depth of the diaphragm in the CT below its mean in the emission (mm; below 0 the
            CT is the shallower).
        usual_depth_mm: range of most of them (mm).
        heart_share: motion of the heart relative to the diaphragm.
        usual_heart_share: range of most of it.
        share_usual: share of each drawn from the usual range (0 to 1), the others from the whole range.
    """

    depth_mm: Range = (-10.0, 25.0)
    usual_depth_mm: Range = (-10.0, 10.0)
    heart_share: Range = (0.1, 0.8)
    usual_heart_share: Range = (0.3, 0.6)
    share_usual: Share = 0.75

    def draw(self, generator: np.random.Generator) -> tuple[float, float]:
        """Depth of the CT below the mean of the emission (mm), and the motion of the heart over the diaphragm's."""
        pairs = ((self.usual_depth_mm, self.depth_mm), (self.usual_heart_share, self.heart_share))
        depth, share = (
            float(generator.uniform(*(usual if generator.random() < self.share_usual else whole)))
            for usual, whole in pairs
        )
        return depth, share


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class BreathingRange:
    """Breathing and motion during the scan, and the phase of the CT.

    Attributes:
        amplitude_mm: amplitude of free breathing at the diaphragm (mm; 5 to 20: Wang et al., Magn Reson Med 1995).
        heart_share: motion of the heart relative to the diaphragm (0.6 to 1: McLeish et al., IEEE Trans Med Imaging
            2002).
        creep_mm: upward creep over the scan (mm; Friedman et al., J Nucl Med 1989).
        share_creep: share of studies with creep (0 to 1).
        end_expiration: weight of a CT at end expiration; the four weights are scaled to a sum of 1.
        mid: weight of a CT at mid breath.
        deep_inspiration: weight of a CT in deep inspiration.
        average: weight of a CT averaged over breathing.
        deep_mm: depth of the diaphragm below end expiration in deep inspiration (mm).
        deep_heart_share: motion of the heart relative to the diaphragm in deep inspiration.
        share_shift: share of studies in which the patient moves once during the scan (0 to 1).
        shift_mm: size of this motion, in any direction (mm).
        ct_depth: depth of the CT relative to the emission, in place of the four weights and of `heart_share` (default:
            by the weights).
    """

    amplitude_mm: Range = (5.0, 20.0)
    heart_share: Range = (0.7, 1.0)
    creep_mm: Range = (2.0, 8.0)
    share_creep: Share = 0.1
    end_expiration: Share = 0.25
    mid: Share = 0.35
    deep_inspiration: Share = 0.0
    average: Share = 0.4
    deep_mm: Range = (25.0, 50.0)
    deep_heart_share: Range = (0.5, 0.7)
    share_shift: Share = 0.0
    shift_mm: Range = (3.0, 10.0)
    ct_depth: CtDepthRange | None = None
    kind: Literal["breathing"] = "breathing"

    def draw(self, generator: np.random.Generator) -> Breathing:
        """Draw one study's breathing and motion."""
        amplitude, share = float(generator.uniform(*self.amplitude_mm)), float(generator.uniform(*self.heart_share))
        creeps, shifts = generator.random(2) < (self.share_creep, self.share_shift)
        creep = float(generator.uniform(*self.creep_mm))
        weights = np.array([self.end_expiration, self.mid, self.deep_inspiration, self.average])
        phases: tuple[CtPhase, ...] = ("end-expiration", "mid", "deep-inspiration", "average")
        phase = phases[int(generator.choice(4, p=weights / weights.sum()))]
        deep, deep_share = float(generator.uniform(*self.deep_mm)), float(generator.uniform(*self.deep_heart_share))
        depth = {"end-expiration": 0.0, "mid": amplitude / 2, "deep-inspiration": deep, "average": amplitude}[phase]
        direction = generator.standard_normal(3)
        shift = direction / np.linalg.norm(direction) * generator.uniform(*self.shift_mm) * float(shifts)
        breathing = Breathing(
            amplitude,
            share,
            creep * float(creeps),
            phase,
            depth,
            deep_share if phase == "deep-inspiration" else share,
            (float(shift[0]), float(shift[1]), float(shift[2])),
            float(generator.uniform(0.2, 0.8)),  # so that a fifth of the views at least lies before and after; chosen
        )
        return breathing if self.ct_depth is None else relative_ct(breathing, *self.ct_depth.draw(generator))


def relative_ct(breathing: Breathing, depth_mm: float, heart_share: float) -> Breathing:
    """The same breathing with a CT so much deeper than the mean of the emission, and a heart that follows so far."""
    return replace(
        breathing,
        heart_share=heart_share,
        ct_phase="relative",
        ct_depth_mm=breathing.mean_depth_mm + depth_mm,
        ct_heart_share=heart_share,
    )
