"""How long a reader waits, and a batch that is read with the mouse."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mureg.cli import main as command_line
from mureg.geometry import RigidTransform
from mureg.io.worklist.find import find_pairs
from support.browser import CT, SPECT, needs_browser, nudged, pose_of, press, until

from mureg.service.review.desk import Desk  # isort: skip  # after the check for web libraries
from mureg.service.review.studies import results_at  # isort: skip
from mureg.service.trail import Trail  # isort: skip

pytestmark = needs_browser


def cpu_s(pid: int) -> float:
    """Seconds that a process has worked so far (proc(5): user and system time are the fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answered(page) -> str | None:
    return page.get_attribute("#app", "data-answered")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the time of a process is read as Linux states it")
def test_the_times_are_printed(tmp_path, browser, capsys) -> None:
    """From the process to a page that can be used, from a nudge to the picture, and to the polar map."""
    inputs = ["--spect", str(SPECT), "--ct", str(CT)]
    assert command_line(["register", *inputs, "-o", str(tmp_path / "one"), "--nudge", "15 mm left, 20 mm front"]) == 0
    command = [sys.executable, "-m", "mureg.cli", "review", str(tmp_path / "one"), *inputs, "--no-browser"]
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        page.goto(url)
        page.wait_for_selector("#studies a")
        listed_s = time.perf_counter() - begun
        page.click("#studies a")
        page.wait_for_selector("#app[data-ready=yes]")
        ready_s, ready_cpu_s = time.perf_counter() - begun, cpu_s(process.pid)
        page.wait_for_selector("#app[data-answered]", timeout=120_000)
        works = []
        for key in ("ArrowRight", "ArrowUp", "]", "ArrowLeft", "ArrowDown"):
            before, number = cpu_s(process.pid), answered(page)
            press(page, key)
            until(page, f"document.getElementById('app').dataset.answered !== '{number}'")
            works.append(cpu_s(process.pid) - before)
        timing = page.evaluate("review.timing")
        process.terminate()
    context.close()
    nudges, polars = np.array(timing["nudgeMs"]), np.array(timing["polarMs"][1:])
    with capsys.disabled():
        print(f"\nprocess to list {listed_s:.1f} s, to planes {ready_s:.1f} s ({ready_cpu_s:.1f} s of a core)")
        print(f"nudge to picture {np.median(nudges):.0f} ms, nudge to polar map {np.median(polars):.0f} ms,")
        print(f"in which the program works {1000 * np.median(works):.0f} ms of a core")
    assert len(polars) == 5
    assert np.median(nudges) < 1000, "far above any loaded computer: the map would be resampled by the program"


def test_a_batch_of_three_is_read_with_the_mouse(review_batch, opened) -> None:
    """By drag 6 mm to the left, 4 to the front and 3 to the head, then 5 degrees: what was seen is stored."""
    studies = results_at([review_batch / "all"], find_pairs(review_batch / "list.csv"))
    trail = Trail(review_batch / "mouse.sqlite")
    page = opened(Desk(studies, trail, "AB"))
    assert page.locator("#studies tbody tr").count() == 3
    page.click("#studies tbody tr:nth-child(3) a")
    page.wait_for_selector("#app[data-answered]", timeout=120_000)
    start, number, heart = pose_of(page), answered(page), studies[2].heart_mm
    words, segments = page.inner_text("#words"), page.get_attribute("#app", "data-segments")
    moved = np.zeros(3)
    for pane, right, down, shift in (
        ("coronal", (1, 0, 0), (0, 0, -1), (6.0, -3.0)),
        ("sagittal", (0, 1, 0), (0, 0, -1), (-4.0, 0.0)),
    ):
        box = page.locator(f"[data-pane={pane}]").bounding_box()
        per_pixel = page.evaluate(f"review.panes.find(one => one.name === '{pane}').perPixel")
        x, y = round(box["x"] + box["width"] / 2), round(box["y"] + box["height"] / 2)
        steps = [round(mm / per_pixel) for mm in shift]
        page.mouse.move(x, y)
        page.mouse.wheel(0, -100)
        page.mouse.down()
        page.mouse.move(x + steps[0] / 2, y + steps[1] / 2)
        page.mouse.move(x + steps[0], y + steps[1], steps=3)
        page.mouse.up()
        moved += per_pixel * (steps[0] * np.asarray(right, float) + steps[1] * np.asarray(down, float))
    np.testing.assert_allclose(moved, (6.0, -4.0, 3.0), atol=0.8)  # whole pixels of the screen
    press(page, "1")
    press(page, "]", 10)
    expected = nudged(RigidTransform(start), moved, 5.0, heart)
    np.testing.assert_allclose(pose_of(page), expected, atol=1e-6)
    assert page.inner_text("#words") != words
    until(page, f"document.getElementById('app').dataset.answered > {number}", 120)
    assert page.get_attribute("#app", "data-segments") != segments
    page.click("#accept-own")
    page.wait_for_selector("#app[data-written=true]", timeout=240_000)
    np.testing.assert_allclose(np.array(trail.rows()[0].entry.pose_after).reshape(4, 4), expected, atol=1e-6)
    page.click("#to-list")
    page.wait_for_selector("#progress:has-text('1 of 3 reviewed')")
    assert "own, AB" in page.inner_text("#studies tbody tr:nth-child(3)")
