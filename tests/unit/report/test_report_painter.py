"""What the painter puts on a picture, judged by closed forms and by matplotlib."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mureg.report.pictures.bullseye import sector
from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.colours import COLD_HOT, HEAT
from mureg.report.pictures.letters import extent

INK_PER_PIXEL = 255.0


def darkness(canvas: Canvas, scale: float = 1.0) -> np.ndarray:
    """Share of each pixel that black marks cover on white paper."""
    return np.asarray(1.0 - canvas.pixels(scale)[..., 0] / INK_PER_PIXEL)


def paper(width: int = 200, height: int = 100) -> Canvas:
    return Canvas(width, height, "white", "black")


@pytest.mark.parametrize(("scale", "name"), [(HEAT, "inferno"), (COLD_HOT, "PuOr_r")])
def test_colours_are_those_of_the_published_scales(scale, name) -> None:
    values = np.linspace(-0.2, 1.2, 500)
    np.testing.assert_allclose(scale(values), colormaps[name](values), atol=2.0 / 255.0)
    np.testing.assert_allclose(scale(values, bytes=True), 255.0 * scale(values), atol=0.5)


@pytest.mark.parametrize("rotation", [0, 90, 270])
@pytest.mark.parametrize(("ha", "va"), [("left", "top"), ("center", "center"), ("right", "bottom")])
def test_words_lie_where_their_extent_says(ha, va, rotation) -> None:
    canvas = paper(300, 300)
    canvas.text(150.3, 149.6, "Hand\nlx", fontsize=20, ha=ha, va=va, rotation=rotation)
    rows, columns = np.nonzero(darkness(canvas) > 0.3)
    left, top, right, bottom = extent(canvas.texts[0])
    inked = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_allclose(inked, (left, top, right, bottom), atol=8.0)
    assert left - 1 <= inked[0] < inked[2] <= right + 1
    assert top - 1 <= inked[1] < inked[3] <= bottom + 1
    corner = darkness(canvas)[:, : round((left + right) / 2)] if rotation else darkness(canvas)[: round(top + 14)]
    assert corner.sum() > 0.0


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_words_are_as_long_and_as_dark_as_matplotlib_draws_them(weight) -> None:
    words = "Grey: attenuation map. AV To (90 %), 3.5° µ"
    canvas = paper(600, 40)
    canvas.text(10, 8, words, fontsize=12, fontweight=weight)
    figure = Figure(figsize=(6.0, 0.4), dpi=100, facecolor="white")
    agg = FigureCanvasAgg(figure)
    figure.text(10 / 600, 1 - 8 / 40, words, fontsize=12, fontweight=weight, va="top")
    agg.draw()
    other = 1.0 - np.asarray(agg.buffer_rgba())[..., 0] / INK_PER_PIXEL
    own = darkness(canvas)
    for axis, tolerance in ((0, 8.0), (1, 1.5)):  # matplotlib hints its letters, which makes words longer
        places = [np.flatnonzero(picture.sum(axis) > 0.5)[[0, -1]] for picture in (own, other)]
        np.testing.assert_allclose(places[0], places[1], atol=tolerance)
    assert own.sum() == pytest.approx(other.sum(), rel=0.08)


def test_turned_words_read_upwards() -> None:
    """A line of dots that ends in a large letter has the letter at the top where it is turned by 90 degrees."""
    for rotation, is_above in ((90, True), (270, False)):
        canvas = paper(100, 300)
        canvas.text(50, 150, "........M", fontsize=20, ha="center", va="center", rotation=rotation)
        shares = darkness(canvas)
        assert bool(shares[:150].sum() > shares[150:].sum()) is is_above


@pytest.mark.parametrize("scale", [1.0, 1.6, 2.0])
def test_a_line_covers_its_length_times_its_width(scale) -> None:
    canvas = paper()
    panel = canvas.panel((0, 0, 200, 100), (0.0, 200.0), (0.0, 100.0))
    panel.line(np.array([[20.0, 20.0], [20.0, 80.0], [120.0, 80.0]]), "black", linewidth=3.6)  # 5 pixels
    assert darkness(canvas, scale).sum() / scale**2 == pytest.approx(160 * 5.0, rel=0.06)


def test_dashes_leave_their_gaps_out() -> None:
    canvas = paper()
    panel = canvas.panel((0, 0, 200, 100), (0.0, 200.0), (0.0, 100.0))
    panel.line(np.array([[10.0, 50.0], [100.0, 50.0], [190.0, 50.0]]), "black", 2.88, (3.0, 2.0))  # 4 pixels wide
    row = darkness(canvas)[50]
    starts = np.flatnonzero(np.diff(row) > 0.5) + 1
    np.testing.assert_allclose(starts, 10 + 20 * np.arange(9), atol=1.0)
    assert darkness(canvas).sum() == pytest.approx(9 * 12 * 4.0, rel=0.06)


def test_a_closed_ring_of_sectors_covers_its_area_once() -> None:
    canvas = paper(200, 200)
    panel = canvas.panel((0, 0, 200, 200), (-1.0, 1.0), (-1.0, 1.0))
    for first in range(0, 360, 60):
        panel.area(sector(0.4, 0.8, first, first + 60), "black", "black", 0.001)
    # a line is at least a quarter of a pixel wide
    assert darkness(canvas).sum() == pytest.approx(np.pi * (0.8**2 - 0.4**2) * 100**2, rel=0.02)


def test_the_same_picture_gives_the_same_bytes_and_is_laid_out_alike_at_every_scale(tmp_path: Path) -> None:
    canvas = paper()
    canvas.box((20, 30, 50, 40), "black")
    canvas.save(tmp_path / "one.png")
    canvas.save(tmp_path / "other.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()
    for scale in (1.0, 2.0):
        rows, columns = np.nonzero(darkness(canvas, scale))
        assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == tuple(
            round(edge * scale) for edge in (20, 70, 30, 70)
        )
