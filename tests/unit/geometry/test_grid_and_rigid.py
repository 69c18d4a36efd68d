"""What grids and rigid transforms refuse, and that they stay what they were."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.errors import GeometryError
from mureg.geometry import Grid, RigidTransform

TURNED = np.array([[0.0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])


@pytest.mark.parametrize("shape", [(0, 3, 3), (3, -1, 3)])
def test_a_grid_without_voxels_is_refused(shape) -> None:
    with pytest.raises(GeometryError, match=r"grid shape .*; expected three counts of at least 1; "):
        Grid(shape, np.eye(4))


def flat() -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 2] = matrix[:3, 0] + matrix[:3, 1]
    return matrix


@pytest.mark.parametrize("affine", [np.diag([0.0, 1, 1, 1]), flat()], ids=["no spacing", "all in one plane"])
def test_a_degenerate_lattice_is_refused(affine) -> None:
    with pytest.raises(GeometryError, match="expected three independent directions"):
        Grid((2, 2, 2), affine)


@pytest.mark.parametrize("make", [lambda m: Grid((2, 2, 2), m), RigidTransform], ids=["grid", "transform"])
@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (np.eye(3), r"shape \(3, 3\) .* expected a finite 4x4 matrix"),
        (np.full((4, 4), np.nan), "non-finite values; expected a finite 4x4 matrix"),
        (np.diag([1.0, 1, 1, 2]), "ends in the row .*; expected 0 0 0 1"),
    ],
)
def test_a_matrix_that_maps_no_space_is_refused(make, matrix, sentence) -> None:
    with pytest.raises(GeometryError, match=sentence) as refusal:
        make(matrix)
    assert refusal.value.exit_code == 4


@pytest.mark.parametrize("make", [lambda m: Grid((2, 2, 2), m).affine, lambda m: RigidTransform(m).matrix])
def test_the_matrix_is_a_copy_that_cannot_be_written(make) -> None:
    given = TURNED.copy()
    kept = make(given)
    given[0, 3] = 99.0
    assert kept[0, 3] == 5.0
    with pytest.raises(ValueError, match="read-only"):
        kept[0, 3] = 99.0


def test_the_sign_of_zero_makes_no_difference_to_equality_or_hash() -> None:
    there_and_back = RigidTransform.identity().inverse()
    assert there_and_back == RigidTransform.identity()
    assert hash(there_and_back) == hash(RigidTransform.identity())
    negative = np.where(TURNED == 0, -0.0, TURNED)
    negative[3, :3] = 0.0
    assert hash(Grid((2, 2, 2), negative)) == hash(Grid((2, 2, 2), TURNED))


@pytest.mark.parametrize(
    ("affine", "answer"),
    [
        (np.diag([2.0, 3, 4, 1]), True),
        (np.diag([-2.0, 3, 4, 1]), False),
        (np.diag([2.0, 3, -4, 1]), False),
        (TURNED, False),
    ],
)
def test_patient_axes_mean_x_y_z_in_their_own_direction(affine, answer) -> None:
    assert Grid((2, 2, 2), affine).along_patient_axes is answer


def test_a_grid_or_motion_is_no_other_kind_of_thing() -> None:
    assert Grid((1, 1, 1), np.eye(4)) != "grid"
    assert RigidTransform.identity() != "motion"
