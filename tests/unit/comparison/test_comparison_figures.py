"""The pictures of a comparison: what is where, and nothing over something else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.transforms import Bbox

from mureg.cohort.store.cohort import CASES
from mureg.comparison.figures import FigureCase, corrected_picture, maps_picture, polar_picture
from mureg.comparison.images import Images
from mureg.comparison.measure import Task, measure
from mureg.comparison.methods import Method
from mureg.comparison.rows import Measurement
from mureg.heart.ventricle import SEGMENTS
from mureg.recon import Osem
from mureg.report.pictures.bullseye import draw_bullseye, wedges
from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.letters import extent
from mureg.spect import Physics
from support.tiny_cohort import tiny_case, tiny_cohort

FAST = Measurement(reconstructor=Osem(iterations=2, subsets=4), physics=Physics(scatter="none"))


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> FigureCase:
    folder = tiny_cohort(tmp_path_factory.mktemp("cohort"), 1) / CASES / "tiny-000000"
    methods = (Method("unregistered"), Method("oracle"))
    rows = measure(Task(folder, "tiny", methods, {}, True, FAST, "0" * 12, folder))
    images = Images.of(tiny_case(0), FAST.attenuation, FAST.reconstructor, FAST.physics)
    return FigureCase("tiny, tiny-000000", images, tuple(rows), (40.0, -30.0, 12.0))


@pytest.mark.parametrize(("draw", "panels"), [(maps_picture, 6), (corrected_picture, 15), (polar_picture, 3)])
def test_no_words_or_panels_overlap_or_leave_the_picture(shown, draw, panels) -> None:
    canvas = draw(shown)
    texts = [Bbox.from_extents(*extent(words)) for words in canvas.texts]
    axes = [Bbox.from_bounds(*panel.place) for panel in canvas.panels]
    assert len(axes) == panels
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= canvas.width and b.y1 <= canvas.height for b in texts + axes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(texts + axes, 2))
    words = " ".join(words.text for words in canvas.texts)
    assert "research use only" in words
    assert "Oracle" in words


def test_the_oracle_leaves_a_paler_difference_than_the_headers(shown) -> None:
    canvas = corrected_picture(shown)
    # rows: reference (3 panels), then 3 of the image and 3 of the difference for each method
    no_difference = 255.0 * np.array(colormaps["RdBu_r"](0.5)[:3])
    difference = [np.abs(panel.images[0][..., :3] - no_difference).mean() for panel in canvas.panels]
    assert sum(difference[12:15]) < 0.2 * sum(difference[6:9])


def test_the_wall_named_beside_a_segment_is_the_one_in_its_name() -> None:
    """Anterior at the top, septum at the left: as every polar map is read."""
    for name, (inner, outer, first, last) in zip(SEGMENTS, wedges(), strict=True):
        angle, radius = np.radians((first + last) / 2), (inner + outer) / 2
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        if name == "apex":
            assert inner == 0.0
            continue
        assert (y > 0.05) == ("anter" in name), name
        assert (y < -0.05) == ("infer" in name), name
        assert (x < -0.05) == ("sept" in name), name
        assert (x > 0.05) == ("lateral" in name), name


def test_the_segments_fill_the_disc_once() -> None:
    area = sum(np.pi * (outer**2 - inner**2) * (last - first) / 360.0 for inner, outer, first, last in wedges())
    assert area == pytest.approx(np.pi)


def test_differences_are_written_where_they_matter() -> None:
    canvas = Canvas(300, 300)
    reference = np.full(17, 80.0)
    found = reference.copy()
    found[3], found[8] = 60.0, 81.0
    draw_bullseye(canvas, (0, 0, 300, 300), found, reference)
    said = [words.text for words in canvas.panels[0].texts]
    assert said.count("-20") == 1
    assert "+1" not in said
