"""What this program wrote is no input of it; what is corrected already is refused; text is read as its bytes are."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from mureg.cli import main as command_line
from mureg.errors import GeometryError, RefusedError, UnitsError
from mureg.io import dicom_inputs, inspect, read_ct, read_mu, read_spect, read_study
from mureg.io.dicom.derived import written_here
from mureg.io.patient_label import patient_label
from mureg.io.worklist.find import find_pairs
from mureg.notes import Rank, rank_of
from support import dicom
from support.dicom import chest_like, detector, project_point, rotation, tomo_vectors, write_ct, write_nm


def by_mureg(path, description="mureg CT moved onto SPECT, research use only") -> None:
    """Mark an object as the moved CT is marked: the scanner stays its maker, mureg is contributing equipment."""
    ds = pydicom.dcmread(path)
    here = Dataset()
    here.Manufacturer, here.ManufacturerModelName = "mureg", "mureg"
    ds.ContributingEquipmentSequence = [here]
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    ds.SeriesDescription = description
    ds.save_as(path)


@pytest.fixture
def archive(tmp_path):
    """A SPECT, its CT, and the CT that was moved onto it and sent back, one folder."""
    (tmp_path / "in").mkdir()
    frames = project_point((5, 5, 5), [225 - 6 * k for k in range(8)])
    write_nm(
        tmp_path / "in" / "spect.dcm",
        frames,
        tomo_vectors(8),
        detectors=[detector(225)],
        rotations=[rotation(225, 6, 8, sense="CW")],
    )
    write_ct(tmp_path / "in" / "ct", chest_like(), series="ct", number=3)
    for path in write_ct(tmp_path / "in" / "moved", chest_like(), series="moved", number=906):
        by_mureg(path)
    return tmp_path / "in"


def test_the_moved_ct_is_left_out_and_counted(archive) -> None:
    study = read_study(archive / "spect.dcm", ct=archive)
    assert "1 CT series that mureg wrote was left out" in study.attenuation.notes
    used = dicom_inputs(archive / "spect.dcm", ct=archive).attenuation
    assert not any(written_here(file.header) for file in used)


@pytest.mark.parametrize("how", ["by number", "by folder"])
def test_it_is_refused_where_it_is_chosen_unless_asked_for(archive, how) -> None:
    given = {"ct": archive, "ct_series": "906"} if how == "by number" else {"ct": archive / "moved"}
    with pytest.raises(RefusedError, match=r"'mureg CT moved onto SPECT.*' was written by mureg") as refusal:
        read_study(archive / "spect.dcm", **given)
    assert "--allow-derived" in refusal.value.remedy
    study = read_study(archive / "spect.dcm", **given, allow_derived=True)
    assert rank_of(study.attenuation.notes[0]) is Rank.CHANGES_ANSWER
    assert "was written by mureg" in study.attenuation.notes[0]


def test_the_command_line_says_so_too(archive, tmp_path, capfd) -> None:
    arguments = ["--spect", str(archive / "spect.dcm"), "--ct", str(archive / "moved"), "-o", str(tmp_path / "out")]
    assert command_line(["register", *arguments, "--threads", "1"]) == 3
    assert "was written by mureg" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_results_sent_back_is_one_study(archive) -> None:
    (pair,) = find_pairs(archive.parent)
    assert pair.problem == ""
    study = read_study(pair.spect, ct=pair.ct, ct_series=pair.ct_series)
    assert not any(rank_of(note) is Rank.CHANGES_ANSWER for note in study.attenuation.notes)


@pytest.mark.parametrize(
    ("elements", "own"),
    [
        ({"Manufacturer": "mureg", "ManufacturerModelName": "mureg"}, True),
        ({"SoftwareVersions": "mureg 0.1.0, research use only"}, True),
        ({"Manufacturer": "mureg", "ManufacturerModelName": ""}, False),  # a camera that was simulated
        ({"Manufacturer": "GE", "SoftwareVersions": ["07MW18.4", "mureglike"]}, False),
    ],
)
def test_what_marks_a_result(elements, own) -> None:
    header = Dataset()
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    assert written_here(header) == own


def test_another_derived_ct_gets_a_note(archive) -> None:
    for path in (archive / "ct").iterdir():
        dicom.change(path, ImageType=["DERIVED", "PRIMARY", "AXIAL"], DerivationDescription="MPR")
    notes = read_ct(archive / "ct")[0].notes
    assert any("called DERIVED (ImageType) ('MPR')" in note for note in notes)
    assert not any(rank_of(note) is Rank.CHANGES_ANSWER for note in notes)


def reconstruction(path, **elements):
    values = np.zeros((6, 8, 8), dtype=np.uint16)
    values[1:-1, 1:-1, 1:-1] = 900
    place = dicom.item(ImagePositionPatient=[-20, -20, 10], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    vectors = {"SliceVector": list(range(1, 7))}
    return write_nm(path, values, vectors, kind="RECON TOMO", detectors=[place], SpacingBetweenSlices=-5, **elements)


@pytest.mark.parametrize("elements", [{"CorrectedImage": ["DECY", "ATTN"]}, {"AttenuationCorrectionMethod": "CTAC"}])
def test_a_corrected_spect_is_refused_unless_allowed_and_then_said_first(archive, elements, capfd) -> None:
    path = reconstruction(archive / "ac.dcm", **elements)
    with pytest.raises(RefusedError, match="already corrected for attenuation"):
        read_study(path, ct=archive / "ct")
    study = read_study(path, ct=archive / "ct", allow_corrected_spect=True)
    assert rank_of(study.notes[0]) is Rank.CHANGES_ANSWER
    assert "already corrected" in study.notes[0]
    assert any("already corrected" in note for note in inspect(path).found[0].notes)
    arguments = ["--spect", str(path), "--ct", str(archive / "ct"), "-o", str(archive.parent / "out")]
    assert command_line(["register", *arguments, "--threads", "1"]) == 3
    assert "--allow-corrected-spect" in capfd.readouterr().err
    reconstruction(archive / "nac.dcm", CorrectedImage=["DECY", "SCAT"])
    assert read_study(archive / "nac.dcm", ct=archive / "ct").notes == ()


def test_positions_against_the_spacing_between_slices(tmp_path) -> None:
    def notes(name, **elements):
        for path in write_ct(tmp_path / name, chest_like()):
            dicom.change(path, **elements)
        return " ".join(read_ct(tmp_path / name)[0].notes)

    def located(name, step_mm, **elements):
        files = write_ct(tmp_path / name, chest_like())
        for k, path in enumerate(files):
            dicom.change(path, SliceLocation=k * step_mm, SliceThickness=None, **elements)
        return " ".join(read_ct(tmp_path / name)[0].notes)

    assert notes("same", SpacingBetweenSlices=-2.5) == ""
    assert "SliceThickness agrees with the positions" in notes("thick", SpacingBetweenSlices=1.25)
    assert "SliceLocation agrees with the positions" in located("located", -2.5, SpacingBetweenSlices=1.25)
    with pytest.raises(GeometryError, match=r"is 1\.25 mm but its positions lie 2\.5 mm apart"):
        located("other", 1.25, SpacingBetweenSlices=1.25)
    with pytest.raises(GeometryError, match="positions lie"):
        notes("none", SpacingBetweenSlices=1.25, SliceThickness=None)
    assert "were left out" in notes("gaps", SliceThickness=1.0)


def test_real_world_values_of_a_ct_against_rescale(tmp_path) -> None:
    def ct(name, rescale, mapped, unit="[hnsf'U]"):
        mapping = dicom.item(RealWorldValueSlope=mapped[0], RealWorldValueIntercept=mapped[1])
        mapping.MeasurementUnitsCodeSequence = [dicom.coded(unit, "HU", "UCUM")]
        for path in write_ct(tmp_path / name, chest_like()):
            dicom.change(
                path,
                RescaleSlope=rescale[0],
                RescaleIntercept=rescale[1],
                RealWorldValueMappingSequence=[mapping],
            )
        read = read_ct(tmp_path / name)[0]
        return float(read.volume.values.min()), " ".join(read.notes)

    assert ct("same", (1, -1024), (1, -1024)) == (-1000.0, "")
    lowest, notes = ct("rescale", (1, -1024), (1, 0))
    assert (lowest, "decide for the rescale values" in notes) == (-1000.0, True)
    lowest, notes = ct("mapping", (1, 0), (1, -1024))
    assert (lowest, "decide for the mapping" in notes) == (-1000.0, True)
    assert ct("density", (1, -1024), (0.001, 0), "g/ml") == (-1000.0, "")
    with pytest.raises(UnitsError, match="do not decide between them"):
        ct("both", (1, -1024), (1, -1020))


NAME = "Müller^Jörg"


@pytest.mark.parametrize(
    ("declared", "encoding", "words"),
    [
        ("ISO_IR 100", "utf-8", "its text is in UTF-8 by its bytes"),
        (None, "utf-8", "declares no character set, but its text is in UTF-8"),
        ("ISO_IR 192", "utf-8", ""),
        ("ISO_IR 100", "latin-1", ""),
        (None, "latin-1", "read as Western European"),
        ("ISO_IR 192", "latin-1", "holds text that is none"),
    ],
)
def test_declared_against_decoded_character_set(archive, declared, encoding, words) -> None:
    path = archive / "spect.dcm"
    ds = pydicom.dcmread(path)
    if declared:
        ds.SpecificCharacterSet = declared
    ds.PatientName = "X" * len(NAME.encode(encoding))
    ds.save_as(path)
    raw = path.read_bytes().replace(b"X" * len(NAME.encode(encoding)), NAME.encode(encoding))
    path.write_bytes(raw)
    notes = " ".join(n for n in read_spect(path)[0].notes if "declares" in n)
    assert words in notes
    assert bool(notes) == bool(words)
    if "none" not in words:
        assert "Müller Jörg" in patient_label(path)


def test_own_maps_are_read_as_what_they_are_outside_of_a_registration(archive, tmp_path) -> None:
    """A registered map is what ``mureg reconstruct --mu`` is for."""
    values = np.zeros((6, 8, 8), dtype=np.uint16)
    values[1:-1, 1:-1, 1:-1] = 1540
    place = dicom.item(ImagePositionPatient=[-20, -20, 10], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    path = write_nm(
        tmp_path / "mu.dcm",
        values,
        {"SliceVector": list(range(1, 7))},
        kind="RECON TOMO",
        source="TRANSMISSION",
        detectors=[place],
        SpacingBetweenSlices=-5,
        Manufacturer="mureg",
        ManufacturerModelName="mureg",
    )
    assert read_mu(path)[0].values.max() == pytest.approx(0.154)
    with pytest.raises(RefusedError, match=r"the attenuation map .* was written by mureg"):
        read_study(archive / "spect.dcm", mu=path)
