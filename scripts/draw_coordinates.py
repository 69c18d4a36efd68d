"""Draw the two pictures of docs/concepts/coordinates.md: detector angles and the direction of ct_from_spect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse

from mureg.geometry import RigidTransform
from mureg.spect.stages import to_viewers_right, toward_detector

FIGURES = Path(__file__).parents[1] / "docs" / "concepts" / "figures"
INK, HEART, LUNG, BODY, MAP = "#222222", "#c62828", "#cfe3f5", "#f1e3d3", "#1565c0"


def torso(ax: Axes, ct_from_spect: RigidTransform, edge: str, style: str, fill: bool) -> None:
    """A transaxial slice seen from the feet: patient's left on the right, front at the top."""

    def place(x: float, y: float) -> tuple[float, float]:
        moved = ct_from_spect.apply((x, y, 0.0))
        return float(moved[0]), float(moved[1])

    turn = ct_from_spect.six((0, 0, 0))[1][2]
    for (x, y), width, height, colour in (
        ((0, 0), 320, 220, BODY),
        ((-75, -5), 105, 150, LUNG),
        ((80, 5), 95, 140, LUNG),
    ):
        ax.add_patch(
            Ellipse(
                place(x, y),
                width,
                height,
                angle=turn,
                facecolor=colour if fill else "none",
                edgecolor=edge,
                ls=style,
                lw=1.4,
            )
        )
    ax.add_patch(
        Circle(place(40, -45), 32, facecolor=HEART if fill else "none", edgecolor=edge, ls=style, lw=1.4, alpha=0.85)
    )


def frame(ax: Axes, title: str, half: float) -> None:
    """Patient axes in millimetres, y growing towards the back and so downwards."""
    ax.set(xlim=(-half, half), ylim=(half, -half), aspect="equal", xlabel="x (mm), to the patient's left")
    ax.set_ylabel("y (mm), to the patient's back")
    ax.set_title(title, fontsize=11)
    ax.grid(alpha=0.2)


def draw_angles() -> None:
    """Where the detector stands at each DICOM angle, and which way its columns run."""
    figure = Figure(figsize=(7, 7), dpi=110, layout="constrained")
    ax = figure.add_subplot()
    frame(ax, "Seen from the feet: detector angles as DICOM counts them", 380)
    torso(ax, RigidTransform.identity(), INK, "-", fill=True)
    ax.text(40, -45, "heart", ha="center", va="center", color="white", fontsize=8)
    names = {0: "0: back", 45: "45: LPO", 90: "90: left", 180: "180: front", 225: "225: RAO", 270: "270: right"}
    for angle, name in names.items():
        place, right = 270 * toward_detector(angle), to_viewers_right(angle)
        start, end = place - 60 * right, place + 60 * right
        ax.plot(*zip(start, end, strict=True), color=MAP, lw=5, solid_capstyle="butt", alpha=0.35)
        ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": MAP, "lw": 1.6})
        ax.text(*(place * 1.22), name, ha="center", va="center", fontsize=9, color=MAP)
    arc = 225 + np.linspace(0, -180, 100)
    ax.plot(*(225 * toward_detector(arc)).T, color=HEART, lw=1.2, ls="--")
    ax.annotate(
        "",
        225 * toward_detector(46),
        225 * toward_detector(52),
        arrowprops={"arrowstyle": "->", "color": HEART, "lw": 1.6},
    )
    ax.text(150, -185, "the usual arc:\n225 down to 45, CW", color=HEART, fontsize=8, ha="left")
    ax.text(
        0,
        365,
        "blue arrows: columns 0, 1, 2, ... of the projection; row 0 is at the head",
        ha="center",
        fontsize=8,
        color=MAP,
    )
    figure.savefig(FIGURES / "angles.png", metadata={"Software": None})


def draw_transform() -> None:
    """The same anatomy in SPECT space and in CT space, and the map between them."""
    figure = Figure(figsize=(11, 5.4), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    ct_from_spect = RigidTransform.from_six((34, 22, 0), (0, 0, 9), (0, 0, 0))
    frame(left, "SPECT space (fixed)", 240)
    torso(left, RigidTransform.identity(), INK, "-", fill=True)
    frame(right, "CT space (moving)", 240)
    torso(right, ct_from_spect, INK, "-", fill=True)
    torso(right, RigidTransform.identity(), "#888888", ":", fill=False)
    point = np.array([40.0, -45.0, 0.0])
    there = ct_from_spect.apply(point)
    left.plot(*point[:2], "o", color="white", ms=5)
    right.plot(*there[:2], "o", color="white", ms=5)
    right.annotate("", there[:2], point[:2], arrowprops={"arrowstyle": "->", "color": MAP, "lw": 2})
    left.text(point[0], point[1] - 42, "p", fontsize=13, ha="center", color=HEART)
    right.text(
        there[0] + 20,
        -170,
        "ct_from_spect(p)",
        fontsize=12,
        ha="center",
        color=HEART,
        bbox={"fc": "white", "ec": "none"},
    )
    right.annotate(
        "", there[:2] - (0, 8), (there[0] + 20, -160), arrowprops={"arrowstyle": "-", "color": HEART, "lw": 0.8}
    )
    right.text(
        0,
        228,
        "dotted: where the anatomy would lie if the patient had not moved",
        ha="center",
        fontsize=8,
        color="#666666",
    )
    figure.savefig(FIGURES / "ct_from_spect.png", metadata={"Software": None})


if __name__ == "__main__":
    FIGURES.mkdir(parents=True, exist_ok=True)
    draw_angles()
    draw_transform()
