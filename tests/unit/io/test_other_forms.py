"""Archives, text encodings, transforms and pairs in the forms that hospitals have them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zipfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from mureg.attenuation.hu_to_mu import choose_conversion
from mureg.attenuation.maps import AttenuationMap
from mureg.cli.algorithms import algorithms_from
from mureg.errors import GeometryError, UnreadableInputError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.io import read_ct, read_spect, read_study, read_transform
from mureg.io.dicom import archives
from mureg.io.dicom.registration_write import write_spatial_registration
from mureg.io.worklist.find import find_pairs
from support.dicom import (
    change,
    chest_like,
    detector,
    item,
    project_point,
    rotation,
    tomo_vectors,
    uid,
    write_ct,
    write_nm,
)

pytestmark = pytest.mark.filterwarnings("error")
MOVE = RigidTransform.from_six((12.0, -7.0, 25.0), (4.0, -6.0, 9.0), (30.0, -40.0, 50.0))
ANGLES = [225 - 6 * k for k in range(8)]


def tomo(path: Path, *, windows: int = 1, vectors=None, counts=(100, 101), turns: int = 1, **elements) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_nm(
        path,
        np.concatenate([project_point((20, -10, 15), ANGLES, counts=counts[k]) for k in range(windows)]),
        vectors or tomo_vectors(8, windows=windows),
        detectors=[detector(225)],
        rotations=[rotation(225, 6, 8, sense="CW") for _ in range(turns)],
        windows=((126.5, 154.5), (114, 126))[:windows],
        **elements,
    )


@pytest.mark.parametrize("windows_too", [True, False])
def test_energy_windows_that_are_counted_as_rotations(windows_too, tmp_path) -> None:
    plain = read_spect(tomo(tmp_path / "a.dcm", windows=2))[0]
    vectors = tomo_vectors(8, windows=2)
    vectors["RotationVector"] = list(vectors["EnergyWindowVector"])
    if not windows_too:
        vectors["EnergyWindowVector"] = [1] * 16
    odd = read_spect(tomo(tmp_path / "b.dcm", windows=2, vectors=vectors))[0]
    np.testing.assert_array_equal(odd.counts, plain.counts)
    np.testing.assert_array_equal(odd.angles_deg, plain.angles_deg)
    assert any("RotationVector counts the 2 energy windows" in note for note in odd.notes)


@pytest.mark.parametrize("second", [25, 101])
def test_windows_that_are_counted_as_rotations_described_twice(second, tmp_path) -> None:
    """EnergyWindowVector is 1 throughout, and both rotations are described alike: their counts decide, or nothing."""
    vectors = tomo_vectors(8, windows=2)
    plain = tomo(tmp_path / "a.dcm", windows=2, counts=(100, second))
    vectors["RotationVector"], vectors["EnergyWindowVector"] = list(vectors["EnergyWindowVector"]), [1] * 16
    odd = tomo(tmp_path / "b.dcm", windows=2, vectors=vectors, counts=(100, second), turns=2)
    if second == 101:
        with pytest.raises(UnreadableInputError, match="2 rotations that do not differ and of one energy window"):
            read_spect(odd)
        return
    acquisition = read_spect(odd)[0]
    np.testing.assert_array_equal(acquisition.counts, read_spect(plain)[0].counts)
    assert float(acquisition.photopeak_counts.sum()) == 8 * 100
    assert any("do not differ, their counts do" in note for note in acquisition.notes)


def test_a_window_that_is_described_and_has_no_frames_is_mentioned(tmp_path) -> None:
    path = tomo(tmp_path / "a.dcm")
    other = item(EnergyWindowRangeSequence=[item(EnergyWindowLowerLimit=114, EnergyWindowUpperLimit=126)])
    change(path, EnergyWindowInformationSequence=[*pydicom.dcmread(path).EnergyWindowInformationSequence, other])
    acquisition = read_spect(path)[0]
    assert [(w.lower_kev, w.upper_kev) for w in acquisition.windows] == [(126.5, 154.5)]
    assert any("2 energy windows are described and the frames are of the first" in note for note in acquisition.notes)


class TestArchives:
    def test_a_zip_file_is_read_and_leaves_nothing(self, tmp_path, tmp_path_factory, monkeypatch) -> None:
        scratch = tmp_path_factory.mktemp("scratch")
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
        write_ct(tmp_path / "in" / "ct", chest_like())
        tomo(tmp_path / "in" / "spect.dcm")
        packed = shutil.make_archive(str(tmp_path / "study"), "zip", tmp_path / "in")
        study = read_study(packed, ct=packed)
        plain = read_ct(tmp_path / "in")[0].volume
        np.testing.assert_array_equal(study.attenuation.volume.values, plain.values)
        assert list(scratch.iterdir()) == []
        shutil.rmtree(tmp_path / "in")
        (pair,) = find_pairs(tmp_path)
        assert (pair.name, pair.problem) == ("study", "")
        assert read_study(pair.spect, ct=pair.ct, spect_series=pair.spect_series, ct_series=pair.ct_series)

    @pytest.mark.parametrize("name", ["../x.dcm", "/x.dcm", "a/../../x.dcm", "..\\x.dcm", "C:x.dcm"])
    def test_no_name_leads_out(self, name, tmp_path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(name, b"x")
        with pytest.raises(UnreadableInputError, match="leads out of it"):
            read_ct(tmp_path / "a.zip")
        assert not (tmp_path.parent / "x.dcm").exists()

    def test_bounds(self, tmp_path, monkeypatch) -> None:
        with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("zeros", bytes(2**25))
        with pytest.raises(UnreadableInputError, match="100 times its size"):
            read_ct(tmp_path / "bomb.zip")
        monkeypatch.setattr(archives, "MOST_ENTRIES", 3)
        with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
            for k in range(4):
                archive.writestr(str(k), b"x")
        with pytest.raises(UnreadableInputError, match="has 4 files"):
            read_ct(tmp_path / "many.zip")

    def test_a_dicomdir_leads_to_its_images(self, tmp_path) -> None:
        """Written by pydicom's FileSet; the index itself is given, and an unlisted series beside it is not read."""
        from pydicom.fileset import FileSet

        files = write_ct(tmp_path / "src", chest_like())
        fileset = FileSet()
        for file in files:
            ds = pydicom.dcmread(file)
            ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260101", "120000", "1", ""
            fileset.add(ds)
        fileset.write(tmp_path / "disk")
        fileset._stage["t"].cleanup()
        write_ct(tmp_path / "disk" / "other", chest_like(), series="unlisted")
        volume = read_ct(tmp_path / "disk" / "DICOMDIR")[0].volume
        np.testing.assert_array_equal(volume.values, chest_like().transpose(2, 1, 0))

    @pytest.mark.skipif(shutil.which("dcmmkdir") is None, reason="dcmtk (dcmmkdir) is not installed")
    @pytest.mark.parametrize("given", ["DICOMDIR", "."])
    def test_a_dicomdir_made_by_dcmtk(self, given, tmp_path) -> None:
        """The media of an archive: names of eight capitals in folders, no suffix, a CT and projections in one index."""
        disk = tmp_path / "disk"
        (disk / "IMAGES" / "CT").mkdir(parents=True)
        for k, file in enumerate(write_ct(tmp_path / "src", chest_like(), order=[3, 0, 5, 1, 4, 2])):
            self.for_media(file)
            shutil.move(file, disk / "IMAGES" / "CT" / f"IM{k:06d}")
        self.for_media(tomo(tmp_path / "spect.dcm"))
        shutil.move(tmp_path / "spect.dcm", disk / "IMAGES" / "NM000000")
        options = ["+r", "--general-purpose", "--invent", "+D", "DICOMDIR", "+id", "."]
        made = subprocess.run(["dcmmkdir", *options], cwd=disk, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        index = pydicom.dcmread(disk / "DICOMDIR")
        assert sum(record.DirectoryRecordType == "IMAGE" for record in index.DirectoryRecordSequence) == 7
        volume = read_ct(disk / given)[0].volume
        np.testing.assert_array_equal(volume.values, chest_like().transpose(2, 1, 0))
        assert read_spect(disk / given)[0].n_views == 8

    def for_media(self, file: Path) -> None:
        own = {"StudyDate": "20260101", "StudyTime": "120000", "StudyID": "1", "AccessionNumber": ""}
        number = {"InstanceNumber": 1} if "InstanceNumber" not in pydicom.dcmread(file) else {}
        change(file, **own, **number)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_lists_and_settings_in_every_encoding_of_windows(encoding, tmp_path) -> None:
    write_ct(tmp_path / "Bäume", chest_like())
    tomo(tmp_path / "spect.dcm")
    (tmp_path / "list.csv").write_bytes("name;spect;ct\r\nMüller é;spect.dcm;Bäume\r\n".encode(encoding))
    (pair,) = find_pairs(tmp_path / "list.csv")
    assert (pair.name, pair.ct) == ("Müller é", tmp_path / "Bäume")
    text = '# Grüße\r\n[reconstructor]\r\nkind = "osem"\r\niterations = 3\r\n'
    (tmp_path / "s.toml").write_bytes(text.encode(encoding))
    assert algorithms_from(tmp_path / "s.toml").reconstructor.iterations == 3


class TestTransforms:
    def check(self, path: Path, word: str) -> None:
        found = read_transform(path)
        np.testing.assert_allclose(found.ct_from_spect.matrix, MOVE.matrix, atol=1e-6)
        assert word in found.note

    def test_dicom_maps_each_item_into_the_registered_frame(self, tmp_path) -> None:
        ct, nm = write_ct(tmp_path / "ct", chest_like())[0], tomo(tmp_path / "s.dcm")
        path = write_spatial_registration(
            MOVE,
            tmp_path / "r.dcm",
            spect=[pydicom.dcmread(nm)],
            ct=[pydicom.dcmread(ct)],
            frame_of_reference="1.2.3",
            made_at=datetime(2026, 1, 1),
        )
        self.check(path, "DICOM Spatial Registration")
        ds = pydicom.dcmread(path)
        # the same relation seen from the CT: SPECT moves, CT stays; and the items the other way round
        spect, ct_item = ds.RegistrationSequence
        for side, matrix in ((spect, MOVE.matrix), (ct_item, np.eye(4))):
            listed = side.MatrixRegistrationSequence[0].MatrixSequence[0]
            listed.FrameOfReferenceTransformationMatrix = [f"{v:.12g}" for v in matrix.ravel()]
        ds.RegistrationSequence = [ct_item, spect]
        ds.save_as(path)
        self.check(path, "DICOM Spatial Registration")
        for side in ds.RegistrationSequence:
            del side.ReferencedImageSequence
        ds.save_as(path)
        with pytest.raises(UnreadableInputError, match="0 name SPECT and 0 CT"):
            read_transform(path)

    @pytest.mark.parametrize("zyx", ["false", "true"])
    def test_elastix(self, zyx, tmp_path) -> None:
        """SimpleITK's Euler transform with the same angles, centre and order of rotations is the referee."""
        theirs = sitk.Euler3DTransform((30.0, -40.0, 50.0), 0.1, -0.2, 0.3, (12.0, -7.0, 25.0))
        theirs.SetComputeZYX(zyx == "true")
        (tmp_path / "TransformParameters.0.txt").write_text(
            '(Transform "EulerTransform")\n(NumberOfParameters 6)\n(TransformParameters 0.1 -0.2 0.3 12 -7 25)\n'
            '(InitialTransformParametersFileName "NoInitialTransform")\n(CenterOfRotationPoint 30 -40 50)\n'
            f'(ComputeZYX "{zyx}")\n'
        )
        found = read_transform(tmp_path / "TransformParameters.0.txt")
        for point in ((0.0, 0.0, 0.0), (100.0, -20.0, 7.0)):
            assert found.ct_from_spect.apply(point) == pytest.approx(theirs.TransformPoint(point), abs=1e-9)
        assert "elastix" in found.note

    def test_plain_numbers(self, tmp_path) -> None:
        path = tmp_path / "m.txt"
        np.savetxt(path, MOVE.matrix)
        self.check(path, "does not say its direction")
        np.savetxt(path, MOVE.matrix.T)
        with pytest.raises(GeometryError, match="translation in the last row"):
            read_transform(path)
        np.savetxt(path, MOVE.matrix, fmt="%.4f", delimiter=",")
        assert np.abs(read_transform(path).ct_from_spect.matrix - MOVE.matrix).max() < 1e-3


def test_a_map_is_never_called_a_ct() -> None:
    """A narrow map and a narrow CT are each called what they are."""
    tissue = np.zeros((40, 30, 20))
    tissue[:, 3:-3] = 0.15
    for values, quantity, word in (
        (tissue, Quantity.MU_PER_CM, "attenuation map"),
        (np.where(tissue > 0, 40.0, -1000.0), Quantity.HU, "CT"),
    ):
        volume = Volume.from_numpy(values, Grid((40, 30, 20), np.diag([8.0, 8.0, 8.0, 1.0])), quantity)
        notes = AttenuationMap().prepare(volume, choose_conversion("", "", 120.0)[0]).notes
        assert any(f"wider than the field of the {word}:" in note for note in notes)
        assert quantity is Quantity.HU or not any("CT" in note for note in notes)


class TestPairs:
    def day(self, folder: Path, frames=("a", "b"), times=True) -> None:
        """Stress and rest of one day in one DICOM study, each with its CT, and a reconstruction beside the stress."""
        for phase, hour, frame in (("stress", 9, frames[0]), ("rest", 12, frames[1])):
            common = {"FrameOfReferenceUID": uid(frame)} if frame else {}
            at = {"AcquisitionDate": "20260101", "AcquisitionTime": f"{hour:02d}0000"} if times else {}
            tomo(folder / f"{phase}.dcm", SeriesDescription=f"MYO {phase.upper()}", **common, **at)
            late = {"AcquisitionDate": "20260101", "AcquisitionTime": f"{hour:02d}2500"} if times else {}
            own = common or {"FrameOfReferenceUID": uid("ct", phase)}
            for file in write_ct(folder / f"ct-{phase}", chest_like(), series=phase):
                change(file, **own, **late)
        tomo(folder / "recon.dcm", kind="RECON TOMO", **({"FrameOfReferenceUID": uid(frames[0])} if frames[0] else {}))

    def test_by_frame_of_reference(self, tmp_path) -> None:
        self.day(tmp_path / "p", times=False)
        pairs = {pair.name: pair for pair in find_pairs(tmp_path)}
        assert set(pairs) == {"p-stress", "p-rest"}
        for phase in ("stress", "rest"):
            pair = pairs[f"p-{phase}"]
            assert (pair.spect.name, pair.ct.name, pair.how) == (
                f"{phase}.dcm",
                f"ct-{phase}",
                "by frame of reference",
            )
        assert len({pair.patient for pair in pairs.values()}) == 1

    def test_by_time_where_frames_do_not_tell(self, tmp_path) -> None:
        self.day(tmp_path / "p", frames=("same", "same"))
        pairs = {pair.name: pair for pair in find_pairs(tmp_path)}
        assert {name: pair.ct.name for name, pair in pairs.items()} == {"p-stress": "ct-stress", "p-rest": "ct-rest"}
        assert "25 minutes apart" in pairs["p-rest"].how

    def test_no_guess_without_times(self, tmp_path) -> None:
        self.day(tmp_path / "p", frames=("same", "same"), times=False)
        (pair,) = find_pairs(tmp_path)
        assert "holds 2 SPECT" in pair.problem

    def test_an_hour_apart_is_warned_of_with_both_times(self, tmp_path) -> None:
        self.day(tmp_path / "p")
        far = read_study(tmp_path / "p" / "stress.dcm", ct=tmp_path / "p" / "ct-rest")
        assert any("2026-01-01 09:00" in n and "2026-01-01 12:25" in n and "205 minutes" in n for n in far.notes)
        near = read_study(tmp_path / "p" / "rest.dcm", ct=tmp_path / "p" / "ct-rest")
        assert not any("apart" in n for n in near.notes)
