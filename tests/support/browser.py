"""A review page in a real browser: Chromium without WebGL that reaches nothing but this computer."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mureg.cli import main as command_line
from mureg.geometry import RigidTransform
from mureg.sample import sample_folder

pytest.importorskip("starlette", reason="the review page needs starlette")
pytest.importorskip("uvicorn", reason="the review page needs uvicorn")
playwright = pytest.importorskip("playwright.sync_api", reason="no playwright to drive a browser")

from mureg.service.review.desk import Desk  # noqa: E402
from mureg.service.review.network import ProtectedAddress  # noqa: E402
from mureg.service.review.server import serve  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]

SPECT, CT = sample_folder() / "spect.dcm", sample_folder() / "ct"
QUICK = ["--threads", "1", "--set", "reconstructor.iterations=2", "--set", "physics.scatter=none"]


def start_browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        # no WebGL, and nothing but this computer can be reached
        flags = ["--no-sandbox", "--disable-gpu", "--disable-webgl", "--disable-webgl2", "--proxy-server=127.0.0.1:9"]
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=[*flags, "--proxy-bypass-list=127.0.0.1"])
        yield chromium
        chromium.close()


def start_page(browser) -> Iterator:
    """Open a review in a page of its own; nothing that the browser complains of is let pass."""
    complaints: list[str] = []
    contexts = []

    def open_at(desk: Desk, network: ProtectedAddress | None = None, context=None):
        contexts.append(
            context or browser.new_context(viewport={"width": 1400, "height": 900}, ignore_https_errors=True)
        )
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        ready, told = threading.Event(), []
        threading.Thread(
            target=serve,
            args=(desk, 0, lambda url: (told.append(url), ready.set())),
            kwargs={"idle_s": 20, "network": network},
            daemon=True,
        ).start()
        assert ready.wait(20)
        page.goto(told[0])
        return page

    yield open_at
    for each in contexts:
        each.close()
    # refusals that a test asks for are answered with 409 or 401
    assert [line for line in complaints if "409" not in line and "401" not in line] == []


def nudged(pose: RigidTransform, shift, degrees: float, heart) -> np.ndarray:
    """By plain matrices: first the shift, then a turn about z at the heart, which points of the map follow."""
    shifted = np.eye(4)
    shifted[:3, 3] = shift
    turned, turn = np.eye(4), Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    turned[:3, :3], turned[:3, 3] = turn, np.asarray(heart) - turn @ heart
    return pose.matrix @ np.linalg.inv(turned @ shifted)


def press(page, key: str, times: int = 1) -> None:
    for _ in range(times):
        page.keyboard.press(key)


def nudge_by_keys(page) -> None:
    press(page, "1")
    press(page, "ArrowRight", 6)
    press(page, "ArrowUp", 4)
    press(page, "2")
    press(page, "ArrowUp", 3)
    press(page, "1")
    press(page, "]", 10)


def until(page, expression: str, seconds: float = 60.0) -> None:
    """Wait for something in the page; `Page.wait_for_function` would need scripts that its policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)


def pose_of(page) -> np.ndarray:
    return np.array(page.evaluate("review.pose"), dtype=float).reshape(4, 4)


def make_batch(folder: Path) -> Path:
    """Three results of the sample study, quickly made, in one folder, and the list that says where the study lies."""
    arguments = ["--spect", str(SPECT), "--ct", str(CT), "-o", str(folder / "all" / "p1"), "--dicom", *QUICK]
    assert command_line(["register", *arguments, "--nudge", "15 mm left, 20 mm front, 15 mm feet"]) == 0
    for name in ("p2", "p3"):
        shutil.copytree(folder / "all" / "p1", folder / "all" / name)
    lines = [f"p{number},{SPECT},{CT}" for number in (1, 2, 3)]
    (folder / "list.csv").write_text("\n".join(["name,spect,ct", *lines]) + "\n")
    return folder
