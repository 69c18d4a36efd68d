"""From DICOM to the overlay on the CT: an object without symmetry must land where the CT shows it."""

from __future__ import annotations

import numpy as np
import pytest

from mureg import Study, read_study
from support import dicom
from support.balls import AXIS_MM, BALLS, PIXEL_MM, SHAPE, mu_of, overlay_distances, place_of, write_ct, write_spect


def distances_of(folder, **acquisition) -> dict[str, float]:
    write_spect(folder / "spect.dcm", **acquisition)
    write_ct(folder / "ct")
    return overlay_distances(folder / "spect.dcm", folder / "ct")


@pytest.mark.parametrize("sense", ["CW", "CC"])
@pytest.mark.parametrize(("start_deg", "arc_deg"), [(225.0, 180.0), (0.0, 360.0), (45.0, 180.0), (180.0, 360.0)])
def test_every_ball_lands_on_the_ct_within_a_quarter_voxel(tmp_path, start_deg, arc_deg, sense) -> None:
    distances = distances_of(tmp_path, start_deg=start_deg, step_deg=arc_deg / 60, n_views=60, sense=sense)
    assert max(distances.values()) < 0.25, distances


def test_feet_first_patients_land_there_too(tmp_path) -> None:
    """Angles and orientations are relative to the patient, so going in feet first changes nothing in them."""
    distances = distances_of(tmp_path, start_deg=225.0, step_deg=6.0, n_views=30, sense="CW", feet_first=True)
    assert max(distances.values()) < 0.25, distances


FLIPS = {
    "columns": lambda frames: frames[:, :, ::-1],
    "rows": lambda frames: frames[:, ::-1],
    "order of views": lambda frames: frames[::-1],
    "half a turn": lambda frames: np.roll(frames, len(frames) // 2, axis=0),
}


@pytest.mark.parametrize("flip", FLIPS)
def test_any_flip_is_noticed(tmp_path, flip) -> None:
    """The same comparison on data with one axis or the rotation sense flipped must miss by far."""
    distances = distances_of(tmp_path, start_deg=225.0, step_deg=6.0, n_views=60, sense="CW", spoil=FLIPS[flip])
    assert max(distances.values()) > 1.0, distances


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("n_columns", [2, -2])
def test_a_centre_of_rotation_offset_is_undone(tmp_path, n_columns, stated) -> None:
    """The axis is seen two columns beside the middle; the header says so, or it does not and the balls miss."""
    offset = n_columns * PIXEL_MM
    write_spect(tmp_path / "spect.dcm", 225.0, 6.0, 30, "CW", spoil=lambda frames: np.roll(frames, n_columns, axis=2))
    _, right = dicom.view_directions(225.0)
    head = dicom.detector(225.0, axis=AXIS_MM - offset * right, radius=250.0, shape=SHAPE, pixel=PIXEL_MM)
    if stated:
        head.CenterOfRotationOffset = offset
    dicom.change(tmp_path / "spect.dcm", DetectorInformationSequence=[head])
    write_ct(tmp_path / "ct")
    worst = max(overlay_distances(tmp_path / "spect.dcm", tmp_path / "ct").values())
    assert worst < 0.25 if stated else worst > 0.5


def test_resampling_through_a_transform_goes_the_stated_way(tmp_path) -> None:
    """ct_from_spect says where in the CT to look: moved 20 mm left, found 20 mm left."""
    from mureg import RigidTransform

    write_spect(tmp_path / "spect.dcm", 225.0, 6.0, 30, "CW")
    write_ct(tmp_path / "ct")
    study = read_study(tmp_path / "spect.dcm", ct=tmp_path / "ct")
    assert isinstance(study, Study)
    mu = mu_of(study.attenuation)
    to_the_left = RigidTransform.from_six((20.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    place = np.array(BALLS["left-front-head"][0])
    looked_up = mu.resampled(study.spect.grid(), to_the_left)
    assert np.linalg.norm(place_of(looked_up, place - (20, 0, 0), 0.158) - (place - (20, 0, 0))) < 0.25 * PIXEL_MM
    assert np.isfinite(looked_up.values).all()
