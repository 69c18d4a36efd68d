import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.transforms import Bbox
from scipy import ndimage

from mureg.assessment.move import Move
from mureg.assessment.result import Assessment, Examination, HeartPlace, MapAtPose, Provenance
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.notes import Note
from mureg.registration import Registration
from mureg.report.pictures.letters import extent
from mureg.report.pictures.quality import compose_quality, quality_picture, thumbnail
from mureg.report.wording import shortened
from mureg.study import PreparedStudy
from support.assessments import drawn_study

GRID = Grid.centred((48, 48, 40), (6.8, 6.8, 6.8), (5.0, -10.0, -200.0))
HEART = np.array([47.0, -35.0, -195.0])
POSE = RigidTransform.from_six((9.0, -7.0, 10.0), (1.5, -2.0, 3.0), GRID.centre_mm)
REGISTRATION = Registration(POSE, GRID.centre_mm, "mutual-information", "moved", seconds=4.2)


def _places(grid: Grid) -> np.ndarray:
    return grid.points(np.indices(grid.shape).transpose(1, 2, 3, 0))


def _assessed(corrected: bool, warnings: tuple[str, ...] = (), reason: str = "Enough.") -> Assessment:
    offset = _places(GRID) - GRID.centre_mm
    body = ((offset[..., :2] / (140.0, 100.0)) ** 2).sum(-1) < 1
    lungs = ((np.abs(offset[..., 0]) - 65.0) / 45.0) ** 2 + (offset[..., 1] / 70.0) ** 2 < 1
    radius = np.linalg.norm(_places(GRID) - HEART, axis=-1)
    mu = np.where(body, np.where(lungs & (radius > 45), 0.04, 0.15), 0.0)
    emission = 1.0 * ((radius > 18) & (radius < 32)) + 0.05 * body
    map_volume = Volume.from_numpy(mu, GRID, Quantity.MU_PER_CM)
    spect = Volume.from_numpy(emission, GRID, Quantity.ACTIVITY)
    moved = map_volume.resampled(GRID, POSE.inverse())
    provenance = Provenance({}, {}, (), {}, "cpu")
    prepared = PreparedStudy.from_images(spect, map_volume)
    image = spect if corrected else None
    examination = Examination(
        drawn_study(),
        prepared,
        REGISTRATION,
        MapAtPose(RigidTransform.identity(), moved, image),
        MapAtPose(POSE, map_volume, image),
        (),
        provenance,
    )
    heart = HeartPlace(tuple(HEART), "image")
    move = Move.of(POSE, heart.centre_mm)
    return Assessment(examination, "review", (reason,), True, heart, move, warnings=tuple(map(Note, warnings)))


def test_the_picture_is_of_fixed_size_small_and_the_same_every_time(tmp_path: Path) -> None:
    first, second = tmp_path / "qc.png", tmp_path / "again.png"
    assessment = _assessed(corrected=True)
    quality_picture(assessment, first)
    quality_picture(assessment, second)
    assert imread(first).shape[:2] == (1300, 1500)
    assert first.stat().st_size < 1.5e6
    assert first.read_bytes() == second.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.png", "qc.png"]


@pytest.mark.parametrize("released", [True, False])
@pytest.mark.parametrize("corrected", [True, False])
def test_no_words_overlap_or_leave_the_figure(corrected: bool, released: bool) -> None:
    long = "nothing is known about attenuation beyond the end of the computed tomography of this patient " * 4
    assessment = _assessed(corrected, (long, long + ".", "short", "one more"), reason=long)
    canvas = compose_quality(replace(assessment, released=released))
    boxes = [Bbox.from_extents(*extent(words)) for words in canvas.texts]
    panels = [Bbox.from_bounds(*panel.place) for panel in canvas.panels]
    assert len(panels) == (12 if corrected else 9)
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= canvas.width and b.y1 <= canvas.height for b in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes + panels, 2))


def test_the_decision_stands_in_the_picture_in_large_letters_with_its_reason() -> None:
    words = compose_quality(_assessed(corrected=True, reason="The heart lies on lung.")).texts
    largest = max(words, key=lambda text: text.fontsize)
    assert largest.text.startswith("REVIEW")
    assert "The heart lies on lung." in [text.text for text in words]


def test_words_say_where_the_map_went() -> None:
    words = [words.text for words in compose_quality(_assessed(corrected=True)).texts]
    heart_unregistered = POSE.apply(HEART)
    moved = HEART - heart_unregistered
    assert moved[0] < 0 < moved[1]
    assert moved[2] < 0
    assert any("to the patient's right" in line for line in words)
    assert any("to the back" in line for line in words)
    assert any("to the feet" in line for line in words)
    number = Move.of(POSE, tuple(HEART)).rms_mm
    assert any(line.startswith(f"Map moved {number:.1f} mm") for line in words)


def test_long_sentences_are_cut_between_words() -> None:
    assert shortened("one two three", 40) == "one two three"
    assert shortened("one two, three", 10) == "one two …"


@pytest.mark.parametrize("quantity", list(Quantity))
@pytest.mark.parametrize("angle", [0.0, 25.0])
def test_the_drawn_thumbnail_shows_left_front_and_head_in_the_right_quadrants(
    quantity: Quantity, angle: float, tmp_path: Path
) -> None:
    straight = Grid.centred((50, 50, 50), (5.0, 5.0, 5.0))
    grid = Grid(
        straight.shape, RigidTransform.from_six((0, 0, 0), (angle, 0, angle), (0, 0, 0)).matrix @ straight.affine
    )
    spot = np.array([50.0, -50.0, 50.0])
    distance = np.abs(_places(grid) - spot).max(-1)
    low = min(quantity.window_low, 0.0)
    volume = Volume.from_numpy(np.where(distance < 22, 500.0, low), grid, quantity)
    thumbnail(volume, tmp_path / "t.png", (50.0, -50.0, 50.0))
    image = imread(tmp_path / "t.png")[52:-16, 16:-16, :3].sum(-1)
    x_mm, y_mm, _ = np.ptp(grid.corners_mm(), axis=0)
    share = x_mm / (2 * x_mm + y_mm)
    panels = np.split(image, [round(share * image.shape[1]), round(2 * share * image.shape[1])], axis=1)
    for panel, right in zip(panels, (True, True, False), strict=True):
        bright = ndimage.binary_opening(panel > 0.6 * panel.max(), structure=np.ones((15, 15)))  # without letters
        rows, columns = np.nonzero(bright)
        assert (columns.mean() > panel.shape[1] / 2) == right
        assert rows.mean() < panel.shape[0] / 2


def test_a_blank_volume_is_drawn_without_complaint(tmp_path: Path) -> None:
    thumbnail(
        Volume.from_numpy(np.zeros((8, 8, 8)), Grid.centred((8, 8, 8), (6.8,) * 3), Quantity.COUNTS), tmp_path / "t.png"
    )
    assert (tmp_path / "t.png").exists()
