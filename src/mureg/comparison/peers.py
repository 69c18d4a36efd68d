"""elastix and ANTs for comparison, in a process of their own: neither is a dependency, and a crash costs one case."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.attenuation.body import emission_outline
from mureg.errors import UsageError
from mureg.geometry import Volume
from mureg.jobs.cores import THREAD_COUNTS
from mureg.registration import MutualInformation
from mureg.registration.mutual_information import without_hot_spots

SCRIPT = Path(__file__).with_name("peers_process.py")
PATIENCE_S = 300.0
"""Seconds for one registration, which takes 2 to 7 (docs/concepts/virtual-patients.md); chosen for slow machines."""

Level = Annotated[int, Field(ge=1)]
Millimetres = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Elastix:
    """elastix: Euler transform, Mattes mutual information, adaptive stochastic gradient descent.

    It starts at the scanner position. The defaults left the least error over the heart among eight combinations of
    smoothing, voxels of the map and samples, on two virtual patients each of the levels easy and clinical (--tune of
    benchmarks/evidence/difficulty_levels.py).

    Attributes:
        map_mm: voxel size to which the map is averaged first (mm).
        mask: use only the part of the SPECT that shows the body.
        bins: number of histogram bins.
        samples: number of random points in each step.
        iterations: number of iterations in each level.
        shrink: shrink factor of both images, one value for each level.
        smoothing_mm: sigma of the Gaussian smoothing of both images (mm), one value for each level.
        seed: seed of the random points.
    """

    map_mm: Annotated[float, Field(gt=0)] = 3.4
    mask: bool = False
    bins: Level = 32
    samples: Level = 4000
    iterations: Level = 300
    shrink: tuple[Level, ...] = (4, 2, 1)
    smoothing_mm: tuple[Millimetres, ...] = (8.0, 4.0, 0.0)
    seed: Level = 1
    kind: ClassVar[str] = "elastix"


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Ants:
    """ANTs: rigid transform, Mattes mutual information, from the scanner position; defaults as for `Elastix`.

    Attributes:
        map_mm: voxel size to which the map is averaged first (mm).
        mask: use only the part of the SPECT that shows the body.
        bins: number of histogram bins.
        shrink: shrink factor of both images, one value for each level.
        smoothing_mm: sigma of the Gaussian smoothing of both images (mm), one value for each level.
        seed: seed of the random points.
        sampling: share of the voxels in each step (0 to 1).
        iterations: largest number of iterations in each level.
    """

    map_mm: Annotated[float, Field(gt=0)] = 6.8
    mask: bool = False
    bins: Level = 32
    sampling: Annotated[float, Field(gt=0, le=1)] = 0.2
    iterations: tuple[Level, ...] = (200, 200, 100)
    shrink: tuple[Level, ...] = (4, 2, 1)
    smoothing_mm: tuple[Millimetres, ...] = (8.0, 4.0, 0.0)
    seed: Level = 1
    kind: ClassVar[str] = "ants"


Peer = Elastix | Ants
PEERS: Mapping[str, type[Peer]] = {Elastix.kind: Elastix, Ants.kind: Ants}


class PeerProcess:
    """The programs behind one Python, started when first asked and again after they died.

    Attributes:
        python: an interpreter that has itk-elastix, antspyx or both.
        patience_s: how long one registration may take.
    """

    def __init__(self, python: Path, script: Path = SCRIPT, patience_s: float = PATIENCE_S) -> None:
        self.python, self.patience_s = python, patience_s
        self._script = script
        self._process: subprocess.Popen[bytes] | None = None
        self._versions: dict[str, str] = {}
        self._scratch = tempfile.mkdtemp(prefix="mureg-peers-")  # ANTs passes its result through files
        weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)

    @property
    def versions(self) -> dict[str, str]:
        """What is installed there, by program.

        Raises:
            UsageError: no such Python, or it does not answer.
        """
        if not self._versions:
            self._running()
        return self._versions

    def register(self, peer: Peer, spect: Volume, body: Volume) -> dict[str, Any]:
        """Ask for ``ct_from_spect``.

        Args:
            peer: program and settings.
            spect: fixed; its brightest voxels are dimmed as for mureg's own mutual information.
            body: moving, the attenuation map over its full extent.

        Returns:
            "seconds" of the processor, preparation included, and "matrix"; or "crashed" with a reason.
        """
        start = time.process_time()
        # what helps our own metric is given to the others as well
        images = {
            "fixed": without_hot_spots(spect, MutualInformation().brightest),
            "moving": body.coarsened(peer.map_mm),
        }
        if peer.mask:
            images["mask"] = emission_outline(spect)
        prepared_s = time.process_time() - start
        answer = self._ask(peer.kind, asdict(peer), images)
        return {**answer, "seconds": answer["seconds"] + prepared_s}

    def close(self) -> None:
        """Stop the worker process; the next call restarts it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, program: str, settings: Mapping[str, Any], images: Mapping[str, Volume]) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        packed = io.BytesIO()
        np.savez(
            packed,
            allow_pickle=False,
            **{name: volume.values for name, volume in images.items()},
            **{f"{name}_affine": volume.grid.affine for name, volume in images.items()},
        )
        question = {"program": program, "settings": settings, "bytes": packed.tell()}
        start = time.perf_counter()
        patience = threading.Timer(self.patience_s, process.kill)
        patience.start()
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n" + packed.getvalue())
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:  # a pipe that is closed; Windows names it otherwise than BrokenPipeError
            line = b""
        finally:
            patience.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.close()
        return {
            "crashed": f"no answer, ended with {process.returncode}",
            "seconds": time.perf_counter() - start,
        }

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            return self._process
        environment = {**os.environ, **dict.fromkeys(THREAD_COUNTS, "1"), "TMPDIR": self._scratch}
        environment.pop("PYTHONPATH", None)  # the other Python has packages of its own
        try:
            process = subprocess.Popen(
                [self.python, "-W", "ignore", self._script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as problem:
            raise self._refusal() from problem
        assert process.stdout is not None
        self._process = process
        hello = process.stdout.readline()
        if not hello:
            self.close()
            raise self._refusal()
        self._versions = json.loads(hello)
        return process

    def _refusal(self) -> UsageError:
        return UsageError(
            f"no answer from the Python at {self.python}",
            "an interpreter with numpy and itk-elastix or antspyx",
            "name one with --peers, or leave elastix and ants out",
        )


@cache
def process_of(python: Path = Path(sys.executable)) -> PeerProcess:
    """The one process of peers that this process keeps for a Python."""
    return PeerProcess(python)


def refuse_missing(peers: Mapping[str, Peer], python: Path) -> None:
    """Refuse programs that a Python does not have.

    Raises:
        UsageError: names the first that is missing.
    """
    if not peers:
        return
    process = process_of(python)
    versions = process.versions
    process.close()
    for peer in peers.values():
        if peer.kind not in versions:
            package = {"elastix": "itk-elastix", "ants": "antspyx"}[peer.kind]
            raise UsageError(
                f"no {peer.kind} in the Python at {python}",
                f"{package} installed there",
                f"run pip install {package} in an environment of its own and name its Python with --peers",
            )
