"""Real objects: what a camera wrote, with the numbers its own header states."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from mureg.geometry import Volume
from mureg.io import inspect, read_spect
from mureg.spect.acquisition import Acquisition

pytestmark = pytest.mark.shared_data


def test_real_projections(shared_data):
    acquisition, _ = read_spect(shared_data / "nm" / "mpi_stress_tomo_180deg_30views.dcm")
    assert isinstance(acquisition, Acquisition)
    assert acquisition.counts.shape == (1, 30, 64, 64)
    assert float(acquisition.counts.sum()) == 3949221  # CountsAccumulated
    assert np.allclose(acquisition.angles_deg, 225.44 - 6 * np.arange(30))
    assert acquisition.arc_deg == pytest.approx(180)
    assert np.allclose(acquisition.centre_mm, (0.4, -7.6, 23.0), atol=0.01)
    assert np.allclose(acquisition.radii_mm, 327.333)
    assert (acquisition.patient_position, acquisition.collimator, acquisition.nuclide) == ("FFS", "LEHR", "Tc-99m")
    assert acquisition.seconds_per_view == pytest.approx(25.717)
    assert not any("turned" in note for note in acquisition.notes)
    # the heart is the hottest in the chest: left of the middle from in front, in front from the left side
    for view, side in ((7, 1), (25, -1)):  # 183 degrees, 75 degrees
        chest = uniform_filter(acquisition.photopeak_counts[view][20:45], 3)
        assert side * (np.unravel_index(chest.argmax(), chest.shape)[1] - 31.5) > 2


def test_real_volume_with_negative_spacing(shared_data):
    volume, _ = read_spect(shared_data / "nm" / "qc_recon_tomo_64_negative_spacing.dcm")
    assert isinstance(volume, Volume)
    # frame 1 at z = 0 and 63 steps of -8.26 mm, in front of it: towards the feet
    assert np.allclose(volume.grid.points((0, 0, 0)), (0, -264.319977, 0))
    assert np.allclose(volume.grid.points((0, 0, 63)), (0, -264.319977, -63 * 8.25999928))


def test_inspection_of_both(shared_data):
    kinds = sorted(one.kind for one in inspect(shared_data / "nm").found)
    assert kinds == ["projections", "reconstructed SPECT"]
