"""Train the network of the registrar near-heart, and write down what it leaves on patients it has not seen.

    python benchmarks/evidence/heart_network.py looks --cohort DIR [DIR ...] -o LOOKS --first 120 --n 480 --jobs 2
    python benchmarks/evidence/heart_network.py looks --simulate wide=700 easy=200 -o LOOKS --first 2000 --jobs 2
    python benchmarks/evidence/heart_network.py train --looks LOOKS -o RUN --device cuda
    python benchmarks/evidence/heart_network.py card --run RUN [RUN ...] -o FOLDER
    python benchmarks/evidence/heart_network.py errors --cohort DIR --weights FOLDER/near-heart.safetensors -o A.csv
    python benchmarks/evidence/heart_network.py card --run RUN [RUN ...] --rows A.csv B.csv --grow-mm 0.5 -o FOLDER

`looks` lays the map across the body where fine mutual information does, scatters it a little, and anywhere along the
body within cm, and puts both images around the heart, as the registrar would see them: `--draws` looks at each case,
one .npz a case. Every look is resampled from the whole CT, so that no edge tells of the drawn pose. `train` divides the
patients (every eighth for validation) and trains with the settings near-heart, in sittings. `card` writes one network,
or several whose mean counts (shipped: src/mureg/data/weights), with the covariance of what was left where `errors` has
registered cases that neither training nor its choice has seen.

The shipped three, by an H200 and 16 cores:

1. Looks of `--simulate wide=1100 clinical=350 easy=450 hard=300 --first 2000 --draws 8` (588 of wide when the time was
   over), drawn evenly around the heart's own pose then; `train --seed N` for N = 1, 2 and, with `--growth 16`, 3; then
   `--begin-from RUN --samples 82000 --learning-rate 5e-4 --decay 0.62 --seed N+21`; `card`.
2. Looks as they are drawn now, `--simulate wide=1000 clinical=320 easy=260 hard=360 --first 4000 --draws 8` (127, 126,
   124, 126 when the time was over); `train --begin-from near-heart.safetensors:K --learning-rate 5e-4` for K = 0, 1, 2
   with `--samples 12879 --decay 0.384 --seed 31`, `13257`, `0.394`, `32` and `13907`, `0.412`, `33`; `card` with the
   rows of evidence/near-heart: `--rows` easy, clinical, hard and real-ct, `--hurried-rows` those that begin with fast-.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mureg.attenuation.maps import AttenuationMap
from mureg.cohort.settings import load_settings as load_population
from mureg.cohort.simulation import case_name, patient_name, simulate_case
from mureg.cohort.store.cohort import CASES, open_case, read_case
from mureg.comparison import target_registration_error_mm
from mureg.errors import MuregError
from mureg.files.atomic import writing
from mureg.geometry import Grid, RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.find import find_left_ventricle
from mureg.jobs.tasks import shared_out
from mureg.recon import Osem
from mureg.registration import NearHeart
from mureg.registration.confidence import LEVEL, chi_square_quantile, heart_bound_mm, settings_sha256
from mureg.registration.inputs import network_inputs
from mureg.registration.near_heart import SHIPPED
from mureg.registration.network import Together, growth, load_network, save_network
from mureg.study import Case, PreparedStudy, attenuation_maps
from mureg.training.examples import HEART_POINTS, Examples, ball
from mureg.training.folder import BEST
from mureg.training.loop import train
from mureg.training.parallel import Team
from mureg.training.settings import Input, load_settings

ALONG_MM, NEAR_MM = (-20.0, 30.0), 6.0
"""How far off along the body a look starts: between these, and every third no farther than that."""
JITTER_MM, JITTER_DEG, FARTHEST = 0.7, 0.4, 3.0
"""Beside where mutual information lays the map across the body, normal; up to so many times as far."""
BELIEVED = (0.8, 0.7, 1.0, 1.0, 1.0, 1.0)
"""What the networks say counts so much, by 160 cases that training had not seen; on real CTs they are wrong about y."""
MISPLACED_MM = 4.0
COLUMNS = (
    *("case", "headers_mm", "near_heart_mm"),
    *("left_x_mm", "left_y_mm", "left_z_mm", "left_x_deg", "left_y_deg", "left_z_deg"),
    *("heart_arm_mm", "spread_mm", "turned_deg", "doubt_mm", "disagreement_mm", "bound_mm", "seconds"),
)
"""Errors over the heart, the small motion about it that was left, how far its wall lies from the axis of a turn (root
mean square), what the registrar says, the bound by the card in use, seconds of a processor."""
EVERY = 8
LEAST = 0.85
"""Of the cases of each file of errors, in so many the stated bound is to hold."""


def looks_at(work: tuple[Path | str, int, int, Path]) -> str:
    """Draw the looks at one case: of a cohort's folder, or simulated now, of a population of this name."""
    where, index, draws, output = work
    simulated = load_population(where) if isinstance(where, str) else None
    name = case_name(simulated, index) if simulated else Path(where).name
    path = output / f"{name}.npz"
    if path.exists():
        return ""
    settings = load_settings("near-heart")
    try:
        case = simulate_case(simulated, index) if simulated else read_case(Path(where))
        body = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0].body
    except MuregError as problem:
        return f"{name}: {problem}"
    body = body.coarsened(settings.grid.spacing_mm)
    spect, true = case.uncorrected.coarsened(settings.grid.spacing_mm), case.truth.ct_from_spect
    points = case.truth.heart_points_mm
    chance = np.random.default_rng([7, index])
    found: dict[str, list[Any]] = {"s": [], "m": [], "r": [], "h": []}
    middle = triple(points.mean(0))
    try:
        across = laid(chance, spect, body, true, middle)
    except MuregError as problem:
        return f"{name}: {problem}"
    for draw in range(draws):
        start = beside(chance, across, true, middle, draw)
        if draw == 0:
            heart = np.asarray(find_left_ventricle(case.uncorrected, body.resampled(spect.grid, start)).centre_mm)
        place = misplaced(chance, heart, draw)
        grid = Grid.centred(settings.grid.shape, (settings.grid.spacing_mm,) * 3, place)
        emission, mu = network_inputs(spect, body, grid, start)
        found["s"].append(emission.numpy())
        found["m"].append(mu.numpy())
        for key, values in zip("rh", asked_for(start, true, points, place), strict=True):
            found[key].append(values)
    patient = patient_name(simulated, index) if simulated else open_case(Path(where)).patient
    keep(path, {key: np.array(values) for key, values in found.items()}, patient=patient)
    return ""


def misplaced(chance: np.random.Generator, heart: np.ndarray, draw: int) -> Triple:
    """Where a look is laid: around the heart at first, then a few mm beside it."""
    return triple(heart + MISPLACED_MM * chance.standard_normal(3) * (draw > 0))


def asked_for(
    start: RigidTransform, true: RigidTransform, points: np.ndarray, place: Triple
) -> tuple[np.ndarray, np.ndarray]:
    """The small motion that is missing at a start, and points of the heart, both about the middle of a look."""
    shift, angles = (start.inverse() @ true).six(place)
    some = np.linspace(0, len(points) - 1, HEART_POINTS).round().astype(int)
    return RigidTransform.from_six(shift, angles, (0.0, 0.0, 0.0)).matrix, (points - place)[some]


def keep(path: Path, arrays: dict[str, Any], **facts: str) -> None:
    """Write the looks at a case."""
    with writing(path) as scratch, scratch.open("wb") as file:
        np.savez(file, **arrays, **facts)


def laid(
    chance: np.random.Generator, spect: Volume, body: Volume, true: RigidTransform, middle: Triple
) -> RigidTransform:
    """Where fine mutual information lays the map across the body, from a place a few mm off along it."""
    near = true @ RigidTransform.from_six((0.0, 0.0, chance.uniform(-NEAR_MM, NEAR_MM)), (0.0, 0.0, 0.0), middle)
    return NearHeart().fine.across(spect, body, near)


def beside(
    chance: np.random.Generator, across: RigidTransform, true: RigidTransform, middle: Triple, draw: int
) -> RigidTransform:
    """A start as far off across the body as mutual information leaves it, and as far along it as drawn."""
    far = float(np.exp(chance.uniform(0.0, np.log(FARTHEST))))
    along = chance.uniform(*ALONG_MM) if draw % 3 else chance.uniform(-NEAR_MM, NEAR_MM)
    left, _ = (across.inverse() @ true).six(middle)
    shift = *(far * JITTER_MM * chance.standard_normal(2)), left[2] - along
    return across @ RigidTransform.from_six(triple(shift), triple(far * JITTER_DEG * chance.standard_normal(3)), middle)


def triple(values: Any) -> Triple:
    x, y, z = values
    return float(x), float(y), float(z)


def looks(options: argparse.Namespace) -> None:
    options.output.mkdir(parents=True, exist_ok=True)
    cases: list[tuple[Path | str, int]] = [
        (folder, index)
        for cohort in options.cohort
        for index, folder in enumerate(sorted((cohort / CASES).iterdir()))
        if options.first <= index < options.first + options.n
    ]
    draw_all(options, looks_at, [*cases, *populations(options)])


def populations(options: argparse.Namespace) -> list[tuple[str, int]]:
    """The cases that are to be simulated: population and number."""
    asked = (one.split("=") for one in options.simulate)
    return [(population, options.first + k) for population, n in asked for k in range(int(n))]


def draw_all(options: argparse.Namespace, draw: Callable[[Any], str], cases: Sequence[tuple[Path | str, int]]) -> None:
    """Draw the looks at each case, by number, so that a run that is cut short has some of each."""
    work = [(*case, options.draws, options.output) for case in sorted(cases, key=lambda case: case[1])]
    for said in filter(None, shared_out(draw, work, options.jobs)):
        print(said, flush=True)


def examples(files: Sequence[Path], spacing_mm: float) -> Examples:
    """Every look of every case; the look's number goes to the name, the patient stays."""
    names: list[str] = []
    patients: list[str] = []
    parts: dict[str, list[torch.Tensor]] = {"s": [], "m": [], "r": [], "h": []}
    for path in files:
        with np.load(path) as stored:
            n = len(stored["s"])
            names += [f"{path.stem}/{k}" for k in range(n)]
            patients += [str(stored["patient"])] * n
            for key, values in parts.items():
                values.append(torch.from_numpy(stored[key]))
    spect, mu, pose, heart = (torch.cat(values) for values in parts.values())
    return Examples(
        tuple(names),
        tuple(patients),
        spect.float(),
        mu.float(),
        pose.double(),
        heart.double(),
        torch.from_numpy(ball(1, 1.0)).expand(len(names), 1, 3),
        torch.zeros(len(names), dtype=torch.bool),
        spacing_mm,
        hashlib.sha256("".join(f"{p.name}{p.stat().st_size}" for p in files).encode()).hexdigest(),
    )


def divided(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    files = [sorted(folder.glob("*.npz")) for folder in folders]
    return [f for some in files for k, f in enumerate(some) if k % EVERY], [f for some in files for f in some[::EVERY]]


class Said:
    """Tells of every epoch."""

    def say(self, line: str) -> None:
        print(line, flush=True)

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_named: None


def fit(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    settings, weights = load_settings("near-heart"), None
    if options.begin_from:
        file, _, number = options.begin_from.partition(":")
        path, k = Path(file), int(number or 0)
        loaded, said = load_network(path / BEST if path.is_dir() else path)
        chosen = loaded.members[k] if isinstance(loaded, Together) else loaded
        weights = {name: values.float() for name, values in chosen.state_dict().items()}
        settings = replace(settings, begin_from=said.weights_sha256, network=said.settings()[k])
    elif options.growth:
        dense = replace(settings.network.dense, growth=options.growth)
        settings = replace(settings, network=replace(settings.network, dense=dense))
    optimiser = replace(
        settings.optimiser,
        learning_rate=options.learning_rate or settings.optimiser.learning_rate,
        decay=options.decay or settings.optimiser.decay,
    )
    settings = replace(
        settings,
        optimiser=optimiser,
        samples=options.samples or settings.samples,
        seed=options.seed or settings.seed,
        input=Input(blanked=options.blanked),
    )
    sets = (examples(files, settings.grid.spacing_mm) for files in divided(options.looks))
    team = Team(device=options.device)
    trained = train(settings, *sets, options.output, team=team, weights=weights, minutes=options.minutes, report=Said())
    print("finished" if trained.finished else "stopped; the same command goes on")


def left(options: argparse.Namespace) -> None:
    """What the registrar leaves of cases that training has not seen, beside headers and mutual information."""
    torch.set_num_threads(1)
    chosen = slice(options.first, options.first + options.n, options.step)
    with options.output.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for folder in sorted((options.cohort[0] / CASES).iterdir())[chosen]:
            case = read_case(folder)
            body = attenuation_maps(case.study.attenuation, case.uncorrected.grid)[0].body
            try:
                registrar = NearHeart(weights=options.weights)
                writer.writerow(row(folder.name, case, body, registrar.hurried() if options.fast else registrar))
            except MuregError as refusal:
                print(f"{folder.name}: {refusal}", flush=True)
            file.flush()


def row(name: str, case: Case, body: Volume, registrar: NearHeart) -> list[Any]:
    started = time.process_time()
    found = registrar.register(PreparedStudy.from_images(case.uncorrected, body))
    seconds, pose, said = time.process_time() - started, found.ct_from_spect, found.evidence
    truth, points = case.truth.ct_from_spect, case.truth.heart_points_mm
    errors = [target_registration_error_mm(one, truth, points) for one in (RigidTransform.identity(), pose)]
    shift, angles = (pose.inverse() @ truth).six(triple(points.mean(0)))
    arm_mm = np.sqrt(2 / 3 * ((points - points.mean(0)) ** 2).sum(1).mean())
    doubts = (said[name] for name in ("spread_of_looks_mm", "turned_deg", "doubt_mm", "disagreement_mm"))
    bound_mm = float("nan") if found.covariance is None else heart_bound_mm(found, points)
    figures = *errors, *shift, *angles, arm_mm, *doubts, bound_mm, seconds
    return [name, *(round(float(x), 4) for x in figures)]


def card(options: argparse.Namespace) -> None:
    networks, cards = zip(*(load_network(run / BEST) for run in options.run), strict=True)
    told = replace(cards[0], around="heart", believed=BELIEVED)
    if len(networks) > 1:
        several: dict[str, Any] = {"networks": [one.trained_on for one in cards]}
        figures = {f"heart_mm_{k}": one.validation["heart_mm"] for k, one in enumerate(cards, 1)}
        others = tuple(one.network for one in cards[1:])
        told = replace(told, others=others, trained_on=several, validation=figures)
    if options.rows:
        told = replace(told, errors=stated(options.rows, options.grow_mm), errors_grow_mm=options.grow_mm)
    if options.hurried_rows:
        hurried = stated(options.hurried_rows, options.grow_mm)
        told = replace(told, errors_hurried=hurried, errors_hurried_grow_mm=options.grow_mm)
    told = replace(told, calibrated_for=shipped_settings() if told.errors else {})
    options.output.mkdir(parents=True, exist_ok=True)
    # half precision, for the size of the package: three decimals of every weight
    network = Together(networks) if len(networks) > 1 else networks[0]
    save_network(options.output / "near-heart.safetensors", network.half(), told)


def shipped_settings() -> dict[str, str]:
    """Fingerprints of the settings that the rows were made with: those that the program ships."""
    return {
        "default": NearHeart().settings_sha256(),
        "quick": NearHeart().hurried().settings_sha256(),
        "attenuation": settings_sha256(asdict(AttenuationMap())),
        "reconstructor": settings_sha256(asdict(Osem())),
    }


def stated(paths: Sequence[Path], grow_mm: float) -> tuple[tuple[float, ...], ...]:
    """The covariance that goes to the card: what was left in the cases of files, as it would be without doubt.

    Made larger or smaller until the bound over the heart that follows from it holds in nine of ten of these cases, and
    in 85 % of those of each file at the least.
    """
    cases = [Left.of(path, grow_mm) for path in paths]
    second = np.mean([some.second_moment for some in cases], axis=0)
    ratios = [some.ratios(second) for some in cases]
    least = max(np.quantile(some, LEAST) for some in ratios)
    wider = max(float(np.quantile(np.concatenate(ratios), LEVEL)), float(least))
    second *= wider**2
    for path, some, ratio in zip(paths, cases, ratios, strict=True):
        bound_mm, held = np.median(wider * some.rms_mm / ratio), np.mean(ratio <= wider)
        print(f"{path.stem}: n {len(ratio)}, held {held:.2f}, bound {bound_mm:.1f} mm")
    print(f"standard deviations {np.round(np.sqrt(np.diag(second)), 2).tolist()} mm, degrees")
    return tuple(tuple(round(float(x), 6) for x in line) for line in second)


@dataclass(frozen=True, eq=False)
class Left:
    """What was left in the cases of a file: six numbers, by how much doubt widens, and how far a degree moves."""

    six: np.ndarray
    grown: np.ndarray
    arm_mm: np.ndarray

    @classmethod
    def of(cls, path: Path, grow_mm: float) -> Left:
        rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
        six = np.array([[float(line[name]) for name in COLUMNS[3:9]] for line in rows])
        grown = np.array([growth(float(line["doubt_mm"]), grow_mm) for line in rows])
        return cls(six, grown, np.array([float(line["heart_arm_mm"]) for line in rows]))

    @property
    def second_moment(self) -> np.ndarray:
        """6x6, as it would be without doubt."""
        found: np.ndarray = (self.six.T / self.grown) @ self.six / len(self.six)
        return found

    @property
    def moves_mm(self) -> np.ndarray:
        """Of each case, by how much each number moves the heart, root mean square."""
        turns = np.deg2rad(self.arm_mm)
        return np.stack([np.ones_like(turns)] * 3 + [turns] * 3, 1)

    @property
    def rms_mm(self) -> np.ndarray:
        """Of each case, over the heart."""
        return np.asarray(np.linalg.norm(self.six * self.moves_mm, axis=1))

    def ratios(self, covariance: np.ndarray) -> np.ndarray:
        """Of each case, the error over the bound that this covariance states."""
        bounds = [
            np.sqrt(chi_square_quantile(np.linalg.eigvalsh(covariance * np.outer(moves, moves)), LEVEL))
            for moves in self.moves_mm
        ]
        return np.asarray(self.rms_mm / (bounds * np.sqrt(self.grown)))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    for name, act in (("looks", looks), ("train", fit), ("errors", left), ("card", card)):
        part = parts.add_parser(name)
        part.set_defaults(act=act)
        part.add_argument("-o", "--output", type=Path, required=True)
        if name in ("looks", "errors"):
            part.add_argument("--cohort", type=Path, nargs="+", default=[], required=name == "errors")
            part.add_argument("--first", type=int, default=0)
            part.add_argument("--n", type=int, default=1_000_000)
        if name == "looks":
            part.add_argument("--simulate", nargs="+", default=[], metavar="POPULATION=N", help="from --first on")
            part.add_argument("--draws", type=int, default=4)
            part.add_argument("--jobs", type=int, default=1)
        if name == "train":
            part.add_argument("--looks", type=Path, required=True, nargs="+")
            network = part.add_mutually_exclusive_group()
            network.add_argument(
                "--begin-from", metavar="RUN|FILE[:K]", help="weights to go on from, the K-th of several, from 0"
            )
            part.add_argument("--samples", type=int, help="this and the next three: instead of those in the settings")
            part.add_argument("--learning-rate", type=float)
            part.add_argument("--decay", type=float)
            part.add_argument("--seed", type=int)
            part.add_argument("--blanked", action="store_true", help="see ones instead of the SPECT")
            network.add_argument("--growth", type=int, help="of the dense blocks, instead of the one in the settings")
            part.add_argument("--minutes", type=float, default=float("inf"))
            part.add_argument("--threads", type=int, default=1)
            part.add_argument("--device", default="cpu")
        if name == "errors":
            part.add_argument("--weights", default=SHIPPED)
            part.add_argument("--fast", action="store_true", help="hurried, as `mureg register --fast`")
            part.add_argument("--step", type=int, default=1, help="every n-th case")
        if name == "card":
            part.add_argument("--run", type=Path, nargs="+", required=True, help="several: their mean counts")
            part.add_argument("--rows", type=Path, nargs="+", help="of errors")
            part.add_argument("--hurried-rows", type=Path, nargs="+", help="of errors --fast")
            part.add_argument("--grow-mm", type=float, default=0.25, help="doubt that makes it four times as large")
    options = parser.parse_args(arguments)
    options.act(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
