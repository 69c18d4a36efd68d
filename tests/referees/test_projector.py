"""Dense matrices and closed forms as referees of the projector."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mureg.geometry import Grid, Quantity, Volume
from mureg.spect import SystemModel, stages
from mureg.spect.collimator import Collimator
from support.phantoms import camera, ellipsoid, orbit, voxel_points
from support.strategies import numbers, triples

ANGLES = (0.0, 37.0, 90.0, 180.0, 225.0, 281.5)
UP = (0.0, 0.0, 1.0)


def viewers_frame(angle_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the detector stands and what is right for one who looks from there, head up, by the rule of three fingers.

    DICOM PS3.3 C.8.4.15: angle 0 is the patient's back, 90 the patient's left; LPS+ has x to the left, y to the back.
    """
    left, back = np.eye(3)[:2]
    toward = np.cos(np.radians(angle_deg)) * back + np.sin(np.radians(angle_deg)) * left
    return toward, np.cross(-toward, UP)


def uniform(grid: Grid, value: float, mask: np.ndarray | None = None) -> Volume:
    values = np.full(grid.shape, value) if mask is None else value * mask
    return Volume((np.asarray(values, dtype=np.float64)), grid, Quantity.MU_PER_CM)


SCANNER = camera(ANGLES, rows=4, columns=6, pixel_mm=(4.0, 6.0), centre_mm=(3.0, -5.0, 40.0))
ORBITING = replace(
    SCANNER,
    radii_mm=np.array([60.0, 45.0, 60.0, 60.0, 52.0, 70.0]),
    view_weights=np.linspace(0.5, 1.5, 6),
    column_offsets_mm=np.array([0.0, 4.0, -7.0, 1.0, 2.0, 0.0]),
)
OWN = SCANNER.grid()
OFF_AXIS = Grid.centred((7, 5, 4), (6.0, 6.0, 4.0), (8.0, -9.0, 40.0))
WIDER = Grid.centred((11, 9, 4), (6.0, 6.0, 4.0), (3.0, -5.0, 40.0))
LOW_ENERGY = Collimator("", hole_mm=1.5, septum_mm=0.2, length_mm=35.0)


def patchy_mu(grid: Grid) -> Volume:
    values = np.random.default_rng(1).random(grid.shape)
    return Volume(0.2 * values, grid, Quantity.MU_PER_CM)


MODELS = {
    "plain": SystemModel(SCANNER, OWN),
    "attenuated": SystemModel(SCANNER, OWN, patchy_mu(OWN)),
    "off the axis": SystemModel(SCANNER, OFF_AXIS),
    "off the axis, attenuated": SystemModel(SCANNER, OFF_AXIS, patchy_mu(OFF_AXIS)),
    "wider map": SystemModel(SCANNER, OWN, patchy_mu(WIDER)),
    "weighted and offset views": SystemModel(ORBITING, OWN, patchy_mu(OWN)),
    "blurred": SystemModel(ORBITING, OWN, None, LOW_ENERGY),
    "everything": SystemModel(ORBITING, OWN, patchy_mu(WIDER), LOW_ENERGY),
}


def turned(grid: Grid, axis_mm: tuple[float, float], size: int, angle_deg: float):
    """The sparse weights of one view with as many columns as depths."""
    return stages.rotation_matrix(grid, stages.Frame(axis_mm, size, size, grid.spacing_mm[0]), angle_deg)


class TestTransposition:
    @pytest.mark.parametrize("system", MODELS.values(), ids=MODELS.keys())
    def test_backproject_is_the_transposed_dense_matrix_of_project(self, system) -> None:
        volume_shape, projections_shape = system.grid.shape, SCANNER.photopeak_counts.shape
        voxels = np.eye(int(np.prod(volume_shape)))
        bins = np.eye(int(np.prod(projections_shape)))
        forward = np.stack([system.project(one.reshape(volume_shape)).flatten() for one in voxels], axis=1)
        backward = np.stack([system.backproject(one.reshape(projections_shape)).flatten() for one in bins], axis=1)
        assert float(forward.max()) > 0.02
        assert float(forward.min()) >= 0.0
        np.testing.assert_allclose(backward, forward.T, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("angle", ANGLES)
    def test_the_sparse_product_is_the_dense_product(self, angle) -> None:
        matrix = turned(OWN, (3.0, -5.0), 6, angle)
        dense = np.random.default_rng(2).random((36, 3))
        weights = matrix.scipy.toarray()
        turned_back = np.ones((36, 3))
        matrix.add_transposed(dense, turned_back)
        np.testing.assert_allclose(matrix @ dense, weights @ dense, rtol=0, atol=1e-14)
        np.testing.assert_allclose(matrix.rows(7, 19) @ dense, weights[7:19] @ dense, rtol=0, atol=1e-14)
        np.testing.assert_allclose(turned_back, 1.0 + weights.T @ dense, rtol=0, atol=1e-14)

    @settings(max_examples=15)
    @given(st.integers(1, 20), st.booleans())
    def test_a_view_does_not_depend_on_the_views_beside_it(self, n_views, attenuated) -> None:
        angles = orbit(n_views, 360, 10)
        scanner = camera(angles, rows=2, columns=6)
        mu = uniform(scanner.grid(), 0.1) if attenuated else None
        activity = np.random.default_rng(3).random(scanner.grid().shape)
        together = SystemModel(scanner, scanner.grid(), mu).project(activity)
        for view in {0, n_views // 2, n_views - 1}:
            alone = SystemModel(camera(angles[[view]], rows=2, columns=6), scanner.grid(), mu).project(activity)
            np.testing.assert_allclose(together[view], alone[0], rtol=0, atol=1e-12)


class TestRotation:
    SLICE = np.random.default_rng(0).random((6, 6))

    # depth 0 nearest the detector, columns to the viewer's right
    @pytest.mark.parametrize(
        ("angle", "seen"),
        [
            (180.0, SLICE.T),  # in front: depth runs to the back (+y), columns to the patient's left (+x)
            (0.0, SLICE[::-1, ::-1].T),  # behind: depth runs to the front, columns to the patient's right
            (90.0, SLICE[::-1, :]),  # at the left: depth runs to the right (-x), columns to the back (+y)
            (270.0, SLICE[:, ::-1]),  # at the right: depth runs to the left, columns to the front
        ],
    )
    def test_quarter_turns_only_reorder_the_slice(self, angle, seen) -> None:
        grid = Grid.centred((6, 6, 1), (5.0, 5.0, 5.0), (12.0, -7.0, 0.0))
        rotated = turned(grid, (12.0, -7.0), 6, angle) @ self.SLICE.reshape(-1, 1)
        np.testing.assert_allclose(rotated.reshape(6, 6).T, seen, atol=1e-12)

    @given(numbers(-360, 720))
    def test_directions_follow_the_rule_of_three_fingers(self, angle) -> None:
        toward, right = viewers_frame(angle)
        np.testing.assert_allclose(stages.toward_detector(angle), toward[:2], atol=1e-12)
        np.testing.assert_allclose(stages.to_viewers_right(angle), right[:2], atol=1e-12)

    @given(numbers(0, 360))
    def test_a_linear_slice_is_turned_exactly(self, angle) -> None:
        """Bilinear weights are exact for functions linear in x and y, where all four neighbours exist."""
        grid = Grid.centred((21, 21, 1), (4.0, 4.0, 4.0))
        points = voxel_points(grid)[:, :, 0]
        ramp = 2.0 * points[..., 0] - 3.0 * points[..., 1] + 500.0
        rotated = (turned(grid, (0.0, 0.0), 9, angle) @ ramp.reshape(-1, 1)).reshape(9, 9).T
        toward, right = viewers_frame(angle)
        offset = (np.arange(9) - 4) * 4.0
        places = -offset[:, None, None] * toward + offset[None, :, None] * right
        np.testing.assert_allclose(rotated, 2.0 * places[..., 0] - 3.0 * places[..., 1] + 500.0, atol=1e-9)


class TestOrientation:
    """A small source at a known place in the patient lands where a viewer at the detector must see it."""

    @staticmethod
    def seen_at(scanner, place_mm) -> np.ndarray:
        """(row, column) of the centre of mass per view."""
        grid = scanner.grid()
        source = np.exp(-((voxel_points(grid) - place_mm) ** 2).sum(-1) / (2 * 10.0**2))
        views = np.asarray(SystemModel(scanner, grid).project(source))
        rows, columns = np.indices(views.shape[1:])
        total = views.sum((1, 2))
        return np.stack([(views * rows).sum((1, 2)) / total, (views * columns).sum((1, 2)) / total], axis=1)

    @pytest.mark.parametrize(
        ("patient_side", "offset_mm"),
        [("left", (45.0, 0, 0)), ("front", (0, -45.0, 0)), ("head", (0, 0, 45.0)), ("all three", (33.0, -27.0, 21.0))],
    )
    def test_landmarks_are_seen_where_they_must_be(self, patient_side, offset_mm) -> None:
        angles, centre = (0.0, 90.0, 180.0, 270.0, 225.0), np.array((120.0, -80.0, 300.0))
        scanner = camera(angles, rows=31, columns=24, pixel_mm=(5.0, 6.8), centre_mm=tuple(centre))
        expected = []
        for angle in angles:
            _, right = viewers_frame(angle)
            expected.append((15 - offset_mm[2] / 5.0, 11.5 + np.dot(offset_mm, right) / 6.8))
        np.testing.assert_allclose(self.seen_at(scanner, centre + offset_mm), expected, atol=0.02)

    def test_the_anterior_view_shows_the_patients_left_at_its_right_and_the_head_on_top(self) -> None:
        row, column = self.seen_at(camera([180.0]), (20.0, 0.0, 20.0))[0]
        assert column > 7.5 + 2
        assert row < 7.5 - 2

    def test_the_left_lateral_view_shows_the_front_at_its_left(self) -> None:
        assert self.seen_at(camera([90.0]), (0.0, -20.0, 0.0))[0, 1] < 7.5 - 2

    def test_the_left_anterior_view_sees_a_source_at_the_left_front_in_its_middle(self) -> None:
        """LPO to RAO passes through LAO at 135 degrees, which looks straight at the left front."""
        assert self.seen_at(camera([135.0]), (25.0, -25.0, 0.0))[0, 1] == pytest.approx(7.5, abs=0.02)

    @settings(max_examples=20)
    @given(numbers(0, 360), triples(30.0))
    def test_any_place_from_any_side(self, angle, place) -> None:
        _, right = viewers_frame(angle)
        row, column = self.seen_at(camera([angle], rows=24, columns=26), place)[0]
        assert column == pytest.approx(12.5 + np.dot(place, right) / 6.8, abs=0.05)
        assert row == pytest.approx(11.5 - place[2] / 6.8, abs=0.05)


class TestClosedForms:
    def test_attenuation_factors_fall_exponentially_from_the_near_side(self) -> None:
        depth = np.arange(9)
        mu = np.full((3, 9, 4), 0.15)
        expected = np.exp(-0.15 * 0.68 * (depth + 0.5))
        found = stages.attenuation_factors(mu, 0.68)
        np.testing.assert_allclose(found, np.broadcast_to(expected[:, None], (3, 9, 4)), rtol=1e-12)

    @pytest.mark.parametrize(
        ("angle", "behind"), [(180.0, 3), (0.0, 6), (90.0, 7), (270.0, 2)], ids=["front", "back", "left", "right"]
    )
    def test_a_source_in_a_uniform_box_is_weakened_by_the_tissue_before_it(self, angle, behind) -> None:
        """Voxel (5, 6) in a box over voxels 3..12: 3 whole voxels and half of its own towards the front, and so on."""
        scanner = camera([angle], rows=1, columns=16)
        box = np.zeros((16, 16, 1))
        box[3:13, 3:13] = 1.0
        activity = np.zeros((16, 16, 1))
        activity[5, 6, 0] = 1.0
        counts = SystemModel(scanner, scanner.grid(), uniform(scanner.grid(), 0.15, box)).project(activity)
        assert float(counts.sum()) == pytest.approx(np.exp(-0.15 * 0.68 * (behind + 0.5)), rel=1e-9)

    @pytest.mark.parametrize("beyond", [0, 4])
    def test_tissue_outside_the_emission_field_still_absorbs(self, beyond) -> None:
        """A field of 8 voxels in a map with further voxels of tissue on every side."""
        scanner = camera([180.0], rows=1, columns=8)
        wide = Grid.centred((8 + 2 * beyond, 8 + 2 * beyond, 1), (6.8,) * 3)
        activity = np.zeros((8, 8, 1))
        activity[3, 2, 0] = 1.0
        counts = SystemModel(scanner, scanner.grid(), uniform(wide, 0.15)).project(activity)
        assert float(counts.sum()) == pytest.approx(np.exp(-0.15 * 0.68 * (2 + 0.5 + beyond)), rel=1e-9)

    def test_a_view_counts_its_own_share_of_the_decays(self) -> None:
        weights = np.array([0.5, 1.0, 1.5, 2.0, 0.25, 1.25])
        activity = np.random.default_rng(4).random(OWN.shape)
        plain = MODELS["attenuated"].project(activity)
        weighted = SystemModel(replace(SCANNER, view_weights=weights), OWN, patchy_mu(OWN)).project(activity)
        np.testing.assert_allclose(weighted, weights[:, None, None] * plain, rtol=1e-12, atol=0)

    @pytest.mark.parametrize("pixels", [-2, 1])
    def test_an_offset_axis_moves_the_picture_along_the_columns(self, pixels) -> None:
        activity = np.zeros((6, 6, 4))
        activity[2:4, 2:4] = np.random.default_rng(5).random((2, 2, 4))
        offset = replace(SCANNER, column_offsets_mm=np.full(6, pixels * 6.0))
        straight, moved = (SystemModel(one, OWN).project(activity) for one in (SCANNER, offset))
        quarter_turns = [0, 2, 3]
        expected = np.roll(straight, pixels, -1)
        np.testing.assert_allclose(moved[quarter_turns], expected[quarter_turns], rtol=0, atol=1e-12)

    @pytest.mark.parametrize(("nearer_mm", "angle"), [(0.0, 180.0), (54.4, 180.0), (-54.4, 90.0)])
    def test_a_source_is_blurred_by_the_collimators_width_at_its_distance(self, nearer_mm, angle) -> None:
        """FWHM: hole (L + d) / L with the length L less two mean free paths in lead, and 3.8 mm of the crystal."""
        scanner = replace(camera([angle], rows=33, columns=33), radii_mm=np.array([200.0]))
        toward, _ = viewers_frame(angle)
        activity = np.zeros((33, 33, 33))
        activity[tuple(np.round(16 + nearer_mm / 6.8 * toward).astype(int))] = 1.0
        picture = np.asarray(SystemModel(scanner, scanner.grid(), None, LOW_ENERGY).project(activity)[0])
        assert picture.sum() == pytest.approx(1.0, abs=1e-6)
        length = 35.0 - 2 / 2.72
        fwhm_mm = np.hypot(1.5 * (length + 200.0 - nearer_mm) / length, 3.8)
        offset_mm = (np.arange(33) - 16) * 6.8
        for along in (0, 1):
            variance = (picture.sum(1 - along) * offset_mm**2).sum()
            assert np.sqrt(variance) * 2.3548 == pytest.approx(fwhm_mm, rel=0.03)

    def test_counts_of_a_glowing_slab_saturate_with_its_thickness(self) -> None:
        """The integral of exp(-mu t) over a slab of thickness T is (1 - exp(-mu T)) / mu."""
        scanner = camera([180.0], rows=1, columns=24)
        thickness_cm = 24 * 0.68
        counts = SystemModel(scanner, scanner.grid(), uniform(scanner.grid(), 0.15)).project(np.ones((24, 24, 1)))
        expected = (1 - np.exp(-0.15 * thickness_cm)) / 0.15 / 0.68
        np.testing.assert_allclose(counts[0, 0], np.full(24, expected), rtol=1e-3)

    @pytest.mark.parametrize("angle", ANGLES)
    def test_a_source_in_the_middle_of_a_cylinder_is_weakened_by_its_radius_from_every_side(self, angle) -> None:
        scanner = camera([angle], rows=1, columns=33)
        grid = scanner.grid()
        cylinder = ellipsoid(voxel_points(grid), (0, 0, 0), (80.0, 80.0, 1e4), edge_mm=8.0)
        activity = np.zeros(grid.shape)
        activity[16, 16, 0] = 1.0
        ideal = float(SystemModel(scanner, grid).project(activity).sum())
        weakened = float(SystemModel(scanner, grid, uniform(grid, 0.15, cylinder)).project(activity).sum())
        assert weakened / ideal == pytest.approx(np.exp(-0.15 * 8.0), rel=0.01)

    @pytest.mark.parametrize("angle", ANGLES)
    def test_line_integrals_of_an_ellipsoid_are_its_chords(self, angle) -> None:
        scanner = camera([angle], rows=9, columns=40, pixel_mm=(5.0, 5.0), centre_mm=(10.0, 20.0, 30.0))
        grid, (a, b, c) = scanner.grid(), (60.0, 35.0, 30.0)
        # the mean over 4x4x4 points of each voxel
        fine = Grid.centred((160, 160, 36), (1.25, 1.25, 1.25), (10.0, 20.0, 30.0))
        inside = ellipsoid(voxel_points(fine), (10.0, 20.0, 30.0), (a, b, c))
        activity = inside.reshape(40, 4, 40, 4, 9, 4).mean((1, 3, 5))
        found = np.asarray(SystemModel(scanner, grid).project(activity)[0]) * 5.0
        _, right = viewers_frame(angle)
        width2 = (a * right[0]) ** 2 + (b * right[1]) ** 2
        s, z = (np.arange(40) - 19.5) * 5.0, (4 - np.arange(9)) * 5.0
        chord = 2 * a * b / width2 * np.sqrt(np.clip(width2 * (1 - (z[:, None] / c) ** 2) - s**2, 0, None))
        assert np.abs(found - chord).mean() < 0.02 * chord.max()
        assert found.sum() == pytest.approx(chord.sum(), rel=0.01)

    @given(numbers(0, 360), triples(15.0))
    def test_without_attenuation_every_view_holds_all_counts(self, angle, place) -> None:
        scanner = camera([angle], rows=8, columns=22)
        activity = np.exp(-((voxel_points(scanner.grid()) - place) ** 2).sum(-1) / (2 * 12.0**2))
        counts = SystemModel(scanner, scanner.grid()).project(activity)
        assert float(counts.sum()) == pytest.approx(activity.sum(), rel=2e-3)
