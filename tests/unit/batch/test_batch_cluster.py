"""A batch on a Dask cluster says what one process says, also when a study fails there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mureg.batch.page import CSV, HTML
from mureg.batch.run import plan, run_batch
from support.cluster import two_workers
from support.small_batch import Pretend, pairs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with two_workers() as scheduler_address:
        yield scheduler_address


def test_two_workers_say_what_one_process_says(address, tmp_path) -> None:
    wrong = Pretend((("s01", "refused"), ("s03", "bug")))
    found = pairs(tmp_path, 5)
    runs = [
        run_batch(plan(found, tmp_path / name, {}), wrong, **options)
        for name, options in (("here", {}), ("there", {"scheduler": address}))
    ]
    assert [run.n_registered for run in runs] == [3, 3]
    pages = [(tmp_path / name / HTML).read_bytes() for name in ("here", "there")]
    assert pages[0] == pages[1]
    tables = [
        [line.rpartition(",")[0] for line in (tmp_path / name / CSV).read_text().splitlines()]
        for name in ("here", "there")
    ]
    assert tables[0] == tables[1]
