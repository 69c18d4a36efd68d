"""Where a NIfTI header puts its voxels: unit, sform and qform, which agree, or their codes decide."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.errors import GeometryError
from mureg.io.refusals import require_millimetres

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI counts to the right and to the front where DICOM counts to the left and to the back."""
NO_UNIT = "the NIfTI header names no spatial unit; millimetres assumed"

_SCANNER = 1  # code of the scanner's own coordinates; the others are aligned to another image or to an atlas
_MILLIMETRES = 2  # code of NIfTI
_SAME_MM = 0.5
"""Between the corners of sform and qform: rounding of a quaternion in single precision, far below a voxel; chosen."""
_SAME_SPACING = 0.01  # share: voxel sizes are rounded to a few decimals
_LARGEST_SHEAR = 5e-3  # cosine between two axes: 0.3 degrees, the rounding of what other programs write
# codes of nifti1.h (NIFTI_XFORM)
_SPACES = {2: "another image", 3: "the Talairach atlas", 4: "the MNI atlas", 5: "a template"}

Matrix = npt.NDArray[np.float64]


def lps_affine(header: Any, name: str, smallest_mm: float) -> tuple[Matrix, tuple[str, ...]]:
    """The voxel-to-patient matrix (LPS+, mm) from sform, else qform, and what was guessed.

    Raises:
        GeometryError: no orientation, or two that contradict each other; a unit other than mm; shear.
    """
    notes: list[str] = []
    code = int(header["xyzt_units"]) & 7  # the lower three bits are the unit of space (nifti1.h)
    if code == 0:
        notes.append(NO_UNIT)
    elif code != _MILLIMETRES:
        unit = {1: "metres", 3: "micrometres"}.get(code, f"an unknown spatial unit (code {code})")
        raise GeometryError(f"{name} is in {unit}", "millimetres", "convert the header to mm")
    sform, _ = header.get_sform(coded=True)
    qform, _ = _qform(header, name, needed=not int(header["sform_code"]))
    if sform is None and qform is None:
        raise GeometryError(
            f"{name} has neither sform nor qform, so left and right are unknown",
            "an orientation in the header",
            "convert again from DICOM",
        )
    affine, note = agreed_form(header, sform, qform, name)
    notes += note
    if not np.isfinite(affine).all():
        raise GeometryError(f"{name} has a non-finite orientation matrix", "finite numbers", "convert again from DICOM")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() <= 0:
        raise GeometryError(
            f"{name} has an axis of length 0 in its orientation matrix", "three axes", "convert again from DICOM"
        )
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    if not np.allclose(spacing, pixdim, rtol=_SAME_SPACING):
        sizes = " x ".join(f"{v:.4g}" for v in pixdim)
        notes.append(f"the voxel size of the NIfTI header ({sizes}) differs from its orientation matrix, which is used")
    for length in spacing:
        require_millimetres(f"the voxel size of {name}", float(length), smallest_mm)
    require_perpendicular(affine, name)
    return LPS_FROM_RAS @ affine, tuple(notes)


def require_perpendicular(matrix: Matrix, name: str) -> None:
    """Refuse a voxel-to-patient matrix with sheared axes."""
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    shear = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if shear > _LARGEST_SHEAR:
        raise GeometryError(f"{name} has sheared axes (by {shear:.3f})", "perpendicular axes", "resample it first")


def agreed_form(header: Any, sform: Any, qform: Any, name: str) -> tuple[Matrix, list[str]]:
    """The matrix that puts voxels into the scanner's coordinates, and what was decided.

    Args:
        header: of the image.
        sform, qform: matrices, None where not coded or damaged; not both None.
        name: of the file.

    Raises:
        GeometryError: both say that they are the scanner's, or neither does, and a corner of the image lies elsewhere
            by more than 0.5 mm; or the only one is that of another image or atlas and differs from the other.
    """
    if sform is None or qform is None:
        only = "sform" if qform is None else "qform"
        damaged = qform is None and int(header["qform_code"]) > 0
        matrix = np.asarray(qform if sform is None else sform, dtype=np.float64)
        return matrix, [f"the qform of the NIfTI header is damaged; {only} used"] if damaged else []
    s_matrix, q_matrix = np.asarray(sform, dtype=np.float64), np.asarray(qform, dtype=np.float64)
    codes = {"sform": int(header["sform_code"]), "qform": int(header["qform_code"])}
    if not _usable(s_matrix):
        return s_matrix, []  # to be refused for what it is
    apart_mm = _farthest_corner_mm(s_matrix - q_matrix, header.get_data_shape()[:3])
    if apart_mm <= _SAME_MM:
        return s_matrix, []
    of_scanner = [form for form, code in codes.items() if code == _SCANNER]
    sentence = f"sform and qform of {name} differ by up to {apart_mm:.3g} mm"
    if len(of_scanner) != 1:
        raise GeometryError(
            f"{sentence} and have the codes {codes['sform']} and {codes['qform']}",
            "two that agree, or one of them with code 1 (scanner) alone",
            "copy the right one over the other (for example with nibabel), or convert again from DICOM",
        )
    form_name = of_scanner[0]
    other_form = "qform" if form_name == "sform" else "sform"
    space = _SPACES.get(codes[other_form], "unknown coordinates")
    note = f"{sentence}; {form_name} used, which is the scanner's by its code, while {other_form} is that of {space}"
    return s_matrix if form_name == "sform" else q_matrix, [note]


def _qform(header: Any, name: str, *, needed: bool) -> tuple[Any, int]:
    """The matrix of the qform and its code; where it is damaged a refusal if it is needed, else none."""
    from nibabel.spatialimages import HeaderDataError

    try:
        matrix, code = header.get_qform(coded=True)
    except (ValueError, HeaderDataError) as error:
        if needed:
            raise GeometryError(
                f"{name} has a qform that is no rotation", "a unit quaternion", "convert again from DICOM"
            ) from error
        return None, 0
    return matrix, int(code)


def _usable(matrix: Matrix) -> bool:
    """Whether a matrix is finite, with three axes that are perpendicular."""
    if not np.isfinite(matrix).all():
        return False
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if lengths.min() <= 0:
        return False
    axes = matrix[:3, :3] / lengths
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() <= _LARGEST_SHEAR)


def _farthest_corner_mm(difference: Matrix, shape: tuple[int, ...]) -> float:
    """How far apart two matrices put the corner of the image where they differ most."""
    ends = [(0.0, float(n - 1)) for n in shape]
    corners = np.array([[x, y, z, 1.0] for x in ends[0] for y in ends[1] for z in ends[2]])
    return float(np.linalg.norm((corners @ difference.T)[:, :3], axis=1).max())
