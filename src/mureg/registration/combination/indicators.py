"""Numbers of a study that tell how well each registrar does on it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from mureg.geometry import Grid, RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.study import PreparedStudy

_TISSUE_PER_CM, _LUNG_BELOW_PER_CM = 0.06, 0.08
"""Tissue as in `mureg.attenuation.body`; half of water for voxels of the SPECT that are mostly lung. Chosen."""
_AROUND_MM = 55.0
"""Radius of a ball that holds a ventricle, which is 71 to 90 mm long (docs/concepts/anatomies.md)."""
_BRIGHT, _TOP = 0.5, 0.99
"""Myocardium is brighter than half of the bright end of the ball; chosen."""


def cut_share(body: Volume) -> float:
    """Share of the transverse border of the map that lies in tissue: 0 where the CT shows the body whole."""
    known = np.ones(body.grid.shape, bool) if body.outside is None else ~np.asarray(body.outside, bool)
    padded = np.pad(known, ((1, 1), (1, 1), (0, 0)))
    inner = known & padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    border = known & ~inner
    return float((np.asarray(body.values)[border] > _TISSUE_PER_CM).mean()) if border.any() else 0.0


def uncovered_share(study: PreparedStudy, pose: RigidTransform) -> float:
    """Share of the counts of the emission's outline that lie outside the map at a pose."""
    values, outline = study.uncorrected.values, study.outline.values > 0.5
    outside = study.body.unknown_on(study.uncorrected.grid, pose)
    total = float(values[outline].sum())
    return 0.0 if total <= 0 else float(values[outline & outside].sum()) / total


def bright_wall(uncorrected: Volume, heart_mm: Triple) -> Bool[np.ndarray, "x y z"]:
    """The brightest voxels around the heart: most of the myocardium."""
    grid, values = uncorrected.grid, np.asarray(uncorrected.values)
    axes = [np.arange(n, dtype=np.float64) for n in grid.shape]
    places = grid.points(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    near: Bool[np.ndarray, "x y z"] = ((places - np.asarray(heart_mm)) ** 2).sum(-1) < _AROUND_MM**2
    if not near.any():
        return near
    wall: Bool[np.ndarray, "x y z"] = near & (values > _BRIGHT * float(np.quantile(values[near], _TOP)))
    return wall


def lung_share(body: Volume, wall: Bool[np.ndarray, "x y z"], grid: Grid, pose: RigidTransform) -> float:
    """Share of voxels of the myocardium that lie in lung at a pose."""
    mu = np.asarray(body.resampled(grid, pose).values)[wall]
    return float((mu < _LUNG_BELOW_PER_CM).mean()) if mu.size else 0.0


def indicators_of(
    study: PreparedStudy, evidence: Mapping[str, float], poses: Mapping[str, RigidTransform], heart_mm: Triple
) -> dict[str, dict[str, float]]:
    """Indicators of each registrar by its kind.

    Args:
        study: the images.
        evidence: of the networks at the heart.
        poses: of each registrar, that of the networks first.
        heart_mm: in SPECT space.
    """
    shared = {
        "cut": cut_share(study.body),
        "uncovered": uncovered_share(study, next(iter(poses.values()))),
        "log_dispersion": float(np.log1p(evidence["dispersion_mm"])),
    }
    wall, grid = bright_wall(study.uncorrected, heart_mm), study.uncorrected.grid
    return {kind: {**shared, "in_lung": lung_share(study.body, wall, grid, pose)} for kind, pose in poses.items()}
