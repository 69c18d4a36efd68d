"""The image for a nudged pose: work that nobody waits for is given up, and fine pixels are added up."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from mureg.cli import main as command_line
from mureg.geometry import RigidTransform
from mureg.jobs.cores import set_thread_count
from mureg.registration import PoseByHand
from mureg.sample import sample_folder
from mureg.service.review.bench import Bench, StaleRequestError
from mureg.service.review.corrected import CorrectedImages
from mureg.service.review.settings import settings_of
from mureg.service.review.studies import ReviewStudy, StudyInputs, results_at

SPECT, CT = sample_folder() / "spect.dcm", sample_folder() / "ct"
QUICK = ["--threads", "1", "--set", "reconstructor.iterations=2", "--set", "physics.scatter=none"]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> ReviewStudy:
    folder: Path = tmp_path_factory.mktemp("corrected") / "one"
    inputs = ["--spect", str(SPECT), "--ct", str(CT), "-o", str(folder)]
    assert command_line(["register", *inputs, "--nudge", "9 mm left", *QUICK]) == 0
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    (found,) = results_at([folder])
    return ReviewStudy(found.name, folder, found.table, StudyInputs(SPECT, CT))


def shifted(mm: float) -> RigidTransform:
    return RigidTransform.from_six((mm, -5.0, 4.0), (0, 0, 3.0), (0, 0, 0))


def test_a_pose_that_waits_or_is_worked_on_is_given_up_for_a_newer_one_of_its_window(study) -> None:
    bench = Bench(study)
    bench.at_pose(study.found, bench.newest(1))  # what every answer needs is at hand from here on
    begun = time.monotonic()
    bench.at_pose(shifted(1.0), bench.newest(1))
    whole_s = time.monotonic() - begun

    early, other = bench.newest(1), bench.newest(2)
    bench.newest(1)
    with pytest.raises(StaleRequestError):  # it had not begun
        bench.at_pose(shifted(2.0), early)
    assert bench.at_pose(shifted(2.0), other)["image"].values, "another window goes on"

    refusals: list[float] = []
    ticket = bench.newest(1)

    def work() -> None:
        with pytest.raises(StaleRequestError):
            bench.at_pose(shifted(3.0), ticket)
        refusals.append(time.monotonic())

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(0.1 * whole_s)  # it is worked on by now
    assert worker.is_alive()
    bench.newest(1)
    worker.join(60)
    assert len(refusals) == 1, "given up within the work"


def test_what_is_given_up_is_not_kept_as_an_image(study) -> None:
    bench = Bench(study)
    images = CorrectedImages(bench.prepared()[0], settings_of(study.table, PoseByHand()), study.ventricle, {})
    calls = []

    def third() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise StaleRequestError("an old pose", "the newest", "ask again")

    with pytest.raises(StaleRequestError):
        images.at(shifted(5.0), third)
    again = images.at(shifted(5.0), lambda: None)["own"]
    fresh = CorrectedImages(bench.prepared()[0], settings_of(study.table, PoseByHand()), study.ventricle, {})
    np.testing.assert_array_equal(again.image, fresh.at(shifted(5.0), lambda: None)["own"].image)


def test_fine_pixels_are_added_up_to_those_of_64_by_64(study) -> None:
    """Each pixel of the sample is split into four: the image is that of the pixels before, at the same place."""
    prepared, settings = Bench(study).prepared()[0], settings_of(study.table, PoseByHand())
    whole = prepared.acquisition
    assert whole is not None
    assert whole.counts.shape[2:] == (64, 64)
    quarters = np.repeat(np.repeat(np.asarray(whole.counts) / 4, 2, axis=2), 2, axis=3)
    row_mm, column_mm = whole.pixel_mm
    fine = replace(whole, counts=quarters, pixel_mm=(row_mm / 2, column_mm / 2))
    assert fine.counts.shape[2:] == (128, 128)
    pose = shifted(6.0)
    expected, split = (
        CorrectedImages(replace(prepared, acquisition=one), settings, study.ventricle, {}).at(pose, lambda: None)["own"]
        for one in (whole, fine)
    )
    np.testing.assert_allclose(split.image.grid.affine, expected.image.grid.affine, atol=1e-9)
    np.testing.assert_allclose(split.image, expected.image, rtol=1e-3, atol=1e-4 * np.max(expected.image))
    assert split.segments == pytest.approx(expected.segments, abs=0.05)
    assert split.mismatch == pytest.approx(expected.mismatch, abs=0.01)
