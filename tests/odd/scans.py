"""Odd CT series."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate

from odd.entry import Odd, chest, edited, recoded, refused
from odd.places import CHEST
from support.dicom import CT_IMAGE, chest_like, uid, write_ct
from support.enhanced import write_enhanced
from support.mutations import saved

ct = refused("ct")


def _without(root: Path, *slices: int) -> Path:
    for k in slices:
        (chest(root) if not (root / "ct").exists() else root / "ct").joinpath(f"{k:03d}.dcm").unlink()
    return root / "ct"


def _each(change: Callable[[pydicom.Dataset], None]) -> Callable[[Path], Path]:
    """A maker of the series with something done to every slice."""

    def make(root: Path) -> Path:
        folder = chest(root)
        for file in folder.iterdir():
            recoded(file, change)
        return folder

    return make


def _all(**elements: Any) -> Callable[[Path], Path]:
    return lambda root: chest(root, **elements)


def _third(**elements: Any) -> Callable[[Path], Path]:
    return lambda root: chest(root, only=2, **elements)


def _again(root: Path, **elements: Any) -> Path:
    """The series, and its first slice once more with something changed."""
    folder = chest(root)
    edited(write_ct(folder / "more", chest_like()[:1])[0], SOPInstanceUID=uid("more"), **elements)
    return folder


def _encoded(**encoding: Any) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        for file in chest(root).iterdir():
            file.write_bytes(saved(file, **encoding))
        return root / "ct"

    return make


def _no_preamble(root: Path) -> Path:
    for file in chest(root).iterdir():
        ds = pydicom.dcmread(file)
        bare = pydicom.Dataset()
        bare.update(dict(ds.items()))
        bare.save_as(file, implicit_vr=True, little_endian=True)
    return root / "ct"


def run_length(ds: pydicom.Dataset) -> None:
    ds.compress(pydicom.uid.RLELossless, generate_instance_uid=False)


def _deflated(ds: pydicom.Dataset) -> None:
    ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian


def _stream(syntax: pydicom.uid.UID, frame: bytes) -> Callable[[pydicom.Dataset], None]:
    """Pixels compressed as `syntax`, whatever the bytes are."""

    def change(ds: pydicom.Dataset) -> None:
        ds.file_meta.TransferSyntaxUID = syntax
        ds.PixelData = encapsulate([frame])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True

    return change


def _jpeg_2000(ds: pydicom.Dataset) -> None:
    stored = ds.pixel_array.astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "JPEG2000", irreversible=False)
    _stream(pydicom.uid.JPEG2000Lossless, buffer.getvalue())(ds)
    ds.PixelRepresentation = 0


def bomb(root: Path) -> Path:
    """A deflated object of a megabyte that inflates to a gigabyte: one block of zeros, again and again."""
    file = chest(root) / "002.dcm"
    ds = pydicom.dcmread(file)
    del ds.PixelData
    ds.save_as(file)
    plain = file.read_bytes()
    behind_meta = 132 + 12 + int.from_bytes(plain[140:144], "little")
    pixels = b"\xe0\x7f\x10\x00OW\x00\x00" + (2**30).to_bytes(4, "little")
    _deflated(ds)
    ds.save_as(file)
    meta = file.read_bytes()[: 132 + 12 + int.from_bytes(file.read_bytes()[140:144], "little")]
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    head = squeeze.compress(plain[behind_meta:] + pixels) + squeeze.flush(zlib.Z_FULL_FLUSH)
    block = squeeze.compress(bytes(2**24)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    file.write_bytes(meta + head + 64 * block + squeeze.flush())
    return file


def _cut(root: Path) -> Path:
    file = chest(root) / "002.dcm"
    file.write_bytes(file.read_bytes()[:-30])
    return root / "ct"


def _unsigned(ds: pydicom.Dataset) -> None:
    """HU themselves, signed, in an object that calls them unsigned."""
    ds.PixelData = (np.frombuffer(ds.PixelData, "<i2") - 1024).astype("<i2").tobytes()
    ds.RescaleIntercept, ds.PixelRepresentation = 0, 0


def no_private(ds: pydicom.Dataset) -> None:
    ds.add_new(0x00090010, "LO", "MAKER")
    ds.remove_private_tags()
    for keyword in ("PatientName", "PatientID", "Manufacturer", "ManufacturerModelName", "KVP", "SeriesDescription"):
        if keyword in ds:
            del ds[keyword]


def _tilted(root: Path) -> Path:
    write_ct(root / "ct", chest_like(), step=(0.0, 0.44, 2.5))
    return root / "ct"


def _in_cm(root: Path) -> Path:
    write_ct(root / "ct", chest_like(), step=(0.0, 0.0, 0.25))
    return root / "ct"


def _two_series(root: Path) -> Path:
    for name in ("lung", "soft"):
        write_ct(root / "ct" / name, chest_like(), series=name, description=name)
    return root / "ct"


def _scouts(root: Path) -> Path:
    return chest(root, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])


def _scout_too(root: Path) -> Path:
    return _again(root, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])


def _values(root: Path, spoil: Callable[[np.ndarray], np.ndarray]) -> Path:
    write_ct(root / "ct", spoil(chest_like((6, 24, 30))).astype(np.int16))
    return root / "ct"


def _windowed(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -175, 250)


def _stored_with_padding(values: np.ndarray) -> np.ndarray:
    stored = values + 1024
    stored[:, 0, 0] = -2000
    return stored


def _huge_run_length(root: Path) -> Path:
    folder = _each(run_length)(root)
    for file in folder.iterdir():
        edited(file, Rows=8000, Columns=8000)
    return folder


def _nm(root: Path) -> Path:
    from odd.entry import tomo

    return tomo(root / "tomo.dcm")


def _series_each(root: Path) -> Path:
    for k, file in enumerate(sorted(chest(root).iterdir())):
        edited(file, SeriesInstanceUID=uid("slice", k))
    return root / "ct"


JPEG = pydicom.uid.JPEGLosslessSV1
SCANS = [
    ct("SPECT given as a CT", "holds only NM", _nm),
    ct("localizer only", "holds only localizers of a CT", _scouts),
    ct("one slice", "the CT series has 1 slice", lambda r: chest(r) / "000.dcm"),
    ct("two series", "2 CT series found", _two_series),
    ct("slice missing", "5 mm gap after slice 2", lambda r: _without(r, 2)),
    ct("slice twice, in two phases", "duplicate positions", _again),
    ct("tilted gantry", "gantry tilt of 10.0 degrees", _tilted),
    ct("slices of two patients in one series", "images of 2 patients", _third(PatientID="T2")),
    ct("slices of two scans in one series", "2 frames of reference", _third(FrameOfReferenceUID="1.2.3")),
    ct("negative pixel spacing", "PixelSpacing is missing or not positive", _all(PixelSpacing=[-2.0, -1.5])),
    ct("pixel spacing 0", "PixelSpacing is missing or not positive", _all(PixelSpacing=[0, 0])),
    ct("no pixel spacing", "PixelSpacing is missing", _all(PixelSpacing=None)),
    ct("pixel spacing in cm", "(perhaps centimetres)", _all(PixelSpacing=[0.097, 0.097])),
    ct("pixel spacing in micrometres", "(perhaps micrometres)", _all(PixelSpacing=[977, 977])),
    ct("positions in cm", "positions perhaps in centimetres", _in_cm),
    ct("mixed matrix sizes", "mixed matrix sizes", _third(Rows=4, Columns=20)),
    ct("mixed pixel spacing", "mixed pixel spacing", _third(PixelSpacing=[2.0, 1.6])),
    ct("mixed orientations", "mixed orientations", _third(ImageOrientationPatient=[0, 1, 0, -1, 0, 0])),
    ct("coronal images", "coronal or sagittal", _all(ImageOrientationPatient=[1, 0, 0, 0, 0, -1])),
    ct("directions that are no unit vectors", "perpendicular", _all(ImageOrientationPatient=[2, 0, 0, 0, 2, 0])),
    ct("no position", "ImagePositionPatient is missing in 1 of 6", _third(ImagePositionPatient=None)),
    ct("no orientation", "ImageOrientationPatient is missing", _all(ImageOrientationPatient=None)),
    ct("no rescale values", "no rescale slope or intercept", _all(RescaleSlope=None, RescaleIntercept=None)),
    ct("rescale intercept lost", "CT values from", _all(RescaleIntercept=0)),
    ct("rescale slope 0", "CT values from", _all(RescaleSlope=0)),
    ct("rescale slope that is no number", "RescaleSlope holds no usable number", _third(RescaleSlope="1e400")),
    ct("values cut to a display window", "display window that begins at -175", lambda r: _values(r, _windowed)),
    ct("HU + 1024 with padding at -2000", "probably stored values", lambda r: _values(r, _stored_with_padding)),
    ct("rescale slope halved", "the rescale slope is lost", _all(RescaleSlope=0.5, RescaleIntercept=-512)),
    ct(
        "spacing between slices against positions",
        "is 1.25 mm but its positions lie 2.5 mm apart",
        _all(SpacingBetweenSlices=1.25, SliceThickness=1.25),
    ),
    Odd("CT that mureg moved", "ct", _all(SoftwareVersions="mureg 0.1.0"), "was written by mureg", code=3),
    ct("signed values called unsigned", "CT values from", _each(_unsigned)),
    ct("no PixelRepresentation", "has no PixelRepresentation", _third(PixelRepresentation=None)),
    ct("12 bits allocated", "has 12 bits a pixel", _third(BitsAllocated=12)),
    ct("pixels cut short", "do not fit its header", _cut),
    ct("no pixels", "holds no pixel data", _third(PixelData=None)),
    ct("colour image", "is a colour image", _third(SamplesPerPixel=3)),
    ct("65535 x 65535 pixels claimed", "claims 65535 x 65535 pixels", _all(Rows=65535, Columns=65535)),
    ct("run-length code too short for 8000 x 8000 pixels", "too few for its header", _huge_run_length),
    ct("JPEG lossless", "compressed as JPEG Lossless", _each(_stream(JPEG, b"\xff\xd8\xff\xd9"))),
    ct(
        "damaged JPEG 2000",
        "compressed as JPEG 2000",
        _each(_stream(pydicom.uid.JPEG2000Lossless, b"\xff\x4f\xff\x51")),
    ),
    ct(
        "unknown transfer syntax",
        "unknown transfer syntax 1.2.3",
        _each(lambda d: setattr(d.file_meta, "TransferSyntaxUID", "1.2.3")),
    ),
    ct("deflated bomb", "inflates to more than 256 MiB", bomb),
    Odd(
        "slices in any order, names too",
        "ct",
        lambda r: write_ct(r / "ct", chest_like(), order=[3, 0, 5, 1, 4, 2])[0].parent,
        facts=CHEST,
    ),
    Odd(
        "big endian",
        "ct",
        _encoded(implicit_vr=False, little_endian=False, syntax=pydicom.uid.ExplicitVRBigEndian),
        facts=CHEST,
    ),
    Odd(
        "implicit VR",
        "ct",
        _encoded(implicit_vr=True, little_endian=True, syntax=pydicom.uid.ImplicitVRLittleEndian),
        facts=CHEST,
    ),
    Odd("without preamble", "ct", _no_preamble, facts=CHEST),
    Odd("run-length encoded", "ct", _each(run_length), facts=CHEST),
    Odd("deflated", "ct", _each(_deflated), facts=CHEST),
    Odd("JPEG 2000 lossless", "ct", _each(_jpeg_2000), facts=CHEST),
    Odd(
        "rescale intercept -1000 for -1024",
        "ct",
        _all(RescaleIntercept=-1000),
        note="-1000 in place of -1024",
        facts={**CHEST, "range": [-976.0, 724.0]},
    ),
    Odd("CT called DERIVED", "ct", _all(ImageType=["DERIVED", "PRIMARY", "AXIAL"]), note="called DERIVED", facts=CHEST),
    Odd(
        "spacing between slices against positions and thickness",
        "ct",
        _all(SpacingBetweenSlices=1.25),
        note="SliceThickness agrees with the positions",
        facts=CHEST,
    ),
    Odd("MONOCHROME1", "ct", _all(PhotometricInterpretation="MONOCHROME1"), note="MONOCHROME1", facts=CHEST),
    Odd("de-identified, without private tags", "ct", _each(no_private), facts=CHEST),
    Odd("one instance UID for all slices", "ct", _all(SOPInstanceUID="1.2.3"), facts=CHEST),
    Odd("no instance UID", "ct", _all(SOPInstanceUID=None), facts=CHEST),
    Odd("tube voltage that is no number", "ct", _all(KVP="1e400"), note="tube voltage", facts={**CHEST, "kvp": None}),
    Odd("localizer among the slices", "ct", _scout_too, note="1 localizer", facts=CHEST),
    Odd(
        "description with formulas and escapes",
        "ct",
        _all(SpecificCharacterSet="ISO_IR 192", SeriesDescription="$\\frac{ \x1b[2J 심장"),
        facts=CHEST,
    ),
    Odd("enhanced multi-frame CT", "ct", lambda r: write_enhanced(r / "a.dcm", chest_like()), facts=CHEST),
    Odd("a series for each slice", "ct", _series_each, note="6 CT objects of one slice each joined", facts=CHEST),
    ct(
        "frames without positions",
        "does not say where each of them lies",
        lambda r: write_enhanced(r / "a.dcm", chest_like(), sop_class=CT_IMAGE, places=False),
    ),
]
