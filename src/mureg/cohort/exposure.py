"""What a case is drawn from its settings and its number, and what the camera is expected to count of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.cohort.anatomies import anatomy_of
from mureg.cohort.settings import CohortSettings
from mureg.geometry import Grid, RigidTransform
from mureg.geometry.rigid import Triple
from mureg.simulate.anatomy import Anatomy
from mureg.simulate.breathing import Breathing, BreathPose, shifted
from mureg.simulate.collimators import low_energy_collimator
from mureg.simulate.ct_scan import CtScan
from mureg.simulate.deviation import CameraDeviation
from mureg.simulate.gamma_camera import GammaCamera
from mureg.simulate.hot_spots import with_hot_spots
from mureg.simulate.misalignment import PatientMotion
from mureg.simulate.orbit import WINDOWS, SimulatedOrbit, reach_of_skin
from mureg.simulate.photons import primary_share
from mureg.simulate.table import PatientTable
from mureg.simulate.tracer import Tracer

CENTRE_MM: Triple = (0.0, 0.0, 0.0)
"""Middle of the SPECT's field, on the axis of rotation."""
_COARSE_MM = 13.6
"""Voxels in which the extent of the body is found: two of a usual SPECT (6.8 mm)."""
_WIDEST_MM, _DEEPEST_MM = 680.0, 480.0
"""Field in which it is searched: 50 and 35 such voxels, more than the largest torso over its arms (590 mm). Chosen."""
_BEYOND_ROWS_MM = 20.0
"""Above and below the detector's rows: more than three standard deviations of its blur (13 mm FWHM at 25 cm)."""
_TABLE_PER_CM = 0.005
"""Less than half of the foam, the lightest part of a table (`mureg.simulate.table`)."""
_STREAMS = (
    "tracer", "breathing", "placement", "orbit", "ct", "table", "photons", "counts", "points", "liver", "camera",
    "image", "other-ct",
)  # fmt: skip
"""Parts of a case that have chance of their own; new ones at the end, so that the others stay."""


@dataclass(frozen=True, eq=False)
class CaseDraw:
    """Everything that chance decides about a case, before anything is rendered or counted.

    Attributes:
        anatomy, tracer, breathing, table, scan: of this study.
        motion: of the patient between emission and CT, about the centre of the SPECT's field.
        ct_from_patient: how the patient lies in the CT.
        camera: its deviation from the one that the reconstruction assumes.
    """

    anatomy: Anatomy
    tracer: Tracer
    breathing: Breathing
    motion: PatientMotion
    ct_from_patient: RigidTransform
    table: PatientTable
    scan: CtScan
    camera: CameraDeviation = CameraDeviation()  # noqa: RUF009 (frozen)

    @property
    def patient_from_spect(self) -> RigidTransform:
        """Where a point of the SPECT's space lies in the patient."""
        return self.ct_from_patient.inverse() @ self.motion.ct_from_spect(CENTRE_MM)


def case_name(settings: CohortSettings, index: int) -> str:
    """Name of the case with this number."""
    return f"{settings.name}-{index:06d}"


def generator(settings: CohortSettings, stream: str, index: int, *repeat: int) -> np.random.Generator:
    """The source of chance of one part of one case: adding a draw to one part changes no other.

    `repeat` numbers what a case has several of.
    """
    return np.random.default_rng([settings.seed, 1 + _STREAMS.index(stream), index, *repeat])


def draw(settings: CohortSettings, index: int, ct_folder: Path | None = None) -> CaseDraw:
    """Decide everything about a case that does not depend on what the camera sees."""
    anatomy = anatomy_of(settings, index, ct_folder)
    placing = generator(settings, "placement", index)
    placement = settings.placement
    off_centre = placing.uniform(-1.0, 1.0, 3) * placement.off_centre_mm
    roll = placing.uniform(-1.0, 1.0, 3) * placement.roll_deg
    without_motion = placing.random() < placement.share_without_motion
    motion = placement.motion.draw(placing)
    heart = np.asarray(anatomy.ventricle.centre_mm)
    ct_from_patient = RigidTransform.from_six(off_centre - (0.0, 0.0, heart[2]), roll, CENTRE_MM)
    heart_z = float(ct_from_patient.apply(heart)[2])
    return CaseDraw(
        anatomy,
        settings.tracer.draw(generator(settings, "tracer", index)),
        settings.breathing.draw(generator(settings, "breathing", index)),
        PatientMotion() if without_motion else motion,
        ct_from_patient,
        settings.table.draw(generator(settings, "table", index), anatomy.back_mm + float(off_centre[1])),
        settings.ct.draw(generator(settings, "ct", index), heart_z),
        CameraDeviation() if settings.camera is None else settings.camera.draw(generator(settings, "camera", index)),
    )


@dataclass(frozen=True, eq=False)
class RenderedPatient:
    """What stands before the camera.

    Attributes:
        orbit: of the camera.
        poses: states in which the patient was rendered.
        shares: of each view's time spent in each of them [view, pose].
        grid: on which the patient was rendered, in the SPECT's space.
        mu: attenuation in 1/cm of body and table in each pose.
        activity: in each pose, relative to normal left-ventricular myocardium = 1.
    """

    orbit: SimulatedOrbit
    poses: list[BreathPose]
    shares: npt.NDArray[np.float64]
    grid: Grid
    mu: Float[Tensor, "pose x y z"]
    activity: Float[Tensor, "pose x y z"]


@dataclass(frozen=True, eq=False)
class Exposure:
    """What the camera is expected to count, and what of.

    Attributes:
        case_draw: what chance decided.
        scene: what stands before the camera.
        expected: mean counts of each window.
        scatter: those of them that were scattered.
    """

    case_draw: CaseDraw
    scene: RenderedPatient
    expected: Float[Tensor, "window view row column"]
    scatter: Float[Tensor, "window view row column"]


def exposure(
    settings: CohortSettings, index: int, ct_folder: Path | None = None, case_draw: CaseDraw | None = None
) -> Exposure:
    """Render the patient in every state and expect what the camera counts, without noise.

    Args:
        settings: what the case is drawn from.
        index: its number in the cohort, from 0.
        ct_folder: real CTs, for anatomies made from them.
        case_draw: what `draw` gave, changed where wanted; drawn here where left out.
    """
    case_draw = draw(settings, index, ct_folder) if case_draw is None else case_draw
    scene = rendered(settings, index, case_draw)
    camera = _camera(settings, case_draw, scene.orbit, scene.grid)
    weights = torch.from_numpy(scene.shares).float()
    primary = camera.primary(scene.activity, scene.mu, weights).clamp_min(0.0)  # rounding may end below 0
    chance = generator(settings, "photons", index)
    scatter = settings.scatter.project(camera, scene.activity, scene.mu, weights, WINDOWS, chance)
    scatter = case_draw.camera.scattered(scatter, camera.pixel_mm)
    counted_share = torch.as_tensor(primary_share(WINDOWS, settings.scatter.resolution)).to(primary)
    expected = primary * counted_share[:, None, None, None] + scatter
    scale = scene.orbit.counts / expected[0].sum()
    return Exposure(case_draw, scene, expected * scale, scatter * scale)


def rendered(settings: CohortSettings, index: int, case_draw: CaseDraw) -> RenderedPatient:
    """The patient in every state, and the orbit of the camera around him."""
    grid, reach = _emission_grid(case_draw, settings)
    orbit = settings.orbit.draw(generator(settings, "orbit", index), reach)
    poses, shares = case_draw.breathing.poses(len(orbit.angles_deg))
    return RenderedPatient(orbit, poses, shares, grid, *_render(case_draw, poses, grid))


def _emission_grid(case_draw: CaseDraw, settings: CohortSettings) -> tuple[Grid, npt.NDArray[np.float64]]:
    """A grid that holds body and table whole across the detector's rows, and how far the skin reaches."""
    n, pixel_mm = detector(settings, case_draw)
    height = n * pixel_mm + 2 * _BEYOND_ROWS_MM
    shape = [int(np.ceil(extent / _COARSE_MM)) for extent in (_WIDEST_MM, _DEEPEST_MM, height)]
    coarse = Grid.centred((shape[0], shape[1], shape[2]), (_COARSE_MM,) * 3)
    body = case_draw.anatomy.inside_skin(coarse, case_draw.patient_from_spect)
    reach = reach_of_skin(body, coarse, CENTRE_MM[:2])
    occupied = body.any(2) | (case_draw.table.mu_per_cm(coarse)[:, :, 0] > _TABLE_PER_CM)
    indices = torch.nonzero(occupied).numpy()
    low = coarse.points([*(indices.min(0) - 1.0), 0.0])
    high = coarse.points([*(indices.max(0) + 1.0), 0.0])
    voxel = settings.voxel_mm
    nx, ny = (int(np.ceil(extent / voxel)) + 2 for extent in (high - low)[:2])
    centre = (low + high) / 2
    n_z = int(np.ceil(height / voxel))
    return Grid.centred((nx, ny, n_z), (voxel,) * 3, (float(centre[0]), float(centre[1]), 0.0)), reach


def _render(
    case_draw: CaseDraw, poses: list[BreathPose], grid: Grid
) -> tuple[Float[Tensor, "pose x y z"], Float[Tensor, "pose x y z"]]:
    """Attenuation of body and table, and activity, in every pose."""
    mu, activity = [], []
    table = case_draw.table.mu_per_cm(grid)
    for shift_mm, group in groupby(poses, key=lambda pose: pose.shift_mm):
        breaths = [pose.breath for pose in group]
        patient_from_grid = shifted(case_draw.patient_from_spect, shift_mm)
        rendered = case_draw.anatomy.emissions(grid, patient_from_grid, breaths, case_draw.tracer)
        for breath, emission in zip(breaths, rendered, strict=True):
            mu.append(torch.maximum(emission.mu * case_draw.camera.mu_scale, table))
            activity.append(
                with_hot_spots(emission.activity, grid, patient_from_grid, case_draw.anatomy, breath, case_draw.tracer)
            )
    return torch.stack(mu), torch.stack(activity)


def _camera(settings: CohortSettings, case_draw: CaseDraw, orbit: SimulatedOrbit, grid: Grid) -> GammaCamera:
    n, pixel_mm = detector(settings, case_draw)
    collimator = case_draw.camera.collimator(low_energy_collimator(case_draw.scan.manufacturer))
    middle_mm, off_mm = CENTRE_MM[2], case_draw.camera.centre_mm
    return GammaCamera(
        grid, orbit.angles_deg, orbit.radii_mm, CENTRE_MM[:2], n, n, pixel_mm, middle_mm, collimator, off_mm
    )


def detector(settings: CohortSettings, case_draw: CaseDraw) -> tuple[int, float]:
    """Number of rows and columns, and their size in mm."""
    camera, orbit = case_draw.camera, settings.orbit
    return camera.matrix or orbit.matrix, camera.pixel_mm or orbit.pixel_mm
