"""Laws of rigid motions and lattices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mureg.errors import GeometryError
from mureg.geometry import Grid, RigidTransform
from support.strategies import angles_deg, grids, numbers, points_mm, rigid_transforms, triples

NEAR = {"rtol": 0, "atol": 1e-9}


class TestRigidTransform:
    @given(rigid_transforms(), points_mm)
    def test_the_inverse_undoes(self, b_from_a, point) -> None:
        np.testing.assert_allclose(b_from_a.inverse().apply(b_from_a.apply(point)), point, **NEAR)
        np.testing.assert_allclose((b_from_a @ b_from_a.inverse()).matrix, np.eye(4), **NEAR)

    @given(rigid_transforms(), rigid_transforms(), points_mm)
    def test_a_product_applies_the_right_hand_factor_first(self, c_from_b, b_from_a, point) -> None:
        np.testing.assert_allclose((c_from_b @ b_from_a).apply(point), c_from_b.apply(b_from_a.apply(point)), **NEAR)

    @given(rigid_transforms(), rigid_transforms())
    def test_the_inverse_of_a_product_is_the_product_of_inverses_reversed(self, c_from_b, b_from_a) -> None:
        np.testing.assert_allclose(
            (c_from_b @ b_from_a).inverse().matrix, (b_from_a.inverse() @ c_from_b.inverse()).matrix, **NEAR
        )

    @given(rigid_transforms(), points_mm, points_mm)
    def test_distances_are_kept(self, b_from_a, p, q) -> None:
        moved = np.linalg.norm(b_from_a.apply(p) - b_from_a.apply(q))
        assert moved == pytest.approx(np.linalg.norm(np.subtract(p, q)), abs=1e-9)

    @given(triples(100.0), angles_deg, triples(200.0))
    def test_rigid_parameters_about_a_centre_and_back(self, translation, angles, centre) -> None:
        found_translation, found_angles = RigidTransform.from_six(translation, angles, centre).six(centre)
        np.testing.assert_allclose(found_translation, translation, **NEAR)
        np.testing.assert_allclose(found_angles, angles, **NEAR)

    @given(triples(100.0), angles_deg, triples(200.0))
    def test_the_centre_moves_by_the_translation_alone(self, translation, angles, centre) -> None:
        moved = RigidTransform.from_six(translation, angles, centre).apply(centre)
        np.testing.assert_allclose(moved, np.add(centre, translation), **NEAR)

    @given(rigid_transforms(), triples(200.0), triples(200.0))
    def test_angles_do_not_depend_on_the_centre(self, b_from_a, centre, other) -> None:
        np.testing.assert_allclose(b_from_a.six(centre)[1], b_from_a.six(other)[1], **NEAR)

    @given(st.sampled_from([0, 1, 2]), numbers(-179, 179), points_mm)
    def test_the_size_of_a_rotation_about_one_axis_is_its_angle(self, axis, angle, centre) -> None:
        angles = np.zeros(3)
        angles[axis] = angle
        assert RigidTransform.from_six((0, 0, 0), angles, centre).rotation_deg == pytest.approx(abs(angle))

    @given(rigid_transforms())
    def test_the_size_of_a_rotation_is_that_of_its_trace(self, b_from_a) -> None:
        cosine = (np.trace(b_from_a.matrix[:3, :3]) - 1) / 2
        assert np.cos(np.radians(b_from_a.rotation_deg)) == pytest.approx(cosine, abs=1e-9)

    @given(rigid_transforms())
    def test_the_way_back_turns_as_far(self, b_from_a) -> None:
        assert b_from_a.inverse().rotation_deg == pytest.approx(b_from_a.rotation_deg, abs=1e-7)

    @given(st.sampled_from([0, 1, 2]), numbers(0.1, 170))
    def test_a_rotation_is_right_handed_about_its_axis(self, axis, angle) -> None:
        angles = np.zeros(3)
        angles[axis] = angle
        first, second = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
        turned = RigidTransform.from_six((0, 0, 0), angles, (0, 0, 0)).apply(first)
        expected = np.cos(np.radians(angle)) * first + np.sin(np.radians(angle)) * second
        np.testing.assert_allclose(turned, expected, **NEAR)

    @given(rigid_transforms())
    def test_equal_motions_have_equal_hashes(self, b_from_a) -> None:
        twin = RigidTransform(b_from_a.matrix.copy())
        assert b_from_a == twin
        assert hash(b_from_a) == hash(twin)

    @given(rigid_transforms(), numbers(1.001, 3.0), st.sampled_from([0, 1, 2]))
    def test_scaling_is_refused(self, b_from_a, scale, axis) -> None:
        matrix = b_from_a.matrix.copy()
        matrix[:3, axis] *= scale
        with pytest.raises(GeometryError, match="scales, shears or mirrors"):
            RigidTransform(matrix)

    @given(rigid_transforms(), st.sampled_from([0, 1, 2]))
    def test_mirroring_is_refused(self, b_from_a, axis) -> None:
        matrix = b_from_a.matrix.copy()
        matrix[:3, axis] *= -1
        with pytest.raises(GeometryError, match="scales, shears or mirrors"):
            RigidTransform(matrix)


class TestGrid:
    @given(grids(), triples(20.0))
    def test_points_and_indices_undo_each_other(self, grid, index) -> None:
        np.testing.assert_allclose(grid.indices(grid.points(index)), index, atol=1e-7)

    @given(grids())
    def test_a_voxel_lies_as_many_spacings_from_its_neighbour_as_its_index_says(self, grid) -> None:
        for axis, spacing in enumerate(grid.spacing_mm):
            step = grid.points(3 * np.eye(3)[axis]) - grid.points((0, 0, 0))
            assert np.linalg.norm(step) == pytest.approx(3 * spacing)

    @given(grids())
    def test_corners_enclose_the_centre_at_half_the_extent(self, grid) -> None:
        corners = grid.corners_mm()
        assert len(np.unique(np.round(corners, 6), axis=0)) == 8
        np.testing.assert_allclose(corners.mean(0), grid.centre_mm, atol=1e-7)
        half_diagonal = np.linalg.norm(grid.extent_mm) / 2
        np.testing.assert_allclose(np.linalg.norm(corners - grid.centre_mm, axis=1), half_diagonal, rtol=1e-9)

    @given(grids())
    def test_the_box_holds_the_volume_of_all_its_voxels(self, grid) -> None:
        assert np.prod(grid.extent_mm) == pytest.approx(np.prod(grid.shape) * grid.voxel_volume_mm3)

    @given(grids())
    def test_equality_compares_shape_affine_and_frame(self, grid) -> None:
        twin = Grid(grid.shape, grid.affine.copy(), grid.frame_of_reference)
        assert twin == grid
        assert hash(twin) == hash(grid)
        nx, ny, nz = grid.shape
        assert Grid((nx, ny, nz + 1), grid.affine, grid.frame_of_reference) != grid
        assert Grid(grid.shape, grid.affine, grid.frame_of_reference + ".9") != grid
        moved = grid.affine.copy()
        moved[1, 3] = np.nextafter(moved[1, 3], np.inf)
        assert Grid(grid.shape, moved, grid.frame_of_reference) != grid

    @given(triples(100.0), st.tuples(*[numbers(0.5, 8)] * 3), st.tuples(*[st.integers(1, 9)] * 3))
    def test_a_centred_grid_stands_around_its_centre(self, centre, spacing, shape) -> None:
        grid = Grid.centred(shape, spacing, centre)
        np.testing.assert_allclose(grid.centre_mm, centre, atol=1e-9)
        np.testing.assert_allclose(grid.spacing_mm, spacing)
        assert grid.along_patient_axes
        half = np.multiply(shape, spacing) / 2
        np.testing.assert_allclose(grid.corners_mm().min(0), np.subtract(centre, half), atol=1e-9)
        np.testing.assert_allclose(grid.corners_mm().max(0), np.add(centre, half), atol=1e-9)
