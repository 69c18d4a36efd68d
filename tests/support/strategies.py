"""Spaces to draw from: rigid motions, lattices, points."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mureg.geometry import Grid, RigidTransform


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


def triples(size: float) -> st.SearchStrategy[tuple[float, float, float]]:
    return st.tuples(*[numbers(-size, size)] * 3)


# the middle angle stays clear of gimbal lock, where three angles say the same as two
angles_deg = st.tuples(numbers(-179, 179), numbers(-85, 85), numbers(-179, 179))
points_mm = triples(300.0)


@st.composite
def rigid_transforms(draw, shift_mm: float = 100.0) -> RigidTransform:
    return RigidTransform.from_six(draw(triples(shift_mm)), draw(angles_deg), draw(triples(100.0)))


@st.composite
def grids(draw, least: int = 1, most: int = 9) -> Grid:
    """Lattices of any orientation, spacing and handedness."""
    shape = tuple(draw(st.integers(least, most)) for _ in range(3))
    spacing = [draw(numbers(0.5, 12.0)) for _ in range(3)]
    signs = [draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)]
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", draw(angles_deg), degrees=True).as_matrix()
    affine[:3, :3] = rotation * np.asarray(spacing) * np.asarray(signs)
    affine[:3, 3] = draw(triples(200.0))
    return Grid(shape, affine, draw(st.sampled_from(["", "1.2.3", "1.2.4"])))
