"""Several CTs of one emission: other motion, other depth of breath, another scan of the same body."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mureg.cohort.exposure import CENTRE_MM, CaseDraw, generator
from mureg.cohort.settings import CohortSettings
from mureg.simulate.misalignment import PatientMotion


def other_ct(settings: CohortSettings, case_draw: CaseDraw, index: int, number: int) -> CaseDraw:
    """The same patient, tracer and emission with another CT.

    The patient stays where the camera saw him; motion, breath and scan of the CT are drawn anew. The table follows his
    back: what is lost is only where it stood in the first CT.

    Args:
        settings: what the case is drawn from.
        case_draw: the case as `draw` gave it.
        index: number of the case in its cohort.
        number: of the CT; 0 is the first one, which is returned as it is.
    """
    if number == 0:
        return case_draw
    chance = generator(settings, "other-ct", index, number)
    without_motion = chance.random() < settings.placement.share_without_motion
    motion = PatientMotion() if without_motion else settings.placement.motion.draw(chance)
    ct_from_patient = motion.ct_from_spect(CENTRE_MM) @ case_draw.patient_from_spect.inverse()
    breath = settings.breathing.draw(chance)
    depth_mm = breath.ct_depth_mm - breath.mean_depth_mm + case_draw.breathing.mean_depth_mm
    breathing = replace(case_draw.breathing, ct_phase=breath.ct_phase, ct_depth_mm=depth_mm)
    heart = np.asarray(case_draw.anatomy.ventricle.centre_mm)
    scan = settings.ct.draw(chance, float(ct_from_patient.apply(heart)[2]))
    scan = replace(scan, manufacturer=case_draw.scan.manufacturer, model=case_draw.scan.model, kvp=case_draw.scan.kvp)
    rise_mm = float((ct_from_patient.apply(heart) - case_draw.ct_from_patient.apply(heart))[1])
    table = replace(case_draw.table, top_mm=case_draw.table.top_mm + rise_mm)
    return replace(
        case_draw, motion=motion, ct_from_patient=ct_from_patient, breathing=breathing, scan=scan, table=table
    )
