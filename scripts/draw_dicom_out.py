"""Draw docs/how-to/figures/dicom-out.png: what SimpleITK sees of results written as DICOM.

    mureg demo --dicom --moved-ct -o results
    python scripts/draw_dicom_out.py results/dicom src/mureg/data/sample/ct docs/how-to/figures/dicom-out.png

Nothing of mureg takes part in the reading.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

HEART_MM = (88.0, -48.0, -37.0)  # of the sample study, in SPECT space
SIZE, SPACING_MM = (150, 120, 110), 2.4
AIR_HU = -1000.0


def series(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def in_real_units(path: Path) -> sitk.Image:
    """Stored values times the slope of the real world value mapping, as docs/how-to/dicom-out.md says."""
    mapping = pydicom.dcmread(path, stop_before_pixels=True).RealWorldValueMappingSequence[0]
    return sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkFloat32) * float(mapping.RealWorldValueSlope)


def ct_from_spect(registration: Path) -> sitk.AffineTransform:
    """The inverse of the matrix of the moving item: where ITK has to look in the CT."""
    item = pydicom.dcmread(registration).RegistrationSequence[1].MatrixRegistrationSequence[0].MatrixSequence[0]
    matrix = np.linalg.inv(np.asarray(item.FrameOfReferenceTransformationMatrix, dtype=float).reshape(4, 4))
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def around_the_heart(image: sitk.Image, transform: sitk.Transform, outside: float) -> np.ndarray:
    """The image [z, y, x] on a fine grid around the heart."""
    grid = sitk.Image(SIZE, sitk.sitkFloat32)
    grid.SetSpacing([SPACING_MM] * 3)
    grid.SetOrigin([c - SPACING_MM * (n - 1) / 2 for c, n in zip(HEART_MM, SIZE, strict=True)])
    return sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, sitk.sitkLinear, outside, sitk.sitkFloat32))


def main(folder: Path, ct_folder: Path, picture: Path) -> None:
    stays = sitk.Transform()
    ct = series(ct_folder)
    grey = {
        "CT by its header": around_the_heart(ct, stays, AIR_HU),
        "CT through registration.dcm": around_the_heart(ct, ct_from_spect(folder / "registration.dcm"), AIR_HU),
        "ct_moved, no transform": around_the_heart(series(folder / "ct_moved"), stays, AIR_HU),
        "mu.dcm": around_the_heart(in_real_units(folder / "mu.dcm"), stays, 0.0),
    }
    heart = around_the_heart(sitk.ReadImage(str(folder / "ac.dcm")), stays, 0.0)
    middle = tuple(n // 2 for n in heart.shape)
    bright = heart[tuple(slice(m - 15, m + 15) for m in middle)].max()
    planes = (np.s_[middle[0]], np.s_[::-1, middle[1]], np.s_[::-1, :, middle[2]])
    figure = Figure(figsize=(14, 9.4), facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, len(grey))
    for column, (name, values) in enumerate(grey.items()):
        low, high = (0.0, 0.2) if name == "mu.dcm" else (AIR_HU, 400.0)
        for row, plane in enumerate(planes):
            at = axes[row, column]
            at.axis("off")
            at.imshow(values[plane], cmap="gray", vmin=low, vmax=high)
            glow = np.ma.masked_less(heart[plane] / bright, 0.28)
            at.imshow(glow, cmap="inferno", vmin=0.0, vmax=1.0, alpha=0.6)
        axes[0, column].set_title(name, color="white", fontsize=13)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.95, 0.01, 0.02)
    figure.savefig(picture, dpi=70, facecolor="black")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
