"""A virtual patient as a hospital has it, and the results of laying its CT onto its SPECT as DICOM."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np

from mureg.attenuation.hu_to_mu import mu_map
from mureg.cohort.export import export_case
from mureg.geometry import Quantity, RigidTransform, Volume
from mureg.io import dicom_inputs, read_ct, write_dicom_results
from mureg.io.dicom.secondary_capture import Pages
from mureg.io.result_volumes import Reconstructions
from mureg.io.results import DicomResult
from mureg.study import Ct
from support.tiny_cohort import tiny_case

WHEN = datetime(2031, 5, 6, 7, 8, 9)
POSE = tiny_case(0).truth.ct_from_spect


def study(folder: Path) -> Path:
    """``spect.dcm`` and ``ct/`` of the first tiny patient, whose CT was taken elsewhere than the SPECT saw it."""
    return export_case(tiny_case(0), folder)


def results(
    source: Path, folder: Path, ct_from_spect: RigidTransform = POSE, spect: str = "spect.dcm", **options
) -> tuple[DicomResult, ...]:
    """`write_dicom_results` for the study in `source`, with quickly made images."""
    case, ct = tiny_case(0), read_ct(source / "ct")[0]
    mu = _mu(ct).resampled(onto=case.truth.mu.grid, through=ct_from_spect)
    counts = Volume(case.uncorrected.values * 1000, case.truth.mu.grid, Quantity.ACTIVITY)
    pixels = np.random.default_rng(1).integers(0, 255, (2, 30, 40, 3), dtype=np.uint8)
    shown = {
        name: Volume(counts.values * factor, counts.grid, counts.quantity)
        for name, factor in (("nac", 0.9), ("ac_header", 1.5), ("ac", 1.8))
    }
    return write_dicom_results(
        folder,
        dicom_inputs(source / spect, ct=source / "ct"),
        ct_from_spect,
        mu,
        Reconstructions(
            counts,
            Volume(counts.values * 2, counts.grid, counts.quantity),
            "osem 2 x 4",
            shown=shown,
            display_filter="Gaussian, FWHM 9 mm",
        ),
        Pages((pixels[0], pixels[1])),
        decision=options.pop("decision", "review"),
        how="by hand",
        made_at=options.pop("made_at", WHEN),
        **options,
    )


def _mu(ct: Ct) -> Volume:
    return mu_map(ct.volume, ct.conversion()[0])
