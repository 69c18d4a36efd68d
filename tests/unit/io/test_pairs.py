"""Which SPECT belongs to which CT is written in a list or follows from headers; it is never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mureg.assessment.identity import require_one_patient
from mureg.batch.run import plan
from mureg.errors import MuregError, RefusedError, UnreadableInputError, UsageError
from mureg.files.marker import Marker, write_marker
from mureg.io import read_study, write_nifti
from mureg.io.dicom.files import find_series
from mureg.io.dicom.patient_identity import identity_of
from mureg.io.worklist.entry import require_name
from mureg.io.worklist.find import find_pairs
from support import dicom
from support.dicom_study import study
from support.tiny_cohort import tiny_case

FRAMES = np.ones((4, 8, 8))


@pytest.fixture
def data(tmp_path) -> Path:
    """Files that a list can name."""
    for name in ("a/spect.dcm", "a/ct/1.dcm", "b/spect.dcm", "b/ct/1.dcm", "b/mu.dcm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def listed(folder: Path, text: str, encoding: str = "utf-8"):
    (folder / "list.csv").write_bytes(text.encode(encoding))
    return find_pairs(folder / "list.csv")


class TestList:
    def test_each_line_is_a_study(self, data) -> None:
        one, two = listed(
            data, "name,spect,ct,mu,ct_series\nA 7,a/spect.dcm,a/ct,,\n\n  B é , b/spect.dcm ,,b/mu.dcm,AC\n"
        )
        assert (one.name, one.where, one.spect, one.ct, one.mu) == (
            "A 7", "line 2", data / "a/spect.dcm", data / "a/ct", None,
        )  # fmt: skip
        assert (two.name, two.where, two.mu, two.ct, two.ct_series) == ("B é", "line 4", data / "b/mu.dcm", None, "AC")
        assert two.inputs() == {"spect": "b/spect.dcm", "mu": "b/mu.dcm [AC]"}

    def test_as_spreadsheets_save_it(self, data) -> None:
        """Byte order mark, semicolons, capitals, columns in another order, cells too many or too few at the end."""
        text = "CT;Name;Spect;mu\r\na/ct;A;a/spect.dcm;;;\r\nb/ct;B;b/spect.dcm\r\n"
        assert [(p.name, p.ct) for p in listed(data, text, "utf-8-sig")] == [("A", data / "a/ct"), ("B", data / "b/ct")]

    def test_an_absolute_path(self, data, tmp_path_factory) -> None:
        elsewhere = tmp_path_factory.mktemp("lists")
        (pair,) = listed(elsewhere, f"name,spect,ct\nA,{data}/a/spect.dcm,{data}/a/ct\n")
        assert pair.ct == data / "a/ct"

    def test_without_names_studies_are_called_by_their_lines(self, data) -> None:
        (pair,) = listed(data, "spect,ct,patient,transform\na/spect.dcm,a/ct,p7,a/spect.dcm\n")
        assert (pair.name, pair.pseudonym, pair.transform) == ("line-2", "p7", data / "a" / "spect.dcm")
        with pytest.raises(UsageError, match="line 2 gives a transform"):
            plan([pair], data / "out", {})

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "list.csv is empty"),
            ("\n\n", "list.csv is empty"),
            ("name,spect,ct\n", "lists no studies"),
            ("name,spect,ct,colour\n", "line 1 of list.csv has a column 'colour'"),
            ("name,spect,ct,ct\n", "line 1 of list.csv has two columns 'ct'"),
            ("name,ct\n", "line 1 of list.csv has no column 'spect'"),
            ("name,spect\n", "line 1 of list.csv has neither a column 'ct' nor 'mu'"),
            ("name,spect,ct\nA,a/spect.dcm,a/ct,more\n", "line 2 of list.csv has 4 cells; expected 3"),
            ("name,spect,ct\n,a/spect.dcm,a/ct\n", "line 2 of list.csv has no name"),
            ("name,spect,ct\n../x,a/spect.dcm,a/ct\n", "line 2 of list.csv has the name '../x' with '/' in it"),
            ("name,spect,ct\n.x,a/spect.dcm,a/ct\n", "begins or ends with a dot"),
            (f"name,spect,ct\n{'é' * 51},a/spect.dcm,a/ct\n", "a name of 102 bytes"),
            ("name,spect,ct\nA,,a/ct\n", "line 2 of list.csv names no spect"),
            ("name,spect,ct,mu\nA,a/spect.dcm,,\n", "line 2 of list.csv names neither ct nor mu"),
            ("name,spect,ct,mu\nA,a/spect.dcm,a/ct,b/mu.dcm\n", "line 2 of list.csv names both ct and mu"),
            ("name,spect,ct\nA,c/spect.dcm,a/ct\n", "line 2 of list.csv: 'spect.dcm' does not exist, given as spect"),
            ("name,spect,ct\nA,a/spect.dcm,a/empty\n", "line 2 of list.csv: the folder 'empty' is empty, given as ct"),
            (
                "name,spect,ct\nA,a/spect.dcm,a/ct\n\na,b/spect.dcm,b/ct\n",
                "line 4 of list.csv has the name 'a', as line 2 has",
            ),
            ("name,spect,ct\nA,a/spect.dcm,\nB,,b/ct\nC,x,y\n", "neither ct nor mu (2 other lines with mistakes)"),
        ],
    )
    def test_a_mistake_is_said_with_its_line(self, text, said, data) -> None:
        (data / "a" / "empty").mkdir()
        with pytest.raises(UsageError) as refusal:
            listed(data, text)
        assert said in str(refusal.value)

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            (b"\xff\xfe\x00n\x01", "it is no text"),
            (b"name,spect,ct\nA,\0,b\n", "it is no text"),
            (b'name,spect,ct\nA,"a,b\n', "line 2: unexpected end of data"),
        ],
    )
    def test_what_is_no_list(self, written, said, data) -> None:
        (data / "list.csv").write_bytes(written)
        with pytest.raises(UnreadableInputError) as refusal:
            find_pairs(data / "list.csv")
        assert said in str(refusal.value)

    @given(st.binary(max_size=80) | st.text('name,spect,ct;mu"\n\r\té/. ', max_size=80).map(str.encode), st.booleans())
    def test_whatever_it_holds_it_is_read_or_refused(self, tmp_path_factory, rest, headed) -> None:
        path = tmp_path_factory.getbasetemp() / "any.csv"
        path.write_bytes(b"name,spect,ct\n" * headed + rest)
        try:
            lines = [str(pair.name) for pair in find_pairs(path)]
        except MuregError as refusal:
            lines = [str(refusal)]
        assert lines
        assert all(len(line.splitlines()) == 1 for line in lines)

    def test_no_file(self, tmp_path) -> None:
        with pytest.raises(UnreadableInputError, match="does not exist"):
            find_pairs(tmp_path / "list.csv")


@pytest.mark.parametrize("name", ["p1", "Ünal", "a b", "2026-01-02_rest", "-x", "(1)"])
def test_names_that_are_well(name) -> None:
    require_name(name, "here")


class TestFingerprint:
    def test_it_knows_other_files(self, data) -> None:
        (before,) = listed(data, "name,spect,ct\nA,a/spect.dcm,a/ct\n")
        sign = before.fingerprint()
        assert sign == before.fingerprint()
        (other,) = listed(data, "name,spect,ct\nA,b/spect.dcm,b/ct\n")
        assert other.fingerprint() != sign
        (chosen,) = listed(data, "name,spect,ct,ct_series\nA,a/spect.dcm,a/ct,4\n")
        assert chosen.fingerprint() != sign
        (data / "a/ct/2.dcm").write_bytes(b"y")
        assert before.fingerprint() != sign

    def test_it_travels_with_the_list(self, data, tmp_path_factory) -> None:
        (before,) = listed(data, "name,spect,ct\nA,a/spect.dcm,a/ct\n")
        sign = before.fingerprint()
        there = tmp_path_factory.mktemp("other") / "place"
        data.rename(there)
        (after,) = find_pairs(there / "list.csv")
        assert after.fingerprint() == sign


def spect(path: Path, *, kind: str = "TOMO", source: str = "EMISSION", **elements) -> Path:
    """An NM object that says what it is; its pixels are never looked at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return dicom.write_nm(path, FRAMES, dicom.tomo_vectors(4), kind=kind, source=source, **elements)


def ct(folder: Path, series: str, *, of_study: str = "study", patient: str = "T1") -> Path:
    for file in dicom.write_ct(folder, dicom.chest_like(), series=series, description=series):
        dicom.change(file, StudyInstanceUID=dicom.uid(of_study), PatientID=patient)
    return folder


class TestFolder:
    def test_a_subfolder_with_one_spect_and_one_ct_is_a_study(self, tmp_path) -> None:
        study(tmp_path / "p1")
        spect(tmp_path / "p2" / "deep" / "s2.dcm")
        ct(tmp_path / "p2" / "deep" / "er", "ct2")
        spect(tmp_path / "p2" / "static.dcm", kind="STATIC")
        (tmp_path / "notes").mkdir()
        (tmp_path / "notes" / "read.txt").write_text("nothing of ours")
        (tmp_path / ".hidden").mkdir()
        one, two = find_pairs(tmp_path)
        assert (one.name, one.inputs()) == ("p1", {"spect": "p1/spect.dcm", "ct": "p1/ct"})
        assert (two.name, two.inputs()) == ("p2", {"spect": "p2/deep/s2.dcm", "ct": "p2/deep/er"})
        assert not one.problem + two.problem
        read = read_study(one.spect, ct=one.ct)
        assert read.spect.n_views == tiny_case(0).study.spect.n_views

    def test_a_map_where_there_is_no_ct(self, tmp_path) -> None:
        spect(tmp_path / "p1" / "s.dcm")
        spect(tmp_path / "p1" / "m.dcm", kind="RECON TOMO", source="TRANSMISSION")
        (pair,) = find_pairs(tmp_path)
        assert pair.inputs() == {"spect": "p1/s.dcm", "mu": "p1/m.dcm"}

    @pytest.mark.parametrize(
        ("what", "said"),
        [
            ("no ct", "folder p1 holds 1 SPECT and no CT; expected one SPECT and one CT, or times"),
            ("no spect", "folder p1 holds no SPECT and 1 CT"),
            ("two spects", "folder p1 holds 2 SPECT ('s' (number 7, NM, 1 file, UID ..."),
            ("two cts", "and 2 CT ('one' (number 3, CT, 6 files, UID ..."),
            ("niftis", "'p1' holds NIfTI files, which do not say whether they are SPECT or CT"),
        ],
    )
    def test_what_is_ambiguous_is_said_and_not_guessed(self, what, said, tmp_path) -> None:
        folder = tmp_path / "p1"
        if what == "niftis":
            folder.mkdir()
            write_nifti(tiny_case(0).truth.mu, folder / "mu.nii.gz")
        if what not in ("no spect", "niftis"):
            spect(folder / "s.dcm")
        if what == "two spects":
            spect(folder / "t.dcm")
        if what not in ("no ct", "niftis"):
            ct(folder / "ct", "one")
        if what == "two cts":
            ct(folder / "ct2", "two")
        study(tmp_path / "p2")
        pair, fine = find_pairs(tmp_path)
        assert (pair.name, pair.spect, pair.ct, pair.exit_code) == ("p1", None, None, 4)
        assert said in pair.problem
        assert not fine.problem

    def test_two_patients_in_a_folder_of_their_own_are_left_to_the_safety_checks(self, tmp_path) -> None:
        """Copies may carry different identifiers of one person; `mureg.prepare` compares names and birth dates too."""
        spect(tmp_path / "p1" / "s.dcm")
        ct(tmp_path / "p1" / "ct", "one", patient="T2")
        (pair,) = find_pairs(tmp_path)
        assert pair.inputs() == {"spect": "p1/s.dcm", "ct": "p1/ct"}
        patients = [identity_of(find_series(place)[0].files) for place in (pair.spect, pair.ct)]
        with pytest.raises(RefusedError, match="name different patients"):
            require_one_patient(*patients)

    @pytest.mark.parametrize("loose", [False, True])
    def test_more_than_one_study_is_told_apart_by_dicom(self, loose, tmp_path) -> None:
        """Rest and stress of one patient, in one subfolder or loose in the folder itself; the stress CT is missing."""
        folder = tmp_path if loose else tmp_path / "p1"
        for which in ("rest", "stress", "late"):
            spect(folder / f"{which}.dcm", StudyInstanceUID=dicom.uid(which))
        for which in ("rest", "late"):
            for file in ct(folder / "sub", which, of_study=which).iterdir():
                file.rename(folder / f"{which}-{file.name}")
        (folder / "sub").rmdir()
        pairs = {pair.name: pair for pair in find_pairs(tmp_path)}
        names = {
            which: f"{folder.name}-{dicom.uid(which)[-8:].replace('.', '-')}" for which in ("rest", "stress", "late")
        }
        assert set(pairs) == set(names.values())
        assert "1 SPECT and no CT" in pairs[names["stress"]].problem
        for which in ("rest", "late"):
            pair = pairs[names[which]]
            assert pair.spect == folder / f"{which}.dcm"
            assert (pair.ct, pair.ct_series) == (folder, dicom.uid(which))

    def test_two_patients_under_one_study_are_told_apart(self, tmp_path) -> None:
        for patient in ("T1", "T2"):
            spect(tmp_path / "p" / f"{patient}.dcm", PatientID=patient)
            ct(tmp_path / "p" / patient, f"ct {patient}", patient=patient)
        assert [(pair.spect.stem, pair.ct.name) for pair in find_pairs(tmp_path)] == [("T1", "T1"), ("T2", "T2")]

    def test_an_identifier_is_no_path(self, tmp_path) -> None:
        """A study UID that somebody wrote with slashes names no folder elsewhere."""
        for k in range(2):
            path = spect(tmp_path / "p" / f"{k}.dcm")
            content = path.read_bytes()
            uid = dicom.uid("study").encode()
            bad = f"../../../x\n{k}".encode().rjust(len(uid), b".")
            path.write_bytes(content.replace(uid, bad))
        assert [pair.name for pair in find_pairs(tmp_path)] == ["p-x-0", "p-x-1"]
        assert all(pair.where.isprintable() for pair in find_pairs(tmp_path))

    def test_two_studies_of_one_name(self, tmp_path) -> None:
        for which in ("late", "stress"):
            spect(tmp_path / "p" / f"{which}.dcm", StudyInstanceUID=f"1.2.3.4.5000{len(which) - 3}")
        spect(tmp_path / "p-4-50001" / "s.dcm")
        with pytest.raises(UsageError, match="would be called 'p-4-50001' and 'p-4-50001'; expected names that differ"):
            find_pairs(tmp_path)

    def test_names_that_differ_in_capitals_alone(self, tmp_path) -> None:
        study(tmp_path / "A")
        study(tmp_path / "a")
        with pytest.raises(UsageError, match="would be called 'A' and 'a'; expected names that differ in more"):
            find_pairs(tmp_path)

    def test_a_name_that_no_windows_disk_can_hold(self, tmp_path) -> None:
        study(tmp_path / "aux.1")
        (pair,) = find_pairs(tmp_path)
        assert "the name 'aux.1', which is a device on Windows" in pair.problem

    def test_results_are_no_studies(self, tmp_path) -> None:
        study(tmp_path / "p1")
        for name in ("out", "earlier"):
            study(tmp_path / name / "dicom")
        (tmp_path / "earlier" / "batch.json").touch()
        write_marker(tmp_path / "out", Marker("registration", "0.1.0"))
        assert [pair.name for pair in find_pairs(tmp_path)] == ["p1"]

    def test_nothing_there(self, tmp_path) -> None:
        (tmp_path / "p1").mkdir()
        (tmp_path / "p1" / "a.txt").write_text("a")
        with pytest.raises(
            UnreadableInputError, match="holds no SPECT and no CT; expected a folder with one subfolder"
        ):
            find_pairs(tmp_path)
