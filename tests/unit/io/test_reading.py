from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from mureg.assessment.identity import compare
from mureg.errors import UnitsError, UnreadableInputError, UsageError
from mureg.geometry import Quantity, Volume
from mureg.io import inspect, read_ct, read_mu, read_spect, read_study
from mureg.spect.acquisition import Acquisition
from support.dicom import change, chest_like, detector, item, project_point, rotation, tomo_vectors, write_ct, write_nm


def tomo(path):
    frames = project_point((5, 5, 5), [225 - 6 * k for k in range(8)])
    turn = rotation(225, 6, 8, sense="CW")
    return write_nm(path, frames, tomo_vectors(8), detectors=[detector(225)], rotations=[turn])


def mu_dicom(path, source="TRANSMISSION"):
    values = np.zeros((6, 8, 8), dtype=np.uint16)
    values[:, 1:7, 1:7] = 1540
    place = item(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    vectors = {"SliceVector": list(range(1, 7))}
    return write_nm(path, values, vectors, kind="RECON TOMO", source=source, detectors=[place], SpacingBetweenSlices=-5)


def nifti(path, values):
    image = nib.Nifti1Image(np.asarray(values, dtype=np.float32), np.diag([-2.0, -2, 3, 1]))
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, 1)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("read", [read_spect, read_ct, read_mu, inspect])
def test_paths_with_nothing_in_them_are_refused(tmp_path, read):
    with pytest.raises(UnreadableInputError, match="'nowhere' does not exist"):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableInputError, match="'empty' is empty"):
        read(tmp_path / "empty")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "readme.txt").write_text("no image")
    with pytest.raises(UnreadableInputError, match="'other' holds"):
        read(tmp_path / "other")


def test_the_wrong_modality_is_refused(tmp_path):
    write_ct(tmp_path / "ct", chest_like())
    tomo(tmp_path / "tomo.dcm")
    with pytest.raises(UnreadableInputError, match="holds only CT"):
        read_spect(tmp_path / "ct")
    with pytest.raises(UnreadableInputError, match="holds only NM"):
        read_ct(tmp_path / "tomo.dcm")
    with pytest.raises(UnreadableInputError, match="holds only TOMO"):
        read_mu(tmp_path / "tomo.dcm")
    with pytest.raises(UnreadableInputError, match="transmission"):
        read_spect(mu_dicom(tmp_path / "mu.dcm"))


def test_content_decides_not_the_name(tmp_path):
    mu = np.zeros((9, 9, 9))
    mu[1:8, 1:8, 1:8] = 0.15
    path = nifti(tmp_path / "a.nii.gz", mu).rename(tmp_path / "map.dcm")
    assert isinstance(read_spect(tomo(tmp_path / "odd.nii.gz"))[0], Acquisition)
    volume, notes, source = read_mu(path)
    assert volume.quantity is Quantity.MU_PER_CM
    assert (source.kind, source.files, notes) == ("mu", 1, ())


def test_fingerprints_do_not_depend_on_names(tmp_path):
    write_ct(tmp_path / "a", chest_like())
    write_ct(tmp_path / "b", chest_like())
    for k, file in enumerate(sorted((tmp_path / "b").iterdir())):
        file.rename(file.with_name(f"IM{9 - k}"))
    (tmp_path / "b" / "unused.txt").write_text("not part of it")
    first, second = read_ct(tmp_path / "a")[1], read_ct(tmp_path / "b")[1]
    assert first == second
    assert (first.kind, first.files) == ("ct", 6)


def test_maps_go_before_other_reconstructions(tmp_path):
    mu_dicom(tmp_path / "emission.dcm", source="EMISSION")
    mu_dicom(tmp_path / "map.dcm")
    volume, notes, _ = read_mu(tmp_path)
    assert float(volume.values.max()) == pytest.approx(0.154)
    assert any("10,000" in n for n in notes)


def test_a_study_has_one_attenuation_side(tmp_path):
    spect = tomo(tmp_path / "tomo.dcm")
    write_ct(tmp_path / "ct", chest_like())
    study = read_study(spect, ct=tmp_path / "ct")
    assert [s.kind for s in study.sources] == ["spect", "ct"]
    mapped = read_study(spect, mu=mu_dicom(tmp_path / "mu.dcm"))
    assert isinstance(mapped.attenuation, Volume)
    with pytest.raises(UsageError, match="neither"):
        read_study(spect)
    with pytest.raises(UsageError, match="both"):
        read_study(spect, ct=tmp_path / "ct", mu=tmp_path / "mu.dcm")


def test_two_patients_are_handed_on_to_the_safety_checks_and_never_named(tmp_path):
    write_ct(tmp_path / "ct", chest_like())
    spect = tomo(tmp_path / "tomo.dcm")
    for identifier, comparison in (("T1", "same"), ("SECRET-7", "different"), (None, "same")):
        change(spect, PatientID=identifier)  # the names agree throughout
        study = read_study(spect, ct=tmp_path / "ct")
        assert compare(study.spect_patient, study.attenuation_patient)[0] == comparison
        assert "SECRET-7" not in " ".join(study.notes) + repr(study.spect_patient)


def test_inspection_lists_everything_and_survives_bad_series(tmp_path):
    write_ct(tmp_path / "good", chest_like(), description="good")
    write_ct(tmp_path / "bad", chest_like(), series="bad", description="bad")[2].unlink()
    tomo(tmp_path / "tomo.dcm")
    mu_dicom(tmp_path / "mu.dcm")
    nifti(tmp_path / "flat.nii.gz", np.zeros((4, 4, 4)))
    found = {one.name: one for one in inspect(tmp_path).found}
    assert "gap after slice 2" in found["bad"].refusal
    assert found["bad"].loaded is None
    ct = found["good"]
    assert ct.facts["orientation"] == "i to left, j to back, k to head"
    assert (ct.facts["matrix"], ct.facts["spacing_mm"]) == ([10, 8, 6], [1.5, 2.0, 2.5])
    assert (ct.facts["unit"], ct.facts["kvp"]) == ("HU", 120.0)
    nm = found["tomo"]
    assert isinstance(nm.loaded, Acquisition)
    assert nm.facts["views"] == 8
    assert nm.facts["angles_deg"]["first"] == 225
    assert nm.facts["angles_deg"]["last"] == 225 - 42
    assert nm.facts["angles_deg"]["direction"].startswith("clockwise")
    assert [w["photopeak"] for w in nm.facts["energy_windows"]] == [True]
    assert found["mu"].facts["orientation"] == "i to left, j to back, k to feet"
    assert found["mu"].facts["unit"] == "1/cm"
    assert found["flat.nii.gz"].refusal
    written = json.dumps(inspect(tmp_path).as_dict())
    assert "Secret" not in written
    assert str(tmp_path) not in written


def test_a_ct_is_no_map(tmp_path):
    values = np.full((9, 9, 9), -1000.0)
    values[1:8, 1:8, 1:8] = 30
    path = nifti(tmp_path / "ct.nii.gz", values)
    with pytest.raises(UnitsError, match="HU"):
        read_mu(path)
    ct, _ = read_ct(path)
    assert ct.kvp is None
    assert inspect(path).found[0].kind == "CT"
