"""Careful access to DICOM headers: odd but usable ones raise no warnings, unusable ones a sentence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset as read_elements
from pydicom.filereader import read_preamble
from pydicom.multival import MultiValue
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from mureg.errors import GeometryError, MuregError, UnreadableInputError, printable
from mureg.io.bounded import BoundedReader, require_moderate_inflation
from mureg.io.dicom.character_set import settle_character_set
from mureg.io.refusals import SMALLEST_SPECT_MM, cannot_be_read, require_millimetres


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Read leniently and without warnings; turn what still fails into `UnreadableInputError` that names the file."""
    mode = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MuregError:
        raise
    except Exception as error:  # a damaged object makes the library below raise almost anything
        raise cannot_be_read(name, error, "an undamaged DICOM object") from error
    finally:
        config.settings.reading_validation_mode = mode


_HEADERS_KEPT = 1024
"""Headers in memory: several series of one study, about 20 kB each."""


def read_header(path: Path) -> Dataset:
    """The object without its pixels; not to be changed, for who reads the same file next gets the same object.

    A file that has changed since (size, times, place on the disk) is read again.
    """
    status = path.stat()
    return _kept_header(path, (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))


@lru_cache(maxsize=_HEADERS_KEPT)
def _kept_header(path: Path, _status: tuple[int, ...]) -> Dataset:
    return _read(path, headers_only=True)


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
    except (MuregError, OSError):
        raise
    except Exception as error:  # damaged values make the library below raise almost anything
        raise UnreadableInputError(
            f"{name} holds values that cannot be written again ({type(error).__name__})",
            "an object that follows the standard",
            "export it again, or leave --dicom out",
        ) from error
    finally:
        config.settings.writing_validation_mode = mode


def read_dataset(path: Path) -> Dataset:
    """The whole object, also where the preamble is missing (then its encoding is as pydicom found it)."""
    dataset = _read(path, headers_only=False)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit_vr, little_endian = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit_vr else explicit
    return dataset


def _read(path: Path, *, headers_only: bool) -> Dataset:
    """Read an object, but inflate none that grows beyond measure."""
    with BoundedReader(path) as stream:
        if read_preamble(stream, force=True) is not None:
            meta = read_elements(stream, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
            if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                require_moderate_inflation(stream.read(), path.name)
        stream.seek(0)
        dataset = pydicom.dcmread(stream, force=True, stop_before_pixels=headers_only)
    settle_character_set(dataset)
    return dataset


def text(dataset: Dataset | None, keyword: str) -> str:
    """The value as one line of printable text, "" where it is missing."""
    value = None if dataset is None else dataset.get(keyword)
    return "" if value is None else printable(" ".join(str(value).split()))


def numbers(dataset: Dataset | None, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
    """The values as finite floats, None where the element is missing or empty.

    Raises `UnreadableInputError` for text that is no number or for another count than the one asked for.
    """
    value = None if dataset is None else dataset.get(keyword)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    listed = [value] if isinstance(value, str | int | float) else list(value)
    try:
        values = tuple(float(v) for v in listed if v is not None and str(v).strip())
    except (TypeError, ValueError):
        values = (float("nan"),)
    if not np.isfinite(values).all() or (values and count is not None and len(values) != count):
        several = f"{len(listed)} values where some are missing, too many or no numbers"
        raise UnreadableInputError(
            f"{keyword} holds {several if len(listed) > 1 else 'no usable number'}",
            "finite numbers" if count is None else "a finite number" if count == 1 else f"{count} finite numbers",
            "export the study again or correct the header",
        )
    return values or None


def number(dataset: Dataset | None, keyword: str) -> float | None:
    """One value as a float, None where it is missing or empty."""
    values = numbers(dataset, keyword, 1)
    return None if values is None else values[0]


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence, none where it is missing or empty."""
    return list(dataset.get(keyword) or [])


def image_type(dataset: Dataset) -> tuple[str, ...]:
    """The values of ImageType in upper case."""
    return words(dataset, "ImageType")


def words(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """All values of an element as text in upper case, whatever kind of values they are; none where it is missing."""
    value = dataset.get(keyword)
    listed = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    return tuple(printable(str(v).strip().upper()) for v in listed if v not in (None, ""))


def pixel_spacing_mm(dataset: Dataset) -> tuple[float, float]:
    """Row and column spacing of a SPECT in mm, or a refusal (`GeometryError`)."""
    spacing = numbers(dataset, "PixelSpacing", 2)
    if spacing is None or min(spacing) <= 0:
        raise GeometryError("PixelSpacing is missing or not positive", "millimetres", "export with full headers")
    require_millimetres("PixelSpacing", min(spacing), SMALLEST_SPECT_MM)
    require_millimetres("PixelSpacing", max(spacing), SMALLEST_SPECT_MM)
    return spacing[0], spacing[1]
