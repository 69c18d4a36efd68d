"""Cases from a cohort and from a hospital's list, prepared once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mureg.cohort.store.cohort import Cohort
from mureg.errors import UnreadableInputError, UsageError
from mureg.registration.inputs import InputGrid, network_inputs
from mureg.study import attenuation_maps
from mureg.training.examples import LIVER_RADIUS_MM, ball, prepare, prepared_pair
from mureg.training.pose import apply
from mureg.training.sources import open_sources, split_by_patient
from support.chest_cases import SPECT_GRID, motion, write_chest_cohort, write_pairs
from support.toy_pairs import drawn_motion, toy_pair

pytestmark = pytest.mark.usefixtures("remembered_ventricles")

GRID = InputGrid((15, 15, 15), 24.0)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_chest_cohort(tmp_path_factory.mktemp("cohort"), 3)


def test_a_case_is_what_the_pipeline_would_show_the_network(cohort) -> None:
    examples = prepare(open_sources(cohort), GRID)
    case = Cohort.open(cohort)[examples.names[1]].load()
    body = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0].body
    spect, mu = network_inputs(case.uncorrected, body, GRID.grid(case.uncorrected.grid))
    assert np.array_equal(examples.spect[1], spect)
    assert np.array_equal(examples.mu[1], mu)
    assert examples.patients == ("person-0", "person-1", "person-2")
    assert not examples.aligned.any()


def test_positions_are_told_from_the_centre_of_the_grid(cohort) -> None:
    examples = prepare(open_sources(cohort), GRID)
    centre = np.asarray(SPECT_GRID.centre_mm)
    for k, name in enumerate(examples.names):
        truth = Cohort.open(cohort)[name].truth
        assert examples.heart_mm[k].shape == (64, 3)
        np.testing.assert_allclose(examples.heart_mm[k][0], truth.heart_points_mm[0] - centre)
        in_ct = apply(examples.ct_from_spect[k : k + 1], examples.heart_mm[k : k + 1])[0].numpy() + centre
        np.testing.assert_allclose(in_ct[0], motion(k).apply(truth.heart_points_mm[0]), atol=1e-6)
        np.testing.assert_allclose(in_ct[-1], motion(k).apply(truth.heart_points_mm[-1]), atol=1e-6)


def test_the_liver_is_where_the_case_says() -> None:
    liver = np.random.default_rng(4).normal((-60.0, 5.0, -40.0), 30.0, (200, 3))
    pair = replace(toy_pair(drawn_motion(1)), liver_mm=liver)
    found = prepared_pair(pair, GRID)["liver_mm"].numpy() + np.asarray(pair.spect.grid.centre_mm)
    assert found.shape == (32, 3)
    assert all(np.isclose(liver, point).all(1).any() for point in found)
    np.testing.assert_allclose(found[[0, -1]], liver[[0, -1]])


def test_the_liver_is_expected_on_the_right_below_the_heart(cohort) -> None:
    examples = prepare(open_sources(cohort), GRID)
    apart = (examples.liver_mm.mean(1) - examples.heart_mm.mean(1)).numpy()
    np.testing.assert_allclose(apart, [(-75.0, 0.0, -85.0)] * 3, atol=6.0)


def test_a_ball_is_filled_evenly() -> None:
    points = ball(400, LIVER_RADIUS_MM)
    radius = np.linalg.norm(points, axis=1)
    assert radius.max() <= LIVER_RADIUS_MM
    np.testing.assert_allclose(points.mean(0), 0.0, atol=2.0)
    np.testing.assert_allclose(points.std(0), LIVER_RADIUS_MM / 5**0.5, rtol=0.05)
    assert (radius < LIVER_RADIUS_MM / 2).mean() == pytest.approx(1 / 8, abs=0.02)


def test_the_cache_is_used_and_gives_the_same(cohort, tmp_path) -> None:
    sources = open_sources(cohort)
    seen = []
    first = prepare(sources, GRID, tmp_path / "cache", progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    files = sorted((tmp_path / "cache").iterdir())
    assert len(files) == 3
    times = [file.stat().st_mtime_ns for file in files]
    second = prepare(sources, GRID, tmp_path / "cache")
    assert [file.stat().st_mtime_ns for file in files] == times
    for name in ("spect", "mu", "ct_from_spect", "heart_mm", "liver_mm"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert first.sha256 == second.sha256
    files[0].write_bytes(b"damaged")
    assert torch.equal(prepare(sources, GRID, tmp_path / "cache").spect, first.spect)
    prepare(sources, InputGrid((15, 15, 15), 20.0), tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 6, "another grid is another case"


def test_several_processes_prepare_the_same(cohort, tmp_path) -> None:
    sources = open_sources(cohort)
    one, two = prepare(sources, GRID), prepare(sources, GRID, tmp_path / "cache", jobs=2)
    assert torch.equal(one.spect, two.spect)
    assert torch.equal(one.mu, two.mu)
    assert (one.names, one.sha256) == (two.names, two.sha256)


class TestPairs:
    def test_a_list_says_what_a_cohort_says(self, cohort, tmp_path) -> None:
        listed = prepare(open_sources(write_pairs(tmp_path, 3, transforms=True)), GRID)
        simulated = prepare(open_sources(cohort), GRID)
        torch.testing.assert_close(listed.spect, simulated.spect, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(listed.ct_from_spect, simulated.ct_from_spect, rtol=0, atol=1e-5)
        assert not listed.aligned.any()

    def test_the_heart_is_a_ball_about_the_ventricle_that_is_found(self, tmp_path) -> None:
        listed = prepare(open_sources(write_pairs(tmp_path, 1, transforms=True)), GRID)
        found = listed.heart_mm[0].mean(0).numpy() + SPECT_GRID.centre_mm
        assert np.linalg.norm(found - (38.0, -32.0, 12.0)) < 25.0
        assert np.linalg.norm(listed.heart_mm[0] - listed.heart_mm[0].mean(0), axis=1).max() < 50.0

    def test_without_a_transform_they_count_as_aligned(self, tmp_path) -> None:
        listed = prepare(open_sources(write_pairs(tmp_path, 2, transforms=False)), GRID)
        assert listed.aligned.all()
        torch.testing.assert_close(listed.ct_from_spect, torch.eye(4, dtype=torch.float64).expand(2, 4, 4))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "bad.csv is empty"),
            ("patient,spect,mu\n", "lists no studies"),
            ("spect,mu\nspect-0.nii.gz,mu-0.nii.gz\n", "line 2 of bad.csv names no patient"),
            ("patient,spect,mu,colour\na,b,c,d\n", "column 'colour'"),
            ("patient,spect,mu\np,spect-0.nii.gz,\n", "line 2 .* neither ct nor mu"),
            ("patient,spect,mu\n,spect-0.nii.gz,mu-0.nii.gz\n", "line 2 of bad.csv names no patient"),
            ("patient,spect,mu,ct\np,spect-0.nii.gz,mu-0.nii.gz,mu-0.nii.gz\n", "line 2 .* both ct and mu"),
            (
                "patient,spect,mu\np,spect-0.nii.gz,mu-0.nii.gz\nq,none.nii,mu-0.nii.gz\n",
                r"line 3 .*'none\.nii' does not",
            ),
        ],
    )
    def test_a_list_that_cannot_be_used(self, tmp_path, text, said) -> None:
        write_pairs(tmp_path, 1, transforms=False)
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(UsageError, match=said):
            open_sources(tmp_path / "bad.csv")


def test_a_split_never_separates_a_patient_and_agrees_with_the_cohort(cohort) -> None:
    shares, seed = (0.4, 0.4, 0.2), next(s for s in range(50) if both_sets(cohort, s))
    train, validation = split_by_patient(open_sources(cohort), shares, seed)
    by_cohort = Cohort.open(cohort).split(dict(zip(("train", "validation", "test"), shares, strict=True)), seed)
    assert [source.name for source in train] == list(by_cohort["train"].names)
    assert [source.name for source in validation] == list(by_cohort["validation"].names)


def both_sets(cohort, seed) -> bool:
    try:
        split_by_patient(open_sources(cohort), (0.4, 0.4, 0.2), seed)
    except UsageError:
        return False
    return True


def test_refusals(cohort, tmp_path) -> None:
    with pytest.raises(UsageError, match="no folder or file"):
        open_sources(tmp_path / "none")
    with pytest.raises(UnreadableInputError, match="no cases"):
        open_sources(tmp_path)
    with pytest.raises(UsageError, match="falls into the set for validation"):
        split_by_patient(open_sources(cohort)[:1], (0.999, 0.001, 0.0), 0)
    with pytest.raises(UsageError, match="no cases"):
        prepare([], GRID)


def test_a_refusal_says_which_case_it_is_about(tmp_path) -> None:
    pairs = write_pairs(tmp_path, 2, transforms=False)
    (tmp_path / "mu-1.nii.gz").write_bytes(b"no image")
    with pytest.raises(UnreadableInputError, match="line-3: ") as refusal:
        prepare(open_sources(pairs), GRID)
    assert refusal.value.exit_code == 4
