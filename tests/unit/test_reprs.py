"""What an interactive session prints: short, with units, and nothing of who the patient is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mureg import Acquisition, Ct, Grid, PreparedStudy, Quantity, Registration, RigidTransform, Study, Volume
from mureg.assessment.result import Confidence
from mureg.spect import EnergyWindow
from mureg.study import PatientIdentity
from support.assessments import drawn_assessment

POSE = RigidTransform.from_six((9.0, -7.0, 10.0), (1.5, -2.0, 3.0), (5.0, -10.0, 0.0))


def acquisition() -> Acquisition:
    windows = (EnergyWindow(126.5, 154.5), EnergyWindow(114.0, 126.0))
    counts = np.full((2, 60, 4, 5), 2.0)
    return Acquisition(counts, windows, 0, np.arange(60) * 3.0, (6.8, 6.4), nuclide="Tc-99m")


def ct() -> Ct:
    volume = Volume.from_numpy(np.full((3, 4, 5), 40.0), Grid.centred((3, 4, 5), (1, 1, 2)), Quantity.HU)
    return Ct(volume, "GE MEDICAL SYSTEMS", "Discovery", 120.0)


def test_an_acquisition() -> None:
    assert repr(acquisition()) == (
        "Acquisition(Tc-99m, 60 views over 180 degrees, 4 x 5 pixels of 6.8 x 6.4 mm, 2 windows, 2400 photopeak counts)"
    )


def test_a_study_names_both_sides_and_no_patient() -> None:
    nobody = PatientIdentity("4711", "", "DOE^JANE", "19500101", "F")
    study = Study(acquisition(), ct(), "pseudonym", spect_patient=nobody, attenuation_patient=nobody)
    assert repr(study) == f"Study(spect={acquisition()}, attenuation={ct()})"
    assert "Ct(Volume(3 x 4 x 5 voxels of 1 x 1 x 2 mm, 40 to 40 HU), 120 kVp, GE MEDICAL SYSTEMS Discovery)" in repr(
        study
    )
    assert not any(word in repr(study) for word in ("4711", "DOE", "1950", "pseudonym"))


def test_a_prepared_study() -> None:
    volume = Volume.from_numpy(np.zeros((3, 4, 5)), Grid.centred((3, 4, 5), (1, 1, 2)), Quantity.MU_PER_CM)
    image = volume.with_values(volume.values, Quantity.COUNTS)
    assert repr(PreparedStudy.from_images(image, volume)) == (
        f"PreparedStudy(uncorrected={image}, body={volume}, no table, no projections)"
    )


def test_a_grid_and_a_transform() -> None:
    assert repr(Grid.centred((4, 5, 6), (2, 2, 3.5), (1, 2, 3))) == (
        "Grid(4 x 5 x 6 voxels of 2 x 2 x 3.5 mm around (1.0, 2.0, 3.0) mm)"
    )
    assert "not along the patient axes" in repr(Grid((4, 5, 6), np.diag([-2.0, 2.0, 3.5, 1.0])))
    moved = RigidTransform.from_six((1.0, 2.0, -3.25), (0.0, 0.0, 4.0), (0.0, 0.0, 0.0))
    assert repr(moved) == (
        "RigidTransform(translation (1.00, 2.00, -3.25) mm, rotation (0.00, 0.00, 4.00) degrees about the origin)"
    )


def test_a_registration() -> None:
    registration = Registration(POSE, (5.0, -10.0, 0.0), "near-heart", "moved", seconds=4.2)
    assert repr(registration) == (
        "Registration(near-heart: moved, translation (9.0, -7.0, 10.0) mm, rotation (1.5, -2.0, 3.0) degrees "
        "about the centre of the SPECT, no covariance, 4.2 s)"
    )
    assert "with covariance" in repr(replace(registration, covariance=np.eye(6)))


class TestAssessment:
    def test_decision_move_and_bound(self) -> None:
        assessment = drawn_assessment()
        move_mm = assessment.move_found.rms_mm
        assert repr(assessment).startswith(
            f"Assessment(REVIEW: the pose found moves the map by {move_mm:.1f} mm at the heart, error unknown"
        )
        bound = Confidence((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), 5.25, calibrated=True)
        known = replace(assessment, decision="moved", confidence=bound)
        assert "error at the heart below 5.2 mm (90 %)" in repr(known)
        assert "not calibrated" in repr(replace(known, confidence=replace(bound, calibrated=False)))
        withheld = replace(assessment, released=False)
        assert "not given out" in repr(withheld)
        assert all(len(repr(one)) < 300 for one in (assessment, known, withheld))

    def test_the_table_of_a_notebook_leads_with_the_decision_and_escapes_words(self) -> None:
        table = replace(drawn_assessment(), reasons=("a < b & c",))._repr_html_()
        assert table.startswith("<table><tr><th>decision</th><td>REVIEW</td></tr>")
        assert "a &lt; b &amp; c" in table
        assert "Research use only" in table
        assert "the CT does not reach 12 % of the SPECT field" in table
