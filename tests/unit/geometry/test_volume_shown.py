"""What a notebook shows of a volume: short words, and three slices that are right side up."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from mureg import Grid, Quantity, Volume

SHAPE, SPACING = (40, 30, 20), (4.0, 4.0, 6.0)
EDGES_MM = np.array(SHAPE) * SPACING
MARK_MM = {"right": (-70.0, 0.0, 0.0), "front": (0.0, -50.0, 0.0), "feet": (0.0, 0.0, -50.0)}


def ball(name: str, order: tuple[int, int, int] = (0, 1, 2), flip: tuple[int, int, int] = (1, 1, 1)) -> Volume:
    """A ball away from the middle; voxels stored in any order of axes and along any direction."""
    upright = Grid.centred(SHAPE, SPACING)
    axes = np.diag(SPACING)[:, order] * flip
    affine = np.eye(4)
    affine[:3, :3] = axes
    shape = tuple(SHAPE[axis] for axis in order)
    affine[:3, 3] = np.asarray(upright.centre_mm) - axes @ ((np.array(shape) - 1) / 2)
    grid = Grid(shape, affine)
    points = grid.points(np.moveaxis(np.indices(shape), 0, -1))
    inside = np.linalg.norm(points - MARK_MM[name], axis=-1) < 14.0
    return Volume.from_numpy(np.where(inside, 0.2, 0.0), grid, Quantity.MU_PER_CM)


def panels(volume: Volume) -> list[np.ndarray]:
    """The three slices of the picture in the HTML, transverse, coronal, sagittal; edges in mm give their widths."""
    found = re.search(r"data:image/png;base64,([^\"]+)", volume._repr_html_())
    page = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))
    x, y, z = (round(mm / EDGES_MM.max() * 192) for mm in EDGES_MM)
    assert page.shape == (max(y, z), x + 4 + x + 4 + y)
    return [page[:y, :x], page[:z, x + 4 : 2 * x + 4], page[:z, 2 * x + 8 :]]


def side(panel: np.ndarray) -> tuple[str, str]:
    """On which side of a slice the bright spot lies."""
    rows, columns = np.nonzero(panel > 200)
    assert len(rows)
    down, right = rows.mean() / len(panel) - 0.5, columns.mean() / panel.shape[1] - 0.5
    return (
        "top" if down < -0.1 else "bottom" if down > 0.1 else "middle",
        "left" if right < -0.1 else "right" if right > 0.1 else "middle",
    )


@pytest.mark.parametrize(("order", "flip"), [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1)), ((1, 2, 0), (1, -1, 1))])
class TestSlices:
    def test_the_patients_right_is_on_the_viewers_left(self, order, flip) -> None:
        transverse, coronal, _ = panels(ball("right", order, flip))
        assert side(transverse) == ("middle", "left")
        assert side(coronal) == ("middle", "left")

    def test_the_front_is_at_the_top_and_in_the_sagittal_slice_on_the_left(self, order, flip) -> None:
        transverse, _, sagittal = panels(ball("front", order, flip))
        assert side(transverse) == ("top", "middle")
        assert side(sagittal) == ("middle", "left")

    def test_the_feet_are_down(self, order, flip) -> None:
        _, coronal, sagittal = panels(ball("feet", order, flip))
        assert side(coronal) == ("bottom", "middle")
        assert side(sagittal) == ("bottom", "middle")


def test_a_volume_in_one_line() -> None:
    values = np.linspace(-1000.0, 250.0, 4 * 5 * 6).reshape(4, 5, 6)
    outside = np.zeros((4, 5, 6), dtype=bool)
    outside[0, 0, :3] = True
    volume = Volume.from_numpy(values, Grid.centred((4, 5, 6), (2.0, 2.0, 3.5)), Quantity.HU, outside)
    assert repr(volume) == "Volume(4 x 5 x 6 voxels of 2 x 2 x 3.5 mm, -968.5 to 250 HU, 2.5 % unknown)"
    nothing = Volume.from_numpy(values, volume.grid, Quantity.HU, np.ones_like(outside))
    assert "nothing known" in repr(nothing)
    assert "image/png" in nothing._repr_html_()


def test_what_is_unknown_is_black() -> None:
    """Its filler of 0 HU would be grey."""
    outside = np.ones(SHAPE, dtype=bool)
    outside[:20] = False
    volume = Volume.from_numpy(np.zeros(SHAPE), Grid.centred(SHAPE, SPACING), Quantity.HU, outside)
    transverse, _, _ = panels(volume)
    assert transverse[:, -10:].max() == 0
    assert transverse[:, 10:50].min() == round(255 * 200 / 500)


def test_a_blank_volume_has_a_picture_too() -> None:
    blank = Volume.from_numpy(np.zeros((3, 1, 2)), Grid.centred((3, 1, 2), (1, 1, 1)), Quantity.COUNTS)
    assert "image/png" in blank._repr_html_()
