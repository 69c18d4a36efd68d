"""Space: grids, rigid transforms, volumes. One space inside: x, y, z index order and LPS+ millimetres."""

from mureg.geometry.grid import Grid
from mureg.geometry.interpolation import Array, interpolate
from mureg.geometry.rigid import RigidTransform
from mureg.geometry.volume import Quantity, Volume

__all__ = ["Array", "Grid", "Quantity", "RigidTransform", "Volume", "interpolate"]
