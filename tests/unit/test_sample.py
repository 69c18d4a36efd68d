"""The shipped sample study: small enough, and at one with itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from mureg.geometry import RigidTransform
from mureg.io import read_ct
from mureg.sample import load_truth, sample_folder


def test_the_sample_fits_the_package_and_says_where_it_comes_from() -> None:
    size = sum(file.stat().st_size for file in sample_folder().rglob("*") if file.is_file())
    assert size <= 4_000_000
    attribution = (sample_folder() / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for word in ("LIDC-IDRI", "Attribution 3.0", "Medical Physics", "TotalSegmentator"):
        assert word in attribution


def test_the_rigid_parameters_are_those_of_the_matrix() -> None:
    truth = load_truth()
    translation, angles = truth.ct_from_spect.six(truth.centre_mm)
    assert translation == pytest.approx(truth.translation_mm)
    assert angles == pytest.approx(truth.angles_deg)
    assert np.abs(translation).max() <= 20.0 + 12.0 + 5.0  # clinical motion, rotation about the grid's centre, breath
    assert truth.ct_from_spect.rotation_deg <= np.sqrt(3.0) * 5.0


def test_the_matrix_is_the_best_fit_of_the_heart_and_the_residual_what_it_leaves() -> None:
    """Both come from the points; the transform the wrong way round must miss."""
    truth = load_truth()
    fitted = RigidTransform.best_fit(truth.heart_points_mm, truth.heart_points_in_ct_mm)
    np.testing.assert_allclose(fitted.matrix, truth.ct_from_spect.matrix, atol=5e-3)
    missed = truth.ct_from_spect.apply(truth.heart_points_mm) - truth.heart_points_in_ct_mm
    assert np.sqrt((missed**2).sum(1).mean()) == pytest.approx(truth.residual_mm, abs=0.01)
    wrong_way = truth.ct_from_spect.inverse().apply(truth.heart_points_mm) - truth.heart_points_in_ct_mm
    assert np.sqrt((wrong_way**2).sum(1).mean()) > 20.0


def test_the_ventricle_lies_in_the_heart_left_of_the_spine() -> None:
    truth = load_truth()
    assert truth.heart_points_mm.shape == truth.heart_points_in_ct_mm.shape == (256, 3)
    assert truth.lv_wall_points_mm.shape == (64, 3)
    low, high = truth.heart_points_mm.min(0) - 10.0, truth.heart_points_mm.max(0) + 10.0
    assert ((truth.lv_wall_points_mm >= low) & (truth.lv_wall_points_mm <= high)).all()
    assert truth.lv_wall_centroid_mm[0] > truth.heart_points_mm[:, 0].mean()  # x to the patient's left
    assert truth.lv_wall_points_mm.mean(0) == pytest.approx(truth.lv_wall_centroid_mm, abs=12.0)


def test_the_heart_is_soft_tissue_and_blood_in_the_ct() -> None:
    """The CT shows the heart where the truth says, and not where the projections saw it."""
    truth, ct = load_truth(), read_ct(sample_folder() / "ct")[0].volume

    def soft_share(points_mm: np.ndarray) -> float:
        i, j, k = np.round(ct.grid.indices(points_mm)).astype(int).T
        return float((ct.values[i, j, k] > 0.0).mean())

    assert soft_share(truth.heart_points_in_ct_mm) > 0.9
    assert soft_share(truth.heart_points_mm) < soft_share(truth.heart_points_in_ct_mm) - 0.1


def test_counts_and_scatter_are_those_of_a_clinical_study() -> None:
    truth = load_truth()
    assert truth.photopeak_counts == pytest.approx(6.0e6, rel=0.005)
    assert 0.25 <= truth.scatter_fraction <= 0.45


def test_one_patient_one_study_one_frame_of_reference() -> None:
    headers = [pydicom.dcmread(sample_folder() / "spect.dcm", stop_before_pixels=True)]
    headers += [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted((sample_folder() / "ct").iterdir())]
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert len({str(header[keyword].value) for header in headers}) == 1, keyword


def test_the_table_runs_along_the_scanner_though_the_patient_is_turned() -> None:
    """Were it turned with the patient, its lower edge would rise by 5 mm from the first slice to the last."""
    truth, ct = load_truth(), read_ct(sample_folder() / "ct")[0].volume
    _, step_mm, slice_mm = ct.grid.spacing_mm
    hu = ct.values
    middle, n_slices = hu.shape[0] // 2, hu.shape[2]
    turned_mm = abs(truth.ct_from_spect.matrix[1, 2]) * n_slices * slice_mm
    assert turned_mm > 1.5 * step_mm, "the turn would be seen"
    lower_edge = [int(np.flatnonzero(hu[middle, :, k] > -500.0)[-1]) for k in range(n_slices)]
    assert np.ptp(lower_edge) == 0


@pytest.mark.slow
@pytest.mark.shared_data
def test_the_script_remakes_it_bit_for_bit(shared_data, tmp_path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "make_sample.py"
    command = [sys.executable, str(script), "--source", str(shared_data / "ct"), "--output", str(tmp_path / "sample")]
    subprocess.run(command, check=True, capture_output=True)
    files = {path.relative_to(tmp_path / "sample"): path for path in (tmp_path / "sample").rglob("*") if path.is_file()}
    assert len(files) == 58
    for name, path in files.items():
        assert path.read_bytes() == (sample_folder() / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.shared_data
def test_a_study_that_is_there_is_not_replaced_unasked(shared_data, tmp_path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "make_sample.py"
    (tmp_path / "spect.dcm").write_text("mine")
    command = [sys.executable, str(script), "--source", str(shared_data / "ct"), "--output", str(tmp_path)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["spect.dcm"]
    assert (tmp_path / "spect.dcm").read_text() == "mine"
