"""Volumes as images of nibabel (RAS+) and SimpleITK (LPS+), and back; nothing is resampled or reordered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mureg.errors import GeometryError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.nifti_forms import LPS_FROM_RAS, NO_UNIT, lps_affine, require_perpendicular
from mureg.io.refusals import SMALLEST_CT_MM

if TYPE_CHECKING:
    import SimpleITK as sitk


def volume_from_nibabel(image: Any, quantity: Quantity) -> Volume:
    """The voxels of a nibabel image [x, y, z] with their place; see `Volume.from_nibabel`."""
    values = np.asarray(image.dataobj)
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    _require_real(values, "the nibabel image")
    return Volume.from_numpy(values, Grid(_shape(values), _lps_affine_of(image)), quantity)


def nibabel_from_volume(volume: Volume) -> Any:
    """A float32 `nibabel.Nifti1Image` in mm; sform and qform hold the same scanner-based orientation (code 1)."""
    import nibabel as nib  # a twentieth of a second that DICOM does not need

    image = nib.Nifti1Image(volume.values.astype(np.float32), LPS_FROM_RAS @ volume.grid.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    return image


def volume_from_sitk(image: sitk.Image, quantity: Quantity) -> Volume:
    """The voxels of a SimpleITK image with their place; see `Volume.from_sitk`."""
    import SimpleITK as sitk  # a tenth of a second that nothing else in this module needs

    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise GeometryError(
            f"a SimpleITK image with {image.GetDimension()} dimensions and "
            f"{image.GetNumberOfComponentsPerPixel()} values a voxel",
            "3 dimensions and one value a voxel",
            "extract the volume to use",
        )
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    require_perpendicular(affine, "the SimpleITK image")
    values = sitk.GetArrayViewFromImage(image).transpose(2, 1, 0)
    _require_real(values, "the SimpleITK image")
    return Volume.from_numpy(values, Grid(_shape(values), affine), quantity)


def sitk_from_volume(volume: Volume) -> sitk.Image:
    """A float32 `SimpleITK.Image` in LPS+ mm."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(volume.values.astype(np.float32).transpose(2, 1, 0))
    affine, spacing_mm = volume.grid.affine, volume.grid.spacing_mm
    image.SetSpacing(spacing_mm)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / np.asarray(spacing_mm)).ravel().tolist())
    return image


def _lps_affine_of(image: Any) -> npt.NDArray[np.float64]:
    """Of a NIfTI image by its header, as for a file; of others by their matrix. Contradictions are refused."""
    import nibabel as nib

    stated_affine = LPS_FROM_RAS @ np.asarray(image.affine, dtype=np.float64)
    if not isinstance(image.header, nib.Nifti1Header):  # NIfTI-2 included
        require_perpendicular(stated_affine, "the nibabel image")
        return stated_affine
    affine, notes = lps_affine(image.header, "the nibabel image", SMALLEST_CT_MM)
    contradictions = [note for note in notes if note != NO_UNIT]
    # mm, rounding of single precision in the header
    if not np.allclose(affine, stated_affine, atol=1e-3):
        contradictions.append("the affine of the nibabel image differs from that of its header")
    if contradictions:
        raise GeometryError(
            contradictions[0],
            "one orientation",
            "set it with image.set_sform and image.set_qform, or read the file with mureg",
        )
    return affine


def _require_real(values: npt.NDArray[Any], name: str) -> None:
    if values.ndim != 3 or values.dtype.kind not in "biuf":
        raise GeometryError(
            f"{name} holds {values.dtype.name} values of shape {values.shape}", "real numbers [x, y, z]", "convert it"
        )


def _shape(values: npt.NDArray[Any]) -> tuple[int, int, int]:
    x, y, z = values.shape
    return x, y, z
