"""Learned priors on equal budgets: a pose from two images, or a map from the SPECT and the CT's map laid on it.

    .venv/bin/python benchmarks/map_from_spect.py pairs --simulate wide=200 clinical=100 -o PAIRS --first 6000 --jobs 2
    .venv/bin/python benchmarks/map_from_spect.py train --pairs PAIRS --minutes 10 -o RUN
    .venv/bin/python benchmarks/map_from_spect.py compare --cohort DIR --run RUN --first 60 --n 20 -o rows.csv
    .venv/bin/python benchmarks/map_from_spect.py table rows.csv [rows.csv ...]

Three priors, trained on the same looks at the same patients, each for as long:

- `pose`: a network of the kind that ships sees the uncorrected SPECT and the map, and says six numbers.
- `map`: a network sees the uncorrected SPECT alone and says what the map is there, and how sure it is, voxel by voxel;
  the CT's map is then laid on what it says (least squares over six numbers, each voxel weighed by its doubt).
- `corrected`: the same from the SPECT corrected with the map as it lies so far; laid on it, corrected anew, thrice.

All begin where fine mutual information lays the map across the body, cm off along it (benchmarks/heart_network.py).
Beside them, from the same start, `shipped`: the three networks of the package, trained longer and on more patients.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from heart_network import asked_for, beside, divided, draw_all, keep, laid, misplaced, populations, triple
from scipy.optimize import least_squares
from torch import Tensor, nn
from torch.nn import functional

from mureg.attenuation.body import emission_outline
from mureg.attenuation.maps import AttenuationMaps
from mureg.cohort.settings import load_settings as load_population
from mureg.cohort.simulation import case_name, simulate_case
from mureg.cohort.store.cohort import CASES, read_case
from mureg.comparison import target_registration_error_mm
from mureg.comparison.statistics import bootstrap, mean
from mureg.errors import MuregError
from mureg.geometry import Grid, RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.find import HeartLocation, find_left_ventricle
from mureg.recon import Osem
from mureg.recon.images import corrected_at
from mureg.registration.inputs import network_inputs
from mureg.registration.near_heart import SHIPPED, look_at, weights_file
from mureg.registration.network import load_network
from mureg.registration.networks import UNIT_MM, initialised
from mureg.spect import Physics
from mureg.study import Case, attenuation_maps
from mureg.training.pose import displacement_mm, matrices
from mureg.training.settings import load_settings

PRIORS = ("pose", "map", "corrected")
LOOK = load_settings("near-heart").grid
PASSES = 3
ALONG_MM = (0.0, -14.0, 14.0)
"""Where the search for the place of the map begins, along the body."""
QUICK, PLAIN = Osem(iterations=3), Physics(resolution=False, scatter="none")
"""Correction for attenuation alone: a second of a processor."""
UNIT_PER_CM = 0.15
COMPARED = (*PRIORS, SHIPPED)
COLUMNS = (
    "case",
    "start",
    *COMPARED,
    *(f"left_{p}_{axis}" for p in COMPARED for axis in "xyz"),
    *(f"s_{p}" for p in COMPARED),
)
"""Mean errors over the heart, mm; shifts that are missing, mm; seconds of a processor."""


@dataclass(frozen=True, eq=False)
class Patient:
    """A case as the priors see it."""

    case: Case
    maps: AttenuationMaps
    outline: Volume
    spect: Volume
    body: Volume

    @classmethod
    def of(cls, case: Case) -> Patient:
        """Both images at the voxels of the networks."""
        maps, _ = attenuation_maps(case.study.attenuation, case.uncorrected.grid)
        spect, body = case.uncorrected.coarsened(LOOK.spacing_mm), maps.body.coarsened(LOOK.spacing_mm)
        return cls(case, maps, emission_outline(case.uncorrected), spect, body)

    @property
    def true(self) -> RigidTransform:
        """The pose asked for."""
        return self.case.truth.ct_from_spect

    @property
    def middle(self) -> Triple:
        """Of the heart."""
        return triple(self.case.truth.heart_points_mm.mean(0))

    def heart(self, pose: RigidTransform) -> HeartLocation:
        """Where it is found with the map at a pose."""
        return find_left_ventricle(self.case.uncorrected, self.body.resampled(self.spect.grid, pose))

    def corrected(self, pose: RigidTransform) -> Volume:
        """The SPECT corrected for attenuation with the map at a pose."""
        image, _ = corrected_at(pose, self.case.study.spect, self.maps, self.outline, QUICK, PLAIN)  # type: ignore[arg-type]
        return image.coarsened(LOOK.spacing_mm)

    def error_mm(self, pose: RigidTransform) -> float:
        """Mean over the heart."""
        return target_registration_error_mm(pose, self.true, self.case.truth.heart_points_mm)


def window(place: Triple) -> Grid:
    return Grid.centred(LOOK.shape, (LOOK.spacing_mm,) * 3, place)


class MapNetwork(nn.Module):
    """A small U-Net from half the resolution down: the map in units of 0.15 1/cm, and the logarithm of its variance."""

    def __init__(self, channels: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        self.halved = nn.Conv3d(1, channels[0], 4, stride=2, padding=1)
        self.down = nn.ModuleList(_twice(a, b) for a, b in zip((channels[0], *channels), channels, strict=False))
        self.up = nn.ModuleList(_twice(a + b, b) for a, b in zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.last = nn.Conv3d(channels[0], 2 * 2**3, 3, padding=1)

    def forward(self, spect: Tensor) -> tuple[Tensor, Tensor]:
        kept = []
        x = self.halved(spect.clamp_min(0.0).sqrt())
        for k, block in enumerate(self.down):
            x = block(functional.max_pool3d(x, 2) if k else x)
            kept.append(x)
        for block, skip in zip(self.up, kept[-2::-1], strict=True):
            x = block(torch.cat((functional.interpolate(x, scale_factor=2, mode="trilinear"), skip), 1))
        # each voxel at half the resolution says its eight
        eighths = self.last(x).unflatten(1, (2, 2, 2, 2)).permute(0, 1, 5, 2, 6, 3, 7, 4)
        expected, log_variance = eighths.flatten(6, 7).flatten(4, 5).flatten(2, 3).unbind(1)
        return expected, log_variance.clamp(-7.0, 3.0)


def _twice(inward: int, outward: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in (inward, outward):
        layers += [nn.Conv3d(n, outward, 3, padding=1), nn.GroupNorm(4, outward), nn.ReLU()]
    return nn.Sequential(*layers)


def new_network(prior: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    if prior != "pose":
        return MapNetwork()
    settings = load_settings("near-heart").network
    dense = replace(settings.dense, channels=16, growth=8, joint_growth=16, last_channels=16)
    return initialised(replace(settings, dense=dense), seed)


def looks_at(work: tuple[str, int, int, Path]) -> str:
    """Simulate a case and draw the looks at it."""
    population, index, draws, output = work
    settings = load_population(population)
    path = output / f"{case_name(settings, index)}.npz"
    if path.exists():
        return ""
    chance = np.random.default_rng([11, index])
    found: dict[str, list[Any]] = {name: [] for name in ("s", "m", "c", "t", "r", "h")}
    try:
        patient = Patient.of(simulate_case(settings, index))
        true, points = patient.true, patient.case.truth.heart_points_mm
        across = laid(chance, patient.spect, patient.body, true, patient.middle)
        heart = np.asarray(patient.heart(across).centre_mm)
        for draw in range(draws):
            start = beside(chance, across, true, patient.middle, draw)
            place = misplaced(chance, heart, draw)
            grid = window(place)
            spect, mu = network_inputs(patient.spect, patient.body, grid, start)
            corrected, target = network_inputs(patient.corrected(start), patient.body, grid, true)
            shown = (spect.numpy(), mu.numpy(), corrected.numpy(), target.numpy())
            for name, values in zip("smctrh", (*shown, *asked_for(start, true, points, place)), strict=True):
                found[name].append(values)
    except MuregError as problem:
        return f"{path.stem}: {problem}"
    keep(path, {name: np.array(values, np.float32) for name, values in found.items()})
    return ""


def pairs(options: argparse.Namespace) -> None:
    options.output.mkdir(parents=True, exist_ok=True)
    draw_all(options, looks_at, populations(options))


def tensors(files: Sequence[Path]) -> dict[str, Tensor]:
    parts: dict[str, list[Tensor]] = {}
    for path in files:
        with np.load(path) as stored:
            for name in stored.files:
                parts.setdefault(name, []).append(torch.from_numpy(stored[name]))
    return {name: torch.cat(values) for name, values in parts.items()}


def loss_of(prior: str, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Of each case: mm over the heart, or the Gaussian log-likelihood of the true map."""
    if prior == "pose":
        six = network(batch["s"][:, None], batch["m"][:, None])
        return displacement_mm(matrices(six), batch["r"], batch["h"])
    expected, log_variance = network(batch["s" if prior == "map" else "c"][:, None])
    off = (batch["t"] / UNIT_PER_CM - expected) ** 2
    return (0.5 * (off * (-log_variance).exp() + log_variance)).flatten(1).mean(1)


def fit(options: argparse.Namespace) -> None:
    """Each prior for so many minutes, the learning rate falling to nothing; the weights of the end are kept."""
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    known, held = (tensors(files) for files in divided([options.pairs]))
    for prior in options.priors:
        network = new_network(prior, options.seed).to(options.device)
        optimiser = torch.optim.Adam(network.parameters(), 1e-3)
        chance = torch.Generator().manual_seed(options.seed)
        started, steps = time.perf_counter(), 0
        while (spent := (time.perf_counter() - started) / (60 * options.minutes)) < 1.0:
            chosen = torch.randint(len(known["r"]), (32,), generator=chance)
            batch = {name: values[chosen].to(options.device) for name, values in known.items()}
            for group in optimiser.param_groups:
                group["lr"] = 1e-3 * (1.0 - spent)
            optimiser.zero_grad()
            loss = loss_of(prior, network, batch).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 20.0)
            optimiser.step()
            steps += 1
        network.eval().cpu()
        with torch.inference_mode():
            left = torch.cat(
                [
                    loss_of(prior, network, {name: values[k : k + 32] for name, values in held.items()})
                    for k in range(0, len(held["r"]), 32)
                ]
            )
        parameters = sum(p.numel() for p in network.parameters())
        print(
            f"{prior}: {parameters} parameters, {32 * steps} looks, {float(left.mean()):.3f} on the others", flush=True
        )
        torch.save(network.state_dict(), options.output / f"{prior}.pt")


def loaded(run: Path, prior: str) -> nn.Module:
    network = new_network(prior, 0)
    network.load_state_dict(torch.load(run / f"{prior}.pt", weights_only=True))
    return network.eval()


def laid_on(body: Volume, grid: Grid, expected: np.ndarray, sd: np.ndarray, start: RigidTransform) -> RigidTransform:
    """The pose near a start in which a map looks most like one that was predicted, by weighted least squares."""
    middle = grid.centre_mm

    def pose_of(six: np.ndarray) -> RigidTransform:
        return start @ RigidTransform.from_six(triple(six[:3]), triple(six[3:]), middle)

    def residuals(six: np.ndarray) -> np.ndarray:
        laid_map = body.resampled(grid, pose_of(six))
        off = (laid_map.numpy() / UNIT_PER_CM - expected) / sd
        # what the CT does not show says nothing
        return (off if laid_map.outside is None else np.where(laid_map.outside.numpy(), 0.0, off)).ravel()

    def climbed(along_mm: float) -> Any:
        first = np.array([0.0, 0.0, along_mm, 0.0, 0.0, 0.0])
        return least_squares(
            residuals, first, loss="soft_l1", diff_step=1e-2, x_scale=[3.4, 3.4, 3.4, 2, 2, 2], max_nfev=15
        )

    return pose_of(min((climbed(along) for along in ALONG_MM), key=lambda end: float(end.cost)).x)


def by_pose(patient: Patient, network: nn.Module, start: RigidTransform, heart: Triple) -> RigidTransform:
    pose = start
    for _ in range(PASSES):
        spect, mu = network_inputs(patient.spect, patient.body, window(heart), pose)
        with torch.inference_mode():
            six = network(spect[None, None], mu[None, None])[0].double().numpy()
        pose = pose @ RigidTransform.from_six(triple(UNIT_MM * six[:3]), triple(six[3:]), heart)
    return pose


def by_map(
    patient: Patient,
    network: nn.Module,
    start: RigidTransform,
    heart: Triple,
    passes: int,
    image: Callable[[RigidTransform], Volume] | None = None,
) -> RigidTransform:
    """Laid on the map that a network sees in an image: the uncorrected SPECT, or one made with the pose so far."""
    pose, grid = start, window(heart)
    for _ in range(passes):
        seen, _ = network_inputs(image(pose) if image else patient.spect, patient.body, grid, pose)
        with torch.inference_mode():
            expected, log_variance = network(seen[None, None])
        pose = laid_on(patient.body, grid, expected[0].numpy(), (0.5 * log_variance[0]).exp().numpy(), pose)
    return pose


def rows(options: argparse.Namespace) -> Iterator[list[Any]]:
    networks = {prior: loaded(options.run, prior) for prior in PRIORS}
    together, card = load_network(weights_file(SHIPPED))
    ways: dict[str, Callable[[Patient, RigidTransform, HeartLocation], RigidTransform]] = {
        "pose": lambda patient, start, heart: by_pose(patient, networks["pose"], start, heart.centre_mm),
        "map": lambda patient, start, heart: by_map(patient, networks["map"], start, heart.centre_mm, 1),
        "corrected": lambda patient, start, heart: by_map(
            patient, networks["corrected"], start, heart.centre_mm, PASSES, patient.corrected
        ),
        SHIPPED: lambda patient, start, heart: (
            look_at(patient.spect, patient.body, start, together, card, passes=2, looks=3, heart=heart).ct_from_spect
        ),
    }
    for index, folder in enumerate(sorted((options.cohort / CASES).iterdir())):
        if not options.first <= index < options.first + options.n:
            continue
        chance = np.random.default_rng([13, index])
        patient = Patient.of(read_case(folder))
        try:
            across = laid(chance, patient.spect, patient.body, patient.true, patient.middle)
        except MuregError as refusal:
            print(f"{folder.name}: {refusal}", flush=True)
            continue
        start = beside(chance, across, patient.true, patient.middle, 1)
        heart = patient.heart(start)
        errors, lefts, seconds = [], [], []
        for prior in COMPARED:
            began = time.process_time()
            pose = ways[prior](patient, start, heart)
            seconds.append(time.process_time() - began)
            errors.append(patient.error_mm(pose))
            lefts += (pose.inverse() @ patient.true).six(patient.middle)[0]
        figures = patient.error_mm(start), *errors, *lefts, *seconds
        yield [folder.name, *(round(float(x), 3) for x in figures)]


def compare(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    with options.output.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows(options):
            writer.writerow(row)
            file.flush()


def table(options: argparse.Namespace) -> None:
    """Mean error over the heart [95 % interval], median, mm."""
    print("| cases | n | start | " + " | ".join(COMPARED) + " |\n|---|---|---|" + "---|" * len(COMPARED))
    for path in options.rows:
        lines = list(csv.DictReader(path.read_text("utf-8").splitlines()))
        cells = []
        for name in ("start", *COMPARED):
            errors = np.array([float(line[name]) for line in lines])
            found = bootstrap(errors, mean, np.random.default_rng(1))
            cells.append(f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}], {np.median(errors):.1f}")
        print(f"| `{path.stem}` | {len(lines)} | " + " | ".join(cells) + " |")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    made = {name: parts.add_parser(name) for name in ("pairs", "train", "compare", "table")}
    for name, act in (("pairs", pairs), ("train", fit), ("compare", compare), ("table", table)):
        made[name].set_defaults(act=act)
        if name != "table":
            made[name].add_argument("-o", "--output", type=Path, required=True)
    made["pairs"].add_argument("--simulate", nargs="+", required=True, metavar="POPULATION=N", help="from --first on")
    made["pairs"].add_argument("--first", type=int, default=6000)
    made["pairs"].add_argument("--draws", type=int, default=4)
    made["pairs"].add_argument("--jobs", type=int, default=1)
    made["train"].add_argument("--pairs", type=Path, required=True)
    made["train"].add_argument("--priors", nargs="+", default=PRIORS, choices=PRIORS)
    made["train"].add_argument("--minutes", type=float, default=10.0, help="for each prior")
    made["train"].add_argument("--seed", type=int, default=1)
    made["train"].add_argument("--threads", type=int, default=1)
    made["train"].add_argument("--device", default="cpu")
    made["compare"].add_argument("--cohort", type=Path, required=True)
    made["compare"].add_argument("--run", type=Path, required=True)
    made["compare"].add_argument("--first", type=int, default=0)
    made["compare"].add_argument("--n", type=int, default=1_000_000)
    made["table"].add_argument("rows", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    options.act(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
