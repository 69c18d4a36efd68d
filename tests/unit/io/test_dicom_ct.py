from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from mureg.errors import GeometryError, UnitsError, UnreadableInputError
from mureg.io.dicom.ct_read import read_ct_dicom
from support.dicom import CT_IMAGE, change, chest_like, uid, write_ct

pytestmark = pytest.mark.filterwarnings("error")


def marked_position(ct) -> np.ndarray:
    values = ct.volume.values
    return ct.volume.grid.points(np.unravel_index(values.argmax(), values.shape))


def test_voxels_lie_where_position_orientation_and_spacing_put_them(tmp_path):
    write_ct(tmp_path, chest_like(), origin=(-10, -20, -30), spacing=(1.5, 2.0, 2.5))
    ct = read_ct_dicom(tmp_path)
    # slice 1, row 2, column 3 by PS3.3 C.7.6.2.1.1
    assert np.allclose(marked_position(ct), (-10 + 3 * 1.5, -20 + 2 * 2.0, -30 + 1 * 2.5))
    assert ct.volume.grid.shape == (10, 8, 6)
    assert float(ct.volume.values.max()) == 700
    assert (ct.kvp, ct.manufacturer, ct.model) == (120.0, "GE MEDICAL SYSTEMS", "Optima CT540")
    assert ct.volume.grid.frame_of_reference == uid("frame")


@pytest.mark.parametrize("step", [(0.0, 0.0, 2.5), (0.0, 0.0, -2.5)])
def test_shuffled_names_and_reversed_order_do_not_move_anything(tmp_path, step):
    write_ct(tmp_path, chest_like(), step=step, order=[3, 0, 5, 1, 4, 2])
    ct = read_ct_dicom(tmp_path)
    assert np.allclose(marked_position(ct), (-5.5, -16.0, -30 + step[2]))
    assert np.linalg.det(ct.volume.grid.affine[:3, :3]) > 0


def test_oblique_prone_images_keep_their_directions(tmp_path):
    c, s = np.cos(0.2), np.sin(0.2)
    orientation = (-c, -s, 0.0, s, -c, 0.0)  # prone and turned
    write_ct(tmp_path, chest_like(), orientation=orientation)
    expected = np.array([-10, -20, -30 + 2.5]) + 3 * 1.5 * np.array([-c, -s, 0]) + 2 * 2.0 * np.array([s, -c, 0])
    assert np.allclose(marked_position(read_ct_dicom(tmp_path)), expected, atol=1e-3)


def test_rescale_of_each_slice_is_its_own(tmp_path):
    files = write_ct(tmp_path, chest_like())
    change(files[1], RescaleSlope=2, RescaleIntercept=-2048)
    assert float(read_ct_dicom(tmp_path).volume.values.max()) == 2 * 1724 - 2048


@pytest.mark.parametrize(
    ("padding", "limit"), [(-2000 + 1024, None), (-2000 + 1024, -1900 + 1024), (65536 - 976, None)]
)
def test_padding_is_outside_and_not_air(tmp_path, padding, limit):
    values = chest_like()
    values[:, 0, 0] = -2000
    for file in write_ct(tmp_path, values):
        ds = pydicom.dcmread(file)
        ds.add_new(0x00280120, "SS" if padding < 32768 else "US", padding)
        if limit is not None:
            ds.add_new(0x00280121, "SS", limit)
        ds.save_as(file)
    volume = read_ct_dicom(tmp_path).volume
    assert volume.outside is not None
    assert int(volume.outside.sum()) == 6
    assert bool(volume.outside[0, 0].all())
    assert bool((volume.values[0, 0] == -1000).all())


def test_localizers_are_dropped_and_said(tmp_path):
    write_ct(tmp_path, chest_like())
    scout = write_ct(tmp_path / "scout", chest_like()[:1], series="scout", orientation=(1, 0, 0, 0, 0, -1))[0]
    change(scout, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    same = write_ct(tmp_path / "same", chest_like()[:1], orientation=(0, 1, 0, 0, 0, -1))[0]
    change(same, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SOPInstanceUID=uid("other"))
    ct = read_ct_dicom(tmp_path)
    assert ct.volume.grid.shape == (10, 8, 6)
    assert any("2 localizer" in note for note in ct.notes)


def test_a_mess_of_a_folder_is_read_all_the_same(tmp_path):
    write_ct(tmp_path / "a" / "b", chest_like()[:3])
    rest = write_ct(tmp_path / "tmp", chest_like())
    (tmp_path / "c").mkdir()
    for k in (3, 4, 5):
        shutil.copy(rest[k], tmp_path / "c" / f"IM{k}")
    shutil.rmtree(tmp_path / "tmp")
    shutil.copy(tmp_path / "c" / "IM3", tmp_path / "copy of IM3")  # the same object twice
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "half.dcm").write_bytes(b"\0" * 128 + b"DICM\x02\x00")
    assert read_ct_dicom(tmp_path).volume.grid.shape == (10, 8, 6)


def test_links_that_lead_outside_are_not_followed(tmp_path):
    write_ct(tmp_path / "inside", chest_like())
    other = write_ct(tmp_path / "elsewhere", chest_like(), series="other", description="secret")
    (tmp_path / "inside" / "link.dcm").symlink_to(other[0])
    (tmp_path / "inside" / "folder").symlink_to(tmp_path / "elsewhere")
    assert read_ct_dicom(tmp_path / "inside").volume.grid.shape == (10, 8, 6)


def test_several_series_are_listed_and_can_be_chosen(tmp_path):
    write_ct(tmp_path / "1", chest_like(), series="one", number=2, description="lung")
    write_ct(tmp_path / "2", chest_like()[:4], series="two", number=4, description="soft tissue")
    with pytest.raises(UnreadableInputError, match="2 CT series") as refusal:
        read_ct_dicom(tmp_path)
    for word in ("lung", "soft tissue", "number 2", "4 files", uid("two")[-8:]):
        assert word in str(refusal.value)
    for choice in ("4", "Soft Tissue", uid("two"), uid("two")[-6:]):
        assert read_ct_dicom(tmp_path, choice).volume.grid.shape[2] == 4
    with pytest.raises(UnreadableInputError, match="'9' names 0"):
        read_ct_dicom(tmp_path, "9")


def test_a_gap_is_refused_with_its_place_and_size(tmp_path):
    files = write_ct(tmp_path, chest_like())
    files[2].unlink()
    with pytest.raises(GeometryError, match=r"5 mm gap after slice 2 \(spacing 2.5 mm\)"):
        read_ct_dicom(tmp_path)


def test_an_uneven_step_is_refused(tmp_path):
    files = write_ct(tmp_path, chest_like())
    change(files[5], ImagePositionPatient=[-10, -20, -30 + 4 * 2.5 + 1.5])
    with pytest.raises(GeometryError, match=r"1\.5 mm step after slice 5"):
        read_ct_dicom(tmp_path)


def test_duplicate_positions_are_refused(tmp_path):
    write_ct(tmp_path / "a", chest_like())
    extra = write_ct(tmp_path / "b", chest_like()[:1])[0]
    change(extra, SOPInstanceUID=uid("second phase"))
    with pytest.raises(GeometryError, match=r"duplicate positions.*-30\.0"):
        read_ct_dicom(tmp_path)


def test_gantry_tilt_is_refused_with_the_angle(tmp_path):
    write_ct(tmp_path, chest_like(), step=(0.0, 2.5 * np.tan(np.radians(10)), 2.5))
    with pytest.raises(GeometryError, match=r"gantry tilt of 10\.0 degrees"):
        read_ct_dicom(tmp_path)


@pytest.mark.parametrize(
    ("elements", "error", "words"),
    [
        ({"PixelSpacing": [2.0, 1.6]}, GeometryError, "mixed pixel spacing"),
        ({"ImageOrientationPatient": [0, 1, 0, -1, 0, 0]}, GeometryError, "mixed orientations"),
        ({"ImagePositionPatient": None}, GeometryError, "ImagePositionPatient is missing in 1 of 6"),
        ({"ImageOrientationPatient": None}, GeometryError, "ImageOrientationPatient is missing"),
        ({"PixelSpacing": None}, GeometryError, "PixelSpacing is missing"),
        ({"RescaleSlope": None}, UnitsError, "no rescale slope"),
        ({"RescaleIntercept": None}, UnitsError, "no rescale slope or intercept"),
        ({"PatientID": "T2"}, UnreadableInputError, "2 patients"),
        ({"FrameOfReferenceUID": "1.2.3"}, GeometryError, "2 frames of reference"),
        ({"Rows": 4, "Columns": 20}, GeometryError, "mixed matrix sizes"),
        ({"PixelData": None}, UnreadableInputError, "no pixel data"),
        ({"PixelData": b"\0" * 10}, UnreadableInputError, "do not fit its header"),
        ({"SamplesPerPixel": 3}, UnreadableInputError, "colour"),
    ],
)
def test_one_bad_slice_is_refused_by_name(tmp_path, elements, error, words):
    files = write_ct(tmp_path, chest_like())
    change(files[2], **elements)
    with pytest.raises(error, match=words) as refusal:
        read_ct_dicom(tmp_path)
    assert "Secret" not in str(refusal.value)
    assert str(refusal.value).count(".\n") == 0


def test_coronal_images_are_refused(tmp_path):
    write_ct(tmp_path, chest_like(), orientation=(1, 0, 0, 0, 0, -1))
    with pytest.raises(GeometryError, match="coronal or sagittal"):
        read_ct_dicom(tmp_path)


def test_a_single_slice_is_refused(tmp_path):
    file = write_ct(tmp_path, chest_like())[0]
    with pytest.raises(GeometryError, match="1 slice"):
        read_ct_dicom(file)


def test_compression_without_a_decoder_is_one_sentence(tmp_path):
    for file in write_ct(tmp_path, chest_like()):
        ds = pydicom.dcmread(file)
        ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
        ds.PixelData = encapsulate([b"\xff\x4f\xff\x51"])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        ds.save_as(file)
    with pytest.raises(UnreadableInputError, match=r"compressed as JPEG 2000.*uncompressed"):
        read_ct_dicom(tmp_path)


def test_other_objects_are_not_taken_for_a_ct(tmp_path):
    for file in write_ct(tmp_path, chest_like()):
        change(file, SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR")
    with pytest.raises(UnreadableInputError, match="only MR"):
        read_ct_dicom(tmp_path)


def test_odd_headers_raise_no_warnings(tmp_path):
    for file in write_ct(tmp_path, chest_like()):
        raw = file.read_bytes().replace(b"chest ", b"che\xfft ")  # not in the declared character set
        file.write_bytes(raw)
    assert read_ct_dicom(tmp_path).volume.grid.shape == (10, 8, 6)


def test_files_without_preamble_are_read(tmp_path):
    for file in write_ct(tmp_path, chest_like()):
        ds = pydicom.dcmread(file)
        plain = pydicom.Dataset()
        plain.update(dict(ds.items()))
        plain.save_as(file, implicit_vr=True, little_endian=True)
        assert file.read_bytes()[:2] == b"\x08\x00"
    assert CT_IMAGE.encode() in file.read_bytes()
    assert read_ct_dicom(tmp_path).volume.grid.shape == (10, 8, 6)
