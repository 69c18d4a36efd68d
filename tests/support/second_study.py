"""A case of a cohort as the second simulator sees it: the same body, motion, CT and truth, another emission."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mureg.cohort.exposure import CaseDraw, Exposure, RenderedPatient, detector, draw, rendered
from mureg.cohort.settings import CohortSettings
from mureg.cohort.simulation import case_of
from mureg.study import Case
from support.second_camera.camera import Collimator
from support.second_camera.rays import RayCamera, State
from support.second_camera.scatter import SingleScatter
from support.second_camera.simulator import Counted, simulate

VOXEL_MM = 3.9
"""Of the scene before the second camera; the package's own camera is shown voxels of 5.1 mm."""
SIEMENS = Collimator("Siemens LEHR", hole_mm=1.11, length_mm=24.05, septum_mm=0.16)
SCATTER = SingleScatter(source_mm=20.4, point_mm=27.2, n_directions=300)
"""An eighth of the time of the default; of a drawn chest 1 % more scatter, 4 % of it elsewhere."""
_SEED = 1_000_000


def second_case(
    settings: CohortSettings, index: int, ct_folder: Path | None = None, drawn: CaseDraw | None = None
) -> Case:
    """The case with this number, its projections by the second simulator; never to train on.

    Args:
        settings: what it is drawn from; deviations of the package's own camera are left out.
        index: its number in the cohort, from 0.
        ct_folder: real CTs, for anatomies made from them.
        drawn: what `draw` gave, changed where wanted; drawn here where left out.
    """
    settings = replace(settings, voxel_mm=VOXEL_MM, camera=None)
    drawn = draw(settings, index, ct_folder) if drawn is None else drawn
    scene = rendered(settings, index, drawn)
    seen = second_exposure(settings, drawn, scene, settings.seed * _SEED + index)
    return case_of(settings, index, Exposure(drawn, scene, seen.expected, seen.scatter), seen.counts.numpy())


def second_exposure(settings: CohortSettings, drawn: CaseDraw, scene: RenderedPatient, seed: int) -> Counted:
    """What the second simulator counts of a scene."""
    n, pixel_mm = detector(settings, drawn)
    collimator = SIEMENS if "SIEMENS" in drawn.scan.manufacturer.upper() else Collimator()
    camera = RayCamera(scene.grid, scene.orbit.angles_deg, scene.orbit.radii_mm, n, n, pixel_mm, collimator=collimator)
    states = [
        State(activity, mu, np.asarray(share))
        for activity, mu, share in zip(scene.activity, scene.mu, scene.shares.T, strict=True)
    ]
    return simulate(camera, states, scene.orbit.counts, seed, SCATTER)
