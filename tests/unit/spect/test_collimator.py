"""Width by distance, names from headers, and the projector's blur against the simplest way to do it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import curve_fit

from mureg.errors import UsageError
from mureg.geometry import Quantity, Volume
from mureg.spect import SystemModel, stages
from mureg.spect.collimator import COLLIMATORS, Collimator, choose_collimator
from mureg.spect.system import inner_order
from support.phantoms import camera, orbit

LEHR = COLLIMATORS["GE LEHR"]


class TestWidth:
    @pytest.mark.parametrize(("distance_mm", "fwhm_mm"), [(100, 7), (200, 11), (250, 13)])
    def test_a_high_resolution_collimator_sees_as_sharply_as_the_literature_says(self, distance_mm, fwhm_mm) -> None:
        assert LEHR.fwhm_mm(distance_mm) == pytest.approx(fwhm_mm, abs=0.1)

    @pytest.mark.parametrize("collimator", COLLIMATORS.values(), ids=COLLIMATORS.keys())
    def test_it_grows_with_the_distance_from_hole_and_crystal(self, collimator) -> None:
        widths = collimator.fwhm_mm(np.linspace(0, 400, 41))
        assert (np.diff(widths) > 0).all()
        assert widths[0] == pytest.approx(np.hypot(collimator.hole_mm, collimator.intrinsic_fwhm_mm))
        # far away the hole's shape alone decides: hole / length of the distance
        slope = (collimator.fwhm_mm(1e6) - collimator.fwhm_mm(1e6 - 1e3)) / 1e3
        assert slope == pytest.approx(collimator.hole_mm / collimator.effective_length_mm, rel=1e-3)

    def test_behind_the_face_it_is_that_of_the_face(self) -> None:
        assert LEHR.fwhm_mm(-30.0) == LEHR.fwhm_mm(0.0)

    def test_sigma_is_that_of_a_gaussian_half_as_high_at_half_the_width(self) -> None:
        half = LEHR.fwhm_mm(150.0) / 2
        assert np.exp(-0.5 * (half / LEHR.sigma_mm(150.0)) ** 2) == pytest.approx(0.5)

    @pytest.mark.parametrize("wrong", [{"hole_mm": 0.0}, {"length_mm": -1.0}, {"septum_mm": 0.0}, {"lead_per_mm": 0.0}])
    def test_impossible_sizes_are_refused(self, wrong) -> None:
        with pytest.raises(UsageError, match="expected positive sizes in mm"):
            replace(LEHR, **wrong)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "maker", "found"),
        [
            ("LEHR", "GE MEDICAL SYSTEMS", "GE LEHR"),
            ("GE LEHR", "", "GE LEHR"),
            ("Siemens LEAP", "", "Siemens LEAP"),
            ("siemens leap", "somebody else", "Siemens LEAP"),
            ("LEHR", "SIEMENS NM", "Siemens LEHR"),
            ("LE-HR", "Philips Medical Systems", "Philips LEHR"),
            ("MEGP", "GE MEDICAL SYSTEMS", "GE MEGP"),
            ("MELP", "SIEMENS", "Siemens ME"),
            ("HEGP", "SIEMENS", "Siemens HE"),
        ],
    )
    def test_what_a_header_says_is_found_without_a_guess(self, name, maker, found) -> None:
        collimator, note = choose_collimator(name, maker)
        assert (collimator.name, note) == (found, "")

    @pytest.mark.parametrize(
        ("name", "maker", "found", "said"),
        [
            ("LEHR", "", "GE LEHR", "names LEHR but no maker of the table"),
            ("WONDER", "SIEMENS", "Siemens LEHR", "names WONDER, which the table lacks"),
            ("", "", "GE LEHR", "names no collimator, which the table lacks"),
        ],
    )
    def test_a_guess_is_said(self, name, maker, found, said) -> None:
        collimator, note = choose_collimator(name, maker)
        assert collimator.name == found
        assert found in note
        assert said in note


class TestProjection:
    @staticmethod
    def seen(distances_mm, pixel_mm=1.2, n=121, nearer=0) -> np.ndarray:
        """A point source by detectors in front at these distances from it: [view, row, column]."""
        scanner = replace(
            camera([180.0] * len(distances_mm), rows=61, columns=n, pixel_mm=(pixel_mm, pixel_mm)),
            radii_mm=np.asarray(distances_mm) + nearer * pixel_mm,
        )
        activity = np.zeros(scanner.grid().shape)
        activity[n // 2, n // 2 - nearer, 30] = 1.0
        return np.asarray(SystemModel(scanner, scanner.grid(), None, LEHR).project(activity))

    @pytest.mark.parametrize("nearer", [0, 25])
    def test_a_point_is_as_wide_as_theory_at_three_depths(self, nearer) -> None:
        """By its second moment, and by the half width of the Gaussian that fits it; both within 3 %.

        On pixels finer than the Gaussian: on coarse ones a fit says nothing, there only the moment is kept.
        """
        distances = np.array([100.0, 200.0, 250.0])
        for distance, picture in zip(distances, self.seen(distances, nearer=nearer), strict=True):
            length = 35.0 - 2 / 2.72
            theory_mm = np.hypot(1.5 * (length + distance) / length, 3.8)
            for along in (0, 1):
                profile = picture.sum(along)
                place_mm = (np.arange(len(profile)) - len(profile) // 2) * 1.2
                variance = (profile * place_mm**2).sum() / profile.sum()
                assert np.sqrt(variance) * 2.3548 == pytest.approx(theory_mm, rel=0.03)
                (_, sigma), _ = curve_fit(
                    lambda x, height, sigma: height * np.exp(-0.5 * (x / sigma) ** 2), place_mm, profile, (0.1, 4.0)
                )
                assert abs(sigma) * 2.3548 == pytest.approx(theory_mm, rel=0.03)

    @pytest.mark.parametrize("distance_mm", [100.0, 250.0])
    def test_on_clinical_pixels_the_variance_is_kept(self, distance_mm) -> None:
        picture = self.seen([distance_mm], pixel_mm=6.8, n=31)[0]
        for along in (0, 1):
            profile = picture.sum(along)
            place_mm = (np.arange(len(profile)) - len(profile) // 2) * 6.8
            variance = (profile * place_mm**2).sum() / profile.sum()
            assert np.sqrt(variance) == pytest.approx(float(LEHR.sigma_mm(distance_mm)), rel=0.03)

    def test_every_view_has_its_own_radius(self) -> None:
        radii = [120.0, 260.0, 180.0]
        together = self.seen(radii, pixel_mm=6.8, n=31)
        for k, radius in enumerate(radii):
            alone = self.seen([radius], pixel_mm=6.8, n=31)[0]
            # the nodes along z are shared by all views, so each may be 0.2 % off
            np.testing.assert_allclose(together[k], alone, atol=4e-3 * alone.max())

    @pytest.mark.parametrize("radii_mm", [np.full(5, 250.0), np.array([180.0, 210.0, 250.0, 150.0, 235.0])])
    def test_kernels_shared_between_depths_are_as_good_as_each_its_own(self, radii_mm) -> None:
        """The referee blurs every plane by its own two banded matrices; agreement to 0.2 % of the largest count."""
        n, slices = 32, 24
        angles = orbit(5, 180, 100.0)
        scanner = replace(camera(angles, rows=slices, columns=n), radii_mm=radii_mm)
        grid = scanner.grid()
        activity = np.random.default_rng(0).random(grid.shape) ** 8
        mu = Volume(np.full(grid.shape, 0.1), grid, Quantity.MU_PER_CM)
        system = SystemModel(scanner, grid, mu, LEHR)
        found = inner_order(system.project(activity))
        frame = stages.Frame((0.0, 0.0), n, n, 6.8)
        for view, (angle, radius) in enumerate(zip(angles, radii_mm, strict=True)):
            rotation = stages.rotation_matrix(grid, frame, angle)
            planes = (rotation @ activity.reshape(-1, slices)).reshape(n, n, slices)
            inside = (rotation @ mu.values.reshape(-1, slices)).reshape(n, n, slices)
            planes *= stages.attenuation_factors(inside, 0.68)
            expected = np.zeros((n, slices))
            for plane, depth in zip(planes.transpose(1, 0, 2), frame.depths_mm(), strict=True):
                kernel = stages.gaussian_kernel(float(LEHR.sigma_mm(radius - depth) / 6.8) ** 2)
                expected += stages.band_matrix(kernel, n) @ plane @ stages.band_matrix(kernel, slices)
            assert np.abs(found[view] - expected).max() < 2e-3 * expected.max()

    def test_a_sharper_collimator_gives_a_sharper_picture_of_the_same_counts(self) -> None:
        scanner = replace(camera([0.0], rows=41, columns=41), radii_mm=np.array([200.0]))
        activity = np.zeros(scanner.grid().shape)
        activity[20, 20, 20] = 1.0
        coarse = Collimator("", hole_mm=2.5, septum_mm=0.2, length_mm=35.0)
        sharp, dull = (SystemModel(scanner, scanner.grid(), None, c).project(activity) for c in (LEHR, coarse))
        assert float(sharp.max()) > float(dull.max())
        assert float(sharp.sum()) == pytest.approx(float(dull.sum()), rel=1e-6)
