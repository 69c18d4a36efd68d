"""Balls of tracer beside the organs, painted into an activity."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.geometry import Grid, RigidTransform
from mureg.simulate.anatomy import Anatomy, Breath
from mureg.simulate.tracer import Tracer


def with_hot_spots(
    activity: Float[Tensor, "x y z"],
    grid: Grid,
    patient_from_grid: RigidTransform,
    anatomy: Anatomy,
    breath: Breath,
    tracer: Tracer,
) -> Float[Tensor, "x y z"]:
    """Activity with the tracer's hot spots painted over it, each voxel by the share of it inside the ball.

    A spot whose anchor this anatomy lacks (an arm, where there is none) is left out.
    """
    result = activity.clone()
    for spot in tracer.hot_spots:
        if spot.anchor not in anatomy.anchors:
            continue
        place = np.asarray(anatomy.anchors[spot.anchor]) + spot.offset_mm
        centre = patient_from_grid.inverse().apply(anatomy.breathed(place[None], breath)[0])
        reach = spot.radius_mm + max(grid.spacing_mm)
        low = np.clip(np.floor(grid.indices(centre - reach)).astype(int), 0, grid.shape)
        high = np.clip(np.ceil(grid.indices(centre + reach)).astype(int) + 1, 0, grid.shape)
        if (high <= low).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        places = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), -1)
        depth = spot.radius_mm - np.linalg.norm(grid.points(places) - centre, axis=-1)
        share = torch.from_numpy(np.clip(0.5 + depth / np.mean(grid.spacing_mm), 0.0, 1.0)).to(result)
        result[box] += share * (spot.uptake - result[box])
    return result
