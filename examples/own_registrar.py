"""A registrar of your own in one file, compared with one of the package on the sample study, whose truth is known.

    python examples/own_registrar.py -o out

Any class with `kind` and `register` is a registrar. `mureg register --registrar own_registrar:CentreOfMass` takes it
too, where `examples` is in PYTHONPATH. Research use only: not for diagnosis.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

import mureg
from mureg.sample import load_truth, sample_folder


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class CentreOfMass:
    """Move the centre of the emission to the centre of the map: a baseline, not for use."""

    threshold: float = 0.0
    kind: Literal["centre-of-mass"] = "centre-of-mass"

    def register(self, study: mureg.PreparedStudy) -> mureg.Registration:
        shift_mm = self.centre(study.body) - self.centre(study.uncorrected)  # from SPECT space to CT space
        centre_mm = study.uncorrected.grid.centre_mm
        pose = mureg.RigidTransform.from_six(shift_mm, (0, 0, 0), centre_mm)
        return mureg.Registration(pose, centre_mm, self.kind, "moved")

    def centre(self, volume: mureg.Volume) -> np.ndarray:
        """The centre of mass of what lies above the threshold, LPS+ mm."""
        values = np.asarray(volume)
        places = np.argwhere(values > self.threshold)
        return np.average(volume.grid.points(places), axis=0, weights=values[tuple(places.T)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="mutual information with one start")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    study = mureg.read_study(sample_folder() / "spect.dcm", ct=sample_folder() / "ct")
    prepared, truth = mureg.prepare(study), load_truth()
    peer = mureg.MutualInformation(starts=1, finish=1) if options.quick else mureg.MutualInformation()
    lines = ["registrar,error_mm"]
    lines.append(f"unregistered,{error_mm(mureg.RigidTransform.identity(), truth):.1f}")
    for registrar in (CentreOfMass(threshold=0.01), peer):
        registration = registrar.register(prepared)
        lines.append(f"{registrar.kind},{error_mm(registration.ct_from_spect, truth):.1f}")
    (options.output / "errors.csv").write_text("\n".join(lines) + "\n", "utf-8")
    print(*lines, sep="\n")


def error_mm(ct_from_spect: mureg.RigidTransform, truth: object) -> float:
    """Mean distance, over points of the heart, between where the pose puts them and where they are in the CT."""
    placed = ct_from_spect.apply(truth.heart_points_mm)  # type: ignore[attr-defined]
    return float(np.linalg.norm(placed - truth.heart_points_in_ct_mm, axis=1).mean())  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
