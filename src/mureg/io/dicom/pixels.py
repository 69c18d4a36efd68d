"""Stored pixel values: integers or floats, uncompressed or in any transfer syntax that an installed decoder reads."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import parse_basic_offsets, parse_fragments
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from mureg.errors import UnreadableInputError, printable
from mureg.io.bounded import require_moderate
from mureg.io.dicom.access import number

_DESCRIBED_BY = ("Rows", "Columns", "BitsAllocated")
# bits and type of an element (PS3.3 C.7.6.24, C.7.6.25)
_FLOATS = {"FloatPixelData": (32, "<f4"), "DoubleFloatPixelData": (64, "<f8")}
PIXELS = ("PixelData", *_FLOATS)
"""Elements that hold an image."""
_RLE_RATIO = 64  # two bytes for a run of up to 128
_OF_PIXELS = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "NumberOfFrames",
)

Stored = npt.NDArray[Any]


def decoded_pixels(dataset: Dataset, name: str) -> Stored:
    """Stored values [row, column] or [frame, row, column], before any rescaling.

    Compressed pixels are decoded by pydicom and what it finds installed, else by GDCM inside SimpleITK.

    Raises `UnreadableInputError` where pixels are missing, damaged, in colour, or compressed beyond reach.
    """
    kind = next((k for k in PIXELS if k in dataset), None)
    if kind is None:
        raise UnreadableInputError(
            f"{name} holds no pixel data", "an image", "export the images, not only their headers"
        )
    if int(number(dataset, "SamplesPerPixel") or 1) != 1:
        raise UnreadableInputError(f"{name} is a colour image", "grey values", "export the original images")
    _require_described(dataset, name, kind)
    _require_moderate_pixels(dataset, name)
    if kind in _FLOATS:
        return _floats(dataset, name, kind)
    syntax = _syntax(dataset)
    compressed = syntax is not None and syntax != RLELossless and syntax.is_compressed
    try:
        stored: Stored = dataset.pixel_array
    except Exception as error:  # a damaged object makes the decoders raise almost anything
        decoded = _decoded_by_gdcm(dataset) if compressed else None
        if decoded is not None:
            return decoded
        if compressed:
            assert syntax is not None
            raise UnreadableInputError(
                f"{name} is compressed as {syntax.name} and cannot be decoded",
                "undamaged pixels, uncompressed or in JPEG, JPEG-LS, JPEG 2000 or run-length code",
                "export it uncompressed (in the archive: Explicit VR Little Endian)",
            ) from error
        raise _do_not_fit(name) from error
    return stored


def _floats(dataset: Dataset, name: str, kind: str) -> Stored:
    """Float or Double Float Pixel Data (PS3.3 C.7.6.24, C.7.6.25)."""
    n_frames = int(number(dataset, "NumberOfFrames") or 1)
    shape = (n_frames, int(dataset.Rows), int(dataset.Columns))
    value = dataset[kind].value
    big_endian = getattr(dataset, "original_encoding", (False, True))[1] is False
    dtype = np.dtype(_FLOATS[kind][1]).newbyteorder(">" if big_endian else "<")
    if len(value) < int(np.prod(shape)) * dtype.itemsize:
        raise _do_not_fit(name)
    stored = np.frombuffer(value, dtype, int(np.prod(shape))).reshape(shape).astype(np.float64)
    return stored[0] if n_frames == 1 else stored


def _decoded_by_gdcm(dataset: Dataset) -> Stored | None:
    """Pixels as GDCM reads them from a copy that holds nothing but them, so that it rescales nothing; None on failure.

    GDCM calls values of at most 16 bits what their representation says; what it cannot read becomes None. Fragments
    whose lengths do not fit are not given to it: it would allocate the memory that they claim.
    """
    if not _fragments_fit(dataset):
        return None
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    n_frames = int(number(dataset, "NumberOfFrames") or 1)
    many = (
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage
        if number(dataset, "BitsAllocated") == 8
        else MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    )
    import SimpleITK as sitk  # a tenth of a second that uncompressed images do not need

    bare.SOPClassUID = many if n_frames > 1 else SecondaryCaptureImageStorage
    bare.SOPInstanceUID = generate_uid()
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID
    for keyword in _OF_PIXELS:
        if keyword in dataset:
            setattr(bare, keyword, dataset[keyword].value)
    bare.add(dataset["PixelData"])
    shape = (n_frames, int(dataset.Rows), int(dataset.Columns))
    with tempfile.TemporaryDirectory(prefix="mureg-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "pixels.dcm"
        try:
            bare.save_as(path, enforce_file_format=True)
            reader = sitk.ImageFileReader()
            reader.SetImageIO("GDCMImageIO")
            reader.SetFileName(str(path))
            with _silent():
                image = reader.Execute()
        except Exception:
            return None
        stored: Stored = sitk.GetArrayFromImage(image)
    if stored.size != int(np.prod(shape)) or image.GetNumberOfComponentsPerPixel() != 1:
        return None
    return stored.reshape(shape[1:] if n_frames == 1 else shape)


def _fragments_fit(dataset: Dataset) -> bool:
    """Whether the encapsulated pixel data are a chain of items (PS3.5 A.4)."""
    stream = BytesIO(dataset.PixelData)
    try:
        parse_basic_offsets(stream)
        n_fragments, _ = parse_fragments(stream)
    except Exception:  # a damaged object makes the library raise almost anything
        return False
    return n_fragments > 0


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what the decoder writes straight to standard error away from people: the sentence says it better."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        stderr_copy = os.dup(2)
    except OSError:  # no standard error, as in a program without a console
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr_copy, 2)
        os.close(stderr_copy)
        os.close(nowhere)


def _require_described(dataset: Dataset, name: str, kind: str) -> None:
    """Refuse pixels whose header does not say how to read them."""
    for keyword in (*_DESCRIBED_BY, *(() if kind in _FLOATS else ("PixelRepresentation",))):
        if number(dataset, keyword) is None:
            raise UnreadableInputError(f"{name} has no {keyword}", "how to read its pixels", "export with full headers")
    bits = number(dataset, "BitsAllocated")
    allowed = (_FLOATS[kind][0],) if kind in _FLOATS else (8, 16, 32)
    if bits not in allowed:
        listed = " or ".join(map(str, allowed)) if len(allowed) == 1 else "8, 16 or 32"
        raise UnreadableInputError(f"{name} has {bits:g} bits a pixel", listed, "export the original images")
    syntax = _syntax(dataset)
    if syntax is not None and syntax not in AllTransferSyntaxes:
        raise UnreadableInputError(
            f"{name} is in the unknown transfer syntax {printable(str(syntax))[:64]}",
            "one of DICOM's own",
            "export it uncompressed",
        )


def _require_moderate_pixels(dataset: Dataset, name: str) -> None:
    rows, columns = number(dataset, "Rows") or 0, number(dataset, "Columns") or 0
    frames = number(dataset, "NumberOfFrames") or 1
    require_moderate(rows * columns * frames, name, f"{columns:.0f} x {rows:.0f} pixels in {frames:.0f} frame(s)")
    if _syntax(dataset) == RLELossless:
        needed = rows * columns * frames * (number(dataset, "BitsAllocated") or 0) / 8
        if needed > _RLE_RATIO * len(dataset.PixelData):
            raise UnreadableInputError(
                f"the run-length encoded pixels of {name} are too few for its header",
                f"{columns:.0f} x {rows:.0f} pixels in {frames:.0f} frame(s)",
                "export it again, the file may be cut short",
            )


def _syntax(dataset: Dataset) -> UID | None:
    meta = getattr(dataset, "file_meta", None)
    return None if meta is None else meta.get("TransferSyntaxUID")


def _do_not_fit(name: str) -> UnreadableInputError:
    return UnreadableInputError(
        f"the pixel data of {name} do not fit its header",
        "as many bytes as rows, columns, frames and bits allow",
        "export it again, the file may be cut short",
    )
