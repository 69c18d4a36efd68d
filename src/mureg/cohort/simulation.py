"""One case of a cohort, from its settings and its number: draw, expose, scan, reconstruct, and state the truth."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from mureg import __version__
from mureg.cohort.anatomies import patient_name
from mureg.cohort.exposure import CENTRE_MM, CaseDraw, Exposure, case_name, detector, draw, exposure, generator
from mureg.cohort.images import UNCORRECTED, image_facts
from mureg.cohort.settings import CohortSettings, as_toml
from mureg.geometry import Array, Grid, Quantity, RigidTransform, Volume
from mureg.geometry.rebin import rebinned
from mureg.recon.images import reconstruct
from mureg.simulate.anatomy import Points
from mureg.simulate.breathing import shifted
from mureg.simulate.orbit import WINDOWS, SimulatedOrbit
from mureg.spect import Acquisition
from mureg.spect.physics import WITHOUT
from mureg.study import Case, Ct, Study, Truth

_HEART_POINTS, _LIVER_POINTS = 256, 256
"""Points on which the true pose and the errors of a case rest; chosen."""
__all__ = [
    "UNCORRECTED",
    "CaseDraw",
    "Exposure",
    "as_seen",
    "case_name",
    "case_of",
    "draw",
    "exposure",
    "generator",
    "patient_name",
    "simulate_case",
]


def simulate_case(settings: CohortSettings, index: int, ct_folder: Path | None = None) -> Case:
    """Simulate one case; the same settings and number give the same case.

    Args:
        settings: what it is drawn from.
        index: its number in the cohort, from 0.
        ct_folder: real CTs, for anatomies made from them.

    Raises:
        UsageError: real CTs are asked for and not there.
    """
    return case_of(settings, index, exposure(settings, index, ct_folder))


def case_of(
    settings: CohortSettings,
    index: int,
    exposed: Exposure,
    counts: Float[Array, "window view row column"] | None = None,
) -> Case:
    """The case of an exposure: noise in the counts, the CT, the uncorrected image and the truth.

    Args:
        settings: what the case is drawn from.
        index: its number in the cohort, from 0.
        exposed: what `exposure` gave.
        counts: of another simulation of the same scene, in place of those drawn here.
    """
    case_draw, orbit = exposed.case_draw, exposed.scene.orbit
    acquisition = acquired(settings, index, exposed)
    if counts is not None:
        acquisition = replace(acquisition, counts=counts)
    photopeak, below = acquisition.counts.sum((1, 2, 3))[:2]
    chances = (generator(settings, stream, index) for stream in ("points", "liver"))
    truth = _truth(exposed, acquisition.grid(), *chances)
    uncorrected, how = uncorrected_of(settings, index, acquisition)
    facts = {
        **drawn_facts(case_draw, orbit),
        **_true_facts(truth),
        **({} if settings.camera is None else case_draw.camera.facts),
        **({} if settings.image is None else how),
        "counts_photopeak": int(photopeak),
        "counts_scatter_window": int(below),
        "scatter_fraction": float(exposed.scatter[0].sum() / exposed.expected[0].sum()),
    }
    sources: dict[str, str | int] = {
        "mureg": __version__,
        "cohort": settings.name,
        "seed": settings.seed,
        "index": index,
        "settings_sha256": hashlib.sha256(as_toml(settings).encode()).hexdigest(),
    }
    study = Study(acquisition, scanned(case_draw), case_draw.anatomy.patient)
    return Case(case_name(settings, index), study, uncorrected, truth, facts, sources)


def acquired(settings: CohortSettings, index: int, exposed: Exposure) -> Acquisition:
    """The projections of an exposure with their noise, and what the header says of the camera."""
    counts = generator(settings, "counts", index).poisson(exposed.expected.double().numpy()).astype(np.float32)
    case_draw, orbit = exposed.case_draw, exposed.scene.orbit
    _, pixel_mm = detector(settings, case_draw)
    return Acquisition(
        counts,
        WINDOWS,
        0,
        orbit.angles_deg,
        (pixel_mm, pixel_mm),
        CENTRE_MM,
        orbit.radii_mm + case_draw.camera.radius_mm,
        seconds_per_view=20.0,  # a usual time for the header; how many counts there are is drawn (`OrbitRange`)
        collimator="LEHR",
        nuclide="Tc-99m",
        patient_position="HFS",
        manufacturer=case_draw.scan.manufacturer,
    )


def uncorrected_of(
    settings: CohortSettings, index: int, acquisition: Acquisition
) -> tuple[Volume, dict[str, float | int | str | bool]]:
    """The uncorrected image as the program or another one makes it, and how it was made."""
    osem_and_physics = None if settings.image is None else settings.image.draw(generator(settings, "image", index))
    osem, physics = (UNCORRECTED, WITHOUT) if osem_and_physics is None else osem_and_physics
    image = reconstruct(acquisition, None, osem, physics)
    return image, image_facts(osem, osem_and_physics is not None, physics)


def scanned(case_draw: CaseDraw) -> Ct:
    """The CT as its scanner writes it."""
    scan, patient_from_ct = case_draw.scan, case_draw.ct_from_patient.inverse()
    breaths = case_draw.breathing.ct_breaths()
    bodies = case_draw.anatomy.hounsfields(scan.grid, patient_from_ct, breaths, scan.contrast_hu)
    body = bodies[0]
    if len(bodies) > 1:
        mean = np.mean([body.values for body in bodies], axis=0)
        body = replace(body, values=mean)
    return Ct(scan.acquire(body, case_draw.table), scan.manufacturer, scan.model, scan.kvp)


def _truth(exposed: Exposure, grid: Grid, chance: np.random.Generator, of_liver: np.random.Generator) -> Truth:
    """What is known about the average over the acquisition, and about the heart in the CT."""
    case_draw, shares = exposed.case_draw, exposed.scene.shares.mean(0)
    anatomy = case_draw.anatomy
    lv_wall = np.zeros(grid.shape, dtype=np.float32)
    for pose, share in zip(exposed.scene.poses, shares, strict=True):
        patient_from_spect = shifted(case_draw.patient_from_spect, pose.shift_mm)
        lv_wall += float(share) * anatomy.heart_masks(grid, patient_from_spect, pose.breath)[0].numpy()
    in_spect, in_ct = as_seen(exposed, anatomy.heart_points_mm(_HEART_POINTS, chance))
    liver = anatomy.liver_points_mm(_LIVER_POINTS, of_liver)
    liver_in_spect, liver_in_ct = as_seen(exposed, liver) if len(liver) else (None, None)
    weights = torch.from_numpy(shares).float()[:, None, None, None]
    scene = exposed.scene
    means = ((values * weights).sum(0).numpy() for values in (scene.mu, scene.activity))
    mu, activity = (rebinned(mean, scene.grid, grid) for mean in means)
    return Truth(
        RigidTransform.best_fit(in_spect, in_ct),
        CENTRE_MM,
        in_spect,
        in_ct,
        Volume(mu, grid, Quantity.MU_PER_CM),
        Volume(activity, grid, Quantity.ACTIVITY),
        Volume(lv_wall, grid, Quantity.ACTIVITY),
        exposed.scatter.numpy(),
        liver_in_spect,
        liver_in_ct,
    )


def as_seen(exposed: Exposure, points_mm: Points, other_draw: CaseDraw | None = None) -> tuple[Points, Points]:
    """Where tissue at these places of the patient lies in SPECT space, on average over the scan, and in the CT.

    `other_draw` is the draw of another CT of the same emission (`mureg.cohort.other_cts`).
    """
    case_draw, in_spect = other_draw or exposed.case_draw, np.zeros_like(points_mm)
    for pose, share in zip(exposed.scene.poses, exposed.scene.shares.mean(0), strict=True):
        spect_from_patient = shifted(case_draw.patient_from_spect, pose.shift_mm).inverse()
        in_spect += share * spect_from_patient.apply(case_draw.anatomy.breathed(points_mm, pose.breath))
    breaths = case_draw.breathing.ct_breaths()
    places_mm = [case_draw.ct_from_patient.apply(case_draw.anatomy.breathed(points_mm, breath)) for breath in breaths]
    return in_spect, np.mean(places_mm, axis=0)


def _true_facts(truth: Truth) -> dict[str, float]:
    """The true pose, one plain value each."""
    translation, angles = truth.ct_from_spect.six(truth.centre_mm)
    moved = truth.ct_from_spect.apply(truth.heart_points_mm) - truth.heart_points_mm
    return {
        **{f"true_t{axis}_mm": value for axis, value in zip("xyz", translation, strict=True)},
        **{f"true_r{axis}_deg": value for axis, value in zip("xyz", angles, strict=True)},
        "heart_displacement_mm": float(np.linalg.norm(moved, axis=1).mean()),
        "remainder_mm": truth.remainder_mm,
    }


def drawn_facts(case_draw: CaseDraw, orbit: SimulatedOrbit) -> dict[str, float | int | str | bool]:
    """What was drawn, one plain value each."""
    breathing, scan, tracer = case_draw.breathing, case_draw.scan, case_draw.tracer
    return {
        **{f"anatomy_{name}": value for name, value in case_draw.anatomy.facts.items()},
        **{f"uptake_{organ}": value for organ, value in tracer.uptake.items()},
        "tracer_state": tracer.state,
        "defect_segments": tracer.defect_extent,
        "hot_spots": len(tracer.hot_spots),
        "breathing_amplitude_mm": breathing.amplitude_mm,
        "breathing_heart_share": breathing.heart_share,
        "creep_mm": breathing.creep_mm,
        "shift_during_scan_mm": float(np.linalg.norm(breathing.shift_mm)),
        "breathing_mode": "measured" if breathing.measured else "drawn",
        "ct_phase": breathing.ct_phase,
        "ct_depth_mm": breathing.ct_depth_mm,
        **{f"drawn_t{axis}_mm": value for axis, value in zip("xyz", case_draw.motion.translation_mm, strict=True)},
        **{f"drawn_r{axis}_deg": value for axis, value in zip("xyz", case_draw.motion.angles_deg, strict=True)},
        "views": len(orbit.angles_deg),
        "radius_mean_mm": float(orbit.radii_mm.mean()),
        "radius_varies": bool(np.ptp(orbit.radii_mm) > 0),
        "ct_pixel_mm": scan.pixel_mm,
        "ct_slice_mm": scan.slice_mm,
        "ct_slices": scan.n_slices,
        "ct_coverage_mm": scan.n_slices * scan.slice_mm,
        "ct_field_mm": scan.field_mm,
        "ct_noise_hu": scan.noise_hu,
        "ct_contrast_hu": scan.contrast_hu,
        "ct_kvp": scan.kvp,
        "table_thickness_mm": case_draw.table.thickness_mm,
    }
