"""Uptake stays in its range, follows its causes, and defects lie where the standard puts their segments."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from mureg.errors import UsageError
from mureg.heart.ventricle import SEGMENTS, TERRITORIES, LeftVentricle
from mureg.simulate.tracer import NEIGHBOURS, ORGANS, TracerRange

VENTRICLE = LeftVentricle(
    (40.0, -30.0, 0.0), (0.7453559924999299, -0.5962847939999439, -0.29814239699997197), 85, 32, 10
)


def draws(n: int, **changes: object) -> list:
    chance = np.random.default_rng(11)
    return [TracerRange(**changes).draw(chance) for _ in range(n)]


def test_every_organ_stays_within_its_range() -> None:
    for tracer in draws(200):
        assert set(tracer.uptake) == set(ORGANS)
        for organ, value in tracer.uptake.items():
            low, high = (1.0, 1.0) if organ == "lv_wall" else getattr(TracerRange(), organ)
            assert low - 1e-9 <= value <= high + 1e-9, organ


def test_early_imaging_leaves_blood_lung_and_liver_bright_together() -> None:
    tracers = draws(400)
    value = {organ: [t.uptake[organ] for t in tracers] for organ in ORGANS if organ != "lv_wall"}
    assert spearmanr(value["blood"], value["lung"]).statistic > 0.4
    assert spearmanr(value["blood"], value["liver"]).statistic > 0.3
    assert spearmanr(value["gallbladder"], value["bowel"]).statistic > 0.3
    assert abs(spearmanr(value["spleen"], value["fat"]).statistic) < 0.15


def test_the_liver_is_hotter_at_rest() -> None:
    tracers = draws(400)
    median = {s: np.median([t.uptake["liver"] for t in tracers if t.state == s]) for s in ("rest", "stress")}
    assert median["rest"] > 1.2 * median["stress"]


def test_defects_have_the_extent_and_severity_asked_for_and_hang_together() -> None:
    for tracer in draws(100, share_with_defect=1.0, defect_segments=(3, 3), defect_severity=(0.6, 0.6)):
        inside = {k + 1 for k, value in enumerate(tracer.segments) if value < 0.6}
        assert len(inside) == 3 == tracer.defect_extent
        reached = {min(inside)}
        while more := {n for k in reached for n in NEIGHBOURS[k]} & inside - reached:
            reached |= more
        assert reached == inside
        assert max(sum(k in members for k in inside) for members in TERRITORIES.values()) >= 3


def test_no_defects_where_none_are_asked_for() -> None:
    assert all(tracer.defect_extent == 0 for tracer in draws(50, share_with_defect=0.0))


def test_the_same_seed_gives_the_same_tracer() -> None:
    first, second = (TracerRange().draw(np.random.default_rng(5)) for _ in range(2))
    assert first == second


def place(anterior: float, lateral: float, apex: float) -> np.ndarray:
    """A point of patient space from distances along the heart's own directions."""
    return np.asarray(VENTRICLE.centre_mm) + np.array([anterior, lateral, apex]) @ VENTRICLE.axes


def test_the_hearts_directions_are_those_of_the_chest() -> None:
    anterior, lateral, _ = VENTRICLE.axes
    assert anterior[2] > 0.9, "the anterior wall looks to the head"
    assert lateral[0] > 0.5, "the lateral wall looks to the left ..."
    assert lateral[1] > 0.5, "... and to the back"
    np.testing.assert_allclose(VENTRICLE.axes @ VENTRICLE.axes.T, np.eye(3), atol=1e-9)


@pytest.mark.parametrize(
    ("where", "segment"),
    [
        ((27, 0, -30), 1),  # at the base, towards the head
        ((13, -23, -30), 2),
        ((-13, -23, -30), 3),
        ((-27, 0, -30), 4),  # towards the feet
        ((-13, 23, -30), 5),
        ((13, 23, -30), 6),  # to the left, the back and up
        ((27, 0, -5), 7),
        ((-27, 0, -5), 10),
        ((20, 0, 20), 13),
        ((0, -20, 20), 14),
        ((-20, 0, 20), 15),
        ((0, 20, 20), 16),
        ((0, 0, 40), 17),
    ],
)
def test_each_segment_lies_where_the_standard_says(where: tuple[float, float, float], segment: int) -> None:
    values = [1.0] * len(SEGMENTS)
    values[segment - 1] = 0.0
    assert float(VENTRICLE.perfusion(place(*where)[None], values)[0]) < 0.25


def test_perfusion_is_the_same_everywhere_where_all_segments_are_alike() -> None:
    points = np.random.default_rng(1).uniform(-50, 50, (500, 3))
    np.testing.assert_allclose(VENTRICLE.perfusion(points, [0.7] * 17), 0.7, atol=1e-6)


def test_a_heart_that_points_to_the_right_is_refused() -> None:
    with pytest.raises(UsageError, match="to the patient's left"):
        LeftVentricle((0.0, 0.0, 0.0), (-1.0, 0.0, 0.0), 85, 32, 10)
