"""Population "population": what it is drawn from reaches the ranges asked for, and the images and CTs follow it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mureg.cohort.anatomies import patient_name
from mureg.cohort.exposure import CENTRE_MM, CaseDraw, draw
from mureg.cohort.images import ImageRange
from mureg.cohort.mixture import MixedRange
from mureg.cohort.other_cts import other_ct
from mureg.cohort.settings import CohortSettings, load_settings
from mureg.cohort.simulation import simulate_case
from mureg.recon import Osem
from mureg.recon.images import reconstruct
from mureg.simulate.breathing import CtDepthRange, relative_ct
from mureg.simulate.photons import PhotonScatter
from mureg.spect import Acquisition
from mureg.spect.physics import WITHOUT


def torsos(**changes: object) -> CohortSettings:
    """The population's drawn half, seen by a small quick camera."""
    population = load_settings("population")
    assert isinstance(population.anatomy, MixedRange)
    orbit = replace(population.orbit, pixel_mm=13.6, matrix=32, views=(12,))
    assert population.camera is not None
    camera = replace(population.camera, share_other_pixel=0.0)
    settings = replace(
        population,
        anatomy=population.anatomy.drawn,
        orbit=orbit,
        voxel_mm=6.8,
        camera=camera,
        scatter=PhotonScatter(histories=4000),
    )
    return replace(settings, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_any_first_patients_keep_to_the_share_of_real_ones(share: float) -> None:
    anatomy = load_settings("population").anatomy
    assert isinstance(anatomy, MixedRange)
    mixed = replace(anatomy, share_real=share)
    kinds = [mixed.of(patient) for patient in range(60)]
    real = [number for family, number in kinds if family is mixed.real]
    drawn = [number for family, number in kinds if family is mixed.drawn]
    assert real == list(range(len(real)))
    assert drawn == list(range(len(drawn)))
    for n in range(1, 61):
        assert abs(sum(family is mixed.real for family, _ in kinds[:n]) - share * n) < 1.0


@pytest.mark.shared_data
def test_the_real_half_takes_every_anatomy_in_turn(shared_data: Path) -> None:
    settings = load_settings("population")
    names = [patient_name(settings, index, shared_data / "ct") for index in range(52)]
    real = [name for name in names if "-patient-" not in name]
    assert len(real) == 26
    assert len(set(real)) == 13
    assert "popi_4dct" in real
    assert real[:13] == real[13:]


def drawn_cases(n: int) -> list[CaseDraw]:
    settings = torsos()
    return [draw(settings, index) for index in range(n)]


def test_what_is_drawn_fills_the_ranges_of_the_issue() -> None:
    cameras = [case.camera for case in drawn_cases(60)]
    for values, low, high in (
        ([c.resolution for c in cameras], 0.8, 1.2),
        ([c.scatter for c in cameras], 0.7, 1.3),
        ([c.radius_mm for c in cameras], -20.0, 20.0),
        ([c.centre_mm for c in cameras], -2.0, 2.0),
        ([c.mu_scale for c in cameras], 0.95, 1.05),
        ([c.scatter_spread_mm for c in cameras], 0.0, 25.0),
    ):
        width = high - low
        assert low <= min(values) < low + 0.15 * width
        assert high - 0.15 * width < max(values) <= high


def test_the_ct_is_shallower_or_deeper_than_the_mean_of_the_emission() -> None:
    chance, ranges = np.random.default_rng(3), CtDepthRange()
    depth, share = np.transpose([ranges.draw(chance) for _ in range(4000)])
    assert -10 <= depth.min() < -9
    assert 23 < depth.max() <= 25
    assert 0.75 < np.mean(np.abs(depth) <= 10) < 0.95, "most often within 10 mm"
    assert 0.1 <= share.min() < 0.13
    assert 0.77 < share.max() <= 0.8
    assert 0.75 < np.mean((share >= 0.3) & (share <= 0.6)) < 0.95


@pytest.mark.parametrize("depth_mm", [-10.0, 12.0])
def test_heart_and_dome_stand_in_the_ct_as_the_depth_says(depth_mm: float) -> None:
    """Against the mean over the emission: the heart lies lower by the depth times its share, the liver by more."""
    drawn = draw(torsos(), 1)
    breathing = relative_ct(replace(drawn.breathing, creep_mm=0.0, amplitude_mm=12.0), depth_mm, 0.4)
    anatomy, heart = drawn.anatomy, np.asarray(drawn.anatomy.ventricle.centre_mm)
    liver = anatomy.liver_points_mm(64, np.random.default_rng(0))
    poses, shares = breathing.poses(60)
    lowered = []
    for points in (heart[None], liver):
        in_ct = anatomy.breathed(points, breathing.ct_breaths()[0])
        mean = sum(w * anatomy.breathed(points, p.breath) for p, w in zip(poses, shares.mean(0), strict=True))
        lowered.append(float((mean - in_ct)[:, 2].mean()))
    assert lowered[0] == pytest.approx(0.4 * depth_mm, abs=0.15 * abs(depth_mm))
    assert lowered[1] / depth_mm > lowered[0] / depth_mm + 0.1
    assert lowered[1] == pytest.approx(depth_mm, rel=0.45)


def test_other_cts_leave_the_emission_where_it_is() -> None:
    settings = torsos()
    drawn = draw(settings, 4)
    others = [other_ct(settings, drawn, 4, number) for number in range(4)]
    assert others[0] is drawn
    for other in others[1:]:
        assert np.allclose(other.patient_from_spect.matrix, drawn.patient_from_spect.matrix, atol=1e-9)
        assert other.tracer is drawn.tracer
        assert other.camera is drawn.camera
        assert other.breathing.amplitude_mm == drawn.breathing.amplitude_mm
        assert other.breathing.heart_share == drawn.breathing.heart_share
        back = other.ct_from_patient.apply([0.0, drawn.anatomy.back_mm, 0.0])[1]
        assert abs(back - other.table.top_mm) < 30.0, "the patient does not lie inside the table"
    assert len({other.motion for other in others}) == 4
    assert len({other.scan.seed for other in others}) == 4
    again = other_ct(settings, drawn, 4, 2)
    assert again.motion == others[2].motion
    assert again.scan == others[2].scan
    heart = drawn.patient_from_spect.apply([5.0, -40.0, 0.0])
    for other in others:
        expected = other.motion.ct_from_spect(CENTRE_MM).apply([5.0, -40.0, 0.0])
        assert np.allclose(other.ct_from_patient.apply(heart), expected)


def test_images_given_without_projections_have_settings_of_their_own() -> None:
    chance = np.random.default_rng(1)
    drawn = [ImageRange().draw(chance) for _ in range(2000)]
    given = [settings for settings in drawn if settings is not None]
    assert 0.31 < len(given) / len(drawn) < 0.39
    assert {osem.post_filter for osem, _ in given} == {"none", "gaussian", "butterworth"}
    assert {osem.subsets for osem, _ in given} == {2, 4, 6, 8, 10}
    iterations = [osem.iterations for osem, _ in given]
    assert (min(iterations), max(iterations)) == (2, 16)
    assert 0.1 < np.mean([physics.resolution for _, physics in given]) < 0.2
    assert all(physics.scatter == "none" for _, physics in given)


def test_a_case_says_how_its_image_was_made_and_of_which_camera() -> None:
    image = ImageRange(share_given=1.0, filters=("gaussian",), share_resolution=0.0)
    case = simulate_case(torsos(image=image), 2)
    acquisition = case.study.spect
    assert isinstance(acquisition, Acquisition)
    facts = case.facts
    iterations, subsets, fwhm = (facts[f"image_{name}"] for name in ("iterations", "subsets", "filter_width"))
    osem = Osem(int(iterations), int(subsets), post_filter="gaussian", fwhm_mm=float(fwhm))
    assert facts["image_given"] is True
    assert np.array_equal(np.asarray(case.uncorrected), np.asarray(reconstruct(acquisition, None, osem, WITHOUT)))
    assert acquisition.radii_mm is not None
    true_mm = float(facts["radius_mean_mm"])
    assert acquisition.radii_mm.mean() - true_mm == pytest.approx(float(facts["camera_radius_error_mm"]), abs=1e-6)
