"""The sample study, registered once for all tests and all workers of a session."""

from __future__ import annotations

import os
import time
from pathlib import Path

import SimpleITK as sitk
import torch

from mureg.cli import main
from mureg.sample import sample_folder

QUICK = [
    *("--registrar", "near-heart", "--set", "registrar.coarse.starts=1", "--set", "reconstructor.iterations=2"),
    *("--set", "decision.action_limit_mm=20"),
]
"""Little work. The limit lets the pose of the networks alone, known to 13 mm, be given out: tests look at it."""
_LIMIT_S = 600.0


def made_once(base: Path) -> Path:
    """Results of `mureg register --moved-ct`, below the folder of the session.

    The first worker that asks makes them, and others wait. A result appears whole or not at all.
    """
    session = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, claim = session / "registered-sample", session / "registered-sample.begun"
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        until = time.monotonic() + _LIMIT_S
        while not folder.exists():
            assert time.monotonic() < until, "the sample study was not registered by another worker"
            time.sleep(0.1)
        return folder
    spect, ct = str(sample_folder() / "spect.dcm"), str(sample_folder() / "ct")
    try:
        assert (
            main(["register", "--spect", spect, "--ct", ct, "-o", str(folder), "--moved-ct", *QUICK, "--threads", "1"])
            == 0
        )
    except BaseException:
        claim.unlink()
        raise
    finally:
        # the command line sets thread counts for the process
        torch.set_num_threads(1)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return folder
