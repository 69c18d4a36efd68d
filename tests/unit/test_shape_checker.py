"""The checker of shapes finds what is wrong at the first call, later in a new form, and soon in a form it knows."""

from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import Float, TypeCheckError

from mureg.heart.cup import Cups
from support.shapes import ALWAYS, EVERY, checked, jaxtyped


def sized(values: Float[np.ndarray, "n 3"], n: int = 3) -> Float[np.ndarray, "n {n}"]:
    return np.ones((len(values), int(values.flat[0]) or n))


def test_arguments_are_checked_in_every_new_form() -> None:
    function = jaxtyped(sized, typechecker=checked)
    for _ in range(ALWAYS + 5):
        assert function(np.zeros((4, 3))).shape == (4, 3)
    for wrong in (np.zeros((4, 2)), np.zeros(3), np.zeros((4, 3), dtype=int), "words"):
        with pytest.raises(TypeCheckError):
            function(wrong)
    with pytest.raises(TypeCheckError):
        jaxtyped(sized, typechecker=checked)(np.zeros((4, 2)))


def test_a_wrong_result_of_a_known_form_is_found_soon() -> None:
    function = jaxtyped(sized, typechecker=checked)
    for _ in range(ALWAYS + 5):
        function(np.zeros((4, 3)))
    with pytest.raises(TypeCheckError):
        [function(np.full((4, 3), 7.0)) for _ in range(EVERY)]


def test_the_package_is_checked() -> None:
    with pytest.raises(TypeCheckError):
        Cups(np.zeros((1, 2)), np.zeros((1, 3)), np.array([50.0]), np.array([25.0]))
    cups = Cups(np.zeros((1, 3)), np.array([[1.0, 0.0, 0.0]]), np.array([50.0]), np.array([25.0]))
    assert cups.off_mm(np.full((1, 4, 3), 30.0)).shape == (1, 4)
    with pytest.raises(TypeCheckError):
        cups.off_mm(np.full((1, 4, 2), 30.0))
