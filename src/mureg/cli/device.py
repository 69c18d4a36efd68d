"""The option --device of the verbs that compute with PyTorch."""

from __future__ import annotations

from typing import Literal

from mureg.errors import UsageError

Device = Literal["auto", "cpu", "cuda"]


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
