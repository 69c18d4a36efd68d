"""Assessments to report on: one of a real run, one that costs nothing to make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mureg.assessment.result import Assessment, Confidence, Perfusion
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.heart.axis import axis_from_image
from mureg.heart.polar import polar_map
from mureg.pipeline import Outcome, Provenance, reconstruct
from mureg.registration import Registration
from mureg.spect import Acquisition, EnergyWindow
from mureg.spect.attenuation import AttenuationMap, AttenuationMaps
from mureg.spect.body import emission_outline
from mureg.study import Ct, Source, Study
from support.hearts import CENTRE_MM, GRID, VENTRICLE, wall_volume, with_defect
from support.phantoms import voxel_points

POSE = RigidTransform.from_six((9.0, -7.0, 10.0), (1.5, -2.0, 3.0), GRID.centre_mm)


def assessed(study: Study, outcome: Outcome) -> Assessment:
    """What the report shows of a run, with a decision that is only there to be shown."""
    header = reconstruct(study.spect, outcome.mu_header)
    ventricle = axis_from_image(outcome.spect_corrected, outcome.mu_registered)
    maps = [polar_map(image, ventricle) for image in (outcome.spect_uncorrected, header, outcome.spect_corrected)]
    changed = np.flatnonzero(np.abs(maps[2].relative - maps[1].relative) > 5.0) + 1
    return Assessment(
        outcome,
        "corrected",
        "the map was moved by 1.4 pixels at the heart, and 5 of 17 segments change by more than 5 %",
        (
            "at the heart the map moved 9.6 mm, more than one pixel (6.8 mm)",
            "the projections are explained better at the new place: log-likelihood +412",
            "5 of 17 segments change by more than 5 % between the two corrections",
        ),
        Confidence((0.8, 0.7, 1.4), (0.3, 0.3, 0.2), 2.6, True),
        Perfusion(ventricle, 0.83, False, *maps, tuple(int(n) for n in changed)),
        header,
        {"header": 6.4, "registered": 1.1},
    )


def drawn_assessment(wall: str = "lateral", corrected: bool = True, **changes) -> Assessment:
    """A ventricle with a defect in one wall of the registered image alone, in a body with lungs; no physics."""
    grid = Grid.centred((48, 48, 40), (6.8, 6.8, 6.8), (5.0, -10.0, 0.0))
    offset = voxel_points(grid) - grid.centre_mm
    body = ((offset[..., :2] / (140.0, 100.0)) ** 2).sum(-1) < 1
    lungs = ((np.abs(offset[..., 0]) - 65.0) / 45.0) ** 2 + (offset[..., 1] / 70.0) ** 2 < 1
    far = np.linalg.norm(voxel_points(grid) - np.asarray(CENTRE_MM), axis=-1) > 50
    mu = Volume.from_numpy(np.where(body, np.where(lungs & far, 0.04, 0.15), 0.0), grid, Quantity.MU_PER_CM)
    whole, defect = wall_volume(), with_defect(wall)
    registration = Registration(POSE, grid.centre_mm, "mutual-information", "moved", seconds=4.2)
    outcome = Outcome(
        registration,
        mu.resampled(grid, POSE.inverse()),
        mu,
        whole,
        defect if corrected else None,
        ("the CT does not reach 12 % of the SPECT field",),
        Provenance({"mureg": "0"}, {"registrar": {"kind": "x"}}, (Source("spect", 1, "ab" * 32),), {"a": 1.0}, "cpu"),
        AttenuationMaps(mu, None, AttenuationMap()),
        emission_outline(whole),
    )
    perfusion = None
    if corrected:
        maps = [polar_map(image, VENTRICLE) for image in (whole, whole, defect)]
        changed = np.flatnonzero(np.abs(maps[2].relative - maps[1].relative) > 5.0) + 1
        perfusion = Perfusion(VENTRICLE, 1.0, True, *maps, tuple(int(n) for n in changed))
    plain = Assessment(
        outcome,
        "review",
        "two methods disagree by 9 mm",
        ("two methods disagree by 9 mm", "the move is larger than patients move"),
        None,
        perfusion,
        whole if corrected else None,
        {"header": 6.4, "registered": 1.1} if corrected else {},
    )
    return replace(plain, **changes)


def drawn_study() -> Study:
    """A study with facts to state, of nobody."""
    counts = torch.full((1, 20, 24, 24), 3.0)
    window = EnergyWindow(126.5, 154.5, "Tc99m")
    acquisition = Acquisition(counts, (window,), 0, 225.0 - 9.0 * np.arange(20), (6.8, 6.8), seconds_per_view=20.0)
    scan = Volume.from_numpy(np.zeros((8, 8, 8)), Grid.centred((8, 8, 8), (2.5, 2.5, 5.0)), Quantity.HU)
    return Study(acquisition, Ct(scan, "GE", "Optima", 120.0))
