"""Both simulators see the same scene alike where physics leaves no choice, and not where they are meant to differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mureg.cohort.exposure import draw, exposure, rendered
from mureg.cohort.settings import CohortSettings, load_settings
from support.second_study import second_exposure


def small() -> CohortSettings:
    """A drawn patient seen in few coarse views."""
    clinical = load_settings("clinical")
    orbit = replace(clinical.orbit, views=(12,), pixel_mm=13.6, matrix=32)
    return replace(clinical, orbit=orbit, voxel_mm=6.0)


def test_both_simulators_see_the_same_patient_in_the_same_place() -> None:
    """Unscattered photons: amounts of each view, and where they lie; left, right, head and feet are not mixed up."""
    settings = small()
    drawn = draw(settings, 2)
    first = exposure(settings, 2, case_draw=drawn)
    second = second_exposure(settings, drawn, rendered(replace(settings, voxel_mm=5.0), 2, drawn), 1)
    primary = [(seen.expected - seen.scatter)[0].double().numpy() for seen in (first, second)]
    primary = [views / views.sum() for views in primary]
    assert np.abs(primary[0].sum((1, 2)) / primary[1].sum((1, 2)) - 1).max() < 0.03
    place = np.arange(32.0) * 13.6
    for axis in (1, 2):
        centres = [views.sum(3 - axis) @ place / views.sum((1, 2)) for views in primary]
        assert np.abs(centres[0] - centres[1]).max() < 1.5
        mirrored = primary[0].sum(3 - axis)[:, ::-1] @ place / primary[0].sum((1, 2))
        assert np.abs(mirrored - centres[1]).max() > 10.0, "the patient is not symmetric: a mirrored view is noticed"
    assert np.corrcoef(primary[0].ravel(), primary[1].ravel())[0, 1] > 0.995


def test_the_second_simulator_scatters_otherwise() -> None:
    """About as many scattered photons, in another shape."""
    settings = small()
    drawn = draw(settings, 2)
    first = exposure(settings, 2, case_draw=drawn)
    second = second_exposure(settings, drawn, first.scene, 1)
    shares = [float(seen.scatter[0].sum() / seen.expected[0].sum()) for seen in (first, second)]
    assert 0.7 < shares[0] / shares[1] < 1.4
    shapes = [(seen.scatter[0] / seen.scatter[0].sum()).numpy() for seen in (first, second)]
    assert np.abs(shapes[0] - shapes[1]).sum() > 0.02
    assert torch.equal(second.counts, second.counts.round())
