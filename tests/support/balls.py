"""An object without symmetry, as a camera and a CT see it, whichever way the patient lies.

Projections are Gaussian balls in closed form; the objects are written with plain pydicom from the standard's words,
not with the package's own writer.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mureg import Volume, read_study, reconstruct
from mureg.attenuation.hu_to_mu import mu_map
from mureg.study import Ct
from support import dicom

PIXEL_MM = 6.8
SHAPE = (40, 48)  # detector rows, columns
SIGMA_MM = 8.0
# three balls (x, y, z in mm; brightness): none maps onto another by any flip, swap or half turn
BALLS = {
    "left-front-head": ((60.0, -45.0, 70.0), 1.0),
    "right": ((-80.0, 12.0, 25.0), 0.7),
    "back": ((15.0, 70.0, -50.0), 0.5),
}
AXIS_MM = (3.0, -5.0, 11.0)


# how a patient lies on a scanner whose axes are those of one lying head first and supine
PATIENT_FROM_SCANNER = {
    "HFS": np.diag([1.0, 1.0, 1.0]),
    "HFP": np.diag([-1.0, -1.0, 1.0]),
    "FFS": np.diag([-1.0, 1.0, -1.0]),
    "FFP": np.diag([1.0, -1.0, -1.0]),
}


def ball_projections(angles_deg) -> np.ndarray:
    """Line integrals of Gaussian balls seen by a viewer at the detector, head up: [view, row, column]."""
    rows, columns = SHAPE
    z = ((rows - 1) / 2 - np.arange(rows)) * PIXEL_MM
    u = (np.arange(columns) - (columns - 1) / 2) * PIXEL_MM
    frames = []
    for angle in angles_deg:
        _, right = dicom.view_directions(angle)
        frame = np.zeros(SHAPE)
        for place, brightness in BALLS.values():
            offset = np.asarray(place) - AXIS_MM
            across, up = offset @ right, offset[2]
            frame += brightness * np.exp(-((z[:, None] - up) ** 2 + (u - across) ** 2) / (2 * SIGMA_MM**2))
        frames.append(frame)
    return np.round(3000 * np.stack(frames))


def write_spect(path, start_deg, step_deg, n_views, sense, *, spoil=lambda frames: frames, feet_first=False):
    angles = start_deg + (1 if sense == "CC" else -1) * step_deg * np.arange(n_views)
    return dicom.write_nm(
        path,
        spoil(ball_projections(angles)),
        dicom.tomo_vectors(n_views),
        detectors=[dicom.detector(start_deg, axis=AXIS_MM, radius=250.0, shape=SHAPE, pixel=PIXEL_MM)],
        rotations=[dicom.rotation(start_deg, step_deg, n_views, sense=sense, RadialPosition=250.0)],
        pixel=PIXEL_MM,
        feet_first=feet_first,
        windows=[(126.5, 154.5)],
        CorrectedImage="DECY",
    )


def write_spect_as_scanned(
    path: Path, position: str, start_deg: float, step_deg: float, n_views: int, sense: str
) -> Path:
    """The balls as the scanner sees them, its own way up, with a header that says in patient terms how that lies.

    Everything is worked out along the axes of the scanner: where the detector must go so that it stands at the wanted
    patient angles, what it sees there with the scanner's own top of the image, and only then the patient directions.
    """
    turn = PATIENT_FROM_SCANNER[position]
    rows, columns = SHAPE
    z = ((rows - 1) / 2 - np.arange(rows)) * PIXEL_MM
    u = (np.arange(columns) - (columns - 1) / 2) * PIXEL_MM
    frames, rights, places = [], [], []
    for k in range(n_views):
        wanted = math.radians(start_deg + (1 if sense == "CC" else -1) * step_deg * k)
        out = turn.T @ (math.sin(wanted), math.cos(wanted), 0.0)
        right = np.array([-out[1], out[0], 0.0])
        frame = np.zeros(SHAPE)
        for place, brightness in BALLS.values():
            offset = turn.T @ (np.asarray(place) - AXIS_MM)
            frame += brightness * np.exp(
                -((z[:, None] - offset[2]) ** 2 + (u - offset @ right) ** 2) / (2 * SIGMA_MM**2)
            )
        frames.append(np.round(3000 * frame))
        rights.append(right)
        places.append(turn.T @ AXIS_MM + 250.0 * out)
    down = np.array([0.0, 0.0, -1.0])
    corner = places[0] - (columns - 1) / 2 * PIXEL_MM * rights[0] - (rows - 1) / 2 * PIXEL_MM * down
    head = dicom.item(CollimatorGridName="LEHR", CollimatorType="PARA", CenterOfRotationOffset=0)
    head.ImagePositionPatient = [f"{v:.6f}" for v in turn @ corner]
    head.ImageOrientationPatient = [f"{v + 0:.6f}" for v in (*(turn @ rights[0]), *(turn @ down))]
    return dicom.write_nm(
        path,
        np.stack(frames),
        dicom.tomo_vectors(n_views),
        detectors=[head],
        rotations=[dicom.rotation(start_deg, step_deg, n_views, sense=sense, RadialPosition=250.0)],
        pixel=PIXEL_MM,
        feet_first=position.startswith("FF"),
        prone=position.endswith("P"),
        windows=[(126.5, 154.5)],
        CorrectedImage="DECY",
    )


def write_ct(folder: Path, position: str = "HFS") -> list[Path]:
    """A CT of the same balls as bone in water, on a grid of its own, along the axes of the scanner."""
    turn = PATIENT_FROM_SCANNER[position]
    spacing, origin, shape = (4.0, 4.0, 5.0), turn @ (-150.0, -140.0, -125.0), (52, 72, 76)  # x y z; slice, row, column
    k, j, i = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    points = (np.stack([i, j, k], -1) * spacing) @ turn.T + origin
    hounsfield = np.where(np.hypot(points[..., 0] / 140, points[..., 1] / 125) < 1, 0.0, -1000.0)
    for place, brightness in BALLS.values():
        hounsfield += 1000 * brightness * np.exp(-((points - place) ** 2).sum(-1) / (2 * SIGMA_MM**2))
    return dicom.write_ct(
        folder,
        hounsfield.astype(np.int16),
        origin=origin,
        spacing=spacing,
        orientation=[v + 0.0 for v in (*turn[:, 0], *turn[:, 1])],
        step=spacing[2] * turn[:, 2],
        order=np.random.default_rng(3).permutation(shape[0]),
        position=position,
    )


def place_of(volume: Volume, near, background: float) -> np.ndarray:
    """Centre of mass (mm) of what exceeds the background within 25 mm of a place."""
    points = volume.grid.points(np.moveaxis(np.indices(volume.grid.shape), 0, -1))
    close = np.linalg.norm(points - near, axis=-1) < 25.0
    weights = np.clip(volume.values - background, 0, None) * close
    return (points * weights[..., None]).sum((0, 1, 2)) / max(weights.sum(), 1e-12)


def mu_of(ct: Ct) -> Volume:
    """Every voxel of a CT as attenuation, the table too, by the scanner's published lines."""
    return mu_map(ct.volume, ct.conversion()[0])


def overlay_distances(spect_file: Path, ct_folder: Path) -> dict[str, float]:
    """Read both objects, reconstruct, lay the CT's map onto the SPECT grid, compare the balls; in voxels."""
    study = read_study(spect_file, ct=ct_folder)
    spect = reconstruct(study.spect)
    mu = mu_of(study.attenuation).coarsened(PIXEL_MM / 2).resampled(spect.grid)
    brightest = float(spect.values.max())
    distances = {}
    for name, (place, brightness) in BALLS.items():
        seen = place_of(spect, place, 0.1 * brightness * brightest)
        in_ct = place_of(mu, place, 0.158)
        distances[name] = float(np.linalg.norm(seen - in_ct)) / PIXEL_MM
        assert np.linalg.norm(in_ct - place) < 0.25 * PIXEL_MM
    return distances
