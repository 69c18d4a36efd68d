"""An assessment to report on that costs nothing to make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mureg.assessment.move import Move
from mureg.assessment.result import Assessment, Examination, HeartPlace, MapAtPose, Perfusion, Provenance
from mureg.attenuation.maps import AttenuationMap, AttenuationMaps
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.heart.polar import polar_map
from mureg.notes import Note, Rank
from mureg.registration import Registration
from mureg.spect import Acquisition, EnergyWindow
from mureg.study import Ct, PreparedStudy, Source, Study
from support.hearts import CENTRE_MM, GRID, VENTRICLE, wall_volume, with_defect
from support.phantoms import voxel_points

POSE = RigidTransform.from_six((9.0, -7.0, 10.0), (1.5, -2.0, 3.0), GRID.centre_mm)


def drawn_assessment(wall: str = "lateral", corrected: bool = True, **changes) -> Assessment:
    """A ventricle with a defect in one wall of the registered image alone, in a body with lungs; no physics."""
    grid = Grid.centred((48, 48, 40), (6.8, 6.8, 6.8), (5.0, -10.0, 0.0))
    offset = voxel_points(grid) - grid.centre_mm
    body = ((offset[..., :2] / (140.0, 100.0)) ** 2).sum(-1) < 1
    lungs = ((np.abs(offset[..., 0]) - 65.0) / 45.0) ** 2 + (offset[..., 1] / 70.0) ** 2 < 1
    far = np.linalg.norm(voxel_points(grid) - np.asarray(CENTRE_MM), axis=-1) > 50
    mu = Volume.from_numpy(np.where(body, np.where(lungs & far, 0.04, 0.15), 0.0), grid, Quantity.MU_PER_CM)
    whole, defect = wall_volume(), with_defect(wall)
    examination = Examination(
        drawn_study(),
        PreparedStudy(whole, AttenuationMaps(mu, None, AttenuationMap())),
        Registration(POSE, grid.centre_mm, "mutual-information", "moved", seconds=4.2),
        MapAtPose(RigidTransform.identity(), mu.resampled(grid, POSE.inverse()), whole if corrected else None),
        MapAtPose(POSE, mu, defect if corrected else None),
        (),
        Provenance({"mureg": "0"}, {"registrar": {"kind": "x"}}, (Source("spect", 1, "ab" * 32),), {"a": 1.0}, "cpu"),
    )
    perfusion = None
    if corrected:
        maps = [polar_map(image, VENTRICLE) for image in (whole, whole, defect)]
        changed = np.flatnonzero(np.abs(maps[2].relative - maps[1].relative) > 5.0) + 1
        perfusion = Perfusion(VENTRICLE, 1.0, True, *maps, tuple(int(n) for n in changed))
    plain = Assessment(
        examination,
        "review",
        ("two methods disagree by 9 mm", "the move is larger than patients move"),
        True,
        HeartPlace(CENTRE_MM, "axis"),
        Move.of(POSE, CENTRE_MM),
        perfusion=perfusion,
        mismatch_percent={"header": 6.4, "registered": 1.1} if corrected else {},
        warnings=(Note("the CT does not reach 12 % of the SPECT field", Rank.RECORD),),
    )
    return replace(plain, **changes)


def drawn_study() -> Study:
    """A study with facts to state, of nobody."""
    counts = np.full((1, 20, 24, 24), 3.0, dtype=np.float32)
    window = EnergyWindow(126.5, 154.5, "Tc99m")
    acquisition = Acquisition(counts, (window,), 0, 225.0 - 9.0 * np.arange(20), (6.8, 6.8), seconds_per_view=20.0)
    scan = Volume.from_numpy(np.zeros((8, 8, 8)), Grid.centred((8, 8, 8), (2.5, 2.5, 5.0)), Quantity.HU)
    return Study(acquisition, Ct(scan, "GE", "Optima", 120.0))
