"""Small valid DICOM and NIfTI files, and ways of spoiling them: bytes, lengths, tags, header fields."""

from __future__ import annotations

import gzip
import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian

from support.dicom import chest_like, detector, item, project_point, rotation, tomo_vectors, write_ct, write_nm

Generator = np.random.Generator

_NUMBERS = (0, 1, -1, 2, 255, 256, 65535, 65536, 2**31 - 1, -(2**31), 2**32 - 1)
_TEXTS = ("", " ", "0", "-1", "NaN", "inf", "1e308", "2147483647", "1e-300", "x", "\\", "1\\2", "\x1b[2J\n", "é" * 300)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, 3e38, -3e38, float("nan"), float("inf"), -float("inf"), 1e-3, 1e3)


def seeds(folder: Path) -> dict[str, list[tuple[str, bytes]]]:
    """Valid files by door: "nm", "ct" (each the middle slice of the series) and "nifti", as (name, bytes)."""
    angles = [225 - 6 * k for k in range(8)]
    turn = rotation(225, 6, 8, sense="CW")
    heads = [detector(225, RadialPosition=[200.0] * 8), detector(135, StartAngle=135)]
    plain = write_nm(
        folder / "tomo.dcm", project_point((5, 5, 5), angles), tomo_vectors(8), detectors=heads[:1], rotations=[turn]
    )
    frames = np.concatenate([project_point((5, 5, 5), angles)] * 4)
    two = write_nm(
        folder / "two.dcm",
        frames,
        tomo_vectors(8, windows=2, detectors=2),
        windows=[(126.5, 154.5), (114, 126)],
        detectors=heads,
        rotations=[turn],
        RescaleSlope=2,
        RescaleIntercept=0,
    )
    gates = tomo_vectors(8)
    gated_vectors = {k: v * 2 for k, v in gates.items()} | {"TimeSlotVector": [1] * 8 + [2] * 8}
    gated = write_nm(
        folder / "gated.dcm",
        frames[:16],
        gated_vectors,
        kind="GATED TOMO",
        detectors=heads[:1],
        rotations=[turn],
    )
    values = np.zeros((6, 8, 8), dtype=np.uint16)
    values[:, 1:7, 1:7] = 1540
    place = item(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    vectors = {"SliceVector": list(range(1, 7))}
    volumes = [
        write_nm(
            folder / f"{source}.dcm",
            values,
            vectors,
            kind="RECON TOMO",
            source=source,
            detectors=[place],
            SpacingBetweenSlices=-5,
        )
        for source in ("TRANSMISSION", "EMISSION")
    ]
    nm = [(path.name, path.read_bytes()) for path in (plain, two, gated, *volumes)]
    nm.append(("implicit.dcm", saved(plain, implicit_vr=True, little_endian=True)))
    nm.append(("big.dcm", saved(plain, implicit_vr=False, little_endian=False, syntax=ExplicitVRBigEndian)))
    slices = write_ct(folder / "ct", chest_like())
    run_length = pydicom.dcmread(slices[2])
    run_length.compress(pydicom.uid.RLELossless)
    run_length.save_as(folder / "rle.dcm")
    deflated = pydicom.dcmread(slices[2])
    deflated.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    deflated.save_as(folder / "deflated.dcm")
    broken = pydicom.dcmread(slices[2])
    broken.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    broken.PixelData = encapsulate([b"\xff\x4f\xff\x51" * 9])
    broken["PixelData"].VR = "OB"
    broken["PixelData"].is_undefined_length = True
    broken.save_as(folder / "jpeg.dcm")
    ct = [
        (p.name, p.read_bytes()) for p in (slices[2], folder / "rle.dcm", folder / "deflated.dcm", folder / "jpeg.dcm")
    ]
    return {"nm": nm, "ct": ct, "nifti": _niftis()}


def saved(path: Path, *, implicit_vr: bool, little_endian: bool, syntax: str | None = None) -> bytes:
    """An uncompressed object once more, in another encoding."""
    ds = pydicom.dcmread(path)
    if "PixelData" in ds and not little_endian:
        swapped = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
        ds.PixelData = swapped
    ds.file_meta.TransferSyntaxUID = syntax or (
        pydicom.uid.ImplicitVRLittleEndian if implicit_vr else pydicom.uid.ExplicitVRLittleEndian
    )
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, implicit_vr=implicit_vr, little_endian=little_endian)
    return buffer.getvalue()


def spoiled(door: str, files: list[tuple[str, bytes]], rng: Generator) -> tuple[str, bytes]:
    """One of the files, spoiled one to three times; its name and bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _spoiled(door, files, rng)


def _spoiled(door: str, files: list[tuple[str, bytes]], rng: Generator) -> tuple[str, bytes]:
    name, content = files[rng.integers(len(files))]
    zipped = name.endswith(".gz")
    raw = gzip.decompress(content) if zipped else content
    for _ in range(int(rng.integers(1, 4))):
        inner = [_nifti_field] * 4 if door == "nifti" else [_tag_edit] * 4
        kinds: list[Callable[[bytes, Generator], bytes]] = [*inner, *_BYTES]
        raw = kinds[rng.integers(len(kinds))](raw, rng)
    if rng.random() < 0.1:
        other = files[rng.integers(len(files))][1]
        cut = int(rng.integers(0, min(len(raw), len(other)) + 1))
        raw = raw[:cut] + other[cut:]
    if zipped:
        raw = gzip.compress(raw, 1, mtime=0)
        if rng.random() < 0.3:
            raw = _BYTES[rng.integers(len(_BYTES))](raw, rng)
    return name, raw


def _flip(raw: bytes, rng: Generator) -> bytes:
    out = bytearray(raw)
    for _ in range(int(rng.integers(1, 9))):
        if out:
            out[rng.integers(len(out))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _overwrite(raw: bytes, rng: Generator) -> bytes:
    start, fill = int(rng.integers(len(raw) + 1)), int(rng.choice([0, 1, 0x20, 0x7F, 0x80, 0xFF]))
    length = min(int(rng.integers(1, 17)), len(raw) - start)
    return raw[:start] + bytes([fill]) * length + raw[start + length :]


def _truncate(raw: bytes, rng: Generator) -> bytes:
    return raw[: int(rng.integers(len(raw) + 1))]


def _remove(raw: bytes, rng: Generator) -> bytes:
    start = int(rng.integers(len(raw) + 1))
    return raw[:start] + raw[start + int(rng.integers(1, 65)) :]


def _repeat(raw: bytes, rng: Generator) -> bytes:
    start = int(rng.integers(len(raw) + 1))
    end = start + int(rng.integers(1, 257))
    return raw[:end] + raw[start:end] + raw[end:]


def _length_field(raw: bytes, rng: Generator) -> bytes:
    form = str(rng.choice(["<H", "<I", ">H", ">I", "<d", "<f"]))
    size = struct.calcsize(form)
    if len(raw) < size:
        return raw
    start = int(rng.integers(len(raw) - size + 1))
    if form[1] in "df":
        value = struct.pack(form, _FLOATS[rng.integers(len(_FLOATS))])
    else:
        value = struct.pack(form, _NUMBERS[rng.integers(len(_NUMBERS))] % (1 << (8 * size)))
    return raw[:start] + value + raw[start + size :]


Mutation = Callable[[bytes, Generator], bytes]
_BYTES: tuple[Mutation, ...] = (
    _flip,
    _overwrite,
    _truncate,
    _remove,
    _repeat,
    _length_field,
)


def _tag_edit(raw: bytes, rng: Generator) -> bytes:
    """Change one element, at any depth; unchanged where that cannot be written."""
    try:
        ds = pydicom.dcmread(io.BytesIO(raw), force=True)
        places = list(_elements(ds))
        parent, tag = places[rng.integers(len(places))]
        if rng.random() < 0.2:
            del parent[tag]
        else:
            _edit(parent[tag], rng)
        buffer = io.BytesIO()
        ds.save_as(buffer)
    except Exception:  # noqa: BLE001, RUF100 (not everything can be written: then it stays as it was)
        return raw
    return buffer.getvalue()


def _elements(ds: Dataset) -> list[tuple[Dataset, int]]:
    found = []
    for element in ds:
        found.append((ds, element.tag))
        if element.VR == "SQ":
            for inner in element.value:
                found += _elements(inner)
    return found


def _edit(element: pydicom.DataElement, rng: Generator) -> None:
    if element.VR == "SQ":
        kept = list(element.value)
        element.value = [kept * int(rng.integers(2, 5)), [], kept[:-1]][rng.integers(3)]
        return
    if isinstance(element.value, bytes):
        element.value = _BYTES[rng.integers(len(_BYTES))](element.value, rng)
        return
    whole = element.VR in ("US", "SS", "UL", "SL", "IS")
    choices: tuple[object, ...] = _NUMBERS if whole else _FLOATS if element.VR in ("FD", "FL", "DS") else _TEXTS
    new: object = choices[rng.integers(len(choices))]
    if element.VM > 1 and rng.random() < 0.8:
        values = list(element.value)
        values[rng.integers(len(values))] = new
        how = rng.integers(4)
        new = values if how < 2 else values[:-1] if how == 2 else values * 2
    element.value = new


def _niftis() -> list[tuple[str, bytes]]:
    heart, chest = np.zeros((8, 8, 8)), np.full((8, 8, 8), -1000.0)
    heart[1:7, 1:7, 1:7] = 0.15
    chest[1:7, 1:7, 1:7] = 40
    found = []
    for name, values, kind in (
        ("mu.nii", heart, np.float32),
        ("ct.nii", chest, np.int16),
        ("ct.nii.gz", chest, np.int16),
    ):
        for cls in (nib.Nifti1Image, nib.Nifti2Image):
            image = cls(values.astype(kind), np.diag([-4.0, -4, 4, 1]))
            image.header.set_xyzt_units("mm")
            image.set_sform(image.affine, 1)
            image.set_qform(image.affine, 1)
            content = image.to_bytes()
            found.append((name, gzip.compress(content, 1, mtime=0) if name.endswith(".gz") else content))
    return found


def _nifti_field(raw: bytes, rng: Generator) -> bytes:
    """Change one field of the header of NIfTI-1 or NIfTI-2."""
    if len(raw) < 560:
        return raw
    header = (nib.Nifti2Header if raw[4:8] == b"n+2\x00" else nib.Nifti1Header).template_dtype
    field = str(rng.choice(header.names))
    dtype, offset = header.fields[field][:2]
    base, count = dtype.base, int(np.prod(dtype.shape)) if dtype.shape else 1
    start = offset + int(rng.integers(count)) * base.itemsize
    if base.kind == "S":
        new = bytes(rng.integers(0, 256, base.itemsize, dtype=np.uint8))
    elif base.kind == "f":
        new = np.asarray(_FLOATS[rng.integers(len(_FLOATS))], dtype="<f8").astype(base).tobytes()
    else:
        new = (_NUMBERS[rng.integers(len(_NUMBERS))] % (1 << (8 * base.itemsize))).to_bytes(base.itemsize, "little")
    return raw[:start] + new + raw[start + base.itemsize :]
