"""The code of the pages about networks runs as it stands there."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
import torch

from mureg.registration.networks import NetworkSettings, initialised

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def run(request):
    """Run one of a page's Python blocks, found by a word in it, as a module of its own."""

    def in_module(page: str, word: str) -> types.ModuleType:
        blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
        (block,) = (block for block in blocks if word in block)
        module = types.ModuleType(f"page_{word}")
        sys.modules[module.__name__] = module
        request.addfinalizer(lambda: sys.modules.pop(module.__name__))
        exec(compile(block, page, "exec"), module.__dict__)
        return module

    return in_module


def test_a_preset_is_made_and_initialised(run) -> None:
    assert sum(p.numel() for p in run("reference/networks.md", "initialised").network.parameters()) > 0


def test_the_dusfe_block_serves_another_network(run) -> None:
    page = run("reference/networks.md", "StressAndRest")
    stress, rest = (torch.rand(1, 1, 8, 8, 8, requires_grad=True) for _ in range(2))
    page.StressAndRest()(stress, rest).sum().backward()
    assert stress.grad.abs().max() > 0
    assert rest.grad.abs().max() > 0


def test_the_network_of_the_how_to_is_one(run) -> None:
    settings = run("how-to/extend.md", "MeansNetwork").Means.small()
    assert isinstance(settings, NetworkSettings)
    six = initialised(settings, 1)(*torch.rand(2, 3, 1, *settings.shape))
    assert six.shape == (3, 6)
