"""`mureg review` in a real browser: what is seen, what is stored, and what is written are one pose."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest

from mureg.cli import main as command_line
from mureg.geometry import RigidTransform
from mureg.io.worklist.find import find_pairs
from support.browser import needs_browser, nudge_by_keys, nudged, pose_of, press
from support.reviewed import BALL_MM, CENTRE_MM, POSE, write_result

from mureg.service.review.decide import DecisionRequest, record  # isort: skip  # after the check for web libraries
from mureg.service.review.desk import Desk  # isort: skip
from mureg.service.review.studies import results_at  # isort: skip
from mureg.service.trail import Trail  # isort: skip

pytestmark = needs_browser

NUDGE = ((6.0, -4.0, 3.0), 5.0)
"""To the left, back and head, mm; then clockwise on the transaxial picture, degrees."""


def bright_spot(page, pane: str) -> tuple[np.ndarray, dict]:
    """Centre of mass of what is brighter than soft tissue on a canvas, in its pixels, and where the plane lies."""
    script = """name => {
        const pane = review.panes.find(one => one.name === name), canvas = pane.canvas;
        const w = canvas.width, h = canvas.height;
        const data = canvas.getContext('2d').getImageData(0, 0, w, h).data;
        let sum = 0, x = 0, y = 0;
        for (let j = 30; j < h - 30; j++) for (let i = 30; i < w - 30; i++) {
            const weight = Math.max(0, data[4 * (j * w + i) + 2] - 190); // blue: the marks are yellow
            sum += weight; x += weight * (i + 0.5); y += weight * (j + 0.5);
        }
        return { x: x / sum, y: y / sum, sum, w, h, perPixel: pane.perPixel, centre: pane.centre };
    }"""
    told = page.evaluate(script, pane)
    assert told["sum"] > 2000, "the ball is in the plane"
    return np.array([told["x"], told["y"]]), told


PLANES = {"transaxial": ((1, 0, 0), (0, 1, 0)), "coronal": ((1, 0, 0), (0, 0, -1)), "sagittal": ((0, 1, 0), (0, 0, -1))}
"""Patient directions of the right and the lower edge, LPS: seen from the feet, from the front, from the left."""


def test_the_ball_is_shown_where_the_pose_puts_it(tmp_path, opened) -> None:
    study = write_result(tmp_path / "one")
    page = opened(Desk(results_at([study]), Trail(tmp_path / "t.sqlite"), "AB"))
    page.click("#studies a")
    page.wait_for_selector("#app[data-ready=yes]")
    np.testing.assert_allclose(pose_of(page), POSE.matrix, atol=1e-12)
    nudge_by_keys(page)
    expected = nudged(POSE, *NUDGE, CENTRE_MM)
    np.testing.assert_allclose(pose_of(page), expected, atol=1e-6)
    place = (np.linalg.inv(expected) @ (*BALL_MM, 1.0))[:3]
    assert place[0] > CENTRE_MM[0], "on the patient's left of the heart"
    for pane, (right, down) in PLANES.items():
        # the plane through the ball; the lines of the crosshair elsewhere
        aside = place + 50.0 * np.add(right, down) * np.where(np.add(right, down) > 0, -1, 1)
        page.evaluate("p => { p.forEach((v, k) => { review.cross[k] = v; }); }", aside.tolist())
        page.evaluate(
            """() => { document.getElementById('outline').checked = false;
            for (const [id, value] of [['opacity', 0], ['white', 0.25]]) {
                document.getElementById(id).value = value;
                document.getElementById(id).dispatchEvent(new Event('input'));
            } }"""
        )
        page.wait_for_timeout(700)
        seen, told = bright_spot(page, pane)
        off = (place - told["centre"]) / told["perPixel"]
        calculated = np.array([told["w"] / 2 + off @ right, told["h"] / 2 + off @ down])
        np.testing.assert_allclose(seen, calculated, atol=3.0, err_msg=pane)
        if pane != "sagittal":
            assert seen[0] > told["w"] / 2, "left is on the right of the picture"
        if pane != "transaxial":
            assert seen[1] < told["h"] / 2, "the head is up"


def test_a_drag_moves_the_map_as_far_as_the_pointer_and_undo_takes_it_back(tmp_path, opened) -> None:
    study = write_result(tmp_path / "one")
    page = opened(Desk(results_at([study]), Trail(tmp_path / "t.sqlite"), "AB"))
    page.click("#studies a")
    page.wait_for_selector("#app[data-ready=yes]")
    box = page.locator("[data-pane=coronal]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 12, y - 5, steps=4)
    page.mouse.move(x + 30, y - 12, steps=4)
    page.mouse.up()
    per_pixel = page.evaluate("review.panes.find(one => one.name === 'coronal').perPixel")
    expected = nudged(POSE, (30 * per_pixel, 0.0, 12 * per_pixel), 0.0, CENTRE_MM)
    np.testing.assert_allclose(pose_of(page), expected, atol=1e-6)
    words = page.inner_text("#words")
    page.keyboard.press("z")
    np.testing.assert_allclose(pose_of(page), POSE.matrix, atol=1e-12)
    page.keyboard.press("y")
    np.testing.assert_allclose(pose_of(page), expected, atol=1e-6)
    assert page.inner_text("#words") == words
    page.keyboard.press("s")
    assert "none" in page.inner_text("#words")
    np.testing.assert_array_equal(pose_of(page), np.eye(4))
    page.fill("#head", "7")
    page.keyboard.press("Tab")
    np.testing.assert_allclose(np.linalg.inv(pose_of(page))[:3, 3], (0.0, 0.0, 7.0), atol=1e-9)
    assert "7.0 mm to the head" in page.inner_text("#words")


def test_the_answer_of_the_program_is_hidden_from_a_blinded_reader(tmp_path, opened) -> None:
    study = write_result(tmp_path / "one")
    trail = Trail(tmp_path / "t.sqlite")
    record(results_at([study])[0], trail, DecisionRequest("found", "CD", 0), blinded=True)  # by another reader
    page = opened(Desk(results_at([study]), trail, "AB", blinded=True))
    assert "CD" not in page.inner_text("#studies tbody")
    assert "REVIEW" not in page.inner_text("#studies tbody")
    page.click("#studies a")
    page.wait_for_selector("#app[data-ready=yes]")
    np.testing.assert_array_equal(pose_of(page), np.eye(4))
    answer = page.evaluate("fetch('/api/studies/0').then(answer => answer.text())")
    hidden = [f"{POSE.matrix[0, 3]:.4f}", "a reason", "a warning", '"found"', "interval", '"review"', "CD"]
    assert [part for part in hidden if part in answer] == []
    press(page, "ArrowRight", 2)
    page.click("#accept-own")
    page.wait_for_selector("#decision:has-text('REVIEW')")
    _, row = trail.rows()
    assert row.entry.blinded
    assert row.entry.reader == "AB"
    np.testing.assert_allclose(np.array(row.entry.pose_after).reshape(4, 4)[:3, 3], (-2.0, 0.0, 0.0), atol=1e-9)


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and "reviewed" not in path.parts)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_from_opening_to_accept_by_keyboard_alone(review_batch, opened, capsys) -> None:
    batch = review_batch
    studies = results_at([batch / "all"], find_pairs(batch / "list.csv"))
    before, trail = hashes(batch / "all"), Trail(batch / "review.sqlite")
    page = opened(Desk(studies, trail, "AB"))
    press(page, "n")
    page.keyboard.press("Enter")
    page.wait_for_selector("#app[data-answered]", timeout=120_000)
    words, segments = page.inner_text("#words"), page.get_attribute("#app", "data-segments")
    start, answered = pose_of(page), page.get_attribute("#app", "data-answered")
    nudge_by_keys(page)
    heart = studies[0].heart_mm
    expected = nudged(RigidTransform(start), *NUDGE, heart)
    np.testing.assert_allclose(pose_of(page), expected, atol=1e-6)
    assert page.inner_text("#words") != words
    until = time.monotonic() + 120
    while page.get_attribute("#app", "data-answered") == answered:
        assert time.monotonic() < until
        page.wait_for_timeout(100)
    assert page.get_attribute("#app", "data-segments") != segments
    for _ in range(60):
        if page.evaluate("document.activeElement.id") == "accept-own":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#app[data-written=true]", timeout=240_000)
    timing = page.evaluate("review.timing")
    with capsys.disabled():
        picture, polar = (min(timing[name]) for name in ("drawMs", "polarMs"))
        ready = page.get_attribute("#app", "data-ready-ms")
        print(f"\nready {ready} ms, nudge to picture {picture:.0f} ms, nudge to polar map {polar:.0f} ms")
    reviewed = batch / "all" / "p1" / "reviewed"
    table = json.loads((reviewed / "registration.json").read_text())
    np.testing.assert_allclose(table["ct_from_spect"], expected, atol=1e-6)
    assert table["decision"] == "by-hand"
    assert table["review"]["reader"] == "AB"
    assert "Reviewed by AB" in (reviewed / "report.html").read_text()
    registration = pydicom.dcmread(reviewed / "dicom" / "registration.dcm")
    item = registration.RegistrationSequence[1].MatrixRegistrationSequence[0].MatrixSequence[0]
    spect_from_ct = np.array(item.FrameOfReferenceTransformationMatrix, dtype=float).reshape(4, 4)
    np.testing.assert_allclose(spect_from_ct @ expected, np.eye(4), atol=1e-6)
    at = table["review"]["at"][:19].replace("T", " ")
    assert registration.ContentDescription == f"own pose accepted by AB, {at} UTC"
    derivation = pydicom.dcmread(reviewed / "dicom" / "ac.dcm").DerivationDescription
    for part in ("own pose accepted by AB", at, table["review"]["change"]):
        assert part in derivation
    others = pytest.importorskip("pydicomrt.reg").get_spatial_registrations(registration)
    matrices = [np.asarray(m, dtype=float).reshape(4, 4) for by_moving in others.values() for m in by_moving.values()]
    assert min(np.abs(matrix @ expected - np.eye(4)).max() for matrix in matrices) < 1e-6
    assert hashes(batch / "all") == before, "the result of the program is untouched"
    rows = trail.rows()
    assert [row.entry.action for row in rows] == ["decide", "write"]
    np.testing.assert_allclose(np.array(rows[0].entry.pose_after).reshape(4, 4), expected, atol=1e-6)
    assert trail.problems() == ()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("n")
    page.wait_for_url("**/studies/1")
    arguments = ["review", str(batch / "all"), "--trail", str(batch / "review.sqlite")]
    assert command_line([*arguments, "--verify"]) == 0
    (reviewed / "registration.json").write_text(json.dumps(table | {"reason": "another"}))
    assert command_line([*arguments, "--verify"]) == 3
