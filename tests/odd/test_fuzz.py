"""Twenty seconds of benchmarks/evidence/fuzz_doors.py: a spoiled file is read, or refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.fuzzing import Limits, fuzz

pytestmark = pytest.mark.slow


def test_spoiled_files_are_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    tally = fuzz(20 / 60, 2026, tmp_path / "kept", tmp_path / "scratch", Limits(), batch=200)
    assert tally.findings == []
    assert tally.executions > 50
    assert tally.refused > 0
    assert tally.read > 0
