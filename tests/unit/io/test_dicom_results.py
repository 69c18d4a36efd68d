"""Results as DICOM belong to the study, are new objects, say what they are, and appear whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from mureg.errors import RefusedError, UnreadableInputError, UsageError
from mureg.geometry import RigidTransform
from mureg.io import dicom_inputs, read_ct, read_mu, read_spect
from mureg.io.dicom.build import series_title
from mureg.io.dicom.secondary_capture import Pages, write_pages
from mureg.io.results import check_dicom_folder
from support.dicom import change
from support.dicom_study import POSE, WHEN, results, study
from support.small_cases import files_of

VOLUMES = ("nac.dcm", "ac.dcm", "mu.dcm", "nac_filtered.dcm", "ac_header_filtered.dcm", "ac_filtered.dcm")
NAMES = {*VOLUMES, "registration.dcm", "report.dcm"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return study(tmp_path_factory.mktemp("source") / "Müller's study")


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "dicom"
    results(source, folder, moved_ct=True)
    return folder


@pytest.fixture
def copy(source, tmp_path):
    return shutil.copytree(source, tmp_path / "copy")


def objects(folder):
    return {path.relative_to(folder).as_posix(): pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))}


def test_every_object_belongs_to_the_patient_and_study_and_is_new(source, folder) -> None:
    made, spect = objects(folder), pydicom.dcmread(source / "spect.dcm")
    slices = objects(source / "ct")
    assert set(made) == NAMES | {f"ct_moved/{name}" for name in slices}
    for name, ds in made.items():
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate"):
            assert ds[keyword].value == spect[keyword].value, (name, keyword)
        if name != "report.dcm":
            assert ds.FrameOfReferenceUID == spect.FrameOfReferenceUID, name
        assert "research use only" in (ds.SeriesDescription + " ").lower(), name
        assert any("research use only" in i.get("SoftwareVersions", "") for i in ds.ContributingEquipmentSequence), name
        assert (ds.SeriesDate, ds.ContentTime) == ("20310506", "070809"), name
    instances = [ds.SOPInstanceUID for ds in (*made.values(), spect, *slices.values())]
    assert len(set(instances)) == len(instances)
    series = {ds.SeriesInstanceUID for ds in made.values()}
    assert len(series) == 9
    assert not series & {spect.SeriesInstanceUID, slices["ct_0001.dcm"].SeriesInstanceUID}
    assert all(ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID for ds in made.values())


def test_another_run_makes_other_objects_with_the_same_content(source, folder, tmp_path) -> None:
    results(source, tmp_path / "again", moved_ct=True)
    first, second = objects(folder), objects(tmp_path / "again")
    for name in NAMES:
        assert first[name].SOPInstanceUID != second[name].SOPInstanceUID
        assert first[name].SeriesInstanceUID != second[name].SeriesInstanceUID
        assert first[name].get("PixelData") == second[name].get("PixelData")
    one, two = (matrices(found["registration.dcm"]) for found in (first, second))
    np.testing.assert_array_equal(one, two)


def test_what_was_written_is_told_without_names(source, tmp_path) -> None:
    told = results(source, tmp_path / "dicom", moved_ct=True)
    made = objects(tmp_path / "dicom")
    assert [one.name for one in told] == [*VOLUMES, "registration.dcm", "report.dcm", "ct_moved"]
    assert told[-1].n_instances == len(list((source / "ct").iterdir()))
    for one in told[:-1]:
        assert (one.series_uid, one.sop_class_uid) == (made[one.name].SeriesInstanceUID, made[one.name].SOPClassUID)
    patient = str(pydicom.dcmread(source / "spect.dcm").PatientID)
    assert not any(patient in part for part in made)
    assert patient not in str(told)


def matrices(registration) -> np.ndarray:
    found = [
        item.MatrixRegistrationSequence[0].MatrixSequence[0].FrameOfReferenceTransformationMatrix
        for item in registration.RegistrationSequence
    ]
    return np.asarray(found, dtype=float).reshape(-1, 4, 4)


def test_the_registration_names_each_image_and_moves_the_ct(source, folder) -> None:
    made = objects(folder)
    registration, spect = made["registration.dcm"], pydicom.dcmread(source / "spect.dcm")
    fixed, moving = registration.RegistrationSequence
    named = [[i.ReferencedSOPInstanceUID for i in item.ReferencedImageSequence] for item in (fixed, moving)]
    volumes = [made[name].SOPInstanceUID for name in VOLUMES]
    assert named[0][0] == spect.SOPInstanceUID
    assert sorted(named[0][1:]) == sorted(volumes)
    assert set(named[1]) == {ds.SOPInstanceUID for ds in objects(source / "ct").values()}
    stays, moves = matrices(registration)
    np.testing.assert_array_equal(stays, np.eye(4))
    point = np.array([38.0, -32.0, 12.0])  # in the heart, SPECT space
    in_ct = POSE.apply(point)
    np.testing.assert_allclose((moves @ [*in_ct, 1])[:3], point, atol=1e-6)
    assert np.linalg.norm((np.linalg.inv(moves) @ [*in_ct, 1])[:3] - point) > 30
    listed = [
        i.ReferencedSOPInstanceUID for s in registration.ReferencedSeriesSequence for i in s.ReferencedInstanceSequence
    ]
    assert sorted(listed) == sorted(named[0] + named[1])
    assert "StudiesContainingOtherReferencedInstancesSequence" not in registration


def test_a_ct_of_another_study_and_frame_is_named_there(copy, tmp_path) -> None:
    for path in (copy / "ct").iterdir():
        change(path, StudyInstanceUID="1.2.3.7", FrameOfReferenceUID="1.2.3.8")
    results(copy, tmp_path / "dicom", moved_ct=True)
    made, spect = objects(tmp_path / "dicom"), pydicom.dcmread(copy / "spect.dcm")
    registration = made["registration.dcm"]
    assert registration.FrameOfReferenceUID == spect.FrameOfReferenceUID
    assert [i.FrameOfReferenceUID for i in registration.RegistrationSequence] == [spect.FrameOfReferenceUID, "1.2.3.8"]
    other = registration.StudiesContainingOtherReferencedInstancesSequence[0]
    assert other.StudyInstanceUID == "1.2.3.7"
    assert len(other.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == len(list((copy / "ct").iterdir()))
    moved = made["ct_moved/ct_0001.dcm"]
    assert (moved.StudyInstanceUID, moved.FrameOfReferenceUID) == ("1.2.3.7", spect.FrameOfReferenceUID)


def test_a_spect_without_frame_of_reference_gets_one_for_all(copy, tmp_path) -> None:
    change(copy / "spect.dcm", FrameOfReferenceUID=None)
    results(copy, tmp_path / "dicom", moved_ct=True)
    made = objects(tmp_path / "dicom")
    frames = {ds.FrameOfReferenceUID for name, ds in made.items() if name != "report.dcm"}
    assert len(frames) == 1
    assert frames != {pydicom.dcmread(copy / "ct" / "ct_0001.dcm").FrameOfReferenceUID}


def test_volumes_come_back_and_say_what_was_done(source, folder) -> None:
    made = objects(folder)
    assert list(made["mu.dcm"].ImageType) == ["DERIVED", "PRIMARY", "RECON TOMO", "TRANSMISSION"]
    assert list(made["ac.dcm"].ImageType) == ["DERIVED", "PRIMARY", "RECON TOMO", "EMISSION"]
    corrections = {name: list(np.atleast_1d(made[name].CorrectedImage)) for name in ("ac.dcm", "nac.dcm")}
    assert "ATTN" in corrections["ac.dcm"]
    assert "ATTN" not in corrections["nac.dcm"]
    codes = {name: [c.CodeMeaning for c in made[name].DerivationCodeSequence] for name in ("ac.dcm", "nac.dcm")}
    assert codes["ac.dcm"][-1] == "CT-based Attenuation Correction"
    assert codes["nac.dcm"][-1] == "No Attenuation Correction"
    ct = {ds.SOPInstanceUID for ds in objects(source / "ct").values()}
    for name, from_ct in (("ac.dcm", True), ("mu.dcm", True), ("nac.dcm", False)):
        assert (ct <= {i.ReferencedSOPInstanceUID for i in made[name].SourceImageSequence}) == from_ct
    mu, notes, _ = read_mu(folder / "mu.dcm")
    assert notes == ()
    assert mu.grid.shape == (32, 32, 32)
    nac, ac = (read_spect(folder / name)[0] for name in ("nac.dcm", "ac.dcm"))
    assert float(ac.values.sum() / nac.values.sum()) == pytest.approx(2, rel=1e-3)


def test_the_moved_ct_keeps_its_pixels_and_lies_where_the_registration_says(source, folder) -> None:
    before, after = objects(source / "ct"), objects(folder / "ct_moved")
    assert len(before) == len(after)
    for old, new in zip(before.values(), after.values(), strict=True):
        assert new.PixelData == old.PixelData
        assert new.SourceImageSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
        assert "pixel data unchanged" in new.DerivationDescription
        for keyword in ("RescaleSlope", "RescaleIntercept", "PixelSpacing", "KVP", "Manufacturer", "InstanceNumber"):
            assert new[keyword].value == old[keyword].value
    there, here = read_ct(source / "ct")[0].volume, read_ct(folder / "ct_moved")[0].volume
    for index in ((0, 0, 0), (63, 0, 0), (0, 47, 0), (0, 0, 59), (20, 30, 40)):
        np.testing.assert_allclose(POSE.apply(here.grid.points(index)), there.grid.points(index), atol=1e-6)
    np.testing.assert_array_equal(here.values, there.values)


def test_compressed_slices_stay_compressed_and_private_elements_stay_behind(copy, tmp_path) -> None:
    for path in (copy / "ct").iterdir():
        ds = pydicom.dcmread(path)
        ds.compress(RLELossless)
        ds.add_new(0x00110010, "LO", "SOMEBODY")
        ds.add_new(0x00111001, "LO", "where the table was")
        ds.SliceLocation, ds.DataCollectionCenterPatient = "12.5", [1, 2, 3]
        ds.save_as(path)
    results(copy, tmp_path / "dicom", moved_ct=True)
    for name, new in objects(tmp_path / "dicom" / "ct_moved").items():
        old = pydicom.dcmread(copy / "ct" / name)
        assert new.file_meta.TransferSyntaxUID == RLELossless
        assert new.PixelData == old.PixelData
        assert not any(element.tag.is_private for element in new.iterall())
        assert "SliceLocation" not in new
        assert "DataCollectionCenterPatient" not in new
        assert "SliceLocation" in old


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_pixel_bytes_are_those_of_the_file_in_any_byte_order(copy, tmp_path, syntax) -> None:
    for path in (copy / "ct").iterdir():
        ds = pydicom.dcmread(path)
        big = not syntax.is_little_endian
        if big:
            ds.PixelData = ds.pixel_array.astype(">i2").tobytes()
        ds.file_meta.TransferSyntaxUID = syntax
        encoding = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
        pydicom.dcmwrite(path, ds, force_encoding=True, **encoding)
    results(copy, tmp_path / "dicom", moved_ct=True)
    for name, new in objects(tmp_path / "dicom" / "ct_moved").items():
        assert new.file_meta.TransferSyntaxUID == syntax
        assert new.PixelData == pydicom.dcmread(copy / "ct" / name).PixelData
    there, here = (read_ct(where)[0].volume for where in (copy / "ct", tmp_path / "dicom" / "ct_moved"))
    np.testing.assert_array_equal(here.values, there.values)


def test_sources_that_break_rules_are_copied_as_they_are(copy, tmp_path) -> None:
    raw = (copy / "spect.dcm").read_bytes()
    (copy / "spect.dcm").write_bytes(
        raw.replace(b"ISO_IR 192", b"ISO_IR 100").replace(b"patient-0", b"M\xfcller-0X"[:9])
    )
    for path in (copy / "ct").iterdir():
        ds = pydicom.dcmread(path)
        with pydicom.config.disable_value_validation():
            ds.PatientID = pydicom.dcmread(copy / "spect.dcm").PatientID
            ds.ImageOrientationPatient = ["1.00000000000000000", "0", "0", "0", "1", "0"]
            ds.save_as(path)
    results(copy, tmp_path / "dicom", moved_ct=True)
    made = objects(tmp_path / "dicom")
    assert str(made["registration.dcm"].PatientName) == str(pydicom.dcmread(copy / "spect.dcm").PatientName)
    assert "ü" in str(made["report.dcm"].PatientName)


def test_the_report_is_one_frame_a_page(folder) -> None:
    report = objects(folder)["report.dcm"]
    assert report.SOPClassUID.name == "Multi-frame True Color Secondary Capture Image Storage"
    pages = np.random.default_rng(1).integers(0, 255, (2, 30, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(report.pixel_array, pages)
    assert list(report.PageNumberVector) == [1, 2]
    assert report.BurnedInAnnotation == "NO"
    assert report.PatientOrientation in ("", None)


def test_a_page_that_names_the_patient_says_so(source, tmp_path) -> None:
    template, page = pydicom.dcmread(source / "spect.dcm"), np.zeros((4, 5, 3), dtype=np.uint8)
    path = write_pages(Pages((page,), names_patient=True), tmp_path / "r.dcm", template=template, made_at=WHEN)
    report = pydicom.dcmread(path)
    assert report.BurnedInAnnotation == "YES"
    assert report.NumberOfFrames == 1
    with pytest.raises(UsageError, match="pages of several sizes"):
        Pages((page, page[:2]))


@pytest.mark.parametrize("decision", ["review", "aligned", "corrected", "refused"])
def test_each_series_begins_with_the_decision_and_warns_where_short_lists_still_show_it(
    source, tmp_path, decision
) -> None:
    results(source, tmp_path / "dicom", moved_ct=True, decision=decision)
    titles = {ds.SeriesDescription for ds in objects(tmp_path / "dicom").values()}
    assert len(titles) == 9, "every series has a description of its own"
    for title in titles:
        assert title.startswith(f"{decision.upper()} mureg ")
        assert len(title) <= 64, "LO"
        assert 0 < title.lower().find("research use") <= 24


def test_a_description_that_is_too_long_is_refused() -> None:
    with pytest.raises(UsageError, match="at most 64"):
        series_title("corrected", "x" * 60)


def test_images_that_a_reader_compares_are_stored_in_one_unit(folder) -> None:
    """The stored values of all images differ as the images do, whatever a program makes of mappings."""
    made = objects(folder)
    nac = made["nac.dcm"].pixel_array.astype(float)
    for name, factor in (("ac", 2), ("nac_filtered", 0.9), ("ac_header_filtered", 1.5), ("ac_filtered", 1.8)):
        np.testing.assert_allclose(made[f"{name}.dcm"].pixel_array, factor * nac, atol=0.51 * (1 + factor))


def test_filtered_images_name_their_filter_and_the_unregistered_map(folder) -> None:
    made = objects(folder)
    for name in ("nac_filtered.dcm", "ac_header_filtered.dcm", "ac_filtered.dcm"):
        assert "Filtered for display: Gaussian, FWHM 9 mm" in made[name].DerivationDescription
        assert made[name].DerivationCodeSequence[-1].CodeMeaning == "Gaussian blur"
        assert made[name].SeriesDescription.endswith("filtered")
    assert "map NOT reg" in made["ac_header_filtered.dcm"].SeriesDescription
    assert "map at the scanner position" in made["ac_header_filtered.dcm"].DerivationDescription
    assert "Filtered" not in made["ac.dcm"].DerivationDescription


@pytest.mark.parametrize(
    ("decision", "words"), [("review", "map NOT reg."), ("aligned", "map not moved"), ("by-hand", "map NOT reg.")]
)
def test_a_map_that_stays_is_nowhere_called_registered(source, tmp_path, decision, words) -> None:
    results(source, tmp_path / "dicom", ct_from_spect=RigidTransform.identity(), decision=decision, moved_ct=True)
    made = objects(tmp_path / "dicom")
    made["ct_moved"] = pydicom.dcmread(min((tmp_path / "dicom" / "ct_moved").iterdir()), stop_before_pixels=True)
    start = f"{decision.upper().replace('-', ' ')} mureg "
    for name, dataset in made.items():
        title = dataset.SeriesDescription
        assert title.startswith(start), name
        assert len(title) <= 64, name
        assert "registered" not in title, name
        assert "registered" not in str(dataset.get("DerivationDescription", "")), name
    assert words in made["ac.dcm"].SeriesDescription
    assert words in made["ac_filtered.dcm"].SeriesDescription
    assert words.removeprefix("map ") in made["mu.dcm"].SeriesDescription
    assert "map at the scanner position" in made["ac.dcm"].DerivationDescription
    assert "at the scanner position" in made["mu.dcm"].DerivationDescription
    assert made["registration.dcm"].SeriesDescription.endswith("CT NOT moved")
    assert made["ct_moved"].SeriesDescription.endswith("CT NOT moved")


def test_a_map_that_was_moved_is_called_registered(folder) -> None:
    made = objects(folder)
    for name in ("ac.dcm", "ac_filtered.dcm"):
        assert "map registered" in made[name].SeriesDescription
        assert "the registered map" in made[name].DerivationDescription
    assert made["registration.dcm"].SeriesDescription.endswith("CT to SPECT")


def test_nothing_is_made_up_where_there_is_no_study(source, tmp_path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), dtype=np.float32), np.eye(4)), tmp_path / "v.nii.gz")
    with pytest.raises(UsageError, match=r"v\.nii\.gz is NIfTI, which names no patient and no study"):
        dicom_inputs(tmp_path / "v.nii.gz", ct=source / "ct")
    with pytest.raises(UsageError, match="is NIfTI"):
        dicom_inputs(source / "spect.dcm", mu=tmp_path / "v.nii.gz")
    with pytest.raises(UsageError, match="exactly one"):
        dicom_inputs(source / "spect.dcm")


def test_two_patients_are_never_mixed(copy) -> None:
    for path in (copy / "ct").iterdir():
        change(path, PatientID="somebody else")
    with pytest.raises(RefusedError, match="2 different patients") as refusal:
        dicom_inputs(copy / "spect.dcm", ct=copy / "ct")
    assert "somebody" not in str(refusal.value)


def test_a_ready_map_is_registered_too_but_not_moved(source, folder, tmp_path) -> None:
    inputs = dicom_inputs(source / "spect.dcm", mu=folder / "mu.dcm")
    assert not inputs.from_ct
    with pytest.raises(UsageError, match="--moved-ct with a ready map"):
        check_dicom_folder(tmp_path / "dicom", inputs, moved_ct=True, overwrite=False)


def test_an_older_folder_is_replaced_whole_or_stays(copy, tmp_path) -> None:
    target = tmp_path / "dicom"
    results(copy, target, moved_ct=True)
    before = files_of(target)
    with pytest.raises(UsageError, match="exists already"):
        results(copy, target)
    inputs = dicom_inputs(copy / "spect.dcm", ct=copy / "ct")
    gone = replace(inputs.attenuation[-1], path=copy / "ct" / "gone.dcm")
    broken = replace(inputs, attenuation=(*inputs.attenuation[:-1], gone))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("support.dicom_study.dicom_inputs", lambda *_, **__: broken)
        with pytest.raises(UnreadableInputError):
            results(copy, target, moved_ct=True, overwrite=True)
    assert files_of(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "dicom"]
    results(copy, target, overwrite=True)
    assert set(files_of(target)) == {*NAMES, ".mureg"}


def test_a_full_disk_is_not_blamed_on_the_source(source, tmp_path) -> None:
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mureg.io.results.write_spatial_registration", full)
        with pytest.raises(UsageError, match="No space left on device"):
            results(source, tmp_path / "dicom")
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_are_never_removed(source, tmp_path) -> None:
    target = tmp_path / "dicom"
    results(source, target)
    (target / "notes.txt").write_text("mine")
    results(source, target, overwrite=True)
    assert set(files_of(target)) == {*NAMES, "notes.txt", ".mureg"}
    assert (target / "notes.txt").read_text() == "mine"
    (target / ".mureg").unlink()
    with pytest.raises(UsageError, match=r"dicom holds other things .* and no folder of DICOM results"):
        results(source, target, overwrite=True)
    assert set(files_of(target)) == {*NAMES, "notes.txt"}
    (target / "notes.txt").unlink()
    results(source, target, overwrite=True)  # as mureg 0.1.0 left it: nothing but its own files, without a marker
    assert set(files_of(target)) == {*NAMES, ".mureg"}


def test_the_pose_that_changes_nothing_moves_nothing(source, tmp_path) -> None:
    results(source, tmp_path / "dicom", RigidTransform.identity(), moved_ct=True)
    old, new = (read_ct(where)[0].volume.grid for where in (source / "ct", tmp_path / "dicom" / "ct_moved"))
    np.testing.assert_array_equal(old.affine, new.affine)
