"""One drawn torso at end expiration and in a breath as measured: docs/concepts/figures/measured-breathing.png.

python scripts/draw_breathing.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from mureg.geometry import Grid, RigidTransform
from mureg.simulate.anatomy import Breath
from mureg.simulate.torso import TorsoRange

FIGURE = Path(__file__).parents[1] / "docs" / "concepts" / "figures" / "measured-breathing.png"
STATES = (
    ("end expiration", Breath()),
    ("20 mm deeper, as measured, heart 0.4", Breath(20.0, 0.4, measured=True)),
    ("20 mm deeper, as drawn, heart 0.4", Breath(20.0, 0.4)),
)


def main() -> None:
    """A coronal slice through the ventricle and a sagittal one through the right dome."""
    torso = TorsoRange().draw(np.random.default_rng(3), "torso")
    _, y, z = torso.ventricle.centre_mm
    grids = (
        Grid.centred((110, 1, 90), (3.5, 3.5, 3.5), (0.0, y, z)),
        Grid.centred((1, 90, 90), (3.5, 3.5, 3.5), (-60.0, 10.0, z)),
    )
    figure, axes = plt.subplots(2, 3, figsize=(10.5, 6.4), layout="constrained")
    for row, (grid, across) in enumerate(zip(grids, ("left", "back"), strict=True)):
        images = torso.hounsfields(grid, RigidTransform.identity(), [breath for _, breath in STATES])
        low, high = grid.points((0, 0, 0)), grid.points([n - 1 for n in grid.shape])
        extent = (low[row], high[row], low[2], high[2])
        for axis, (name, _), image in zip(axes[row], STATES, images, strict=True):
            axis.imshow(np.asarray(image).squeeze().T, origin="lower", cmap="gray", vmin=-1000, vmax=250, extent=extent)
            axis.set_xlabel(f"towards the {across}, mm")
            axis.grid(alpha=0.25)
            if row == 0:
                axis.set_title(name, fontsize=10)
        axes[row, 0].set_ylabel("towards the head, mm")
    figure.savefig(FIGURE, dpi=80)


if __name__ == "__main__":
    main()
