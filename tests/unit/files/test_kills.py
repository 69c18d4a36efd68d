"""A short run of ``benchmarks/evidence/kills.py``: real results, real kills, at random moments."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_killed_at_random_the_results_are_whole() -> None:
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "evidence" / "kills.py"
    spec = importlib.util.spec_from_file_location("kills", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kills"] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["kills"]
    answer = module.kills(3, 5)
    assert len(answer) == 4
    for kind, one in answer.items():
        assert one["wrong"] == [], (kind, one)
        assert "broken" not in one["outcomes"], (kind, one)
