"""Reading and writing NIfTI: RAS+ on disk, LPS+ millimetres inside, units detected."""

from __future__ import annotations

import gzip
import warnings
import zlib
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from mureg.errors import GeometryError, UnitsError, UnreadableInputError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.atomic import writing
from mureg.io.units import known_hounsfield, mu_per_cm, require_hounsfield

Expected = Literal["spect", "ct", "mu", "labels"]

_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_DAMAGE = (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error)


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI-1 or NIfTI-2 in one file, zipped or not, by its content."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as stream:
            start = stream.read(348)
    except (OSError, EOFError, zlib.error):
        return False
    return start[344:348] == b"n+1\x00" or start[4:8] == b"n+2\x00"


def read_nifti(path: Path, expected: Expected) -> Volume:
    """Read a 3-D NIfTI image; `read_nifti_with_notes` without the notes."""
    return read_nifti_with_notes(path, expected)[0]


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
    values, grid, notes = _load(path)
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
    if high <= 0 or low < -0.02 * high:
        raise UnitsError(
            f"SPECT values from {low:.4g} to {high:.4g}", "counts or activity of at least 0", "check the series given"
        )
    if low < 0:
        notes = (*notes, f"negative SPECT values (down to {low:.3g}) set to 0")
    return Volume.from_numpy(np.clip(values, 0.0, None), grid, Quantity.COUNTS), notes


def write_nifti(volume: Volume, path: Path) -> Path:
    """Write a volume as float32 NIfTI-1 (zipped where the name ends in .gz), in mm.

    Sform and qform hold the same scanner-based orientation (code 1).
    The same volume gives the same bytes; the file appears whole or not at all.
    """
    image = nib.Nifti1Image(volume.numpy().astype(np.float32), _LPS_FROM_RAS @ volume.grid.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    content: bytes = image.to_bytes()
    with writing(path) as scratch:
        scratch.write_bytes(gzip.compress(content, 6, mtime=0) if path.name.endswith(".gz") else content)
    return path


def _load(path: Path) -> tuple[npt.NDArray[np.float32], Grid, tuple[str, ...]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = path.read_bytes()
            content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
            kind = nib.Nifti2Image if content[4:8] == b"n+2\x00" else nib.Nifti1Image
            image: Any = kind.from_bytes(content)
            if image.get_data_dtype().kind not in "iuf":
                raise UnreadableInputError(
                    f"{path.name} holds {image.get_data_dtype()} voxels", "real numbers", "convert the image"
                )
            values: npt.NDArray[np.float32] = np.asarray(image.get_fdata(dtype=np.float32))
    except _DAMAGE as error:
        raise UnreadableInputError(
            f"{path.name} cannot be read ({type(error).__name__})", "an undamaged NIfTI file", "export it again"
        ) from error
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3 or min(values.shape) < 1:
        raise UnreadableInputError(
            f"{path.name} has {values.ndim} dimensions {values.shape}", "one 3-D image", "extract the volume to use"
        )
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise UnreadableInputError(
            f"{path.name} holds {n_bad} NaN or infinite voxels", "finite numbers", "replace them before use"
        )
    affine, notes = _lps_affine(image, path.name)
    shape = (int(values.shape[0]), int(values.shape[1]), int(values.shape[2]))
    return values, Grid(shape, affine), notes


def _lps_affine(image: Any, name: str) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """The voxel-to-patient matrix from sform, else qform, and what was guessed."""
    notes: list[str] = []
    unit = image.header.get_xyzt_units()[0]
    if unit == "unknown":
        notes.append("the NIfTI header names no spatial unit; millimetres assumed")
    elif unit != "mm":
        raise GeometryError(f"{name} is in {unit}s", "millimetres", "convert the header to mm")
    sform, sform_code = image.get_sform(coded=True)
    qform, qform_code = image.get_qform(coded=True)
    if not sform_code and not qform_code:
        raise GeometryError(
            f"{name} has neither sform nor qform, so left and right are unknown",
            "an orientation in the header",
            "convert again from DICOM",
        )
    chosen = np.asarray(sform if sform_code else qform, dtype=np.float64)
    if not np.isfinite(chosen).all():
        raise GeometryError(f"{name} has a non-finite orientation matrix", "finite numbers", "convert again from DICOM")
    if sform_code and qform_code and not np.allclose(sform, qform, atol=0.1):
        notes.append("sform and qform of the NIfTI header differ; sform used")
    axes = chosen[:3, :3] / np.maximum(np.linalg.norm(chosen[:3, :3], axis=0), 1e-12)
    shear = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if shear > 5e-3:
        raise GeometryError(f"{name} has sheared axes (by {shear:.3f})", "perpendicular axes", "resample it first")
    return _LPS_FROM_RAS @ chosen, tuple(notes)
