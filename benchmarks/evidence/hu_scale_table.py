"""Which real CTs are accepted as HU and which spoiled copies of them are refused, with the peaks measured.

``PYTHONPATH=src python benchmarks/evidence/hu_scale_table.py FOLDER`` prints a table in Markdown;
FOLDER holds CTs as NIfTI.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from mureg.attenuation.hu_scale import hu_scale, require_hu_scale
from mureg.errors import UnitsError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.units import known_hounsfield

KINDS = {
    "as it is": lambda v: v,
    "HU + 1024, padding -2000": lambda v: np.where(v <= v.min(), -2000, v + 1024),
    "-175 to 250": lambda v: np.clip(v, -175, 250),
    "-500 to 400": lambda v: np.clip(v, -500, 400),
    "HU / 2": lambda v: v / 2,
    "HU + 24": lambda v: v + 24,
}


def verdict(values: np.ndarray) -> str:
    """Accepted, warned of or refused, with air and soft tissue in HU."""
    hounsfield, unknown = known_hounsfield(values)
    volume = Volume.from_numpy(hounsfield, Grid.centred(values.shape, (2.0, 2.0, 2.0)), Quantity.HU, unknown)
    scale = hu_scale(volume)
    try:
        word = "warning" if require_hu_scale(volume) else "accepted"
    except UnitsError:
        word = "refused"
    return f"{word} ({scale.air_hu:.0f}, {scale.soft_hu:.0f})"


def main(folder: Path) -> None:
    """Print one line a scan."""
    print("| scan | " + " | ".join(KINDS) + " |\n|" + "---|" * (len(KINDS) + 1))
    for path in sorted(p for p in folder.rglob("*.nii.gz") if "labels" not in p.name):
        values = np.asarray(nib.load(path).dataobj).astype(np.float32)
        cells = " | ".join(verdict(spoil(values).astype(np.float32)) for spoil in KINDS.values())
        print(f"| {path.name.removesuffix('.nii.gz')} | {cells} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
