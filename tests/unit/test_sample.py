"""The shipped sample study: small enough, and at one with itself."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.sample import load_truth, sample_folder


def test_the_sample_fits_the_package_and_says_where_it_comes_from() -> None:
    size = sum(file.stat().st_size for file in sample_folder().rglob("*") if file.is_file())
    assert size <= 6_000_000
    attribution = (sample_folder() / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for word in ("LIDC-IDRI", "Attribution 3.0", "Medical Physics", "TotalSegmentator"):
        assert word in attribution


def test_the_six_numbers_are_those_of_the_matrix() -> None:
    truth = load_truth()
    translation, angles = truth.ct_from_spect.six(truth.centre_mm)
    assert translation == pytest.approx(truth.translation_mm)
    assert angles == pytest.approx(truth.angles_deg)
    assert 13.0 <= np.linalg.norm(translation) <= 17.0
    assert 3.0 <= truth.ct_from_spect.rotation_deg <= 5.0


def test_the_ventricle_lies_in_the_heart_left_of_the_spine() -> None:
    truth = load_truth()
    assert truth.heart_points_mm.shape == truth.lv_wall_points_mm.shape == (64, 3)
    low, high = truth.heart_points_mm.min(0) - 10.0, truth.heart_points_mm.max(0) + 10.0
    assert ((truth.lv_wall_points_mm >= low) & (truth.lv_wall_points_mm <= high)).all()
    assert truth.lv_wall_centroid_mm[0] > truth.heart_points_mm[:, 0].mean()  # x to the patient's left
    assert truth.lv_wall_points_mm.mean(0) == pytest.approx(truth.lv_wall_centroid_mm, abs=12.0)


def test_counts_and_scatter_are_those_of_a_clinical_study() -> None:
    truth = load_truth()
    assert truth.photopeak_counts == pytest.approx(6.0e6, rel=0.005)
    assert 0.25 <= truth.scatter_fraction <= 0.4
