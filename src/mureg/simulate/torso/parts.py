"""Small shapes with a box, a tissue and an order of painting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mureg.simulate.torso.canvas import Patch
from mureg.simulate.torso.shapes import Box, Capsule, Ellipsoid, smooth_max, united_box

Shape = Capsule | Ellipsoid


@dataclass(frozen=True, eq=False)
class Part:
    """Something painted inside a box of the undeformed body.

    Attributes:
        detail_mm: left out where voxels are larger; 0 for never.
        still: moves with the chest wall, not with the diaphragm.
    """

    box: Box
    paint: Callable[[Patch], None]
    detail_mm: float = 0.0
    still: bool = False


def united(shapes: Sequence[Shape], x: Tensor, y: Tensor, z: Tensor, fillet_mm: float = 0.0) -> Tensor:
    """Distance to the union of shapes."""
    total = shapes[0].distance(x, y, z)
    for shape in shapes[1:]:
        distance = shape.distance(x, y, z)
        total = smooth_max(total, distance, fillet_mm) if fillet_mm > 0 else torch.maximum(total, distance)
    return total


def solid(
    shapes: Sequence[Shape], tissue: str, inside: str | None = "cage", depth_mm: float = 2.0, detail_mm: float = 0.0
) -> Part:
    """Shapes of one tissue that move with the viscera, cut where field `inside` is below `depth_mm`."""

    def paint(patch: Patch) -> None:
        distance = united(shapes, *patch.viscera)
        if inside is not None:
            distance = torch.minimum(distance, patch.fields[inside] - depth_mm)
        patch.paint(distance, tissue)

    return Part(united_box([shape.box for shape in shapes]), paint, detail_mm)


def each(shapes: Sequence[Shape], tissue: str, inside: str | None = "cage", depth_mm: float = 2.0) -> list[Part]:
    """The same, each shape in a box of its own: quicker for long tubes."""
    return [solid([shape], tissue, inside, depth_mm) for shape in shapes]


def hollow(
    shapes: Sequence[Shape],
    wall_mm: float,
    wall: str,
    content: str,
    fillet_mm: float = 0.0,
    inside: str | None = "cage",
) -> Part:
    """A wall around a content, moving with the viscera."""

    def paint(patch: Patch) -> None:
        distance = united(shapes, *patch.viscera, fillet_mm=fillet_mm)
        if inside is not None:
            distance = torch.minimum(distance, patch.fields[inside] - 2.0)
        patch.paint_shell(distance, wall_mm, wall, content)

    return Part(united_box([shape.box for shape in shapes]), paint)


def bone(shapes: Sequence[Shape], cortex_mm: float, fillet_mm: float = 0.0) -> Part:
    """Cortical shell and marrow, still in breathing (but for the rise of the chest)."""

    def paint(patch: Patch) -> None:
        distance = united(shapes, *patch.wall, fillet_mm=fillet_mm)
        patch.paint_shell(distance, cortex_mm, "cortical_bone", "spongy_bone")

    return Part(united_box([shape.box for shape in shapes]), paint, still=True)
