"""A slice spacing that contradicts the vertebrae: from the map to the decision, through every door."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest

from mureg.assessment.data_checks import vertebrae_notes
from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.vertebrae import VertebralSpacing
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.notes import Rank
from mureg.pipeline import StudySettings, examine
from mureg.registration import Registration
from mureg.study import Study
from support.phantoms import chest, voxel_points
from support.spines import chest_with_spine, with_slices_of

GRID = Grid.centred((40, 32, 40), (9.0, 9.0, 9.0))
SMALL_MOVE = RigidTransform.from_six((1.0, 0.0, 0.0), (0.0, 0.0, 0.0), GRID.centre_mm)


@dataclass(frozen=True)
class FixedPose:
    """A registrar that always gives the same small move."""

    kind: str = "fixed-pose"

    def register(self, prepared) -> Registration:
        return Registration(SMALL_MOVE, prepared.uncorrected.grid.centre_mm, self.kind, "moved", {})


def answer_to(body: Volume, limits: Thresholds = Thresholds()):  # noqa: B008
    spect = Volume(chest(voxel_points(GRID))[0].astype(np.float32), GRID, Quantity.ACTIVITY)
    return examine(Study(spect, body), StudySettings(FixedPose(), limits=limits), seek_axis=False)


@pytest.fixture(scope="module")
def body() -> Volume:
    """Vertebrae 25 mm apart at T8."""
    return chest_with_spine(4.0, 28.4)


@pytest.mark.parametrize("factor", [0.67, 1.5])
def test_a_wrong_slice_spacing_is_reviewed_with_both_numbers(body: Volume, factor: float) -> None:
    answer = answer_to(with_slices_of(body, factor))
    assert answer.decision == "review"
    (reason,) = [reason for reason in answer.reasons if "vertebrae" in reason]
    assert f"({4.0 * factor:.2f} mm)" in reason
    numbers = re.search(r"vertebrae are ([0-9.]+) mm apart, where those of adults are 19.5 to 32 mm", reason)
    assert numbers is not None
    assert float(numbers[1]) == pytest.approx(25.0 * factor, rel=0.04)
    assert not answer.released


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_the_vertebrae_of_adults_raise_nothing(body: Volume, factor: float) -> None:
    answer = answer_to(with_slices_of(body, factor))
    assert not [note for note in answer.warnings if "vertebrae" in note]


def test_the_limits_are_those_of_the_settings(body: Volume) -> None:
    strict = Thresholds(least_vertebrae_mm=26.0, largest_vertebrae_mm=27.0)
    assert any("26 to 27 mm" in note for note in answer_to(body, strict).warnings)


def test_nothing_is_said_of_vertebrae_that_cannot_be_told() -> None:
    assert not list(vertebrae_notes(None, 5.0, Thresholds(), "CT"))
    assert not list(vertebrae_notes(VertebralSpacing(25.0, 0.6, 0.1), 5.0, Thresholds(), "CT"))
    (note,) = vertebrae_notes(VertebralSpacing(40.0, 0.6, 0.1), 5.0, Thresholds(), "attenuation map")
    assert note.rank is Rank.CHANGES_ANSWER
    assert note.startswith("by the slice spacing of the attenuation map (5.00 mm)")
