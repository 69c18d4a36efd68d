"""Draw docs/concepts/figures/projector.png: the stages from activity to counts, one view of the sample study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mureg import Osem, Physics, SystemModel, read_study, reconstruct
from mureg.jobs.cores import set_thread_count
from mureg.sample import load_truth, sample_folder
from mureg.spect.collimator import COLLIMATORS
from mureg.spect.system import detector_order
from mureg.study import attenuation_maps

FIGURES = Path(__file__).parents[1] / "docs" / "concepts" / "figures"
VIEW = 15  # 180 degrees: from the front


def main() -> None:
    """One transaxial plane through the heart in every stage, and the projection without and with resolution."""
    study = read_study(sample_folder() / "spect.dcm", ct=sample_folder() / "ct")
    truth, acquisition = load_truth(), study.spect
    grid = acquisition.grid()
    mu = attenuation_maps(study.attenuation, grid)[0].on_spect(grid, truth.ct_from_spect)
    activity = reconstruct(acquisition, mu, Osem(iterations=3, post_filter="gaussian", fwhm_mm=8.0), Physics()).values
    sharp = SystemModel(acquisition, grid, mu).block([VIEW], activity)
    blurred = SystemModel(acquisition, grid, mu, COLLIMATORS["GE LEHR"]).block([VIEW], activity)
    (turn,) = sharp.turns
    leaves = turn.views[0].attenuation  # [column, depth, z], as the rotated activity
    frames = (turn.rotation @ activity.reshape(-1, activity.shape[-1])).reshape(leaves.shape)
    k = round(float(grid.indices(truth.lv_wall_centroid_mm)[2]))
    pictures = (
        ("activity, seen from the feet", activity[:, :, k].T, "inferno"),
        ("1  rotated: detector at the top", frames[:, :, k].T, "inferno"),
        ("2  share that gets out", leaves[:, :, k].T, "viridis"),
        ("1 x 2  what sets out and arrives", (frames * leaves)[:, :, k].T, "inferno"),
        ("3a  summed without blur", detector_order(sharp.project(activity))[0], "inferno"),
        ("3b  blurred by distance, then summed", detector_order(blurred.project(activity))[0], "inferno"),
    )
    figure = Figure(figsize=(12, 7.6), dpi=100, layout="constrained")
    for axes, (title, values, colours) in zip(figure.subplots(2, 3).flat, pictures, strict=True):
        shown = axes.imshow(np.asarray(values), cmap=colours)
        axes.set_title(title, fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
        figure.colorbar(shown, ax=axes, shrink=0.8)
    figure.savefig(FIGURES / "projector.png", metadata={"Software": None})


if __name__ == "__main__":
    set_thread_count(1)
    main()
