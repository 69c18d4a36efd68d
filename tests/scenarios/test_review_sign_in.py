"""Signing in to a review page with TLS in a real browser."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mureg.cli import main as command_line
from support.browser import CT, QUICK, SPECT, needs_browser, pose_of, press
from support.certificates import OPENSSL, certificate
from support.reviewed import write_result

from mureg.service.review.desk import Desk  # isort: skip  # after the check for web libraries
from mureg.service.review.network import ProtectedAddress  # isort: skip
from mureg.service.review.studies import ReviewStudy, StudyInputs, results_at  # isort: skip
from mureg.service.review.users import add_user  # isort: skip
from mureg.service.trail import Trail  # isort: skip

pytestmark = needs_browser
PASSWORD = "correct horse battery"


@pytest.mark.skipif(OPENSSL is None, reason="no openssl to make a certificate")
def test_a_user_signs_in_decides_under_that_name_and_signs_out(tmp_path, opened) -> None:
    pem, users = certificate(tmp_path), tmp_path / "users.json"
    add_user(users, "AB", PASSWORD)
    network = ProtectedAddress.of("127.0.0.1", pem, pem.with_suffix(".key"), users)
    trail = Trail(tmp_path / "t.sqlite")
    page = opened(Desk(results_at([write_result(tmp_path / "one")]), trail), network)
    page.wait_for_url("**/login")
    assert page.locator("#studies").count() == 0
    for password in ("a wrong password", PASSWORD):
        assert page.input_value("#password") == "", "a wrong one does not stay in the field"
        page.fill("#name", "AB")
        page.fill("#password", password)
        page.keyboard.press("Enter")
        if password != PASSWORD:
            page.wait_for_selector("#message:has-text('The name or the password is wrong.')")
            assert page.evaluate("document.activeElement.id") == "password"
    page.wait_for_selector("#studies a")
    assert page.inner_text("#user") == "AB"
    assert page.evaluate("document.cookie") == "", "scripts cannot read it"
    page.click("#studies a")
    page.wait_for_selector("#app[data-ready=yes]")
    assert page.input_value("#reader") == "AB"
    assert not page.is_editable("#reader")
    page.click("#keep-scanner")
    page.wait_for_selector("#app[data-reviewed=scanner]")
    assert [row.entry.reader for row in trail.rows()] == ["AB"]
    study = page.url
    page.click("#to-list")
    page.click("#sign-out")
    page.wait_for_url("**/login")
    page.goto(study)
    page.wait_for_url("**/login")


def test_a_result_of_a_phantom_is_corrected_for_a_nudge_and_accepted(tmp_path, opened) -> None:
    """A real result of ``register --phantom``, which a study read as a patient would not be."""
    folder = tmp_path / "ball"
    inputs = ["--spect", str(SPECT), "--ct", str(CT), "--phantom"]
    assert command_line(["register", *inputs, "-o", str(folder), "--nudge", "15 mm left, 20 mm front", *QUICK]) == 0
    (found,) = results_at([folder])
    study = ReviewStudy(found.name, folder, found.table, StudyInputs(SPECT, CT))
    trail = Trail(tmp_path / "t.sqlite")
    page = opened(Desk([study], trail, "AB"))
    page.click("#studies a")
    page.wait_for_selector("#app[data-answered]", timeout=120_000)
    assert page.is_visible("#phantom")
    press(page, "ArrowRight", 3)
    pose = pose_of(page)
    page.click("#accept-own")
    page.wait_for_selector("#app[data-written=true]", timeout=240_000)
    table = json.loads((folder / "reviewed" / "registration.json").read_text())
    assert table["provenance"]["phantom"] is True
    assert table["review"]["reader"] == "AB"
    np.testing.assert_allclose(table["ct_from_spect"], pose, atol=1e-6)
