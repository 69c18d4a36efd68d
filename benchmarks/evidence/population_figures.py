"""Pictures of stored training cases: emission, map at the true pose, both; three slices through the heart.

python benchmarks/evidence/population_figures.py RUN/cases/*/population-00000?.npz -o FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mureg.geometry import Grid, Quantity, Volume
from mureg.training.heart.emissions import TrainingEmission, read_emission

_POINTS_ALONG, _MM = 90, 4.0
_FACTS = ("anatomy_bmi", "anatomy_arms_down", "anatomy_female", "views", "arc_deg", "counts_photopeak", "image_given")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for path in options.cases:
        draw(read_emission(path), options.output / f"{path.parent.name}-{path.stem}.png")


def draw(case: TrainingEmission, path: Path) -> None:
    """One row for each CT: three planes of emission, map and both."""
    centre = case.axis_mm[1]
    n = _POINTS_ALONG
    grid = Grid.centred((n, n, n), (_MM,) * 3, (float(centre[0]), float(centre[1]), float(centre[2])))
    emission = np.asarray(case.uncorrected.resampled(grid))
    window = float(np.percentile(emission, 99.7))
    figure, axes = plt.subplots(2 * len(case.cts), 3, figsize=(9, 5.4 * len(case.cts)))
    for row, ct in enumerate(case.cts):
        mu = np.asarray(ct.body.resampled(grid, ct.ct_from_spect))
        outside = np.asarray(mask_of(ct.body).resampled(grid, ct.ct_from_spect))
        for column, axis in enumerate((2, 1, 0)):
            spect, body, unknown = (np.take(v, n // 2, axis).T for v in (emission, mu, outside))
            if axis != 2:
                spect, body, unknown = spect[::-1], body[::-1], unknown[::-1]
            alone, both = axes[2 * row, column], axes[2 * row + 1, column]
            alone.imshow(spect, cmap="gray_r", vmin=0, vmax=window)
            both.imshow(body, cmap="gray", vmin=0, vmax=0.2)
            both.imshow(np.ma.masked_less(spect, 0.25 * window), cmap="hot", vmin=0, vmax=window, alpha=0.45)
            both.contour(unknown, [0.5], colors="cyan", linewidths=0.6)
            place(both, ct.ct_from_spect.inverse().apply(ct.heart_points_mm), grid, axis, n)
            for one in (alone, both):
                one.set_axis_off()
        facts = {name: ct.facts.get(name, case.facts.get(name)) for name in _FACTS}
        shown = " ".join(f"{k.removeprefix('anatomy_')}={v}" for k, v in facts.items() if v is not None)
        axes[2 * row, 0].set_title(f"{case.patient} {case.name} {shown}", fontsize=6, loc="left")
        moved = ct.ct_from_spect.apply(case.heart_points_mm) - case.heart_points_mm
        scan = ", ".join(f"{name} {ct.facts[name]:.3g}" for name in ("ct_depth_mm", "ct_coverage_mm", "ct_field_mm"))
        axes[2 * row + 1, 0].set_title(f"moved {moved.mean(0).round(1)} mm; {scan}", fontsize=6, loc="left")
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=70)
    plt.close(figure)


def place(axes: plt.Axes, points: np.ndarray, grid: Grid, axis: int, n: int) -> None:
    """Heart points within 4 mm of the plane."""
    index = grid.indices(points)
    near = index[np.abs(index[:, axis] - n // 2) < 1.0]
    across = [k for k in range(3) if k != axis]
    down = near[:, across[1]] if axis == 2 else n - 1 - near[:, across[1]]
    axes.plot(near[:, across[0]], down, ".", color="lime", markersize=2)


def mask_of(volume: Volume) -> Volume:
    unknown = np.zeros(volume.grid.shape) if volume.outside is None else np.asarray(volume.outside, dtype=np.float64)
    return Volume.from_numpy(unknown, volume.grid, Quantity.LABEL)


if __name__ == "__main__":
    main()
