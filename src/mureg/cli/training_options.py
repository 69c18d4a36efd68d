"""What the verbs that compute with PyTorch share, in a module that is loaded without it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from mureg.errors import UsageError

Device = Literal["auto", "cpu", "cuda"]

_RESEARCH_PACKAGES = {"torch": "PyTorch", "safetensors": "safetensors", "onnx": "onnx"}
"""Modules of the extra ``train``, and their names in a sentence."""


@dataclass(frozen=True)
class Sitting:
    """Options of every verb that trains.

    Attributes:
        cache: folder for prepared cases, which several runs may share (default: inside the run's folder).
        jobs: number of processes that prepare cases.
        minutes: time limit (min): no epoch begins that would exceed it; 0 for no limit.
        device: processor for the networks; auto takes a GPU where there is one.
    """

    cache: Path | None = None
    jobs: int = 1
    minutes: float = 0.0
    device: Device = "auto"


def require_research(what: str) -> None:
    """Refuse what needs the packages of the extra ``train`` where one of them is missing: the only place that says so.

    Raises:
        UsageError: with the names of those that are missing.
    """
    packages = [name for module, name in _RESEARCH_PACKAGES.items() if not _is_installed(module)]
    if packages:
        raise UsageError(
            f"{what} without {' and '.join(', '.join(packages).rsplit(', ', 1))}",
            "the packages for research",
            'run pip install "mureg[train]" (on an offline PC with --no-index --find-links FOLDER)',
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # an import hook forbids it
        return False


def chosen_device(device: Device) -> str:
    """The name of the device for PyTorch; auto takes a GPU where there is one.

    Raises:
        UsageError: a GPU is asked for and there is none.
    """
    import torch

    usable = torch.cuda.is_available()
    if device == "cuda" and not usable:
        raise UsageError("--device cuda on a machine without a usable GPU", "a CUDA device", "use --device cpu")
    return "cuda" if usable and device != "cpu" else "cpu"
