"""Draw the picture of docs/concepts/scatter.md: scatter profiles, model against Monte Carlo, and print its table.

PYTHONPATH=tests python scripts/draw_scatter.py
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mureg.jobs.cores import set_thread_count
from mureg.spect import Acquisition, SystemModel
from mureg.spect.collimator import COLLIMATORS
from mureg.spect.scatter import SimulatedScatter
from support.scatter_cases import ANGLES, GRID, PIXEL_MM, REFERENCE, WINDOWS, Case, N, binned, cases

FIGURES = Path(__file__).parents[1] / "docs" / "concepts" / "figures"
MODELS = {
    "first order": SimulatedScatter(multiple=1.0, buildup=0.0),
    "first order x 1.17": SimulatedScatter(multiple=1.17, buildup=0.0),
    "with build-up": SimulatedScatter(),
}
VIEWS = {0: "from behind", 2: "from the front", 1: "from the left"}


def scatter(case: Case, chosen: SimulatedScatter, angles=ANGLES, resolution: bool = False) -> np.ndarray:
    """Expected scatter [view, row, column] for one decay in all."""
    angles = np.array(angles)
    counts, radii = np.zeros((1, len(angles), N, N), dtype=np.float32), np.full(len(angles), 250.0)
    acquisition = Acquisition(counts, WINDOWS[:1], 0, angles, (PIXEL_MM, PIXEL_MM), radii_mm=radii)
    collimator = COLLIMATORS["GE LEHR"] if resolution else None
    return chosen.estimate(SystemModel(acquisition, GRID, case.mu, collimator), case.activity).astype(float)


def difference(found: np.ndarray, truth: np.ndarray) -> float:
    """Of shapes, in all views together, after scaling to the same sum."""
    found = found * (truth.sum() / found.sum())
    return float(np.sqrt(((found - truth) ** 2).sum() / (truth**2).sum()))


def tabulate(reference: dict[str, np.ndarray]) -> None:
    """Amount and shape of each model in each object, in the photopeak window."""
    print("| object | model | amount in all | view by view | shape |\n|---|---|---|---|---|")
    for name, case in cases().items():
        counts = reference[f"{name}/counts"][:, 0].astype(float)
        for label, chosen in MODELS.items():
            truth = counts[:, 0] if label == "first order" else counts.sum(1)
            found = binned(scatter(case, chosen))
            views = found.sum((1, 2)) / truth.sum((1, 2))
            amount, spread = found.sum() / truth.sum(), f"{views.min():.3f} to {views.max():.3f}"
            print(f"| {name} | {label} | {amount:.3f} | {spread} | {100 * difference(found, truth):.1f} % |")


def draw(reference: dict[str, np.ndarray]) -> None:
    """Profiles along the columns, rows added up, of three views of two objects."""
    figure = Figure(figsize=(10, 5.2), dpi=100, layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey="row")
    column_mm = (np.arange(N) - (N - 1) / 2) * PIXEL_MM
    for row, name in zip(axes, ("chest", "heart alone in the chest"), strict=True):
        case = cases()[name]
        models = {label: 100 * scatter(case, MODELS[label]).sum(1) for label in ("first order", "with build-up")}
        orders = 100 * reference[f"{name}/profile"][:, 0].astype(float)
        for ax, (view, seen) in zip(row, VIEWS.items(), strict=True):
            ax.plot(column_mm, orders[view].sum(0), ".", ms=4, color="#222222", label="Monte Carlo, all orders")
            ax.plot(column_mm, orders[view, 0], ".", ms=4, color="#999999", label="Monte Carlo, first order")
            ax.plot(column_mm, models["with build-up"][view], color="#c62828", lw=1.3, label="model")
            ax.plot(column_mm, models["first order"][view], color="#1565c0", lw=1.0, label="model, first order")
            ax.set_title(f"{name}, {seen}", fontsize=10)
            ax.grid(alpha=0.2)
        row[0].set_ylabel("scattered counts per\n100 decays and column")
    for ax in axes[1]:
        ax.set_xlabel("detector column (mm)")
    axes[0, 0].legend(fontsize=7, frameon=False)
    figure.savefig(FIGURES / "scatter_profiles.png")


def main() -> None:
    set_thread_count(1)
    with np.load(REFERENCE) as stored:
        reference = {name: stored[name] for name in stored.files}
    tabulate(reference)
    draw(reference)
    chest = cases()["chest"]
    for resolution in (False, True):
        start = time.process_time()
        scatter(chest, SimulatedScatter(), np.arange(60) * 6.0, resolution)
        print(f"60 views, resolution {resolution}: {time.process_time() - start:.2f} s on one core")


if __name__ == "__main__":
    main()
