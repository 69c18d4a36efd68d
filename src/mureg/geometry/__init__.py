"""Space: grids, rigid transforms, volumes. One space inside: x, y, z index order and LPS+ millimetres."""

from mureg.geometry.grid import Grid
from mureg.geometry.rigid import RigidTransform
from mureg.geometry.volume import Quantity, Volume, interpolate

__all__ = ["Grid", "Quantity", "RigidTransform", "Volume", "interpolate"]
