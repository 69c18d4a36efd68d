"""The cases of the confident-and-wrong benchmark: what was done to a study, and where its heart then lies in the CT."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from bodies import BODIES, SAMPLE, Emission

from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple

Matrix = npt.NDArray[np.float64]
Header = Literal["own", "another", "empty", "anonymous"]

OTHERS_OF_THE_SAMPLE: dict[str, Triple] = {
    "CPTAC-C3N-00249": (53.8, -192.0, -115.5),
    "LungDx-A0001": (40.0, 102.0, -340.0),
    "acrin_flt_breast_013": (42.0, -152.0, -611.0),
    "cort_liver": (47.0, -71.0, 28.0),
    "lidc_idri_0002": (48.0, -45.0, -225.0),
    "lidc_idri_0003": (25.0, -10.0, -275.0),
    "cmb_crc_msb_01068": (40.0, -15.0, -195.0),
    "rider_pilot_0109": (40.0, -20.0, -170.0),
}
"""Other people's CTs that are laid under the emission of the sample study: middle of the left ventricle, by eye, mm."""


@dataclass(frozen=True)
class WrongCase:
    """One study in which something is wrong, or nothing ("control").

    Attributes:
        name: unique.
        kind: of what is wrong.
        body: of the emission, a name of `BODIES` or the sample.
        emission: None for the sample's own file.
        turn_deg: about x, y, z of the CT, by which the patient lay turned about the heart in the CT.
        header_mm: by which every slice position of the CT is wrong.
        spacing: stated slice spacing as a share of the true one.
        mirrored: axes of the CT along which the pixels are in the wrong order.
        other: whose CT it is, a name of `BODIES` or of `OTHERS_OF_THE_SAMPLE`; "" for the patient's own.
        header: who the CT's header says that the patient is.
    """

    name: str
    kind: str
    body: str
    emission: Emission | None
    turn_deg: Triple = (0.0, 0.0, 0.0)
    header_mm: Triple = (0.0, 0.0, 0.0)
    spacing: float = 1.0
    mirrored: str = ""
    other: str = ""
    header: Header = "own"

    def ct_from_ct(self, heart_mm: Matrix, middle_mm: Matrix) -> Matrix:
        """Affine [4, 4]: where tissue at a place of the true CT is, by the headers, in the changed one.

        Args:
            heart_mm: middle of the heart in the true CT.
            middle_mm: of the true CT's volume, about which pixels are mirrored.
        """
        matrix = RigidTransform.from_six(self.header_mm, self.turn_deg, heart_mm).matrix.copy()
        scale = np.diag([1.0, 1.0, self.spacing, 1.0])
        scale[2, 3] = (1.0 - self.spacing) * heart_mm[2]
        mirror = np.diag([-1.0 if axis in self.mirrored else 1.0 for axis in "xyz"] + [1.0])
        mirror[:3, 3] = (1.0 - np.diag(mirror)[:3]) * middle_mm
        return np.asarray(matrix @ scale @ mirror)


def all_cases() -> list[WrongCase]:
    """Every case, in the order of the table."""
    return [*_controls(), *_others(), *_turned(), *_moved(), *_centres(), *_spacings(), *_mirrored(), *_headers()]


def _bodies(first: int = 0) -> itertools.cycle[str]:
    """The bodies in turn, so that every kind meets four or more of them."""
    names = list(BODIES)
    return itertools.cycle(names[first:] + names[:first])


def _controls() -> list[WrongCase]:
    cases = [WrongCase(f"control-{body}", "control", body, Emission(body)) for body in BODIES]
    return [*cases, WrongCase("control-sample", "control", SAMPLE, None)]


def _others() -> list[WrongCase]:
    pairs = (("cptac", "lungdx"), ("acrin", "cort"), ("cort", "torso-b"), ("torso-a", "cptac"))
    cases = [
        WrongCase(
            f"another-named-{body}-{other}",
            "another patient, named",
            body,
            Emission(body),
            other=other,
            header="another",
        )
        for body, other in pairs
    ]
    unnamed: tuple[tuple[str, str, Header], ...] = (("acrin", "torso-a", "empty"), ("torso-b", "lungdx", "anonymous"))
    cases += [
        WrongCase(
            f"another-{header}-{body}-{other}",
            "another patient, unnamed",
            body,
            Emission(body),
            other=other,
            header=header,
        )
        for body, other, header in unnamed
    ]
    headers: tuple[Header, Header] = ("empty", "anonymous")
    for other, header in zip(OTHERS_OF_THE_SAMPLE, itertools.cycle(headers), strict=False):
        name = f"another-{header}-sample-{other}"
        cases.append(WrongCase(name, "another patient, unnamed", SAMPLE, None, other=other, header=header))
    return cases


def _turned() -> list[WrongCase]:
    cases = []
    angles = itertools.product((5.0, 10.0, 15.0, 20.0, 25.0), range(3))
    for k, ((angle, axis), body) in enumerate(zip(angles, _bodies(), strict=False)):
        turn = [0.0, 0.0, 0.0]
        turn[axis] = angle if k % 2 else -angle
        name = f"turned-{'xyz'[axis]}{turn[axis]:+.0f}-{body}"
        cases.append(
            WrongCase(name, "turned about the heart", body, Emission(body), turn_deg=(turn[0], turn[1], turn[2]))
        )
    return cases


def _moved() -> list[WrongCase]:
    cases = []
    ways = (("step", (1.0, 0.0, 0.0)), ("step", (0.0, 0.0, -1.0)), ("drift", (0.0, 0.0, 1.0)))
    for ((motion, way), mm), body in zip(itertools.product(ways, (9.0, 14.0, 27.0, 54.0)), _bodies(2), strict=False):
        moved = (way[0] * mm, way[1] * mm, way[2] * mm)
        where = "left" if way[0] else "feet" if way[2] < 0 else "head"
        emission = Emission(body, moved, motion)  # type: ignore[arg-type]
        cases.append(WrongCase(f"{motion}-{mm:.0f}-{where}-{body}", "moved during the scan", body, emission))
    return cases


def _centres() -> list[WrongCase]:
    shifts = (3.5, 7.0, 14.0, -3.5, -7.0, -14.0)
    return [
        WrongCase(f"centre{mm:+g}-{body}", "centre of rotation", body, Emission(body, rotation_centre_mm=mm))
        for mm, body in zip(shifts, _bodies(1), strict=False)
    ]


def _spacings() -> list[WrongCase]:
    return [
        WrongCase(f"spacing-{share:g}-{body}", "slice spacing", body, Emission(body), spacing=share)
        for (share, _), body in zip(itertools.product((0.67, 1.5), range(3)), _bodies(3), strict=False)
    ]


def _mirrored() -> list[WrongCase]:
    kinds = {"left-right": "x", "head-foot": "z", "half-turn": "xy"}
    return [
        WrongCase(f"{name}-{body}", "mirrored or turned over", body, Emission(body), mirrored=axes)
        for ((name, axes), _), body in zip(itertools.product(kinds.items(), range(3)), _bodies(4), strict=False)
    ]


def _headers() -> list[WrongCase]:
    cases = []
    for k, ((mm, axis), body) in enumerate(
        zip(itertools.product((10.0, 20.0, 40.0, 80.0), range(3)), _bodies(5), strict=False)
    ):
        shift = [0.0, 0.0, 0.0]
        shift[axis] = mm if k % 2 else -mm
        name = f"header-{'xyz'[axis]}{shift[axis]:+.0f}-{body}"
        cases.append(WrongCase(name, "header position", body, Emission(body), header_mm=(shift[0], shift[1], shift[2])))
    return cases
