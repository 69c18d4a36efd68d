"""A case as a hospital would have it, with the truth beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from mureg import RESEARCH_USE_ONLY
from mureg.cohort.store.header import acquisition_and_ct
from mureg.files.atomic import writing_folder
from mureg.io import write_ct_series, write_nm_tomo, write_transform
from mureg.io.dicom.build import made_uid
from mureg.spect import Acquisition
from mureg.spect.collimator import choose_collimator
from mureg.study import Case

COMMENT = "simulated by mureg; " + RESEARCH_USE_ONLY


def export_case(case: Case, folder: Path) -> Path:
    """Write ``ct/`` (a DICOM series), ``spect.dcm`` (NM TOMO), ``truth.json`` and ``truth.tfm``.

    CT and SPECT belong to one DICOM study of one patient and share their frame of reference, as from a hybrid scanner.
    All identifiers follow from the name of the case, so that the same case gives the same bytes.

    Returns:
        The folder, which appears whole or not at all.

    Raises:
        UsageError: the folder exists or cannot be written.
    """
    acquisition, ct = acquisition_and_ct(case)
    patient, seed = case.study.patient, f"mureg case {case.name}"
    study_uid = made_uid(seed, patient, "study")
    frame = acquisition.frame_of_reference or ct.volume.grid.frame_of_reference or made_uid(seed, patient, "frame")
    with writing_folder(folder) as scratch:
        write_ct_series(
            ct,
            scratch / "ct",
            patient_id=patient,
            study_uid=study_uid,
            frame_of_reference=frame,
            description="CT ATTENUATION",
            comment=COMMENT,
            seed=seed,
        )
        write_nm_tomo(
            replace(acquisition, frame_of_reference=frame, collimator=_collimator(acquisition)),
            scratch / "spect.dcm",
            patient_id=patient,
            study_uid=study_uid,
            description="MYOCARDIAL TOMO",
            comment=COMMENT,
            model=acquisition.manufacturer,
            seed=seed,
        )
        (scratch / "truth.json").write_text(json.dumps(truth_table(case), indent=2) + "\n", "utf-8")
        write_transform(case.truth.ct_from_spect, scratch / "truth.tfm", case.truth.centre_mm)
    return folder


def _collimator(acquisition: Acquisition) -> str:
    """The collimator's name with its maker in it.

    The object itself is mureg's, which places detectors as the standard says and not as the simulated camera's maker
    does; a reader must still find the right collimator.
    """
    collimator, guess = choose_collimator(acquisition.collimator, acquisition.manufacturer)
    return acquisition.collimator if guess else collimator.name


def truth_table(case: Case) -> dict[str, Any]:
    """What the simulation knows and a file of images cannot say, ready for JSON."""
    truth = case.truth
    translation_mm, angles_deg = truth.ct_from_spect.six(truth.centre_mm)
    return {
        "case": case.name,
        "patient": case.study.patient,
        "ct_from_spect": truth.ct_from_spect.matrix.tolist(),
        "space": "LPS, mm; maps a point in SPECT space to the place in CT space where the heart lies",
        "centre_mm": [float(mm) for mm in truth.centre_mm],
        "translation_mm": list(translation_mm),
        "angles_deg": list(angles_deg),
        "remainder_mm": truth.remainder_mm,
        "heart_points_mm": truth.heart_points_mm.tolist(),
        "heart_points_in_ct_mm": truth.heart_points_in_ct_mm.tolist(),
        **{
            name: points.tolist()
            for name in ("liver_points_mm", "liver_points_in_ct_mm")
            if (points := getattr(truth, name)) is not None
        },
        "facts": {name: case.facts[name] for name in sorted(case.facts)},
        "sources": {name: case.sources[name] for name in sorted(case.sources)},
        "use": RESEARCH_USE_ONLY,
    }
