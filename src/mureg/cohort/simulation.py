"""One case of a cohort, from its settings and its number: draw, render, scan, reconstruct."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mureg import __version__
from mureg.cohort.anatomies import anatomy_of, patient_name
from mureg.cohort.settings import CohortSettings, as_toml
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.geometry.rebin import rebinned
from mureg.geometry.rigid import Triple
from mureg.recon import Osem
from mureg.recon.images import reconstruct
from mureg.simulate.anatomy import Anatomy, Points
from mureg.simulate.breathing import Breathing, Pose, shifted
from mureg.simulate.collimators import low_energy_collimator
from mureg.simulate.ct_scan import CtScan
from mureg.simulate.gamma_camera import GammaCamera
from mureg.simulate.hot_spots import with_hot_spots
from mureg.simulate.misalignment import Motion
from mureg.simulate.orbit import WINDOWS, Orbit, reach_of_skin
from mureg.simulate.photons import primary_share
from mureg.simulate.table import Table
from mureg.simulate.tracer import Tracer
from mureg.spect import Acquisition
from mureg.spect.physics import WITHOUT
from mureg.study import Case, Ct, Study, Truth

_CENTRE_MM: Triple = (0.0, 0.0, 0.0)
_COARSE_MM = 13.6
_WIDEST_MM, _DEEPEST_MM = 680.0, 480.0
_BEYOND_ROWS_MM = 20.0
_HEART_POINTS, _LIVER_POINTS = 256, 256
_TABLE_PER_CM = 0.005
_STREAMS = ("tracer", "breathing", "placement", "orbit", "ct", "table", "photons", "counts", "points", "liver")
__all__ = ["as_seen", "case_name", "case_of", "draw", "exposure", "patient_name", "simulate_case"]

UNCORRECTED = Osem()
"""How a case's uncorrected image is reconstructed: as `mureg register` does."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Everything that chance decides about a case, before anything is rendered or counted.

    Attributes:
        anatomy, tracer, breathing, table, scan: of this study.
        motion: of the patient between emission and CT, about the centre of the SPECT's field.
        ct_from_patient: how the patient lies in the CT.
    """

    anatomy: Anatomy
    tracer: Tracer
    breathing: Breathing
    motion: Motion
    ct_from_patient: RigidTransform
    table: Table
    scan: CtScan

    @property
    def patient_from_spect(self) -> RigidTransform:
        """Where a point of the SPECT's space lies in the patient."""
        return self.ct_from_patient.inverse() @ self.motion.ct_from_spect(_CENTRE_MM)


def case_name(settings: CohortSettings, index: int) -> str:
    """Of the case with this number."""
    return f"{settings.name}-{index:06d}"


def generator(settings: CohortSettings, stream: str, index: int) -> np.random.Generator:
    """The source of chance of one part of one case: adding a draw to one part changes no other."""
    return np.random.default_rng([settings.seed, 1 + _STREAMS.index(stream), index])


def draw(settings: CohortSettings, index: int, ct_folder: Path | None = None) -> Drawn:
    """Decide everything about a case that does not depend on what the camera sees."""
    anatomy = anatomy_of(settings, index, ct_folder)
    placing = generator(settings, "placement", index)
    placement = settings.placement
    off_centre = placing.uniform(-1.0, 1.0, 3) * placement.off_centre_mm
    roll = placing.uniform(-1.0, 1.0, 3) * placement.roll_deg
    still = placing.random() < placement.share_without_motion
    motion = placement.motion.draw(placing)
    heart = np.asarray(anatomy.ventricle.centre_mm)
    ct_from_patient = RigidTransform.from_six(off_centre - (0.0, 0.0, heart[2]), roll, _CENTRE_MM)
    heart_z = float(ct_from_patient.apply(heart)[2])
    return Drawn(
        anatomy,
        settings.tracer.draw(generator(settings, "tracer", index)),
        settings.breathing.draw(generator(settings, "breathing", index)),
        Motion() if still else motion,
        ct_from_patient,
        settings.table.draw(generator(settings, "table", index), anatomy.back_mm + float(off_centre[1])),
        settings.ct.draw(generator(settings, "ct", index), heart_z),
    )


@dataclass(frozen=True, eq=False)
class Exposure:
    """What the camera is expected to count, and what of.

    Attributes:
        drawn: what chance decided.
        orbit: of the camera.
        poses: states in which the patient was rendered.
        shares: of each view's time spent in each of them [view, pose].
        grid: on which the patient was rendered, in the SPECT's space.
        mu: attenuation in 1/cm of body and table in each pose.
        activity: in each pose, relative to normal left-ventricular myocardium = 1.
        expected: mean counts of each window.
        scatter: those of them that were scattered.
    """

    drawn: Drawn
    orbit: Orbit
    poses: list[Pose]
    shares: npt.NDArray[np.float64]
    grid: Grid
    mu: Float[Tensor, "pose x y z"]
    activity: Float[Tensor, "pose x y z"]
    expected: Float[Tensor, "window view row column"]
    scatter: Float[Tensor, "window view row column"]


def exposure(
    settings: CohortSettings, index: int, ct_folder: Path | None = None, drawn: Drawn | None = None
) -> Exposure:
    """Render the patient in every state and expect what the camera counts, without noise.

    Args:
        settings: what the case is drawn from.
        index: its number in the cohort, from 0.
        ct_folder: real CTs, for anatomies made from them.
        drawn: what `draw` gave, changed where wanted; drawn here where left out.
    """
    drawn = draw(settings, index, ct_folder) if drawn is None else drawn
    grid, reach = _emission_grid(drawn, settings)
    orbit = settings.orbit.draw(generator(settings, "orbit", index), reach)
    poses, shares = drawn.breathing.poses(len(orbit.angles_deg))
    mu, activity = _render(drawn, poses, grid)
    camera = _camera(settings, drawn, orbit, grid)
    weights = torch.from_numpy(shares).float()
    primary = camera.primary(activity, mu, weights).clamp_min(0.0)  # rounding may end below 0
    chance = generator(settings, "photons", index)
    scatter = settings.scatter.project(camera, activity, mu, weights, WINDOWS, chance)
    counted = torch.as_tensor(primary_share(WINDOWS, settings.scatter.resolution)).to(primary)
    expected = primary * counted[:, None, None, None] + scatter
    scale = orbit.counts / expected[0].sum()
    return Exposure(drawn, orbit, poses, shares, grid, mu, activity, expected * scale, scatter * scale)


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


def case_of(settings: CohortSettings, index: int, seen: Exposure) -> Case:
    """The case of an exposure: noise in the counts, the CT, the uncorrected image and the truth."""
    drawn, orbit = seen.drawn, seen.orbit
    counts = generator(settings, "counts", index).poisson(seen.expected.double().numpy()).astype(np.float32)
    acquisition = _acquisition(settings, drawn, orbit, torch.from_numpy(counts))
    chances = (generator(settings, stream, index) for stream in ("points", "liver"))
    truth = _truth(seen, acquisition.grid(), *chances)
    facts = {
        **_facts(drawn, orbit, truth),
        "counts_photopeak": int(counts[0].sum()),
        "counts_scatter_window": int(counts[1].sum()),
        "scatter_fraction": float(seen.scatter[0].sum() / seen.expected[0].sum()),
    }
    sources: dict[str, str | int] = {
        "mureg": __version__,
        "cohort": settings.name,
        "seed": settings.seed,
        "index": index,
        "settings_sha256": hashlib.sha256(as_toml(settings).encode()).hexdigest(),
    }
    study = Study(acquisition, _scan(drawn), drawn.anatomy.patient)
    uncorrected = reconstruct(acquisition, None, UNCORRECTED, WITHOUT)
    return Case(case_name(settings, index), study, uncorrected, truth, facts, sources)


def _emission_grid(drawn: Drawn, settings: CohortSettings) -> tuple[Grid, npt.NDArray[np.float64]]:
    """A grid that holds body and table whole across the detector's rows, and how far the skin reaches."""
    height = settings.orbit.matrix * settings.orbit.pixel_mm + 2 * _BEYOND_ROWS_MM
    shape = [int(np.ceil(extent / _COARSE_MM)) for extent in (_WIDEST_MM, _DEEPEST_MM, height)]
    coarse = Grid.centred((shape[0], shape[1], shape[2]), (_COARSE_MM,) * 3)
    body = drawn.anatomy.inside_skin(coarse, drawn.patient_from_spect)
    reach = reach_of_skin(body, coarse, _CENTRE_MM[:2])
    everything = body.any(2) | (drawn.table.mu_per_cm(coarse)[:, :, 0] > _TABLE_PER_CM)
    where = torch.nonzero(everything).numpy()
    low = coarse.points([*(where.min(0) - 1.0), 0.0])
    high = coarse.points([*(where.max(0) + 1.0), 0.0])
    voxel = settings.voxel_mm
    nx, ny = (int(np.ceil(extent / voxel)) + 2 for extent in (high - low)[:2])
    centre = (low + high) / 2
    n_z = int(np.ceil(height / voxel))
    return Grid.centred((nx, ny, n_z), (voxel,) * 3, (float(centre[0]), float(centre[1]), 0.0)), reach


def _render(
    drawn: Drawn, poses: list[Pose], grid: Grid
) -> tuple[Float[Tensor, "pose x y z"], Float[Tensor, "pose x y z"]]:
    """Attenuation of body and table, and activity, in every pose."""
    mu, activity = [], []
    table = drawn.table.mu_per_cm(grid)
    for shift_mm, group in groupby(poses, key=lambda pose: pose.shift_mm):
        breaths = [pose.breath for pose in group]
        patient_from_grid = shifted(drawn.patient_from_spect, shift_mm)
        rendered = drawn.anatomy.emissions(grid, patient_from_grid, breaths, drawn.tracer)
        for breath, seen in zip(breaths, rendered, strict=True):
            mu.append(torch.maximum(seen.mu, table))
            activity.append(with_hot_spots(seen.activity, grid, patient_from_grid, drawn.anatomy, breath, drawn.tracer))
    return torch.stack(mu), torch.stack(activity)


def _camera(settings: CohortSettings, drawn: Drawn, orbit: Orbit, grid: Grid) -> GammaCamera:
    n, pixel_mm = settings.orbit.matrix, settings.orbit.pixel_mm
    collimator = low_energy_collimator(drawn.scan.manufacturer)
    return GammaCamera(
        grid, orbit.angles_deg, orbit.radii_mm, _CENTRE_MM[:2], n, n, pixel_mm, _CENTRE_MM[2], collimator
    )


def _acquisition(
    settings: CohortSettings, drawn: Drawn, orbit: Orbit, counts: Float[Tensor, "window view row column"]
) -> Acquisition:
    return Acquisition(
        counts,
        WINDOWS,
        0,
        orbit.angles_deg,
        (settings.orbit.pixel_mm, settings.orbit.pixel_mm),
        _CENTRE_MM,
        orbit.radii_mm,
        seconds_per_view=20.0,
        collimator="LEHR",
        nuclide="Tc-99m",
        patient_position="HFS",
        manufacturer=drawn.scan.manufacturer,
    )


def _scan(drawn: Drawn) -> Ct:
    """The CT as its scanner writes it."""
    scan, patient_from_ct = drawn.scan, drawn.ct_from_patient.inverse()
    breaths = drawn.breathing.ct_breaths()
    bodies = drawn.anatomy.hounsfields(scan.grid, patient_from_ct, breaths, scan.contrast_hu)
    body = bodies[0]
    if len(bodies) > 1:
        mean = torch.stack([one.values for one in bodies]).mean(0)
        body = replace(body, values=mean)
    return Ct(scan.acquire(body, drawn.table), scan.manufacturer, scan.model, scan.kvp)


def _truth(seen: Exposure, grid: Grid, chance: np.random.Generator, of_liver: np.random.Generator) -> Truth:
    """What is known about the average over the acquisition, and about the heart in the CT."""
    drawn, shares = seen.drawn, seen.shares.mean(0)
    anatomy = drawn.anatomy
    lv_wall = torch.zeros(grid.shape)
    for pose, share in zip(seen.poses, shares, strict=True):
        patient_from_spect = shifted(drawn.patient_from_spect, pose.shift_mm)
        lv_wall += float(share) * anatomy.heart_masks(grid, patient_from_spect, pose.breath)[0]
    in_spect, in_ct = as_seen(seen, anatomy.heart_points_mm(_HEART_POINTS, chance))
    liver = anatomy.liver_points_mm(_LIVER_POINTS, of_liver)
    liver_in_spect, liver_in_ct = as_seen(seen, liver) if len(liver) else (None, None)
    weights = torch.from_numpy(shares).float()[:, None, None, None]
    mu, activity = (rebinned((values * weights).sum(0), seen.grid, grid) for values in (seen.mu, seen.activity))
    return Truth(
        RigidTransform.best_fit(in_spect, in_ct),
        _CENTRE_MM,
        in_spect,
        in_ct,
        Volume(mu, grid, Quantity.MU_PER_CM),
        Volume(activity, grid, Quantity.ACTIVITY),
        Volume(lv_wall, grid, Quantity.ACTIVITY),
        seen.scatter,
        liver_in_spect,
        liver_in_ct,
    )


def as_seen(seen: Exposure, points_mm: Points) -> tuple[Points, Points]:
    """Where tissue at these places of the patient lies in SPECT space, on average over the scan, and in the CT."""
    drawn, in_spect = seen.drawn, np.zeros_like(points_mm)
    for pose, share in zip(seen.poses, seen.shares.mean(0), strict=True):
        spect_from_patient = shifted(drawn.patient_from_spect, pose.shift_mm).inverse()
        in_spect += share * spect_from_patient.apply(drawn.anatomy.breathed(points_mm, pose.breath))
    breaths = drawn.breathing.ct_breaths()
    placed = [drawn.ct_from_patient.apply(drawn.anatomy.breathed(points_mm, breath)) for breath in breaths]
    return in_spect, np.mean(placed, axis=0)


def _facts(drawn: Drawn, orbit: Orbit, truth: Truth) -> Mapping[str, float | int | str | bool]:
    """What was drawn, one plain value each."""
    translation, angles = truth.ct_from_spect.six(truth.centre_mm)
    moved = truth.ct_from_spect.apply(truth.heart_points_mm) - truth.heart_points_mm
    breathing, scan, tracer = drawn.breathing, drawn.scan, drawn.tracer
    return {
        **{f"anatomy_{name}": value for name, value in drawn.anatomy.facts.items()},
        **{f"uptake_{organ}": value for organ, value in tracer.uptake.items()},
        "tracer_state": tracer.state,
        "defect_segments": tracer.defect_extent,
        "hot_spots": len(tracer.hot_spots),
        "breathing_amplitude_mm": breathing.amplitude_mm,
        "breathing_heart_share": breathing.heart_share,
        "creep_mm": breathing.creep_mm,
        "shift_during_scan_mm": float(np.linalg.norm(breathing.shift_mm)),
        "ct_phase": breathing.ct_phase,
        "ct_depth_mm": breathing.ct_depth_mm,
        **{f"drawn_t{axis}_mm": value for axis, value in zip("xyz", drawn.motion.translation_mm, strict=True)},
        **{f"drawn_r{axis}_deg": value for axis, value in zip("xyz", drawn.motion.angles_deg, strict=True)},
        **{f"true_t{axis}_mm": value for axis, value in zip("xyz", translation, strict=True)},
        **{f"true_r{axis}_deg": value for axis, value in zip("xyz", angles, strict=True)},
        "heart_displacement_mm": float(np.linalg.norm(moved, axis=1).mean()),
        "remainder_mm": truth.remainder_mm,
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
        "table_thickness_mm": drawn.table.thickness_mm,
    }
