"""One small study from projections to the corrected heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mureg.assessment.result import Assessment
from mureg.errors import RefusedError, UsageError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.jobs.threads import threads_set_to
from mureg.pipeline import StudySettings, examine, register
from mureg.recon import Osem
from mureg.recon.images import reconstruct
from mureg.registration import MutualInformation, Registration
from mureg.spect import Acquisition, SystemModel
from mureg.study import Ct, PreparedStudy, Source, Study
from support.phantoms import camera, chest, measured, mu_volume, orbit, voxel_points

VOXEL_MM = 12.0
ORBIT = orbit(24, 360)
OSEM = Osem(iterations=4, subsets=6)
MUTUAL_INFORMATION = MutualInformation(starts=2)
CT_GRID = Grid.centred((56, 46, 46), (9.0, 9.0, 9.0))


def scanner() -> Acquisition:
    return camera(ORBIT, rows=28, columns=34, pixel_mm=(VOXEL_MM, VOXEL_MM))


GRID = scanner().grid()
MOTION = RigidTransform.from_six((22.0, -16.0, 20.0), (4.0, -3.0, 5.0), GRID.centre_mm)
TRUE_ACTIVITY, TRUE_MU = chest(voxel_points(GRID), edge_mm=14.0)


@pytest.fixture(scope="module")
def acquisition() -> Acquisition:
    exact = measured(100 * TRUE_ACTIVITY, scanner(), Volume(TRUE_MU, GRID, Quantity.MU_PER_CM))
    return replace(exact, counts=exact.counts.astype(np.float32))


@pytest.fixture(scope="module")
def study(acquisition) -> Study:
    return Study(acquisition, mu_volume(CT_GRID, MOTION), sources=(Source("spect", 1, "0" * 64),), notes=("a guess",))


@pytest.fixture(scope="module")
def outcome(study) -> Assessment:
    return examine(study, StudySettings(MUTUAL_INFORMATION, OSEM))


def in_hounsfield(mu: Volume) -> Ct:
    """The CT whose attenuation is the given map: the line to air, and that of GE Infinia, 140 kVp, above water."""
    above_water = mu.values - 0.1538
    hu = np.where(above_water < 0, above_water / 1.538e-4, above_water / 1.155e-4)
    return Ct(Volume(hu, mu.grid, Quantity.HU), "GE MEDICAL SYSTEMS", "Infinia", 140.0, notes=("read by hand",))


def distance(volume: Volume, truth: np.ndarray) -> float:
    """Root mean square difference inside the body, after the best common scale."""
    body = TRUE_MU > 0.02
    a, b = volume.values[body].astype(np.float64), truth[body]
    return float(np.sqrt(((a * (a @ b) / (a @ a) - b) ** 2).mean()))


def test_the_map_lies_closer_to_the_truth_than_by_its_headers(outcome) -> None:
    assert distance(outcome.examination.found.mu, TRUE_MU) < 0.5 * distance(outcome.mu_header, TRUE_MU)


def test_the_pose_is_the_motion_that_was_given(outcome) -> None:
    heart = np.array((38.0, -32.0, 12.0))
    error_mm = np.linalg.norm(outcome.registration.ct_from_spect.apply(heart) - MOTION.apply(heart))
    assert error_mm < VOXEL_MM / 2


def test_correction_brings_the_activity_closer_to_the_truth(study, acquisition, outcome) -> None:
    assert outcome.examination.found.spect is not None
    with_header_map = reconstruct(acquisition, outcome.mu_header, OSEM)
    registered, header, none = (
        distance(one, TRUE_ACTIVITY)
        for one in (outcome.examination.found.spect, with_header_map, outcome.spect_uncorrected)
    )
    assert registered < header
    assert registered < 0.6 * none


def test_everything_lies_on_the_grid_of_the_projections(outcome) -> None:
    for volume in (
        outcome.mu_header,
        outcome.examination.found.mu,
        outcome.spect_uncorrected,
        outcome.examination.found.spect,
    ):
        assert volume.grid == GRID
    assert outcome.examination.found.mu.quantity is Quantity.MU_PER_CM
    assert outcome.examination.found.spect.quantity is Quantity.ACTIVITY
    assert outcome.registration.centre_mm == GRID.centre_mm


def test_the_result_tells_how_it_was_made(study, outcome) -> None:
    provenance = outcome.provenance
    assert MutualInformation(**provenance.settings["registrar"]) == MUTUAL_INFORMATION
    assert Osem(**provenance.settings["reconstructor"]) == OSEM
    assert provenance.sources == study.sources
    assert {"mureg", "numpy", "scipy", "SimpleITK", "python"} <= set(provenance.versions)
    assert "a guess" in outcome.warnings


def test_two_runs_are_equal_bit_for_bit(study, outcome) -> None:
    again = examine(study, StudySettings(MUTUAL_INFORMATION, OSEM))
    assert again.registration.ct_from_spect == outcome.registration.ct_from_spect
    for name in ("mu_header", "mu_registered", "spect_uncorrected", "spect_corrected", "spect_header"):
        assert np.array_equal(getattr(again, name).values, getattr(outcome, name).values)
    assert (again.decision, again.reasons, again.move, again.confidence) == (
        outcome.decision,
        outcome.reasons,
        outcome.move,
        outcome.confidence,
    )
    assert again.warnings == outcome.warnings


@pytest.mark.parametrize("correct", [True, False])
def test_each_step_is_told_when_it_begins_and_timed(study, correct) -> None:
    told: list[str] = []
    outcome = examine(
        study,
        StudySettings(MutualInformation(starts=1), Osem(iterations=1, subsets=4)),
        correct=correct,
        progress=told.append,
    )
    corrected = ["corrected SPECT"] if correct else []
    steps = ["uncorrected SPECT and attenuation map", "registration", *corrected, "decision"]
    assert list(dict.fromkeys(told)) == steps
    assert list(outcome.provenance.seconds) == steps


def test_one_thread_and_two_give_the_same_digits(study) -> None:
    answers = []
    for threads in (1, 2):
        with threads_set_to(threads):
            settings = StudySettings(MutualInformation(starts=1), Osem(iterations=2, subsets=4))
            answers.append(examine(study, settings).examination)
    one, two = answers
    np.testing.assert_array_equal(one.registration.ct_from_spect.matrix, two.registration.ct_from_spect.matrix)
    for of_one, of_two in ((one.header, two.header), (one.found, two.found)):
        np.testing.assert_array_equal(of_one.mu.values, of_two.mu.values)
        np.testing.assert_array_equal(of_one.spect.values, of_two.spect.values)
    np.testing.assert_array_equal(one.uncorrected.values, two.uncorrected.values)


def test_a_ct_gives_what_its_own_map_gives(study, outcome) -> None:
    by_ct = examine(
        replace(study, attenuation=in_hounsfield(study.attenuation)),
        StudySettings(MUTUAL_INFORMATION, OSEM),
        correct=False,
    )
    np.testing.assert_allclose(by_ct.mu_header.values, outcome.mu_header.values, atol=1e-5)
    np.testing.assert_allclose(by_ct.registration.shift_mm, outcome.registration.shift_mm, atol=0.5)
    assert "read by hand" in by_ct.warnings


def test_a_guessed_conversion_is_among_the_warnings(study) -> None:
    ct = replace(in_hounsfield(study.attenuation), manufacturer="Unheard of")
    outcome = examine(replace(study, attenuation=ct), StudySettings(MutualInformation(starts=1), OSEM), correct=False)
    assert any("HU to mu by the table of" in sentence for sentence in outcome.warnings)


def test_it_stops_before_the_correction_where_that_is_asked(study, outcome) -> None:
    stopped = examine(study, StudySettings(MUTUAL_INFORMATION, OSEM), correct=False)
    assert stopped.spect_corrected is None
    assert stopped.registration.ct_from_spect == outcome.registration.ct_from_spect
    assert not any("no corrected reconstruction" in sentence for sentence in stopped.warnings)


def test_a_reconstructed_volume_is_registered_but_not_corrected(study, outcome) -> None:
    by_volume = examine(replace(study, spect=outcome.spect_uncorrected), StudySettings(MUTUAL_INFORMATION, OSEM))
    assert by_volume.registration.ct_from_spect == outcome.registration.ct_from_spect
    assert by_volume.spect_uncorrected is outcome.spect_uncorrected
    assert by_volume.spect_corrected is None
    assert any("no corrected reconstruction" in sentence for sentence in by_volume.warnings)


def test_register_gives_the_registration_and_nothing_else(outcome, study) -> None:
    found = register(outcome.spect_uncorrected, study.attenuation, MUTUAL_INFORMATION)
    assert found.ct_from_spect == outcome.registration.ct_from_spect


def test_no_counts_are_refused(study, acquisition) -> None:
    empty = replace(acquisition, counts=np.zeros_like(acquisition.counts))
    with pytest.raises(RefusedError, match="the photopeak window holds no counts") as refusal:
        examine(replace(study, spect=empty), StudySettings(MUTUAL_INFORMATION, OSEM))
    assert refusal.value.exit_code == 3


class TestCoverage:
    def test_a_ct_that_covers_all_raises_no_warning(self, acquisition) -> None:
        wide = mu_volume(Grid.centred((50, 50, 42), (12.0, 12.0, 12.0)))
        outcome = examine(Study(acquisition, wide), StudySettings(MutualInformation(starts=1), OSEM), correct=False)
        assert outcome.mu_header.outside is None
        assert not any("does not reach" in sentence for sentence in outcome.warnings)

    def test_a_short_ct_is_named_with_its_share(self, outcome) -> None:
        short = mu_volume(Grid.centred((50, 50, 20), (12.0, 12.0, 12.0)))
        outcome = examine(Study(outcome.spect_uncorrected, short), StudySettings(MutualInformation(starts=1), OSEM))
        # 28 slices of SPECT, 20 of CT of the same thickness about the same middle
        assert outcome.mu_header.known_share == pytest.approx(20 / 28)
        missing = 100 * (1 - outcome.examination.found.mu.known_share)
        beyond = f"the attenuation map does not reach {missing:.0f} % of the SPECT field"
        assert any(beyond in said for said in outcome.warnings)


class TestFrames:
    @pytest.mark.parametrize(
        ("spect_frame", "ct_frame", "warned"), [("1.2", "1.3", True), ("1.2", "1.2", False), ("", "1.3", False)]
    )
    def test_two_different_frames_of_reference_are_named(self, outcome, spect_frame, ct_frame, warned) -> None:
        spect = replace(outcome.spect_uncorrected, grid=Grid(GRID.shape, GRID.affine, spect_frame))
        mu = replace(mu_volume(CT_GRID), grid=Grid(CT_GRID.shape, CT_GRID.affine, ct_frame))
        said = examine(Study(spect, mu), StudySettings(MutualInformation(starts=1))).warnings
        assert any("different frames of reference" in sentence for sentence in said) is warned


def test_the_grid_a_map_comes_on_matters_little_to_the_correction(acquisition) -> None:
    fine = mu_volume(Grid.centred((120, 120, 100), (4.0, 4.0, 4.0)))
    coarse = mu_volume(GRID)
    by_fine, by_coarse = (reconstruct(acquisition, mu, OSEM).values for mu in (fine, coarse))
    heart = TRUE_ACTIVITY > 0.4
    np.testing.assert_allclose(by_fine[heart].mean(), by_coarse[heart].mean(), rtol=0.03)


class CountingOsem:
    """OSEM that writes down with which map it was asked for an image."""

    kind = "counted"

    def __init__(self) -> None:
        self._maps: list[np.ndarray | None] = []

    def reconstruct(self, acquisition: Acquisition, system: SystemModel) -> Volume:
        self._maps.append(None if system.mu is None else system.mu.values)
        return OSEM.reconstruct(acquisition, system)


class KnownPose:
    """A registrar that gives the pose it was made with."""

    kind = "answers"

    def __init__(self, pose: RigidTransform) -> None:
        self._pose = pose

    def register(self, study: PreparedStudy) -> Registration:
        return Registration(self._pose, study.uncorrected.grid.centre_mm, self.kind, "moved")


@pytest.mark.parametrize(("pose", "with_a_map"), [(MOTION, 2), (RigidTransform.identity(), 1)])
def test_each_image_is_reconstructed_once(study, pose, with_a_map) -> None:
    """Uncorrected, with the map at the scanner position, and at the pose found where that is another one."""
    counted = CountingOsem()
    examine(study, StudySettings(KnownPose(pose), counted))
    corrected = [values for values in counted._maps if values is not None]
    assert (len(counted._maps), len(corrected)) == (1 + with_a_map, with_a_map)
    assert with_a_map == 1 or not np.array_equal(*corrected)


class PreloadedPose(KnownPose):
    """As `KnownPose`, with something to load beforehand."""

    def __init__(self, problem: Exception | None = None) -> None:
        super().__init__(MOTION)
        self._steps: list[str] = []
        self._problem = problem

    def preload(self) -> None:
        self._steps.append("preload")
        if self._problem is not None:
            raise self._problem

    def register(self, study: PreparedStudy) -> Registration:
        self._steps.append("register")
        return super().register(study)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_registrar_loads_is_loaded_before_it_registers(study, threads) -> None:
    registrar = PreloadedPose()
    with threads_set_to(threads):
        examine(study, StudySettings(registrar), correct=False, seek_axis=False)
    assert registrar._steps == ["preload", "register"]
    missing = PreloadedPose(UsageError("no weights", "weights", "copy them"))
    with threads_set_to(threads), pytest.raises(UsageError, match="no weights"):
        examine(study, StudySettings(missing), correct=False, seek_axis=False)
    assert missing._steps == ["preload"]
