"""Reading and writing NIfTI: RAS+ on disk, LPS+ millimetres inside, units detected."""

from __future__ import annotations

import gzip
import io
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mureg.errors import MuregError, UnitsError, UnreadableInputError
from mureg.files.atomic import writing
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.bounded import read_exactly, require_moderate, unzipped
from mureg.io.exchange import nibabel_from_volume
from mureg.io.nifti_forms import lps_affine
from mureg.io.refusals import LARGEST_VALUE, SMALLEST_CT_MM, SMALLEST_SPECT_MM, cannot_be_read
from mureg.io.units import emission_notes, known_hounsfield, mu_per_cm, require_hounsfield

Expected = Literal["spect", "ct", "mu", "labels"]

_SMALLEST_MM: dict[Expected, float] = {
    "spect": SMALLEST_SPECT_MM,
    "ct": SMALLEST_CT_MM,
    "mu": SMALLEST_CT_MM,
    "labels": SMALLEST_CT_MM,
}
_LARGEST_OFFSET = 2**24
"""Byte at which the voxels begin: 16 MiB of extensions are far more than any program writes; a round value."""


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI-1 or NIfTI-2 in one file, zipped or not, by its content."""
    try:
        with unzipped(path) as stream:
            start = stream.read(348)
    except (OSError, EOFError, zlib.error, struct.error):
        return False
    # sizes and magic strings of the headers: nifti1.h, nifti2.h
    return start[344:348] == b"n+1\x00" or start[4:8] == b"n+2\x00"


def read_nifti(path: Path | str, expected: Expected) -> Volume:
    """Read a 3-D NIfTI image; `read_nifti_with_notes` without the notes."""
    return read_nifti_with_notes(Path(path), expected)[0]


def read_nifti_with_notes(path: Path, expected: Expected) -> tuple[Volume, tuple[str, ...]]:
    """Read a 3-D NIfTI image and check that its values can be what was asked for.

    Args:
        path: a .nii or .nii.gz file.
        expected: SPECT in counts or relative activity, a CT in HU, an attenuation map, or labels in whole numbers.

    Returns:
        The volume in LPS+ mm and index order as stored (counts, HU with impossible values marked outside, or 1/cm), and
        every guess in a sentence.

    Raises:
        UnreadableInputError: damaged, not 3-D, NaN.
        GeometryError: no orientation, shear, a spatial unit other than mm.
        UnitsError: values that are not what was asked for.
    """
    values, grid, notes = _load(path, _SMALLEST_MM[expected])
    if expected == "mu":
        converted, note = mu_per_cm(values)
        return Volume.from_numpy(converted, grid, Quantity.MU_PER_CM), (*notes, *([note] if note else []))
    if expected == "ct":
        require_hounsfield(values)
        hounsfield, unknown = known_hounsfield(values)
        return Volume.from_numpy(hounsfield, grid, Quantity.HU, unknown), notes
    if expected == "labels":
        if not np.array_equal(values, np.round(values)):
            raise UnitsError("labels that are not whole numbers", "one whole number for each organ", "check the file")
        return Volume.from_numpy(values, grid, Quantity.LABEL), notes
    low, high = float(values.min()), float(values.max())
    # filters of some programs leave a few per cent below 0, a CT much more; 2 % is chosen
    if high <= 0 or low < -0.02 * high:
        raise UnitsError(
            f"SPECT values from {low:.4g} to {high:.4g}", "counts or activity of at least 0", "check the series given"
        )
    notes = (*notes, *emission_notes(values))
    if low < 0:
        notes = (*notes, f"negative SPECT values (down to {low:.3g}) set to 0")
    return Volume.from_numpy(np.clip(values, 0.0, None), grid, Quantity.COUNTS), notes


def write_nifti(volume: Volume, path: Path | str) -> Path:
    """Write a volume as float32 NIfTI-1 (zipped where the name ends in .gz), as `Volume.to_nibabel` gives it.

    The same volume gives the same bytes; the file appears whole or not at all.
    """
    image = nibabel_from_volume(volume)
    image.header["descrip"] = "mureg"  # distinguishes the file from a user's own
    content: bytes = image.to_bytes()
    path = Path(path)
    with writing(path) as scratch:
        scratch.write_bytes(gzip.compress(content, 6, mtime=0) if path.name.endswith(".gz") else content)
    return path


def _load(path: Path, smallest_mm: float) -> tuple[npt.NDArray[np.float32], Grid, tuple[str, ...]]:
    import nibabel as nib  # a twentieth of a second that DICOM does not need

    try:
        with warnings.catch_warnings(), _silent():
            warnings.simplefilter("ignore")
            header, content = _opened(path)
            affine, notes = lps_affine(header, path.name, smallest_mm)
            kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
            image: Any = kind.from_bytes(content)
            values: npt.NDArray[np.float32] = np.asarray(image.get_fdata(dtype=np.float32))
    except MuregError:
        raise
    except Exception as error:  # a damaged file makes the library below raise almost anything
        raise cannot_be_read(path.name, error, "an undamaged NIfTI file") from error
    while values.ndim > 3:
        values = values[..., 0]
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise UnreadableInputError(
            f"{path.name} holds {n_bad} NaN or infinite voxels", "finite numbers", "replace them before use"
        )
    if float(np.abs(values).max()) > LARGEST_VALUE:
        raise UnreadableInputError(
            f"{path.name} holds values up to {float(np.abs(values).max()):.3g}",
            f"at most {LARGEST_VALUE:g}",
            "check the scaling in its header",
        )
    shape = (int(values.shape[0]), int(values.shape[1]), int(values.shape[2]))
    return values, Grid(shape, affine), notes


@contextmanager
def _silent() -> Iterator[None]:
    """Suppress nibabel's messages about headers: mureg reports what matters in one sentence."""
    from nibabel.imageglobals import logger as nibabel_says

    before, nibabel_says.disabled = nibabel_says.disabled, True
    try:
        yield
    finally:
        nibabel_says.disabled = before


def _opened(path: Path) -> tuple[Any, bytes]:
    """Header and all bytes of an image; sizes in the header are checked against the file before memory is allocated."""
    import nibabel as nib
    from nibabel.spatialimages import HeaderDataError

    with unzipped(path) as stream:
        start = read_exactly(stream, 540)
        second = start[4:8] == b"n+2\x00"
        cls, header_size = (nib.Nifti2Header, 540) if second else (nib.Nifti1Header, 348)
        header = cls.from_fileobj(io.BytesIO(start[:header_size]), check=False)
        shape = tuple(int(n) for n in header.get_data_shape())
        try:
            dtype = header.get_data_dtype()
        except (KeyError, HeaderDataError) as error:
            code = int(header["datatype"])
            raise UnreadableInputError(
                f"{path.name} holds voxels of an unknown type (code {code})", "real numbers", "convert the image"
            ) from error
        if dtype.kind not in "iuf":
            raise UnreadableInputError(
                f"{path.name} holds {dtype.name if dtype.names is None else 'colour'} voxels",
                "real numbers",
                "convert the image",
            )
        if len(shape) < 3 or min(shape) < 1 or max((*shape[3:], 1)) > 1:
            raise UnreadableInputError(
                f"{path.name} has {len(shape)} dimensions {shape}", "one 3-D image", "extract the volume to use"
            )
        require_moderate(math.prod(shape), path.name, f"{shape[0]} x {shape[1]} x {shape[2]} voxels")
        offset = float(header["vox_offset"])
        if not header_size <= offset <= _LARGEST_OFFSET:
            raise UnreadableInputError(
                f"{path.name} has its voxels at byte {offset:g}", "right behind the header", "convert it again"
            )
        needed = int(offset) + math.prod(shape) * dtype.itemsize
        content = start + read_exactly(stream, needed - len(start))
        if len(content) < needed:
            raise UnreadableInputError(
                f"{path.name} is cut short ({len(content)} of {needed} bytes)", "the whole file", "copy it again"
            )
        stream.read(1)  # at the end of a zipped file its checksum is compared
    return header, content[:needed]
