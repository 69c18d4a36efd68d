"""What an acquisition promises and refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mureg.errors import GeometryError, UnreadableInputError
from support.phantoms import PHOTOPEAK, camera, orbit
from support.shapes import unchecked
from support.strategies import numbers

GOOD = camera(orbit(4, 180), rows=3, columns=5)


@given(st.integers(2, 128), st.sampled_from([180.0, 360.0]), numbers(0, 360), st.booleans())
def test_the_arc_counts_each_view_with_its_own_width(n_views, arc_deg, start_deg, clockwise) -> None:
    if n_views == 2 and arc_deg == 180.0:
        n_views = 3  # two views a quarter turn apart could as well be half of something else
    angles = orbit(n_views, arc_deg, start_deg, clockwise)
    assert camera(angles, 1, 1).arc_deg == pytest.approx(arc_deg, abs=0.05)


@given(st.integers(3, 64), numbers(0, 360), st.randoms(use_true_random=False))
def test_the_arc_does_not_depend_on_the_order_of_views(n_views, start_deg, random) -> None:
    angles = list(orbit(n_views, 180, start_deg))
    random.shuffle(angles)
    assert camera(angles, 1, 1).arc_deg == pytest.approx(180.0, abs=0.05)


def test_two_heads_that_see_the_same_views_do_not_add_up() -> None:
    angles = np.concatenate([orbit(32, 180), orbit(32, 180) + 360])
    assert camera(angles, 1, 1).arc_deg == pytest.approx(180.0, abs=0.05)


def test_a_single_view_spans_no_arc() -> None:
    assert camera([90.0], 1, 1).arc_deg == 0.0


def test_the_grid_has_the_detectors_pixels_around_the_axis() -> None:
    grid = camera([0.0], rows=7, columns=9, pixel_mm=(4.0, 6.0), centre_mm=(10.0, -20.0, 30.0)).grid()
    assert grid.shape == (9, 9, 7)
    np.testing.assert_allclose(grid.spacing_mm, (6.0, 6.0, 4.0))
    np.testing.assert_allclose(grid.centre_mm, (10.0, -20.0, 30.0))
    assert grid.along_patient_axes


def test_the_photopeak_is_the_window_that_was_named() -> None:
    counts = np.stack([np.zeros((4, 3, 5), dtype=np.float32), np.ones((4, 3, 5), dtype=np.float32)])
    two = replace(GOOD, counts=counts, windows=(PHOTOPEAK, PHOTOPEAK), photopeak=1)
    assert np.array_equal(two.photopeak_counts, np.ones((4, 3, 5), dtype=np.float32))


def test_a_window_holds_the_energies_between_its_limits() -> None:
    assert 140.5 in PHOTOPEAK
    assert 126.5 in PHOTOPEAK
    assert 120.0 not in PHOTOPEAK


@pytest.mark.parametrize(
    ("change", "sentence", "error"),
    [
        (
            {"counts": np.zeros((1, 0, 3, 5)), "angles_deg": np.zeros(0)},
            "projections of shape",
            UnreadableInputError,
        ),
        ({"photopeak": 1}, "photopeak 1; expected one energy window for each", UnreadableInputError),
        ({"windows": ()}, "1 windows of counts, 0 energy windows", UnreadableInputError),
        ({"angles_deg": np.zeros(3)}, "3 angles for 4 views", GeometryError),
        ({"angles_deg": np.array([0, 1, 2, np.nan])}, "4 angles for 4 views; expected one finite", GeometryError),
        ({"radii_mm": np.full(3, 200.0)}, "detector radii .* for 4 views", GeometryError),
        ({"radii_mm": np.array([200.0, 200.0, 0.0, 200.0])}, "expected one positive radius", GeometryError),
        ({"view_weights": np.ones(3)}, "3 view weights for 4 views; expected one finite", GeometryError),
        ({"view_weights": np.array([1.0, 1.0, 0.0, 1.0])}, "view weights of 0 or less", GeometryError),
        ({"column_offsets_mm": np.array([0, 0, 0, np.inf])}, "column offsets for 4 views", GeometryError),
        ({"pixel_mm": (6.8, 0.0)}, "expected positive spacings", GeometryError),
        (
            {"counts": np.full((1, 4, 3, 5), -1.0)},
            "negative or non-finite counts",
            UnreadableInputError,
        ),
        (
            {"counts": np.full((1, 4, 3, 5), np.nan)},
            "negative or non-finite counts",
            UnreadableInputError,
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(change, sentence, error) -> None:
    with unchecked(), pytest.raises(error, match=sentence):
        replace(GOOD, **change)
