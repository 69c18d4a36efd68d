"""Three slices of a volume as one small picture, right side up whatever the order of its voxels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.geometry.grid import Grid

_LONGEST_EDGE = 192
"""Pixels along the longest edge of the volume: three of them fit beside each other into a notebook."""
_GAP = 4
"""Pixels between two slices; chosen by eye."""

Picture = npt.NDArray[np.uint8]


def slice_grids(grid: Grid) -> tuple[Grid, Grid, Grid]:
    """Where the transverse, coronal and sagittal slice through the middle of a volume are sampled.

    Each is one voxel thick, along the patient axes, with voxels of one size; together they reach around all of `grid`.
    """
    corners = grid.corners_mm()
    low, high = corners.min(0), corners.max(0)
    voxel_mm = float((high - low).max()) / _LONGEST_EDGE
    x, y, z = (max(1, round(float(edge) / voxel_mm)) for edge in high - low)
    middle = (low + high) / 2
    centre_mm = (float(middle[0]), float(middle[1]), float(middle[2]))
    transverse, coronal, sagittal = (
        Grid.centred(shape, (voxel_mm, voxel_mm, voxel_mm), centre_mm) for shape in ((x, y, 1), (x, 1, z), (1, y, z))
    )
    return transverse, coronal, sagittal


def grey_pictures(planes: Sequence[npt.NDArray[Any]], black: float, white: float | None) -> tuple[Picture, ...]:
    """The values sampled on `slice_grids` as grey values [row, column] from 0 to 255.

    The transverse slice is seen from the feet (front at the top), the coronal one from the front (head at the top): in
    both the patient's right is on the viewer's left. The sagittal slice is seen from the patient's left: front on the
    viewer's left, head at the top.

    Args:
        planes: transverse [x, y, 1], coronal [x, 1, z], sagittal [1, y, z], in LPS+.
        black: value that is shown black.
        white: value that is shown white; None for the largest one.
    """
    transverse, coronal, sagittal = planes
    # rows run to the back or to the feet, columns to the patient's left or to the back
    turned = (transverse[:, :, 0].T, coronal[:, 0].T[::-1], sagittal[0].T[::-1])
    top = max(float(part.max()) for part in turned) if white is None else white
    span = max(top - black, 1e-30)
    return tuple(np.clip(255.0 * (part - black) / span, 0.0, 255.0).round().astype(np.uint8) for part in turned)


def as_png(pictures: Sequence[Picture]) -> bytes:
    """Pictures beside each other, as the bytes of a PNG file."""
    from PIL import Image

    height, width = max(part.shape[0] for part in pictures), sum(part.shape[1] + _GAP for part in pictures) - _GAP
    page, column = np.zeros((height, width), dtype=np.uint8), 0
    for part in pictures:
        page[: part.shape[0], column : column + part.shape[1]] = part
        column += part.shape[1] + _GAP
    file = io.BytesIO()
    Image.fromarray(page).save(file, "PNG", optimize=True)
    return file.getvalue()
