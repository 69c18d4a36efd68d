"""`mureg review` in a real browser: scrolling, turning, typing a move, two windows, and browsers that cannot draw."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from mureg.geometry import RigidTransform
from support.browser import needs_browser, nudged, pose_of, press, until
from support.reviewed import BALL_MM, CENTRE_MM, POSE, write_result

from mureg.service.review.desk import Desk  # isort: skip  # after the check for web libraries
from mureg.service.review.studies import results_at  # isort: skip
from mureg.service.trail import Trail  # isort: skip

pytestmark = needs_browser
BALL_PLACE = (np.linalg.inv(POSE.matrix) @ (*BALL_MM, 1.0))[:3]
"""Where the pose found puts the ball, in SPECT space."""
PLANES = {"transaxial": ((1, 0, 0), (0, 1, 0)), "coronal": ((1, 0, 0), (0, 0, -1)), "sagittal": ((0, 1, 0), (0, 0, -1))}
"""Patient directions of the right and the lower edge, LPS: seen from the feet, from the front, from the left."""


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(results_at([write_result(tmp_path / "one")]), Trail(tmp_path / "t.sqlite"), "AB")


@pytest.fixture
def page(desk, opened):
    page = opened(desk)
    page.click("#studies a")
    page.wait_for_selector("#app[data-ready=yes]")
    return page


def middle_of(page, pane: str) -> tuple[float, float]:
    """Where the heart lies on the screen."""
    box = page.locator(f"[data-pane={pane}]").bounding_box()
    x, y = page.evaluate("name => review.onScreen(name, review.heart)", pane)
    return box["x"] + x, box["y"] + y


def brightness_at_ball(page, pane: str) -> float:
    """Mean blue of a few pixels of a pane where the ball lies, beside the lines of the crosshair."""
    script = """([name, x, y]) => {
        const canvas = review.panes.find(one => one.name === name).canvas;
        const data = canvas.getContext('2d').getImageData(Math.round(x) + 3, Math.round(y) + 3, 4, 4).data;
        return data.filter((_, k) => k % 4 === 2).reduce((a, b) => a + b) / 16;
    }"""
    place = page.evaluate("([name, p]) => review.onScreen(name, p)", [pane, BALL_PLACE.tolist()])
    return page.evaluate(script, [pane, *place])


def test_the_wheel_scrolls_to_the_head_and_the_crosshair_follows(page) -> None:
    page.evaluate("document.getElementById('opacity').value = 0")
    page.evaluate("document.getElementById('white').value = 0.25")
    up_mm = BALL_PLACE[2] - CENTRE_MM[2]
    step_mm = 3.4 / 2  # half a voxel of the SPECT
    press(page, "ArrowRight")  # draws with these looks
    press(page, "z")
    page.wait_for_timeout(700)
    tissue = brightness_at_ball(page, "transaxial")
    before = page.evaluate("review.panes.map(pane => pane.canvas.toDataURL())")
    crosshair = page.evaluate("review.onScreen('coronal', review.cross)")
    page.mouse.move(*middle_of(page, "transaxial"))
    notches = round(up_mm / step_mm)
    for _ in range(notches):
        page.mouse.wheel(0, -100)
    until(page, f"Math.abs(review.cross[2] - {CENTRE_MM[2] + notches * step_mm}) < 1e-6")
    page.wait_for_timeout(500)
    np.testing.assert_allclose(page.evaluate("review.cross")[:2], CENTRE_MM[:2], atol=1e-9)
    assert brightness_at_ball(page, "transaxial") > tissue + 25, "the ball lies nearer to the head"
    after = page.evaluate("review.panes.map(pane => pane.canvas.toDataURL())")
    assert after[0] != before[0]
    assert page.evaluate("review.onScreen('coronal', review.cross)")[1] < crosshair[1], "the head is up"
    np.testing.assert_array_equal(pose_of(page), POSE.matrix, "scrolling moves no map")
    for _ in range(notches):
        page.mouse.wheel(0, 100)
    until(page, f"Math.abs(review.cross[2] - {CENTRE_MM[2]}) < 1e-6")


def turned(pose: RigidTransform, axis, degrees: float) -> np.ndarray:
    """By plain matrices: the map's anatomy turned about an axis through the heart."""
    turn, motion = Rotation.from_rotvec(np.radians(degrees) * np.asarray(axis)).as_matrix(), np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn, np.asarray(CENTRE_MM) - turn @ CENTRE_MM
    return pose.matrix @ np.linalg.inv(motion)


@pytest.mark.parametrize("pane", PLANES)
def test_brackets_turn_clockwise_by_half_a_degree_about_the_heart(page, pane) -> None:
    right, down = (np.asarray(way, dtype=float) for way in PLANES[pane])
    press(page, str(1 + list(PLANES).index(pane)))
    press(page, "]", 10)
    expected = turned(POSE, np.cross(right, down), 5.0)
    np.testing.assert_allclose(pose_of(page), expected, atol=1e-9)
    heart_of_map = POSE.matrix @ (*CENTRE_MM, 1.0)
    np.testing.assert_allclose((np.linalg.inv(pose_of(page)) @ heart_of_map)[:3], CENTRE_MM, atol=1e-9)
    angles = []
    for matrix in (POSE.matrix, pose_of(page)):
        off = (np.linalg.inv(matrix) @ (*BALL_MM, 1.0))[:3] - CENTRE_MM
        angles.append(np.degrees(np.arctan2(off @ down, off @ right)))  # clockwise, since down is down
    assert (angles[1] - angles[0] + 180) % 360 - 180 == pytest.approx(5.0, abs=1e-6)
    press(page, "[", 10)
    np.testing.assert_allclose(pose_of(page), POSE.matrix, atol=1e-9)


def test_a_drag_with_shift_turns_as_far_as_the_pointer_goes_around_the_heart(page) -> None:
    x, y = middle_of(page, "coronal")
    page.mouse.move(x + 100, y)
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(x + 96, y + 20, steps=3)
    end = round(100 * np.cos(np.radians(25))), round(100 * np.sin(np.radians(25)))
    page.mouse.move(x + end[0], y + end[1], steps=5)
    page.mouse.up()
    page.keyboard.up("Shift")
    vector = Rotation.from_matrix((np.linalg.inv(pose_of(page)) @ POSE.matrix)[:3, :3]).as_rotvec(degrees=True)
    asked = np.degrees(np.arctan2(end[1], end[0]))
    np.testing.assert_allclose(vector, (0, asked, 0), atol=0.3)  # pointers move in whole pixels
    np.testing.assert_allclose(pose_of(page), turned(POSE, (0, 1, 0), vector[1]), atol=1e-6)
    assert page.inner_text("#undo") == "Undo (z)"
    press(page, "z")
    np.testing.assert_allclose(pose_of(page), POSE.matrix, atol=1e-12)


def test_fields_keep_what_is_typed_whatever_the_turn(page) -> None:
    press(page, "s")
    typed = {"left": 6, "back": -4, "head": 3, "turn-x": 0, "turn-y": 0, "turn-z": 30}
    for field, value in typed.items():
        page.fill(f"#{field}", str(value))
        page.keyboard.press("Tab")
    for field, value in typed.items():
        assert float(page.input_value(f"#{field}")) == pytest.approx(value, abs=0.005), field
    # the heart of the map comes to lie where the words say, against where the scanner put it
    np.testing.assert_allclose((pose_of(page) @ (*CENTRE_MM, 1.0))[:3], np.subtract(CENTRE_MM, (6, -4, 3)), atol=1e-9)
    expected = Rotation.from_euler("z", -30, degrees=True).as_matrix()
    np.testing.assert_allclose(pose_of(page)[:3, :3], expected, atol=1e-9)


def test_a_later_window_is_told_what_it_would_replace(page, desk) -> None:
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector("#app[data-ready=yes]")
    press(page, "ArrowRight", 3)
    page.click("#accept-own")
    page.wait_for_selector("#app[data-reviewed=own]")
    other.click("#keep-scanner")
    other.wait_for_selector("#message:has-text('Press again to replace it')")
    assert re.search(r"AB decided on this study at \S+ \(own\)", other.inner_text("#message"))
    assert [row.entry.decision for row in desk.trail.rows()] == ["own"], "nothing was replaced yet"
    other.click("#keep-scanner")
    other.wait_for_selector("#app[data-reviewed=scanner]")
    rows = desk.trail.rows()
    assert [row.entry.decision for row in rows] == ["own", "scanner"]
    np.testing.assert_allclose(rows[1].entry.pose_before, nudged(POSE, (3, 0, 0), 0.0, CENTRE_MM).ravel(), atol=1e-9)
    other.close()


def test_the_page_says_that_an_accepted_result_was_rejected_later(page, desk) -> None:
    (study,) = desk.studies
    press(page, "ArrowRight", 3)
    page.click("#accept-own")
    page.wait_for_selector("#app[data-reviewed=own]")
    (row,) = desk.trail.rows()  # as an accept leaves it; the study itself is not at hand here
    reviewed = study.folder / "reviewed" / "registration.json"
    reviewed.parent.mkdir()
    reviewed.write_text("{}")
    desk.trail.append(replace(row.entry, action="write"))
    page.reload()
    page.wait_for_selector("#message:has-text('the result is in reviewed/')")
    page.wait_for_selector("#app[data-ready=yes]")
    page.fill("#comment", "liver <b>beside</b> the wall")
    page.click("#reject")
    page.wait_for_selector("#app[data-reviewed=rejected]")
    assert "reviewed/ holds an earlier result (own pose accepted by AB)" in page.inner_text("#message")
    page.click("#to-list")
    page.wait_for_selector("#studies tbody tr:has-text('reviewed/ holds an earlier result')")
    assert reviewed.read_text() == "{}"


def test_a_phantom_is_shown_as_one(tmp_path, opened) -> None:
    for name in ("patient", "phantom"):
        folder = write_result(tmp_path / "batch" / "studies" / name)
        table = json.loads((folder / "registration.json").read_text())
        table["provenance"]["phantom"] = name == "phantom"
        (folder / "registration.json").write_text(json.dumps(table))
    studies = results_at([tmp_path / "batch"])
    page = opened(Desk(studies, Trail(tmp_path / "t.sqlite"), "AB"))
    assert page.locator("#studies tbody tr").count() == 2
    for index, study in enumerate(studies):
        row = page.locator("#studies tbody tr").nth(index).inner_text()
        assert ("PHANTOM" in row) == (study.name == "phantom")
    for index, study in enumerate(studies):
        page.goto(f"{page.url.split('/studies')[0].rstrip('/')}/studies/{index}")
        page.wait_for_selector("#app[data-ready=yes]")
        assert page.is_visible("#phantom") == (study.name == "phantom")


def ball_in(png: bytes, view: int) -> np.ndarray:
    """Centre of mass of what is white in one of the three planes of a picture, mm from the middle of the plane."""
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float)
    per_mm = (960 - 12) / (380 + 380 + 280)
    left = (0.0, 380 * per_mm + 6, 760 * per_mm + 12)[view]
    width, height = (380.0, 380.0, 280.0)[view] * per_mm, 280 * per_mm
    x, y = np.arange(image.shape[1]) + 0.5 - left - width / 2, np.arange(image.shape[0]) + 0.5 - 24 - height / 2
    white = np.maximum(image.min(-1) - 165.0, 0.0)
    inside = (np.abs(y)[:, None] < height / 2 - 30) & (np.abs(x)[None, :] < width / 2 - 30)
    white *= inside
    assert white.sum() > 1000, "the ball is in the plane"
    return np.array([(white * x).sum(), (white * y[:, None]).sum()]) / white.sum() / per_mm


def expected_in(place, view: int, at) -> np.ndarray:
    """Where a place lies in a plane through `at`, whose middle is that of the SPECT across and `at` along z."""
    right, down = (np.asarray(way) for way in list(PLANES.values())[view])
    middle = np.array([38.0, -26.0, at[2]])
    return np.array([(place - middle) @ right, (place - middle) @ down])


def test_where_the_browser_cannot_draw_the_program_does_and_follows_nudges(desk, opened, browser) -> None:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    page = opened(desk, context=context)
    page.click("#studies a")
    page.wait_for_selector("#app[data-drawn]")
    assert "cannot draw" in page.inner_text("#message")
    page.evaluate("p => { p.forEach((v, k) => { review.cross[k] = v; }); }", BALL_PLACE.tolist())
    for keys, shift in ((0, (0, 0, 0)), (12, (12, 0, 0))):
        drawn = page.get_attribute("#app", "data-drawn")
        press(page, "1")
        press(page, "ArrowRight" if keys else "z", keys or 1)
        press(page, "PageUp")
        press(page, "PageDown")
        until(page, f"document.getElementById('app').dataset.drawn !== '{drawn}'")
        page.wait_for_timeout(700)
        expected = nudged(POSE, shift, 0.0, CENTRE_MM)
        np.testing.assert_allclose(pose_of(page), expected, atol=1e-9)
        png = context.request.get(page.evaluate("document.getElementById('planes').src")).body()
        place = (np.linalg.inv(expected) @ (*BALL_MM, 1.0))[:3]
        for view in range(3):
            if view == 2 and keys:
                continue  # the ball has left the sagittal plane
            np.testing.assert_allclose(ball_in(png, view), expected_in(place, view, BALL_PLACE), atol=3.0)
    assert ball_in(png, 0)[0] > 20.0, "left is on the right of the picture"
    page.click("#accept-own")
    page.wait_for_selector("#app[data-reviewed=own]")
    np.testing.assert_allclose(desk.trail.rows()[0].entry.pose_after, expected.ravel(), atol=1e-9)


def test_without_scripts_a_form_moves_the_map_on_a_picture(desk, opened, browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = opened(desk, context=context)
    page.click("#studies a")
    assert 'href="/studies/0/plain"' in page.content()  # in a noscript element, which the driver leaves closed
    page.goto(page.url + "/plain")
    places = []
    for left in ("0", "15"):
        page.fill("[name=left]", left)
        page.click("button")
        source = page.get_attribute("img", "src")
        at = "&x={:.3f}&y={:.3f}&z={:.3f}".format(*np.add(BALL_MM, (float(left), 0, 0)))
        answer = context.request.get(page.url.split("/studies")[0] + source + at)
        assert answer.status == 200
        places.append(ball_in(answer.body(), 0))
    np.testing.assert_allclose(places[0], expected_in(np.array(BALL_MM), 0, BALL_MM), atol=3.0)
    np.testing.assert_allclose(places[1] - places[0], (15.0, 0.0), atol=2.0)
