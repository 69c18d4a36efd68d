"""Panels: pixels lie where patient coordinates say, in each view."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.geometry import Grid, Quantity, Volume
from mureg.report.pictures.canvas import Canvas, draw_outline, draw_values
from mureg.report.pictures.colours import GREY
from mureg.report.pictures.planes import VIEWS, plane

SIZE_MM = (200.0, 160.0, 120.0)
CENTRE_MM = (10.0, -20.0, 30.0)
PLACE_MM = np.array([55.0, 25.0, 62.0])
"""Of a bright ball: to the left, to the back and to the head of the middle."""


def ball() -> Volume:
    grid = Grid.centred((120, 120, 120), (2.0, 2.0, 2.0), CENTRE_MM)
    places = grid.points(np.indices(grid.shape).transpose(1, 2, 3, 0))
    # a bar along every line of sight, so that each plane through the middle meets it
    near = np.abs(places - PLACE_MM) < 8.0
    values = sum((near[..., a] & near[..., b]).astype(np.float32) for a, b in ((0, 1), (0, 2), (1, 2)))
    return Volume(np.minimum(values, 1.0).astype(np.float32), grid, Quantity.MU_PER_CM)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_pixels_and_lines_lie_where_the_letters_say(view) -> None:
    """Referee: the letters at the edges. Left is +x, posterior +y, head +z (LPS+)."""
    canvas = Canvas(300, 300)
    panel = canvas.plane_panel((0, 0, 300, 300), view, SIZE_MM, CENTRE_MM)
    cut = plane(ball(), view, CENTRE_MM, SIZE_MM)
    draw_values(panel, cut, GREY, 0.0, 1.0)
    left, right, top, bottom = view.letters
    toward = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "F": (2, -1), "H": (2, 1)}
    offset = PLACE_MM - CENTRE_MM
    across, up = (toward[letter][1] * offset[toward[letter][0]] for letter in (right, top))
    wide, tall = (SIZE_MM[toward[letter][0]] for letter in (right, top))
    column, row = 150 + 300 * across / wide, 150 - 300 * up / tall
    pixels = canvas.pixels().astype(float).sum(-1)
    assert toward[left] == (toward[right][0], -toward[right][1])
    assert toward[bottom] == (toward[top][0], -toward[top][1])
    # the mirrored places are dark
    assert pixels[round(row), round(column)] > 400
    assert pixels[299 - round(row), round(column)] < 100
    assert pixels[round(row), 299 - round(column)] < 100
    draw_outline(panel, cut, 0.5, "#ff0000", shortest_mm=10.0)
    red = np.argwhere((canvas.pixels()[..., 0] > 200) & (canvas.pixels()[..., 1] < 60))
    np.testing.assert_allclose(red.mean(0), [row, column], atol=3.0)


def test_what_is_painted_ends_at_the_edges_of_its_panel() -> None:
    canvas = Canvas(100, 100, paper="black")
    panel = canvas.panel((20, 30, 40, 50), (0.0, 1.0), (0.0, 1.0))
    panel.paint(np.full((2, 2, 4), 255, dtype=np.uint8), (-1.0, 2.0, -1.0, 2.0))
    panel.line(np.array([[-1.0, 0.5], [2.0, 0.5]]), "#ffffff", 9.0)
    bright = np.argwhere(canvas.pixels().sum(-1) > 100)
    np.testing.assert_allclose([bright.min(0), bright.max(0)], [[30, 20], [79, 59]], atol=1.0)
