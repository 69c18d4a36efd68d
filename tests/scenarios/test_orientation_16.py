"""Sixteen ways to lie and to turn: the object lands on the CT each time.

The camera's frames are its own way up (a patient who went in feet first is upside down in them) and positions,
orientations and angles are patient-relative, as DICOM has them.
"""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from mureg import read_spect
from support.balls import overlay_distances, write_ct, write_spect_as_scanned
from support.dicom import change

POSITIONS = ("HFS", "HFP", "FFS", "FFP")
ORBITS = {0.0: (12.0, 30), 225.0: (6.0, 30)}  # start angle: step and number of views, over 360 and 180 degrees


@pytest.fixture(scope="module")
def ct_folders(tmp_path_factory):
    """The CT of each position, written once."""
    folder = tmp_path_factory.mktemp("ct")
    for position in POSITIONS:
        write_ct(folder / position, position)
    return folder


@pytest.mark.parametrize("start_deg", ORBITS)
@pytest.mark.parametrize("sense", ["CW", "CC"])
@pytest.mark.parametrize("position", POSITIONS)
def test_every_ball_lands_on_the_ct_within_a_quarter_voxel(tmp_path, ct_folders, position, sense, start_deg) -> None:
    path = write_spect_as_scanned(tmp_path / "spect.dcm", position, start_deg, *ORBITS[start_deg], sense)
    distances = overlay_distances(path, ct_folders / position)
    assert max(distances.values()) < 0.25, distances
    acquisition, _ = read_spect(path)
    assert acquisition.patient_position == position
    assert any("rows ran from the feet up" in note for note in acquisition.notes) == position.startswith("FF")
    assert not any("start angle used" in note for note in acquisition.notes)


@pytest.mark.parametrize("position", POSITIONS)
def test_an_orientation_for_another_position_gives_way_to_angle_and_position(tmp_path, ct_folders, position) -> None:
    """The orientation of a patient lying the other way round (turned about the long axis) contradicts the angles."""
    path = write_spect_as_scanned(tmp_path / "spect.dcm", position, 225.0, 6.0, 30, "CW")
    detector = pydicom.dcmread(path).DetectorInformationSequence[0]
    turned = np.asarray(detector.ImageOrientationPatient, dtype=float) @ np.kron(np.eye(2), np.diag([-1.0, -1.0, 1.0]))
    detector.ImageOrientationPatient = [f"{v:.6f}" for v in turned]
    change(path, DetectorInformationSequence=[detector])
    acquisition, _ = read_spect(path)
    assert any("its position agrees with the start angle" in note for note in acquisition.notes)
    assert max(overlay_distances(path, ct_folders / position).values()) < 0.25
