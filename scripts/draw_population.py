"""Draw the pictures of docs/concepts/virtual-patients.md from cohorts that ``mureg simulate`` made.

    python scripts/draw_population.py COHORT_FOLDER ... [--real FOLDER] [-o FOLDER]

For each cohort a montage of its first 24 patients. With ``--real`` (the CTs ``ct/*.nii.gz`` and the acquisition
``nm/*tomo*.dcm``) also real and virtual side by side, in the same display.
"""

from __future__ import annotations

import argparse
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mureg.attenuation.body import in_patient_order
from mureg.cohort.store.cohort import Cohort, open_case, read_case
from mureg.geometry import Volume
from mureg.io import read_ct, read_spect
from mureg.report.pictures.canvas import BACKGROUND, FAINT, GREY, HEAT, INK
from mureg.spect import Acquisition
from mureg.study import Case, Ct

FIGURES = Path(__file__).parents[1] / "docs" / "concepts" / "figures"
N_PATIENTS, PER_ROW = 24, 4


def blank(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=100, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of few colours, a third as large."""
    drawn = BytesIO()
    figure.savefig(drawn, facecolor=BACKGROUND, metadata={"Software": "mureg"})
    Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def image(ax: Axes, values: np.ndarray, low: float, high: float, colours: object, spacing: tuple[float, float]) -> None:
    """Rows downwards; values [row, column], spacing (row, column) in mm."""
    ax.imshow(values, cmap=colours, vmin=low, vmax=high, aspect=spacing[0] / spacing[1], interpolation="nearest")
    ax.set_axis_off()


def coronal(volume: Volume, y_mm: float) -> np.ndarray:
    """Head up, the patient's left on the right; as seen from the front."""
    j = int(np.clip(round(volume.grid.indices((0.0, y_mm, 0.0))[1]), 0, volume.grid.shape[1] - 1))
    return volume.values[:, j, ::-1].T


def axial(volume: Volume, z_mm: float) -> np.ndarray:
    """Front up, the patient's left on the right; as seen from the feet."""
    k = int(np.clip(round(volume.grid.indices((0.0, 0.0, z_mm))[2]), 0, volume.grid.shape[2] - 1))
    return volume.values[:, :, k].T


def front_view(acquisition: Acquisition) -> np.ndarray:
    """The photopeak view nearest to the front."""
    away = np.abs((acquisition.angles_deg - 180.0 + 180.0) % 360.0 - 180.0)
    return acquisition.photopeak_counts[int(np.argmin(away))]


def heart_mm(case: Case) -> np.ndarray:
    return case.truth.heart_points_mm.mean(0)


def brightest(volume: Volume, case: Case) -> float:
    """The value that fills the colour scale: near the brightest of the heart, so that it shows beside a hot liver."""
    wall = case.truth.lv_wall.values > 0.4
    return float(np.quantile(volume.values[wall], 0.98)) * 1.1 if wall.any() else float(volume.values.max())


def montage(cases: list[Case], path: Path, title: str) -> None:
    """Every patient as four pictures: attenuation and activity the camera saw, front projection, uncorrected image."""
    rows = -(-len(cases) // PER_ROW)
    figure = blank(PER_ROW * 4.0, rows * 1.08 + 0.45)
    figure.text(0.01, 1 - 0.12 / figure.get_figheight(), title, color=INK, fontsize=13, va="top")
    grid = figure.add_gridspec(
        rows, PER_ROW * 4, left=0.005, right=0.995, bottom=0.005, top=1 - 0.45 / figure.get_figheight(),
        wspace=0.03, hspace=0.06,
    )  # fmt: skip
    for number, case in enumerate(cases):
        row, column = divmod(number, PER_ROW)
        axes = [figure.add_subplot(grid[row, column * 4 + k]) for k in range(4)]
        y = heart_mm(case)[1]
        truth, spacing = case.truth, (6.8, 6.8)
        image(axes[0], coronal(truth.mu, y), 0.0, 0.2, GREY, spacing)
        image(axes[1], coronal(truth.activity, y), 0.0, brightest(truth.activity, case), HEAT, spacing)
        view = front_view(case.study.spect)
        image(axes[2], view, 0.0, float(np.quantile(view, 0.998)), HEAT, spacing)
        image(axes[3], coronal(case.uncorrected, y), 0.0, brightest(case.uncorrected, case), HEAT, spacing)
        axes[0].text(0.02, 0.02, case.name[-4:], transform=axes[0].transAxes, color=FAINT, fontsize=7)
    save(figure, path)


def ct_pictures(axes: list[Axes], ct: Ct, heart: np.ndarray, title: str) -> None:
    volume = ct.volume
    sx, sy, sz = volume.grid.spacing_mm
    image(axes[0], axial(volume, heart[2]), -1000, 300, GREY, (sy, sx))
    image(axes[1], coronal(volume, heart[1]), -1000, 300, GREY, (sz, sx))
    image(axes[2], axial(volume, heart[2]), -160, 240, GREY, (sy, sx))
    axes[0].set_title(title, color=INK, fontsize=9)


def upright(ct: Ct) -> Ct:
    """The same CT with its indices along the patient axes."""
    return Ct(in_patient_order(ct.volume), ct.manufacturer, ct.model, ct.kvp)


def beside_real_cts(cases: list[Case], real: Path, path: Path) -> None:
    """Real CTs on top, virtual ones below: an axial slice through the heart in two windows, and a coronal one."""
    paths = [p for p in sorted((real / "ct").glob("*.nii.gz")) if "labels" not in p.name]
    figure = blank(16, 9.5)
    grid = figure.add_gridspec(4, 9, left=0.005, right=0.995, bottom=0.005, top=0.96, wspace=0.03, hspace=0.12)
    for column, source in enumerate(paths[:3]):
        ct = upright(read_ct(source)[0])
        lowest, highest = ct.volume.grid.corners_mm()[:, 2].min(), ct.volume.grid.corners_mm()[:, 2].max()
        middle = ct.volume.grid.centre_mm
        heart = np.array([middle[0], middle[1] - 30.0, lowest + 0.38 * (highest - lowest)])
        axes = [figure.add_subplot(grid[0, column * 3 + k]) for k in range(3)]
        ct_pictures(axes, ct, heart, f"real: {source.name.split('.')[0]}")
    for number, case in enumerate(cases[:9]):
        row, column = divmod(number, 3)
        axes = [figure.add_subplot(grid[row + 1, column * 3 + k]) for k in range(3)]
        heart = case.truth.ct_from_spect.apply(heart_mm(case))
        assert isinstance(case.study.attenuation, Ct)
        ct_pictures(axes, case.study.attenuation, heart, f"virtual: {case.name}")
    save(figure, path)


def beside_real_projections(cases: list[Case], real: Path, path: Path) -> None:
    """Every fifth view of the real acquisition on top, of virtual patients below, counts per view made alike."""
    acquisitions = [("real", read_spect(next((real / "nm").glob("*tomo_180*.dcm")))[0])]
    acquisitions += [(case.name, case.study.spect) for case in cases[:5]]
    figure = blank(12, 12.5)
    grid = figure.add_gridspec(6, 6, left=0.07, right=0.995, bottom=0.005, top=0.97, wspace=0.03, hspace=0.04)
    for row, (name, acquisition) in enumerate(acquisitions):
        assert isinstance(acquisition, Acquisition)
        wanted = 225.0 - np.arange(6) * 30.0
        for column, angle in enumerate(wanted):
            away = np.abs((acquisition.angles_deg - angle + 180.0) % 360.0 - 180.0)
            view = acquisition.photopeak_counts[int(np.argmin(away))]
            axes = figure.add_subplot(grid[row, column])
            image(axes, view, 0.0, float(np.quantile(view, 0.998)), HEAT, acquisition.pixel_mm)
            if row == 0:
                axes.set_title(f"{angle:.0f}°", color=FAINT, fontsize=9)
            if column == 0:
                axes.text(-0.05, 0.5, name, transform=axes.transAxes, color=INK, rotation=90, ha="right", va="center")
    save(figure, path)


# what was drawn, in words, and the range that literature or FACTS give (docs/concepts/virtual-patients.md)
DISTRIBUTIONS = (
    ("anatomy_body_width_mm", "body width at the heart (mm)", (280, 400)),
    ("anatomy_lung_ml", "lungs at end expiration (ml)", (1800, 4300)),
    ("anatomy_liver_ml", "liver (ml)", (1000, 2200)),
    ("anatomy_lv_cavity_ml", "left-ventricular cavity (ml)", (34, 139)),
    ("anatomy_lv_wall_g", "left-ventricular wall (g)", (68, 203)),
    ("anatomy_axis_aside_deg", "long axis, from sagittal to the left (deg)", (35, 65)),
    ("anatomy_axis_down_deg", "long axis, below horizontal (deg)", (5, 45)),
    ("breathing_amplitude_mm", "excursion of the diaphragm (mm)", (5, 20)),
    ("heart_displacement_mm", "heart, emission to CT (mm)", None),
    ("uptake_liver", "liver uptake (myocardium = 1)", (0.25, 1.5)),
    ("uptake_blood", "blood", (0.03, 0.12)),
    ("uptake_lung", "lung", (0.03, 0.08)),
    ("uptake_soft_tissue", "soft tissue", (0.02, 0.06)),
    ("uptake_spleen", "spleen", (0.4, 1.1)),
    ("uptake_kidney", "kidney", (0.8, 3.0)),
    ("scatter_fraction", "scattered share of the photopeak", (0.25, 0.40)),
)


def distributions(folder: Path, path: Path) -> None:
    """Histograms of sizes and uptakes, with the range they should keep to."""
    cohort = Cohort.open(folder)
    facts = [open_case(folder / "cases" / name).facts for name in cohort.names]
    figure = blank(14, 10)
    grid = figure.add_gridspec(4, 4, left=0.03, right=0.99, bottom=0.05, top=0.96, wspace=0.12, hspace=0.45)
    for number, (name, words, expected) in enumerate(DISTRIBUTIONS):
        axes = figure.add_subplot(grid[number // 4, number % 4], facecolor=BACKGROUND)
        values = np.array([float(fact[name]) for fact in facts])
        if expected is not None:
            axes.axvspan(*expected, color="#1f6f43", alpha=0.35, lw=0)
        axes.hist(values, bins=18, color="#6ea8fe")
        axes.set_title(words, color=INK, fontsize=10)
        axes.set_yticks([])
        axes.tick_params(colors=FAINT, labelsize=8)
        for spine in axes.spines.values():
            spine.set_visible(False)
    figure.text(
        0.03, 0.012, f"{len(facts)} patients of {folder.name}; green: literature or FACTS", color=FAINT, fontsize=9
    )
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/concepts/virtual-patients.md.")
    parser.add_argument("cohorts", nargs="+", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=FIGURES)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for folder in arguments.cohorts:
        cohort = Cohort.open(folder)
        cases = [read_case(folder / "cases" / name) for name in islice(cohort.names, N_PATIENTS)]
        level = cases[0].sources["cohort"]
        words = "attenuation, activity, front projection, uncorrected image"
        montage(
            cases, arguments.output / f"population_{level}.png", f"{level}: {words} (coronal planes through the heart)"
        )
        if level == "clinical":
            distributions(folder, arguments.output / "population_distributions.png")
        if arguments.real and level == "clinical":
            beside_real_cts(cases, arguments.real, arguments.output / "population_and_real_ct.png")
            beside_real_projections(cases, arguments.real, arguments.output / "population_and_real_projections.png")


if __name__ == "__main__":
    main()
