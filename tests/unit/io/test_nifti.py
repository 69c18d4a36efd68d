from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from mureg.errors import GeometryError, MuregError, UnitsError, UnreadableInputError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.nifti import is_nifti, read_nifti, read_nifti_with_notes, write_nifti

RAS = np.array([[-2.0, 0, 0, 30], [0, 3.0, 0, -40], [0, 0, 4.0, 50], [0, 0, 0, 1]])


def save(path, values, affine=RAS, *, codes=(1, 1), unit="mm", dtype=np.float32):
    image = nib.Nifti1Image(np.asarray(values, dtype=dtype), affine)
    image.header.set_xyzt_units(unit)
    image.set_sform(affine, code=codes[0])
    image.set_qform(affine, code=codes[1])
    nib.save(image, path)
    return path


def torso(soft, lung, bone, air, shape=(12, 12, 12)):
    values = np.full(shape, air, dtype=np.float64)
    values[1:-1, 1:-1] = soft
    values[3:5, 3:9] = lung
    values[7:8, 5:6] = bone
    return values


CT = torso(40, -750, 900, -1000)
MU = torso(0.154, 0.04, 0.25, 0.0)


def test_ras_on_disk_becomes_lps_inside(tmp_path):
    values = np.zeros((5, 6, 7))
    values[1, 2, 3] = 8
    volume = read_nifti(save(tmp_path / "s.nii.gz", values), "spect")
    # RAS (30-2, -40+6, 50+12) is LPS with x and y negated
    hot = volume.grid.points(np.unravel_index(volume.values.argmax(), (5, 6, 7)))
    assert np.allclose(hot, (-28, 34, 62))
    assert volume.quantity is Quantity.COUNTS


def test_written_files_come_back_and_are_the_same_each_time(tmp_path):
    rng = np.random.default_rng(1)
    affine = np.eye(4)
    c, s = np.cos(0.3), np.sin(0.3)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) * (2.0, 3.0, 4.0)
    affine[:3, 3] = (-11.5, 22.25, -300.0)
    volume = Volume.from_numpy(rng.random((4, 5, 6)), Grid((4, 5, 6), affine), Quantity.COUNTS)
    first = write_nifti(volume, tmp_path / "new" / "a.nii.gz")
    again = write_nifti(volume, tmp_path / "b.nii.gz")
    assert first.read_bytes() == again.read_bytes()
    back = read_nifti(first, "spect")
    assert np.allclose(back.grid.affine, affine, atol=1e-4)
    assert np.array_equal(back.values, volume.values)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.nii.gz", "new"]
    plain = write_nifti(volume, tmp_path / "c.nii")
    assert is_nifti(plain)
    assert is_nifti(first)
    assert np.array_equal(read_nifti(plain, "spect").values, volume.values)


@pytest.mark.parametrize(("factor", "said"), [(1.0, ""), (0.1, "1/mm"), (1e4, "10,000"), (1e5, "100,000")])
def test_mu_units_are_found_by_soft_tissue(tmp_path, factor, said):
    path = save(tmp_path / "mu.nii", MU * factor, dtype=np.int32 if factor > 1 else np.float32)
    volume, notes = read_nifti_with_notes(path, "mu")
    assert volume.quantity is Quantity.MU_PER_CM
    assert np.allclose(volume.values, MU, atol=1e-6)
    assert (said in " ".join(notes)) if said else not notes


@pytest.mark.parametrize("factor", [1.0, 0.1, 1e4])
def test_a_511_kev_map_is_refused(tmp_path, factor):
    with pytest.raises(UnitsError, match="511 keV"):
        read_nifti(save(tmp_path / "mu.nii", MU * factor * 0.096 / 0.154), "mu")


@pytest.mark.parametrize(
    ("values", "expected", "words"),
    [
        (MU * 3, "mu", "soft tissue at 0.462"),
        (MU * 0, "mu", "almost everywhere 0"),
        (CT, "mu", "look like a CT in HU"),
        (MU, "ct", "look like an attenuation map"),
        (MU * 1e4, "ct", "look like an attenuation map"),
        (CT + 1024, "ct", "rescale"),
        (MU * 500 + 3, "ct", "a CT in HU"),
        (CT, "spect", "counts or activity"),
        (MU * 0, "spect", "counts or activity"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(tmp_path, values, expected, words):
    with pytest.raises(UnitsError, match=words):
        read_nifti(save(tmp_path / "v.nii.gz", values), expected)


def test_ct_in_hu_is_accepted_with_and_without_air(tmp_path):
    assert read_nifti(save(tmp_path / "a.nii", CT), "ct").quantity is Quantity.HU
    inner = torso(40, -90, 900, 60)
    assert read_nifti(save(tmp_path / "b.nii", inner), "ct").quantity is Quantity.HU


def test_padding_below_every_measurement_is_outside(tmp_path):
    padded = CT.copy()
    padded[0, 0] = -2048
    volume = read_nifti(save(tmp_path / "a.nii", padded), "ct")
    assert volume.outside is not None
    assert int(volume.outside.sum()) == 12
    assert float(volume.values.min()) == -1000


def test_tiny_negative_spect_is_clipped_and_said(tmp_path):
    values = MU * 1000
    values[0, 0, 0] = -0.5
    volume, notes = read_nifti_with_notes(save(tmp_path / "s.nii", values), "spect")
    assert float(volume.values.min()) == 0
    assert any("negative" in n for n in notes)


def test_header_oddities(tmp_path):
    with pytest.raises(GeometryError, match="neither sform nor qform"):
        read_nifti(save(tmp_path / "a.nii", MU, codes=(0, 0)), "mu")
    with pytest.raises(GeometryError, match="in metres"):
        read_nifti(save(tmp_path / "b.nii", MU, unit="meter"), "mu")
    assert "millimetres assumed" in read_nifti_with_notes(save(tmp_path / "c.nii", MU, unit="unknown"), "mu")[1][0]
    only_qform = read_nifti(save(tmp_path / "d.nii", MU, codes=(0, 1)), "mu")
    assert np.allclose(only_qform.grid.affine, np.diag([-1, -1, 1, 1]) @ RAS, atol=1e-4)
    sheared = RAS.copy()
    sheared[0, 1] = 1.0
    image = nib.Nifti1Image(MU.astype(np.float32), None)
    image.header.set_xyzt_units("mm")
    image.set_sform(sheared, code=1)
    nib.save(image, tmp_path / "e.nii")
    with pytest.raises(GeometryError, match="sheared"):
        read_nifti(tmp_path / "e.nii", "mu")
    both = nib.Nifti1Image(MU.astype(np.float32), RAS)
    both.header.set_xyzt_units("mm")
    both.set_sform(RAS, code=1)
    aside = RAS + np.pad([[5.0]], ((0, 3), (3, 0)))
    both.set_qform(aside, code=1)
    nib.save(both, tmp_path / "f.nii")
    with pytest.raises(GeometryError, match="differ by up to 5 mm and have the codes 1 and 1"):
        read_nifti(tmp_path / "f.nii", "mu")
    for codes, true in (((1, 2), RAS), ((4, 1), aside)):
        both.set_sform(RAS, code=codes[0])
        both.set_qform(aside, code=codes[1])
        nib.save(both, tmp_path / "g.nii")
        volume, notes = read_nifti_with_notes(tmp_path / "g.nii", "mu")
        assert any("used, which is the scanner's by its code" in n for n in notes)
        assert np.allclose(volume.grid.affine, np.diag([-1, -1, 1, 1]) @ true, atol=1e-4)


def test_shapes_and_numbers(tmp_path):
    assert read_nifti(save(tmp_path / "a.nii", MU[..., None]), "mu").grid.shape == MU.shape
    with pytest.raises(UnreadableInputError, match="4 dimensions"):
        read_nifti(save(tmp_path / "b.nii", np.stack([MU, MU], axis=-1)), "mu")
    holes = MU.copy()
    holes[0, 0, :3] = np.nan
    with pytest.raises(UnreadableInputError, match="3 NaN"):
        read_nifti(save(tmp_path / "c.nii", holes), "mu")
    with pytest.raises(UnreadableInputError, match="complex64"):
        read_nifti(save(tmp_path / "d.nii", MU, dtype=np.complex64), "mu")


def test_damaged_files_are_refused(tmp_path):
    good = save(tmp_path / "good.nii.gz", MU).read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(good[: len(good) // 2])
    (tmp_path / "junk.nii").write_bytes(b"junk" * 200)
    for name in ("cut.nii.gz", "junk.nii"):
        with pytest.raises(MuregError, match=name):
            read_nifti(tmp_path / name, "mu")
