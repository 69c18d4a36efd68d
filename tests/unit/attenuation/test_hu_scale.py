"""Values that are not HU are refused with the two numbers found; those of every real CT are accepted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mureg.attenuation.hu_scale import hu_scale, require_hu_scale
from mureg.errors import UnitsError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io import read_ct, write_nifti
from mureg.io.units import known_hounsfield
from mureg.study import Ct, attenuation_maps
from support import supine
from support.dicom import write_ct


def volume_of(values: np.ndarray) -> Volume:
    hounsfield, unknown = known_hounsfield(values.astype(np.float32))
    return Volume.from_numpy(hounsfield, Grid.centred(values.shape, (2.0, 2.0, 2.0)), Quantity.HU, unknown)


def stored(values: np.ndarray) -> np.ndarray:
    """Stored values of a scanner, HU + 1024, with padding at -2000 where nothing was measured."""
    return np.where(values <= values.min(), -2000, values + 1024)


# what is done to the values, and words of the sentence
KINDS = {
    "HU + 1024": (stored, "probably stored values"),
    "window -175 to 250": (lambda v: np.clip(v, -175, 250), "display window that begins at -175"),
    "window -500 to 400": (lambda v: np.clip(v, -500, 400), "display window that begins at -500"),
    "slope halved": (lambda v: v / 2, "rescale slope"),
}


@pytest.fixture(scope="module")
def chest() -> np.ndarray:
    """A trunk with lungs in closed form, noise of a low-dose scan, a cylinder of padding around the field."""
    grid = supine.ct_grid()
    values = supine.ct(grid).values + np.random.default_rng(1).normal(0, 20, grid.shape)
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in grid.shape[:2]), indexing="ij")
    return np.where((x**2 + y**2 > 1.0)[..., None], -1024.0, np.clip(values, -1024, 3071))


def test_air_and_soft_tissue_are_found_where_they_were_put(chest) -> None:
    scale = hu_scale(volume_of(chest))
    assert abs(scale.air_hu + 1000) < 10
    assert abs(scale.soft_hu - 40) < 10
    assert require_hu_scale(volume_of(chest)) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_other_units_are_refused_with_both_numbers(chest, kind) -> None:
    spoil, words = KINDS[kind]
    air, soft = spoil(np.array([-1000.0, 40.0, -1024.0]))[:2]
    with pytest.raises(UnitsError, match=words) as refusal:
        require_hu_scale(volume_of(spoil(chest)))
    found = [int(part.split()[0].strip(",")) for part in refusal.value.found.split(" at ")[1:3]]
    assert np.allclose(found, (air, soft), atol=15)
    assert "-1000" in refusal.value.expected
    assert "--phantom" in refusal.value.remedy


def test_an_intercept_of_1000_for_1024_is_said_and_read(chest) -> None:
    (note,) = require_hu_scale(volume_of(chest + 24))
    assert "-97" in note
    assert "-1000 in place of -1024" in note


def test_a_field_inside_the_body_has_lung_for_air(chest) -> None:
    inside = chest[50:90, 45:75]
    inside = np.where(inside < -700, inside - np.linspace(0, 120, inside.shape[2]), inside)  # dependent and upper lung
    assert inside.min() > -1015
    require_hu_scale(volume_of(inside))
    with pytest.raises(UnitsError):
        require_hu_scale(volume_of(inside / 2))


@pytest.mark.parametrize("in_air", [True, False])
def test_a_phantom_of_water_is_accepted_as_a_phantom(in_air) -> None:
    x, y = np.meshgrid(np.linspace(-1.2, 1.2, 40), np.linspace(-1.2, 1.2, 40), indexing="ij")
    water = np.repeat(np.where((x**2 + y**2 < 1)[..., None], 0.0, -1000.0 if in_air else 2.0), 20, axis=2)
    water += np.random.default_rng(0).normal(0, 12, water.shape)
    (note,) = require_hu_scale(volume_of(water), phantom=True)
    assert "phantom" in note
    if not in_air:
        with pytest.raises(UnitsError, match="--phantom"):
            require_hu_scale(volume_of(water))
    else:
        with pytest.raises(UnitsError):
            require_hu_scale(volume_of(water + 1024), phantom=True)


def test_metal_contrast_and_padding_change_nothing(chest) -> None:
    spoiled = chest.copy()
    spoiled[60:80, 50:60] = 3071
    spoiled[70:80, 40:50] = 350
    assert require_hu_scale(volume_of(spoiled)) == ()


class TestDoors:
    """The same refusal wherever a CT comes in."""

    def test_dicom_and_nifti(self, chest, tmp_path) -> None:
        wrong = stored(chest)
        write_ct(tmp_path / "ct", np.round(wrong).transpose(2, 1, 0).astype(np.int16), spacing=(3.0, 3.0, 5.0))
        image = Volume.from_numpy(wrong, supine.ct_grid(), Quantity.HU)
        write_nifti(image, tmp_path / "ct.nii")
        for path in (tmp_path / "ct", tmp_path / "ct.nii"):
            with pytest.raises(UnitsError, match=r"air at 2. and soft tissue at 10"):
                read_ct(path)

    def test_values_with_nothing_near_water_are_refused_with_both_numbers_too(self, chest, tmp_path) -> None:
        """Half of what a scanner stores, less 1024, no dense bone: air near -1012, soft tissue at -492."""
        halved = (np.clip(chest, None, 200) + 1024) / 2 - 1024
        write_ct(tmp_path / "ct", np.round(halved).transpose(2, 1, 0).astype(np.int16), spacing=(3.0, 3.0, 5.0))
        write_nifti(Volume.from_numpy(halved, supine.ct_grid(), Quantity.HU), tmp_path / "ct.nii")
        for path in (tmp_path / "ct", tmp_path / "ct.nii"):
            with pytest.raises(UnitsError, match=r"peaks at -10[01]\d and -49\d"):
                read_ct(path)

    def test_a_ct_made_in_python_meets_it_on_the_way_to_its_map(self, chest) -> None:
        grid = Grid.centred((32, 32, 12), (12.0, 12.0, 10.0))
        ct = Ct(volume_of(np.clip(chest, -500, 400)))
        with pytest.raises(UnitsError, match="display window"):
            attenuation_maps(ct, grid)
        _, notes = attenuation_maps(Ct(volume_of(chest + 24)).with_scale_checked(), grid)
        assert sum("in place of -1024" in note for note in notes) == 1
        assert any(
            "phantom" in note for note in attenuation_maps(replace(ct, volume=volume_of(chest), phantom=True), grid)[1]
        )


@pytest.mark.shared_data
class TestRealScans:
    """All real CTs, as they are and spoiled; ``benchmarks/evidence/hu_scale_table.py`` prints the figures."""

    @staticmethod
    def _scans(folder: Path) -> list[Path]:
        return [p for p in sorted(folder.rglob("*.nii.gz")) if "labels" not in p.name]

    def test_all_are_accepted_and_all_four_kinds_of_each_refused(self, shared_data) -> None:
        scans = self._scans(shared_data / "ct")
        assert len(scans) >= 22
        for path in scans:
            values = np.asarray(nib.load(path).dataobj).astype(np.float32)
            assert require_hu_scale(volume_of(values)) == (), path.name
            for kind, (spoil, _) in KINDS.items():
                assert _is_refused(spoil(values)), f"{path.name}: {kind}"


def _is_refused(values: np.ndarray) -> bool:
    try:
        require_hu_scale(volume_of(values))
    except UnitsError:
        return True
    return False
