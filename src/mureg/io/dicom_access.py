"""Careful access to DICOM headers: odd but usable ones raise no warnings, unusable ones a sentence."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from mureg.errors import GeometryError, UnreadableInputError

_DAMAGE = (
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    IndexError,
    EOFError,
    OSError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Read leniently and without warnings; turn what still fails into `UnreadableInputError` that names the file."""
    mode = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _DAMAGE as error:
        raise UnreadableInputError(
            f"{name} cannot be read ({type(error).__name__})", "an undamaged DICOM object", "export it again"
        ) from error
    finally:
        config.settings.reading_validation_mode = mode


@contextmanager
def copying(name: str) -> Iterator[None]:
    """Take values over as they are, also where they break a rule of their kind, without warnings.

    What still cannot be written becomes `UnreadableInputError` that names the source; a disk that is full stays what it
    is.
    """
    mode = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except OSError:
        raise
    except _DAMAGE as error:
        raise UnreadableInputError(
            f"{name} holds values that cannot be written again ({type(error).__name__})",
            "an object that follows the standard",
            "export it again, or leave --dicom out",
        ) from error
    finally:
        config.settings.writing_validation_mode = mode


def read_dataset(path: Path) -> Dataset:
    """The whole object, also where the preamble is missing (then its encoding is as pydicom found it)."""
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit_vr, little_endian = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit_vr else explicit
    return dataset


def text(dataset: Dataset | None, keyword: str) -> str:
    """The value as one line of text, "" where it is missing."""
    value = None if dataset is None else dataset.get(keyword)
    return "" if value is None else " ".join(str(value).split())


def numbers(dataset: Dataset | None, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
    """The values as finite floats, None where the element is missing or empty.

    Raises `UnreadableInputError` for text that is no number or for another count than the one asked for.
    """
    value = None if dataset is None else dataset.get(keyword)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    listed = [value] if isinstance(value, str | int | float) else list(value)
    try:
        found = tuple(float(v) for v in listed if v is not None and str(v).strip())
    except (TypeError, ValueError):
        found = (float("nan"),)
    if not np.isfinite(found).all() or (found and count is not None and len(found) != count):
        raise UnreadableInputError(
            f"{keyword} holds {len(listed)} values, not all of them usable",
            "finite numbers" if count is None else f"{count} finite numbers",
            "export the study again or correct the header",
        )
    return found or None


def number(dataset: Dataset | None, keyword: str) -> float | None:
    """One value as a float, None where it is missing or empty."""
    found = numbers(dataset, keyword, 1)
    return None if found is None else found[0]


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence, none where it is missing or empty."""
    return list(dataset.get(keyword) or [])


def image_type(dataset: Dataset) -> tuple[str, ...]:
    """The values of ImageType in upper case."""
    value = dataset.get("ImageType") or []
    return tuple(str(v).strip().upper() for v in ([value] if isinstance(value, str) else value))


def decoded_pixels(dataset: Dataset, name: str) -> npt.NDArray[Any]:
    """Stored values of the pixel data, or a sentence where they are missing, damaged or compressed beyond reach."""
    if "PixelData" not in dataset:
        raise UnreadableInputError(
            f"{name} holds no pixel data", "an image", "export the images, not only their headers"
        )
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise UnreadableInputError(f"{name} is a colour image", "grey values", "export the original images")
    meta = getattr(dataset, "file_meta", None)
    syntax = None if meta is None else meta.get("TransferSyntaxUID")
    try:
        stored: npt.NDArray[Any] = dataset.pixel_array
    except _DAMAGE as error:
        if syntax is not None and syntax.is_compressed:
            raise UnreadableInputError(
                f"{name} is compressed as {syntax.name} and no decoder for it works here",
                "uncompressed pixels",
                "export uncompressed, or install pylibjpeg with its plug-ins",
            ) from error
        raise UnreadableInputError(
            f"the pixel data of {name} do not fit its header",
            "as many bytes as rows, columns, frames and bits allow",
            "export it again, the file may be cut short",
        ) from error
    return stored


def pixel_spacing_mm(dataset: Dataset) -> tuple[float, float]:
    """Row and column spacing in mm, or a refusal (`GeometryError`)."""
    spacing = numbers(dataset, "PixelSpacing", 2)
    if spacing is None or min(spacing) <= 0:
        raise GeometryError("PixelSpacing is missing or not positive", "millimetres", "export with full headers")
    return spacing[0], spacing[1]
