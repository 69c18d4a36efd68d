"""Odd NIfTI files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from odd.entry import Odd, box, refused

ct, spect, mu = refused("ct"), refused("spect"), refused("mu")
CHEST, MAP = box((9, 8, 7), -1000, 40), box((9, 8, 7), 0, 0.15)
AFFINE = np.diag([-4.0, -4.0, 4.0, 1.0])


def image(
    values: Any = CHEST,
    *,
    dtype: Any = np.float32,
    sform: Any = AFFINE,
    qform: Any = AFFINE,
    codes: tuple[int, int] = (1, 1),
    unit: str = "mm",
    cls: Any = nib.Nifti1Image,
    header: Callable[[Any], None] | None = None,
) -> bytes:
    """The bytes of an image, with its header changed last."""
    made = cls(np.asarray(values).astype(dtype), AFFINE)
    made.header.set_xyzt_units(unit)
    made.set_qform(qform, codes[1])
    made.set_sform(sform, codes[0])
    if header is not None:
        header(made.header)
    content: bytes = made.to_bytes()
    return content


def _file(name: str, content: Callable[[], bytes]) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        (root / name).write_bytes(content())
        return root / name

    return make


def _made(values: Any = CHEST, name: str = "a.nii", **options: Any) -> Callable[[Path], Path]:
    return _file(name, lambda: image(values, **options))


def _field(name: str, value: Any, values: Any = CHEST, **options: Any) -> Callable[[Path], Path]:
    """An image with one field of its header overwritten, whatever the library would say."""

    def content() -> bytes:
        raw = bytearray(image(values, **options))
        dtype, offset = nib.Nifti1Header.template_dtype.fields[name][:2]
        new = np.asarray(value).astype(dtype.base).tobytes()
        raw[offset : offset + len(new)] = new
        return bytes(raw)

    return _file("a.nii", content)


def _with(value: float) -> np.ndarray:
    values = CHEST.copy()
    values[4, 4, 4] = value
    return values


def bomb() -> bytes:
    """A quarter of a megabyte that unzips to an image and a gigabyte of nothing behind it."""
    return gzip.compress(image()) + 64 * gzip.compress(bytes(2**24))


def _rgb() -> bytes:
    colour = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    content: bytes = nib.Nifti1Image(colour, AFFINE).to_bytes()
    return content


def _big_endian() -> bytes:
    header = nib.Nifti1Header(endianness=">")
    made = nib.Nifti1Image(CHEST.astype(">f4"), AFFINE, header)
    made.header.set_xyzt_units("mm")
    made.set_sform(AFFINE, 1)
    made.set_qform(AFFINE, 1)
    content: bytes = made.to_bytes()
    return content


def _damaged_zip() -> bytes:
    zipped = bytearray(gzip.compress(image()))
    zipped[-6] ^= 0xFF
    return bytes(zipped)


NOISY = CHEST + np.random.default_rng(1).normal(size=CHEST.shape)
CM = np.diag([-0.4, -0.4, 0.4, 1.0])
SHEARED = AFFINE + np.array([[0, 1.0, 0, 0], [0] * 4, [0] * 4, [0] * 4])
FLAT = np.diag([-4.0, 0.0, 4.0, 1.0])
OTHER = np.diag([-4.0, -4.0, 4.5, 1.0])
BLANK = np.full((4, 4), np.nan)
FACTS = {"matrix": [9, 8, 7], "spacing_mm": [4.0, 4.0, 4.0], "range": [-1000.0, 40.0]}

NIFTIS = [
    ct("NIfTI cut in its header", "neither a DICOM nor a NIfTI file", _file("a.nii", lambda: image()[:200])),
    ct("NIfTI cut short", "a.nii is cut short", _file("a.nii", lambda: image()[:-100])),
    ct(
        "zipped NIfTI cut short",
        "a.nii.gz cannot be read",
        _file("a.nii.gz", lambda: gzip.compress(image(NOISY))[:-400]),
    ),
    ct("zipped NIfTI with a wrong checksum", "its compression is damaged", _file("a.nii.gz", _damaged_zip)),
    ct("NIfTI with NaN", "holds 1 NaN or infinite voxels", _made(_with(np.nan))),
    ct("NIfTI with infinity", "holds 1 NaN or infinite voxels", _made(_with(np.inf))),
    ct("NIfTI with absurd values", "holds values up to 1e+30", _made(_with(1e30))),
    ct("4-D NIfTI", "has 4 dimensions (9, 8, 7, 2)", _made(np.stack([CHEST, CHEST], -1))),
    ct("2-D NIfTI", "has 2 dimensions", _made(CHEST[:, :, 3])),
    ct("colour NIfTI", "colour voxels", _file("a.nii", _rgb)),
    ct("complex NIfTI", "complex64 voxels", _made(dtype=np.complex64)),
    ct("NIfTI without orientation", "neither sform nor qform", _made(codes=(0, 0))),
    ct("sform with an axis of length 0", "axis of length 0", _made(sform=FLAT)),
    ct("sform with NaN", "non-finite orientation", _field("srow_x", [np.nan] * 4)),
    ct("sform that shears", "sheared axes", _made(sform=SHEARED)),
    ct(
        "sform and qform of the scanner that differ",
        "sform and qform of a.nii differ by up to 3 mm and have the codes 1 and 1",
        _made(qform=OTHER),
    ),
    ct("sform and qform that differ, none of the scanner", "have the codes 2 and 4", _made(qform=OTHER, codes=(2, 4))),
    ct("damaged qform alone", "qform that is no rotation", _field("quatern_b", 7.0, codes=(0, 1))),
    ct("NIfTI in metres", "is in metres", _made(unit="meter")),
    ct("NIfTI in an unknown unit", "unknown spatial unit", _field("xyzt_units", 5)),
    spect("NIfTI in cm that says mm", "(perhaps centimetres)", _made(MAP, sform=CM, qform=CM)),
    ct("32767 x 32767 x 32767 voxels claimed", "claims 32767 x 32767 x 32767", _field("dim", [3, 32767, 32767, 32767])),
    ct("negative matrix size", "dimensions", _field("dim", [3, 9, -8, 7])),
    ct("voxels at an absurd place", "has its voxels at byte 1e+09", _field("vox_offset", 1e9)),
    ct("unknown type of voxels", "voxels of an unknown type (code 999)", _field("datatype", 999)),
    ct("map given as a CT", "look like an attenuation map", _made(MAP)),
    mu("CT given as a map", "look like a CT in HU", _made(CHEST)),
    mu("NIfTI map for 511 keV", "attenuation at 511 keV", _made(MAP * 0.64)),
    mu("NIfTI map in no known unit", "soft tissue at 0.3", _made(MAP * 2)),
    spect("NIfTI CT given as SPECT", "SPECT values from -1000 to 40", _made(CHEST)),
    Odd("big-endian NIfTI", "ct", _file("a.nii", _big_endian), facts=FACTS),
    Odd("NIfTI-2", "ct", _made(cls=nib.Nifti2Image), facts=FACTS),
    Odd("zipped, named .dcm", "ct", _file("a.dcm", lambda: gzip.compress(image())), facts=FACTS),
    Odd("not zipped, named .nii.gz", "ct", _made(name="a.nii.gz"), facts=FACTS),
    Odd("4-D with one volume", "ct", _made(CHEST[..., None]), facts=FACTS),
    Odd("surplus bytes at the end", "ct", _file("a.nii", lambda: image() + b"x" * 999), facts=FACTS),
    Odd("zipped, with a gigabyte behind the image", "ct", _file("a.nii.gz", bomb), facts=FACTS),
    Odd(
        "sform of the scanner beside a qform of another image",
        "ct",
        _made(qform=OTHER, codes=(1, 2)),
        note="sform used, which is the scanner's by its code",
        facts=FACTS,
    ),
    Odd(
        "qform of the scanner beside an sform of an atlas",
        "ct",
        _made(sform=OTHER, codes=(4, 1)),
        note="qform used, which is the scanner's by its code, while sform is that of the MNI atlas",
        facts=FACTS,
    ),
    Odd("damaged qform beside an sform", "ct", _field("quatern_b", 7.0), note="qform of the NIfTI", facts=FACTS),
    Odd(
        "voxel size against the sform",
        "ct",
        _made(sform=OTHER, codes=(1, 0)),
        note="differs from its orientation",
        facts={"spacing_mm": [4.0, 4.0, 4.5]},
    ),
    Odd("no unit of length", "ct", _made(unit="unknown"), note="millimetres assumed", facts=FACTS),
    Odd("no rescaling (slope 0)", "ct", _field("scl_slope", 0.0), facts=FACTS),
    Odd("qform alone", "ct", _made(codes=(0, 1)), facts=FACTS),
]
