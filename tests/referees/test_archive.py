"""The sample study's results go through a real archive (Orthanc) and come back; other programs read the same in them.

Every expected number is taken from the NIfTI files of the same run, which nibabel reads, or from the matrix that
pydicom reads out of the header by the words of PS3.3; orientation is judged by the phantom of the sample study.
"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image

from mureg.cli import main as command_line
from mureg.io import read_mu, read_spect
from mureg.jobs.cores import set_thread_count
from mureg.sample import sample_folder
from support import sample_run
from support.archive import Archive, running_archive
from support.programs import program

pytestmark = pytest.mark.slow

NM = ("nac", "ac", "mu", "nac_filtered", "ac_header_filtered", "ac_filtered")
NIFTI = {"nac": "spect_nac", "ac": "spect_ac", "mu": "mu_registered"}
QUICK = [*sample_run.QUICK, "--threads", "1"]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """One registration of the sample study for all tests."""
    program("Orthanc"), program("storescu")
    folder, sample = tmp_path_factory.mktemp("archived") / "results", sample_folder()
    arguments = ["register", "--spect", str(sample / "spect.dcm"), "--ct", str(sample / "ct"), "-o", str(folder)]
    assert command_line([*arguments, "--moved-ct", *QUICK]) == 0
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return folder


@pytest.fixture(scope="module")
def archive(results, tmp_path_factory):
    with running_archive(tmp_path_factory.mktemp("orthanc")) as archive:
        archive.store(results / "dicom")
        yield archive


@pytest.fixture(scope="module")
def back(results, archive, tmp_path_factory) -> Path:
    """The objects as the archive gives them out."""
    folder = tmp_path_factory.mktemp("back")
    for path in sorted((results / "dicom").rglob("*.dcm")):
        uid = pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID
        target = folder / path.relative_to(results / "dicom")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(archive.get(f"/instances/{archive.instance(uid)}/file"))
    return folder


def unit_of(path: Path) -> float:
    return float(pydicom.dcmread(path).RealWorldValueMappingSequence[0].RealWorldValueSlope)


def truth_of(results: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values [i, j, k] and matrix (LPS) of the NIfTI file of the same image, by nibabel."""
    image = nib.load(results / f"{NIFTI[name]}.nii.gz")
    return np.asarray(image.dataobj, dtype=float), np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine


def assert_same(values: np.ndarray, affine: np.ndarray, truth: tuple[np.ndarray, np.ndarray], unit: float) -> None:
    """Compare the values at places of the patient, whatever the order of the axes in memory."""
    expected, place = truth
    index = np.stack(np.meshgrid(*(np.arange(0, n, 5) for n in expected.shape), indexing="ij"), axis=-1)
    points = index @ place[:3, :3].T + place[:3, 3]
    inverse = np.linalg.inv(affine)
    at = points @ inverse[:3, :3].T + inverse[:3, 3]
    whole = np.rint(at).astype(int)
    assert np.abs(at - whole).max() < 1e-3, "voxels lie on voxels"
    there = values[tuple(np.moveaxis(whole, -1, 0))]
    wanted = expected[tuple(np.moveaxis(index, -1, 0))]
    assert wanted.max() > 100 * unit, "there is something to compare"
    assert np.abs(there * unit - wanted).max() < 0.51 * unit


def assert_flips_noticed(values: np.ndarray, affine: np.ndarray, truth: tuple[np.ndarray, np.ndarray], unit) -> None:
    for axis in range(3):
        with pytest.raises(AssertionError):
            assert_same(np.flip(values, axis), affine, truth, unit)


def by_simpleitk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(float), affine


def rendered(archive: Archive, uid: str, frame: int) -> np.ndarray:
    return np.asarray(
        Image.open(io.BytesIO(archive.get(f"/instances/{archive.instance(uid)}/frames/{frame}/rendered")))
    )


def test_every_object_comes_back_as_it_was_sent(results, archive, back) -> None:
    sent = sorted(path.relative_to(results / "dicom") for path in (results / "dicom").rglob("*.dcm"))
    assert archive.json("/statistics")["CountInstances"] == len(sent)
    assert archive.json("/statistics")["CountStudies"] == 1, "one study"
    assert archive.json("/statistics")["CountSeries"] == len(NM) + 3
    for name in sent:
        here, there = pydicom.dcmread(results / "dicom" / name), pydicom.dcmread(back / name)
        assert here == there, name
        assert here.get("PixelData") == there.get("PixelData"), name


def test_the_archive_lists_the_decision_first(archive) -> None:
    titles = [series["MainDicomTags"]["SeriesDescription"] for series in archive.json("/series?expand")]
    words = {title.split()[0] for title in titles}
    assert len(words) == 1
    assert words <= {"ALIGNED", "CORRECTED", "MOVED", "REVIEW", "REFUSED"}
    assert all("research use" in title[:40] for title in titles)


@pytest.mark.parametrize("name", NM)
def test_no_image_is_black_or_white_in_the_archive(name, archive, back) -> None:
    ds = pydicom.dcmread(back / f"{name}.dcm")
    frames = ds.pixel_array
    brightest = int(frames.max(axis=(1, 2)).argmax())
    picture = rendered(archive, ds.SOPInstanceUID, brightest)
    low = float(ds.WindowCenter) - float(ds.WindowWidth) / 2
    expected = np.clip((frames[brightest] - low) / float(ds.WindowWidth) * 255, 0, 255)
    assert picture.shape == expected.shape
    assert picture.max() > 200
    assert np.abs(picture.astype(float) - expected).max() <= 2, "the window, upright"
    assert len(np.unique(picture)) > 50, "grey steps"


@pytest.mark.parametrize("name", ["ac", "mu"])
def test_dcmtk_shows_what_the_archive_shows(name, archive, back, tmp_path) -> None:
    ds = pydicom.dcmread(back / f"{name}.dcm")
    frame = int(ds.pixel_array.max(axis=(1, 2)).argmax())
    target = tmp_path / "frame.png"
    command = [program("dcmj2pnm"), "+on", "+Wi", "1", "+F", str(frame + 1), str(back / f"{name}.dcm"), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    picture = np.asarray(Image.open(target)).astype(float)
    assert np.abs(picture - rendered(archive, ds.SOPInstanceUID, frame)).max() <= 2


def test_both_pages_of_the_report_are_seen_in_the_archive_and_in_dcmtk(archive, back, tmp_path) -> None:
    ds = pydicom.dcmread(back / "report.dcm")
    pages = ds.pixel_array
    assert len(pages) == 2
    for number, page in enumerate(pages):
        np.testing.assert_array_equal(rendered(archive, ds.SOPInstanceUID, number), page)
        target = tmp_path / f"{number}.png"
        command = [program("dcmj2pnm"), "+on", "+F", str(number + 1), str(back / "report.dcm"), str(target)]
        subprocess.run(command, check=True, capture_output=True)
        np.testing.assert_array_equal(np.asarray(Image.open(target)), page)


@pytest.mark.parametrize("name", NIFTI)
def test_simpleitk_reads_the_same_numbers_at_the_same_places(name, results, back) -> None:
    values, affine = by_simpleitk(back / f"{name}.dcm")
    truth, unit = truth_of(results, name), unit_of(back / f"{name}.dcm")
    assert_same(values, affine, truth, unit)
    assert_flips_noticed(values, affine, truth, unit)


@pytest.mark.parametrize("name", NIFTI)
def test_dcm2niix_reads_the_same_numbers_at_the_same_places(name, results, back, tmp_path) -> None:
    command = [program("dcm2niix"), "-f", "x", "-b", "n", "-z", "n", "-s", "y", "-o", str(tmp_path)]
    subprocess.run([*command, str(back / f"{name}.dcm")], check=True, capture_output=True)
    (path,) = tmp_path.glob("*.nii")
    image = nib.load(path)
    values, affine = np.asarray(image.dataobj, dtype=float), np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    truth, unit = truth_of(results, name), unit_of(back / f"{name}.dcm")
    assert_same(values, affine, truth, unit)
    assert_flips_noticed(values, affine, truth, unit)
    if name == "mu":
        ours, notes, _ = read_mu(path)
        assert "times 100,000" in " ".join(notes)
        assert float(ours.values.max()) == pytest.approx(truth[0].max(), abs=1e-5)


@pytest.mark.parametrize("name", NIFTI)
def test_plastimatch_reads_the_same_numbers_at_the_same_places(name, results, back, tmp_path) -> None:
    target = tmp_path / "x.mha"
    command = [program("plastimatch"), "convert", "--input", str(back / f"{name}.dcm"), "--output-type", "float"]
    subprocess.run([*command, "--output-img", str(target)], check=True, capture_output=True)
    values, affine = by_simpleitk(target)
    assert_same(values, affine, truth_of(results, name), unit_of(back / f"{name}.dcm"))


@pytest.mark.parametrize("name", NIFTI)
def test_highdicom_reads_the_same_numbers_in_the_stated_unit(name, results, back) -> None:
    """It applies the real-world value mapping, and places the pixels of a frame.

    It makes no volume of an NM object by itself, so the frames are placed by the words of C.8.4.15: along row x column
    where the spacing is positive.
    """
    highdicom = pytest.importorskip("highdicom")
    image = highdicom.imread(back / f"{name}.dcm")
    real = image.get_frames(apply_real_world_transform=True)
    detector = image.DetectorInformationSequence[0]
    first = np.array(detector.ImagePositionPatient, dtype=float)
    directions = np.array(detector.ImageOrientationPatient, dtype=float)
    normal = np.cross(directions[:3], directions[3:]) * float(image.SpacingBetweenSlices)
    expected, place = truth_of(results, name)
    unit = unit_of(back / f"{name}.dcm")
    for frame in (0, 20, 33, 50):
        transformer = highdicom.spatial.PixelToReferenceTransformer(
            image_position=(first + frame * normal).tolist(),
            image_orientation=directions.tolist(),
            pixel_spacing=[float(mm) for mm in image.PixelSpacing],
        )
        pixels = np.array([[column, row] for column in range(0, 64, 7) for row in range(0, 64, 9)])
        points = np.c_[transformer(pixels), np.ones(len(pixels))]
        i, j, k = np.rint(np.linalg.inv(place) @ points.T)[:3].astype(int)
        assert np.abs(real[frame, pixels[:, 1], pixels[:, 0]] - expected[i, j, k]).max() < 0.51 * unit


def test_gdcm_finds_the_volume_where_pydicom_says_it_is(back) -> None:
    text = subprocess.run(
        [program("gdcminfo"), str(back / "mu.dcm")], check=True, capture_output=True, text=True
    ).stdout
    ds = pydicom.dcmread(back / "mu.dcm")
    numbers = {line.split(":")[0].strip(): line.split(":")[1] for line in text.splitlines() if ":" in line}
    origin = np.array(numbers["Origin"].strip(" ()").split(","), dtype=float)
    np.testing.assert_allclose(
        origin, np.array(ds.DetectorInformationSequence[0].ImagePositionPatient, float), atol=1e-3
    )


def test_we_read_back_what_the_archive_gives_out(results, back) -> None:
    assert read_mu(back / "mu.dcm")[0].values == pytest.approx(truth_of(results, "mu")[0], abs=0.51e-5)
    assert read_spect(back / "ac.dcm")[0].values.max() == pytest.approx(truth_of(results, "ac")[0].max(), rel=1e-3)


def test_the_moved_ct_is_one_volume_for_highdicom_as_for_simpleitk(back) -> None:
    highdicom = pytest.importorskip("highdicom")
    slices = [pydicom.dcmread(path) for path in (back / "ct_moved").glob("*.dcm")]
    volume = highdicom.get_volume_from_series(slices, apply_modality_transform=True)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(back / "ct_moved")))
    image = reader.Execute()
    values = sitk.GetArrayFromImage(image)
    for index in ((0, 0, 0), (40, 70, 31), (130, 10, 50)):
        place = np.array(image.TransformIndexToPhysicalPoint(index))
        k, j, i = np.rint(volume.map_reference_to_indices(place[None])[0]).astype(int)
        assert volume.array[k, j, i] == values[index[2], index[1], index[0]]
