"""Paints the marks of a canvas as pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw

from mureg.report.pictures.letters import corner, font, layout
from mureg.report.pictures.marks import DPI, Area, Colour, Mark, Pixels, Place, Polyline, Rectangle, Words

_FINE = 4
"""Steps of a pixel in which letters, lines and areas are drawn before they are averaged; a round value."""

_AT_ONCE = 16
"""Steps of a line that are one polygon: one of all would have holes where a line comes back to itself; chosen."""

Rgb = tuple[int, ...]
Points = npt.NDArray[np.float64]
Window = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the picture."""


def painted(marks: Iterable[Mark], size: tuple[int, int], paper: Colour, scale: float) -> Image.Image:
    """A picture of so many pixels with the marks on it, `scale` pixels for each of the canvas."""
    image = Image.new("RGB", size, _rgb(paper))
    in_order = sorted(marks, key=lambda mark: mark.zorder)
    for _, group in groupby(in_order, key=lambda mark: (type(mark), mark.clip if isinstance(mark, Area) else id(mark))):
        alike = list(group)
        match alike[0]:
            case Words():
                _paint_words(image, alike[0], scale)
            case Rectangle():
                _paint_box(image, alike[0], scale)
            case Pixels():
                _paint_pixels(image, alike[0], scale)
            case Polyline():
                _paint_line(image, alike[0], scale)
            case Area():
                _paint_areas(image, [mark for mark in alike if isinstance(mark, Area)], scale)
    return image


def _rgb(colour: Colour) -> Rgb:
    if isinstance(colour, str):
        return ImageColor.getrgb(colour)[:3]
    return tuple(round(255.0 * share) for share in colour[:3])


def _window(place: Place, scale: float, image: Image.Image) -> Window:
    """The whole pixels of a place that lie in the picture."""
    left, top, width, height = place
    edges = left, top, left + width, top + height
    first_x, first_y, last_x, last_y = (int(np.floor(edge * scale + 0.5)) for edge in edges)
    return max(first_x, 0), max(first_y, 0), min(last_x, image.width), min(last_y, image.height)


def _common(one: Window, other: Window) -> Window | None:
    """What two windows share; None for nothing."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _paint_words(image: Image.Image, words: Words, scale: float) -> None:
    size = max(1, round(words.fontsize * DPI / 72 * scale * _FINE))
    lines, stroke = layout(words, size), round(words.halo / 2 * DPI / 72 * scale * _FINE)
    room = size // 2 + stroke  # for what letters reach beyond their own width
    letters, fine = font(size, words.fontweight), (round(lines.width) + 2 * room, round(lines.height) + 2 * room)

    def mask(stroke: int) -> Image.Image:
        drawn = Image.new("L", fine)
        pen = ImageDraw.Draw(drawn)
        for line, x, y in lines.lines:
            pen.text((x + room, y + room), line, fill=255, font=letters, anchor="ls", stroke_width=stroke)
        turn = {90: Image.Transpose.ROTATE_90, 270: Image.Transpose.ROTATE_270}.get(words.rotation)
        return drawn if turn is None else drawn.transpose(turn)

    width, height = ((length - 2 * room) / (scale * _FINE) for length in (fine[::-1] if words.rotation else fine))
    left, top = (round(at * scale * _FINE) - room for at in corner(words, width, height))
    halo: list[tuple[Colour, int]] = [("black", stroke)] if stroke else []
    for colour, wide in (*halo, (words.color, 0)):
        _stamp(image, _rgb(colour), mask(wide), left, top)


def _stamp(image: Image.Image, colour: Rgb, fine: Image.Image, left: int, top: int) -> None:
    """Lay a colour on a picture where a mask is bright; mask and place in fine steps."""
    across, down = left % _FINE, top % _FINE
    width, height = (-(-n // _FINE) * _FINE for n in (fine.width + across, fine.height + down))
    aligned = Image.new("L", (width, height))
    aligned.paste(fine, (across, down))
    image.paste(colour, (left // _FINE, top // _FINE), aligned.reduce(_FINE))


def _paint_box(image: Image.Image, box: Rectangle, scale: float) -> None:
    left, top, right, bottom = _window(box.place, scale, image)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    if box.fill is not None:
        image.paste(_rgb(box.fill), (left, top, right, bottom))
    if box.edge is not None:
        width = max(1, round(box.edge_points * DPI / 72 * scale))
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), outline=_rgb(box.edge), width=width)


def _paint_pixels(image: Image.Image, pixels: Pixels, scale: float) -> None:
    shown = _common(_window(pixels.place, scale, image), _window(pixels.clip, scale, image))
    if shown is None:
        return
    left, top, width, height = (length * scale for length in pixels.place)
    rows, columns, _ = pixels.colours.shape
    across, down = columns / width, rows / height
    edges = (shown[0] - left) * across, (shown[1] - top) * down, (shown[2] - left) * across, (shown[3] - top) * down
    limits = (columns, rows) * 2
    source = tuple(min(max(edge, 0.0), float(limit)) for edge, limit in zip(edges, limits, strict=True))
    drawn = Image.fromarray(pixels.colours).resize(
        (shown[2] - shown[0], shown[3] - shown[1]), Image.Resampling.NEAREST, source
    )
    image.paste(drawn, shown, None if bool((pixels.colours[..., 3] == 255).all()) else drawn)


def _paint_line(image: Image.Image, line: Polyline, scale: float) -> None:
    points, wide = line.points * scale, line.linewidth * DPI / 72 * scale
    reach = wide / 2 + 1.0
    low, high = np.floor(points.min(0) - reach), np.ceil(points.max(0) + reach)
    around = int(low[0]), int(low[1]), int(high[0]), int(high[1])
    shown = _common(around, _window(line.clip, scale, image))
    if shown is None:
        return
    fine = Image.new("L", ((shown[2] - shown[0]) * _FINE, (shown[3] - shown[1]) * _FINE))
    pen = ImageDraw.Draw(fine)
    dashes = None if line.dashes is None else (line.dashes[0] * wide * _FINE, line.dashes[1] * wide * _FINE)
    _draw_line(pen, (points - shown[:2]) * _FINE, 255, wide * _FINE, dashes)
    image.paste(_rgb(line.color), shown[:2], fine.reduce(_FINE))


def _draw_line(
    pen: ImageDraw.ImageDraw, points: Points, colour: Rgb | int, wide: float, dashes: tuple[float, float] | None = None
) -> None:
    """Draw a line, or dashes of it, as polygons between its two sides.

    Pillow would draw each step of the line alone, with a disc at every joint.
    """
    lengths, sides = _sides(points, max(wide - 1.0, 0.0))  # a polygon covers the pixels of its edge as well
    for strip in _steps(sides) if dashes is None else _dashes(lengths, sides, *dashes):
        pen.polygon(np.concatenate([strip[:, :2], strip[::-1, 2:]]).ravel().tolist(), fill=colour)


def _sides(points: Points, wide: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How far along the line each of its points lies, and the points at its left and right side [n, 4]."""
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    points, steps = points[np.append(True, lengths > 0.0)], np.diff(points, axis=0)[lengths > 0.0]
    lengths = lengths[lengths > 0.0]
    if not len(steps):
        return np.zeros(0), np.zeros((0, 4))
    steps /= lengths[:, None]
    is_closed = bool(np.allclose(points[0], points[-1]))
    before = np.concatenate([steps[-1:] if is_closed else steps[:1], steps])
    after = np.concatenate([steps, steps[:1] if is_closed else steps[-1:]])
    along = before + after
    # as far out as the sides of both steps meet; at a sharp bend no farther than twice the width
    along /= np.maximum((along * after).sum(1, keepdims=True), 0.5)
    normals = np.stack([-along[:, 1], along[:, 0]], axis=1) * wide / 2
    return np.append(0.0, np.cumsum(lengths)), np.concatenate([points + normals, points - normals], axis=1)


def _steps(sides: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.float64]]:
    """A line in parts of a few steps."""
    return (sides[first : first + _AT_ONCE + 1] for first in range(0, len(sides) - 1, _AT_ONCE))


def _dashes(
    lengths: npt.NDArray[np.float64], sides: npt.NDArray[np.float64], drawn: float, left_out: float
) -> Iterator[npt.NDArray[np.float64]]:
    """The parts of a line that are drawn where so many pixels are drawn and so many left out in turn."""
    if not len(lengths):
        return
    firsts = np.arange(0.0, lengths[-1], drawn + left_out)
    lasts = np.minimum(firsts + drawn, lengths[-1])
    at = np.sort(np.concatenate([lengths, firsts, lasts]))
    cut = np.stack([np.interp(at, lengths, side) for side in sides.T], axis=1)
    for first, end in zip(np.searchsorted(at, firsts), np.searchsorted(at, lasts, "right"), strict=True):
        yield cut[first:end]


def _paint_areas(image: Image.Image, areas: Sequence[Area], scale: float) -> None:
    """Paint areas of one panel, together: each covers the edges of those before it."""
    shown = _window(areas[0].clip, scale, image)
    size = shown[2] - shown[0], shown[3] - shown[1]
    fine = image.crop(shown).resize((size[0] * _FINE, size[1] * _FINE), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(fine)
    for area in areas:
        curve = (area.points * scale - shown[:2]) * _FINE
        pen.polygon(curve.ravel().tolist(), fill=_rgb(area.fill))
        closed = np.concatenate([curve, curve[:1]])
        _draw_line(pen, closed, _rgb(area.edge), area.linewidth * DPI / 72 * scale * _FINE)
    image.paste(fine.reduce(_FINE), shown[:2])
