"""Cases prepared once for training: two images on the network's lattice, the true motion, and where it matters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mureg.errors import MuregError, UsageError
from mureg.files.atomic import writing
from mureg.files.lock import lock_of, try_locked
from mureg.files.modes import make_folder
from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.jobs.tasks import shared_out
from mureg.registration.inputs import InputGrid, network_inputs

Progress = Callable[[int, int], None]
"""Receives how many cases are prepared, and of how many."""

Prepared = dict[str, Tensor]

HEART_POINTS, LIVER_POINTS = 64, 32
"""Points of a case that the loss weighs; fewer than a cohort stores (256). Chosen."""
LIVER_FROM_HEART_MM: Triple = (-75.0, 0.0, -85.0)
"""Middle of the liver from the middle of the heart, where a case does not say; in torsos within about 30 mm of it
(docs/how-to/train.md)."""
LIVER_RADIUS_MM = 65.0
"""Radius of the ball that replaces an unknown liver (docs/how-to/train.md)."""

_FORMAT = 1
"""Of prepared cases in a cache; raised when they are prepared otherwise, so that none is taken for the new kind."""


@runtime_checkable
class ExampleSource(Protocol):
    """A case before it is prepared; can be sent to other processes."""

    @property
    def name(self) -> str:
        """Name of the case."""
        ...

    @property
    def patient(self) -> str:
        """Pseudonym that keeps a person's cases together."""
        ...

    @property
    def aligned(self) -> bool:
        """Whether the case counts as aligned: no motion between the two images is known."""
        ...

    def fingerprint(self) -> str:
        """Hash of the bytes it is made from."""
        ...

    def read(self) -> TrainingPair:
        """Read the study and its true pose from disk."""
        ...


@dataclass(frozen=True, eq=False)
class TrainingPair:
    """Two images of one visit and what is known about them.

    Attributes:
        spect: uncorrected.
        mu: of the body, in 1/cm, on its own grid and full extent.
        ct_from_spect: the true motion.
        heart_mm: points [n, 3] of the heart in SPECT space.
        liver_mm: the same of the liver, None if unknown.
    """

    spect: Volume
    mu: Volume
    ct_from_spect: RigidTransform
    heart_mm: npt.NDArray[np.float64]
    liver_mm: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Examples:
    """Prepared cases; positions in mm from the centre of each case's SPECT grid.

    Attributes:
        names, patients: of the cases.
        spect: divided by its mean, float32.
        mu: in 1/cm, at the scanner position, float32.
        ct_from_spect: the true motions, float64.
        heart_mm: points of each heart in SPECT space, float64.
        liver_mm: points of each liver; where a case does not say where that is, of a ball where it is to be expected
            from the heart.
        aligned: pairs that count as aligned because no motion is known.
        spacing_mm: of the lattice.
        sha256: of all of it that was read and how it was prepared.
    """

    names: tuple[str, ...]
    patients: tuple[str, ...]
    spect: Float[Tensor, "case x y z"]
    mu: Float[Tensor, "case x y z"]
    ct_from_spect: Float[Tensor, "case 4 4"]
    heart_mm: Float[Tensor, "case point 3"]
    liver_mm: Float[Tensor, "case spot 3"]
    aligned: Bool[Tensor, " case"]
    spacing_mm: float
    sha256: str

    def __len__(self) -> int:
        return len(self.names)

    @property
    def half_field_mm(self) -> Triple:
        """Half the edges of the lattice."""
        x, y, z = (0.5 * n * self.spacing_mm for n in self.spect.shape[1:])
        return x, y, z

    def to(self, device: torch.device | str) -> Examples:
        """The images in the memory of a device; the small rest stays in main memory."""
        return replace(self, spect=self.spect.to(device), mu=self.mu.to(device))


def prepare(
    sources: Sequence[ExampleSource],
    grid: InputGrid,
    cache: Path | None = None,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Examples:
    """Read every case once and put it on the lattice of the network.

    Args:
        sources: at least one.
        grid: of the network's input.
        cache: folder for prepared cases, one safetensors file each, named after all that went into it; what lies there
            is not prepared again. Several runs may share it. None keeps nothing.
        jobs: processes.
        progress: called after every case.

    Raises:
        UsageError: no sources; a cache that cannot be written.
        UnreadableInputError, GeometryError, UnitsError: of the first case that cannot be read.
    """
    if not sources:
        raise UsageError("no cases", "at least one", "give a cohort or a list of pairs that holds some")
    tell = progress or (lambda _n_done, _all: None)
    keys, prepared = [], []
    work = [(source, grid, cache) for source in sources]
    if jobs == 1 or len(sources) == 1:
        for n_done, (key, example) in enumerate(map(_prepared, work), 1):
            keys.append(key)
            prepared.append(example)
            tell(n_done, len(sources))
    else:
        for n_done, (key, arrays) in enumerate(shared_out(_as_numpy, work, jobs, in_order=True), 1):
            keys.append(key)
            prepared.append({name: torch.from_numpy(array) for name, array in arrays.items()})
            tell(n_done, len(sources))
    stacked = {name: torch.stack([example[name] for example in prepared]) for name in prepared[0]}
    return Examples(
        tuple(source.name for source in sources),
        tuple(source.patient for source in sources),
        **stacked,
        aligned=torch.tensor([source.aligned for source in sources]),
        spacing_mm=grid.spacing_mm,
        sha256=hashlib.sha256("".join(keys).encode()).hexdigest(),
    )


def prepared_pair(pair: TrainingPair, grid: InputGrid) -> Prepared:
    """The tensors of one case, by the names that `Examples` gives them."""
    spect, mu = network_inputs(pair.spect, pair.mu, grid.grid(pair.spect.grid))
    centre_mm = np.asarray(pair.spect.grid.centre_mm)
    translation_mm, angles_deg = pair.ct_from_spect.six(centre_mm)
    about_origin = RigidTransform.from_six(translation_mm, angles_deg, (0.0, 0.0, 0.0))
    heart_mm = pair.heart_mm - centre_mm
    if pair.liver_mm is None:
        liver_mm = heart_mm.mean(0) + np.asarray(LIVER_FROM_HEART_MM) + ball(LIVER_POINTS, LIVER_RADIUS_MM)
    else:
        liver_mm = _some(pair.liver_mm - centre_mm, LIVER_POINTS)
    return {
        "spect": torch.from_numpy(spect.astype(np.float32)),
        "mu": torch.from_numpy(mu.astype(np.float32)),
        "ct_from_spect": torch.tensor(about_origin.matrix),
        "heart_mm": torch.from_numpy(_some(heart_mm, HEART_POINTS)),
        "liver_mm": torch.from_numpy(liver_mm),
    }


def _some(points: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    """So many of them, evenly by their number."""
    spaced_points: npt.NDArray[np.float64] = points[np.linspace(0, len(points) - 1, n).round().astype(int)]
    return spaced_points


def ball(n: int, radius_mm: float) -> npt.NDArray[np.float64]:
    """Points [n, 3] spread evenly through a ball around the origin, always the same ones (a golden spiral)."""
    steps = np.arange(n) + 0.5
    z = 1.0 - 2.0 * steps / n
    turn = np.pi * (1.0 + 5.0**0.5) * steps  # twice the golden ratio of a half turn
    # the share of the volume within is spread by another irrational, so that shells and directions do not go together
    radius = radius_mm * ((steps * 2.0**0.5) % 1.0) ** (1 / 3)
    across = np.sqrt(1.0 - z**2)
    points: npt.NDArray[np.float64] = radius[:, None] * np.stack((across * np.cos(turn), across * np.sin(turn), z), 1)
    return points


def _prepared(work: tuple[ExampleSource, InputGrid, Path | None]) -> tuple[str, Prepared]:
    source, grid, cache = work
    key_text = json.dumps([_FORMAT, source.fingerprint(), asdict(grid), HEART_POINTS, LIVER_POINTS])
    key = hashlib.sha256(key_text.encode()).hexdigest()
    if cache is None:
        return key, _prepare(source, grid)
    path = cache / f"{key[:32]}.safetensors"
    try:
        return key, load_file(path)
    except (OSError, SafetensorError):  # not there yet, or damaged: made again
        prepared = _prepare(source, grid)
    make_folder(cache)
    with try_locked(lock_of(path)) as free:  # another run that prepares the same case writes it, too
        if free:
            with writing(path) as scratch:
                save_file(prepared, scratch)
    return key, prepared


def _prepare(source: ExampleSource, grid: InputGrid) -> Prepared:
    """Read and prepare; a refusal says which case it is about."""
    try:
        return prepared_pair(source.read(), grid)
    except MuregError as problem:
        raise type(problem)(f"{source.name}: {problem.found}", problem.expected, problem.remedy) from problem


def _as_numpy(work: tuple[ExampleSource, InputGrid, Path | None]) -> tuple[str, dict[str, npt.NDArray[np.float64]]]:
    """Arrays travel between processes as they are; tensors would travel as open files."""
    key, prepared = _prepared(work)
    return key, {name: value.numpy() for name, value in prepared.items()}
