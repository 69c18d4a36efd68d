"""Fixtures of the tests that drive a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import SimpleITK as sitk

from mureg.jobs.cores import set_thread_count


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from support.browser import start_browser

    yield from start_browser()


@pytest.fixture
def opened(browser) -> Iterator:
    from support.browser import start_page

    yield from start_page(browser)


@pytest.fixture(scope="module")
def review_batch(tmp_path_factory) -> Iterator[Path]:
    from support.browser import make_batch

    yield make_batch(tmp_path_factory.mktemp("review"))
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
