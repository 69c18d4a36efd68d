"""Read a study, register it, print the answer and draw the map under the SPECT before and after.

    python examples/register_and_plot.py -o out
    python examples/register_and_plot.py --spect spect.dcm --ct ct/ -o out

Without a study of your own it takes the sample study of the package. Research use only: not for diagnosis.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import mureg
from mureg.sample import sample_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--spect", type=Path, default=sample_folder() / "spect.dcm")
    parser.add_argument("--ct", type=Path, default=sample_folder() / "ct")
    parser.add_argument(
        "--quick", action="store_true", help="mutual information with one start alone, no corrected image"
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    study = mureg.read_study(options.spect, ct=options.ct)
    registrar = mureg.MutualInformation(starts=1, finish=1) if options.quick else mureg.Combination()
    answer = mureg.examine(study, mureg.StudySettings(registrar=registrar), correct=not options.quick)

    print(answer.headline)  # ALIGNED, MOVED or REVIEW
    print(*answer.reasons, sep="\n")
    print(f"move found: {answer.move_found.rms_mm:.1f} mm at the heart, {answer.bound_in_words()}")

    draw(answer, options.output / "before-and-after.png")
    mureg.write_transform(answer.registration.ct_from_spect, options.output / "found.tfm", answer.heart.centre_mm)
    print(f"wrote {options.output / 'before-and-after.png'} and found.tfm")


def draw(answer: mureg.Assessment, path: Path) -> None:
    """A coronal slice through the heart: the SPECT in colour over the map, at the scanner position and as found."""
    spect = answer.examination.prepared.uncorrected
    grid = spect.grid
    x, y, z = np.round(grid.indices(np.array([answer.heart.centre_mm]))[0]).astype(int)
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
    for axis, place, title in zip(
        axes, (answer.examination.header, answer.examination.found), ("before", "found"), strict=True
    ):
        axis.imshow(np.asarray(place.mu)[:, y, :].T, cmap="gray", origin="lower", vmin=0, vmax=0.2)
        emission = np.asarray(spect)[:, y, :].T
        axis.imshow(emission, cmap="hot", origin="lower", alpha=np.clip(emission / emission.max(), 0, 1) * 0.8)
        axis.plot(x, z, "c+", markersize=12)
        axis.set_title(f"{title} (head up, the patient's right on the left)")
        axis.set_axis_off()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
