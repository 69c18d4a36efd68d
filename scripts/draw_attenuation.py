"""Draw the two pictures of docs/concepts/attenuation.md from the shipped sample, and print what real CTs measure.

    python scripts/draw_attenuation.py [--measure FOLDER]

FOLDER holds CTs as ``*.nii.gz`` and, for one of them, organ labels (``*_labels.nii.gz`` with ``*_labels.json``).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mureg.attenuation.body import find_body, find_truncation, in_patient_order
from mureg.attenuation.contrast import without_contrast_and_metal
from mureg.attenuation.hu_to_mu import choose_conversion
from mureg.attenuation.maps import AttenuationMap
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.dicom.ct_read import read_ct_dicom
from mureg.jobs.cores import set_thread_count
from mureg.sample import sample_folder

FIGURES = Path(__file__).parents[1] / "docs" / "concepts" / "figures"
CONVERSION = choose_conversion("", "", 120.0)[0]
BODY, CLIPPED = "#e53935", "#ffb300"
ORGANS = {
    "heart, aorta, superior vena cava": ("heart", "aorta", "superior_vena_cava"),
    "spleen": ("spleen",),
    "kidneys": ("kidney_left", "kidney_right"),
}
BONES = {"vertebrae": ("vertebrae",), "ribs": ("rib_",), "sternum": ("sternum",), "scapulae": ("scapula",)}


def show(ax: Axes, volume: Volume, k: int, low: float, high: float, title: str) -> None:
    """An axial slice seen from the feet, millimetres."""
    (x0, y0), (x1, y1) = (volume.grid.points(p)[:2] for p in ((0, 0, 0), np.subtract(volume.grid.shape, 1)))
    ax.imshow(volume.values[:, :, k].T, cmap="gray", vmin=low, vmax=high, extent=(x0, x1, y1, y0))
    ax.set(title=title, xticks=[], yticks=[])


def outline(ax: Axes, volume: Volume, mask: np.ndarray, k: int, colour: str) -> None:
    if mask[:, :, k].any():
        x, y = (volume.grid.points(np.eye(3)[a] * np.arange(volume.grid.shape[a])[:, None])[:, a] for a in (0, 1))
        ax.contour(x, y, mask[:, :, k].T, levels=[0.5], colors=[colour], linewidths=1.2)


def draw_body_and_table(ct: Volume) -> None:
    maps = AttenuationMap().prepare(ct, CONVERSION)
    k, body = ct.grid.shape[2] // 2, find_body(ct)
    figure = Figure(figsize=(12, 4.2), dpi=100, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    show(left, ct, k, -1000, 300, "CT and the outline of the body")
    outline(left, ct, body, k, BODY)
    show(middle, maps.body, k, 0, 0.2, "Body: moves with the patient")
    show(right, maps.table, k, 0, 0.1, "Table and blanket: stay with the scanner")
    figure.savefig(FIGURES / "body_and_table.png")


def draw_contrast(ct: Volume) -> None:
    clipped = without_contrast_and_metal(ct)[0]
    found = clipped.values != ct.values
    figure = Figure(figsize=(12, 8.2), dpi=100, layout="constrained")
    for row, share in zip(figure.subplots(2, 3), (0.35, 0.55), strict=True):
        k = int(share * ct.grid.shape[2])
        show(row[0], ct, k, -150, 450, "CT with contrast medium")
        show(row[1], ct, k, -150, 450, "Found as contrast medium")
        outline(row[1], ct, found, k, CLIPPED)
        show(row[2], clipped, k, -150, 450, "As it enters the map: bone stays")
    figure.savefig(FIGURES / "contrast.png")


def read(path: Path, quantity: Quantity) -> Volume:
    image = nib.load(path)
    grid = Grid(image.shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine)
    return in_patient_order(Volume(np.asarray(image.dataobj, dtype=np.float32), grid, quantity))


def measure(folder: Path) -> None:
    for path in sorted(p for p in folder.glob("*.nii.gz") if not p.name.endswith("_labels.nii.gz")):
        ct = read(path, Quantity.HU)
        started = time.perf_counter()
        AttenuationMap().prepare(ct, CONVERSION)
        seconds = time.perf_counter() - started
        body = find_body(ct)
        clipped, what = without_contrast_and_metal(ct, body)
        litre = ct.grid.voxel_volume_mm3 / 1e6
        print(f"{path.name}: {seconds:.1f} s, body {body.sum() * litre:.1f} l, contrast {what.contrast_ml:.0f} ml,")
        print(f"  above 2000 HU {what.metal_ml:.1f} ml, {find_truncation(ct, body)}")
        labels = path.with_name(path.name.replace(".nii.gz", "_labels.nii.gz"))
        if labels.is_file():
            measure_organs(ct, clipped, body, labels)


def measure_organs(ct: Volume, clipped: Volume, body: np.ndarray, path: Path) -> None:
    names = json.loads(Path(str(path).replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
    labels = read(path, Quantity.LABEL).values
    print(f"  labelled voxels outside the body: {int(((labels > 0) & ~body).sum())} of {int((labels > 0).sum())}")
    before, after = np.minimum(ct.values, 2000.0), clipped.values
    for title, words in (ORGANS | BONES).items():
        of_label = np.isin(labels, [int(key) for key, name in names.items() if name.startswith(words)])
        bright = of_label & (ct.values > 150.0)
        if title in ORGANS:
            print(f"  {title}: {100 * (after[bright] == 45.0).mean():.1f} % of {bright.sum()} bright voxels clipped")
        else:
            lost = (before - after)[bright].sum() / (before[bright] - 45.0).sum()
            print(f"  {title}: {100 * lost:.1f} % of the attenuation above soft tissue lost")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/concepts/attenuation.md.")
    parser.add_argument("--measure", type=Path)
    arguments = parser.parse_args()
    set_thread_count(1)
    if arguments.measure:
        measure(arguments.measure)
        return
    ct = in_patient_order(read_ct_dicom(sample_folder() / "ct").volume)
    draw_body_and_table(ct)
    draw_contrast(ct)


if __name__ == "__main__":
    main()
