"""One picture of each real CT with the outline of its left ventricle, as it was placed.

    python benchmarks/evidence/anatomy_figures.py --ct-folder FOLDER --out docs/concepts/figures/anatomies

Rows: axial, coronal and sagittal planes through the ventricle, then the long axes and three short axes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from PIL import Image
from scipy import ndimage

from mureg.attenuation.body import in_patient_order
from mureg.geometry import Volume
from mureg.heart.ventricle import LeftVentricle
from mureg.io import read_ct
from mureg.jobs.cores import set_thread_count
from mureg.simulate.ct_anatomy import load_landmarks
from mureg.simulate.ct_anatomy.landmarks import CtLandmarks
from mureg.simulate.ct_anatomy.shell import outer_distance_mm, wall_distance_mm

HALF_MM, STEP_MM = 85.0, 14.0
MOST_BYTES = 150_000
THIRDS = np.array([-0.3, 0.0, 0.3])
WINDOWS = {"contrast": (-100.0, 320.0), "shadow": (-120.0, 160.0)}
NARROW = {"CPTAC-C3N-00249": (0.0, 160.0), "cptac_c3n_00247": (0.0, 200.0)}


def montage(name: str, ct: Volume, marks: CtLandmarks, path: Path) -> None:
    """Write the picture; in 256 greys and colours, with fewer pixels until it is small enough."""
    spacing = np.asarray(ct.grid.spacing_mm)
    sigma = np.maximum(1.5 / spacing, 0.6 * (spacing > 4.0))
    smooth = ct.with_values(ndimage.gaussian_filter(ct.values, sigma))
    window = NARROW.get(name, WINDOWS[marks.seen_by])
    ventricle = marks.ventricle
    centre, (anterior, lateral, apex) = np.asarray(ventricle.centre_mm), ventricle.axes
    x, y, z = np.eye(3)
    planes = [
        *((f"axial {d:+.0f}", centre + d * z, x, -y) for d in STEP_MM * np.arange(2, -3, -1)),
        *((f"coronal {d:+.0f}", centre + d * y, x, z) for d in STEP_MM * np.arange(-2, 3)),
        *((f"sagittal {d:+.0f}", centre + d * x, y, z) for d in STEP_MM * np.arange(-2, 3)),
        ("horizontal long axis", centre, lateral, apex),
        ("vertical long axis", centre, apex, anterior),
        *((f"short axis {d:+.0f}", centre + d * apex, lateral, anterior) for d in ventricle.length_mm * THIRDS),
    ]
    figure, axes = plt.subplots(4, 5, figsize=(12.5, 10.6), layout="compressed")
    for ax, (title, middle, right, up) in zip(axes.flat, planes, strict=True):
        _plane(ax, smooth, ventricle, (middle, right, up), window)
        ax.set_title(title, fontsize=7, pad=2)
    mm = ", ".join(f"{v:.0f}" for v in (ventricle.length_mm, ventricle.radius_mm))
    figure.suptitle(f"{name} ({marks.source}; {marks.licence}), by {marks.seen_by}; length, radius {mm} mm", fontsize=9)
    for dpi in (90, 80, 70, 60, 50):
        figure.savefig(path, dpi=dpi)
        Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            break
    plt.close(figure)


def _plane(
    ax: Axes,
    ct: Volume,
    ventricle: LeftVentricle,
    plane: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]],
    window: tuple[float, float],
) -> None:
    middle, right, up = plane
    steps = np.arange(-HALF_MM, HALF_MM + 0.1, 1.0)
    points = middle + steps[None, :, None] * right + steps[:, None, None] * up
    index = ct.grid.indices(points)
    values = ndimage.map_coordinates(ct.values, np.moveaxis(index, -1, 0), order=1, cval=-1000.0)
    extent = (-HALF_MM, HALF_MM, -HALF_MM, HALF_MM)
    ax.imshow(values, cmap="gray", vmin=window[0], vmax=window[1], origin="lower", extent=extent)
    places = torch.from_numpy(points)
    for distance_mm, colour in ((outer_distance_mm, "yellow"), (wall_distance_mm, "red")):
        distance = distance_mm(ventricle, places).numpy()
        if distance.min() < 0 < distance.max():
            ax.contour(steps, steps, distance, [0.0], colors=colour, linewidths=0.6)
    ax.set_xticks([])
    ax.set_yticks([])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ct-folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    set_thread_count(1)
    given.out.mkdir(parents=True, exist_ok=True)
    for path in sorted([*given.ct_folder.glob("*.nii.gz"), *given.ct_folder.glob("*/popi_4dct_*.nii.gz")]):
        name = path.name.removesuffix(".nii.gz")
        marks = load_landmarks().get(name)
        if marks is not None and (name in given.only or not given.only):
            montage(name, in_patient_order(read_ct(path)[0].volume), marks, given.out / f"{name}.png")


if __name__ == "__main__":
    main()
