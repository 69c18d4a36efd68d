"""The covariance on the card of the registrar near-heart, from its errors on unseen cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mureg.errors import UsageError
from mureg.registration.card import growth
from mureg.registration.confidence import LEVEL, chi_square_quantile
from mureg.training.heart.errors import RESIDUALS, read_rows

_CARD_DIGITS = 6
"""Decimals of the covariance on a card (mm and degrees squared): far below its own uncertainty from some 160 cases."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Residuals:
    """The motions that were missing after the registration of several cases.

    Attributes:
        parameters: [case, 6] rigid parameters about the heart (mm, degrees).
        growth: [case] factor by which the dispersion of a case widens its covariance.
        arm_mm: [case] root mean square distance of the heart's points from an axis of rotation.
    """

    parameters: Matrix
    growth: Matrix
    arm_mm: Matrix

    @classmethod
    def of(cls, path: Path, dispersion_mm: float) -> Residuals:
        """Of a file of rows.

        Args:
            path: of the file.
            dispersion_mm: dispersion at which a covariance is four times as large.

        Raises:
            UsageError: no rows.
            UnreadableInputError: a damaged file.
        """
        rows = read_rows(path)
        if not rows:
            raise UsageError(f"no rows in {path.name}", "errors on at least one case", "measure them first")
        parameters = np.array([[float(row[name]) for name in RESIDUALS] for row in rows])
        growths = np.array([growth(float(row["dispersion_mm"]), dispersion_mm) for row in rows])
        return cls(parameters, growths, np.array([float(row["heart_arm_mm"]) for row in rows]))

    @property
    def second_moment(self) -> Matrix:
        """[6, 6] of the parameters, as it would be without dispersion."""
        moment: Matrix = (self.parameters.T / self.growth) @ self.parameters / len(self.parameters)
        return moment

    @property
    def lever(self) -> Matrix:
        """[case, 6] root mean square displacement of the heart by a unit of each parameter (mm)."""
        per_degree = np.deg2rad(self.arm_mm)
        return np.stack([np.ones_like(per_degree)] * 3 + [per_degree] * 3, 1)

    @property
    def rms_mm(self) -> Matrix:
        """[case] root mean square error over the heart."""
        return np.asarray(np.linalg.norm(self.parameters * self.lever, axis=1))

    def ratios(self, covariance: Matrix) -> Matrix:
        """[case] error over the bound that a covariance states."""
        bounds = [
            np.sqrt(chi_square_quantile(np.linalg.eigvalsh(covariance * np.outer(lever, lever)), LEVEL))
            for lever in self.lever
        ]
        return np.asarray(self.rms_mm / (bounds * np.sqrt(self.growth)))


@dataclass(frozen=True, eq=False)
class GroupCoverage:
    """How a stated covariance fares on the cases that it was made from.

    Attributes:
        name: of the group.
        n: cases.
        share: of them whose error lies below the bound.
        median_bound_mm: over the heart.
    """

    name: str
    n: int
    share: float
    median_bound_mm: float

    @property
    def line(self) -> str:
        """The coverage as one line of text."""
        percent = f"{100 * self.share:.0f} %"
        return f"{self.name}: {self.n} cases, {percent} below the bound, median bound {self.median_bound_mm:.1f} mm"


@dataclass(frozen=True, eq=False)
class StatedCovariance:
    """The covariance for a card.

    Attributes:
        matrix: [6, 6] as it would be without dispersion (mm, degrees, about the heart).
        groups: coverage of each file of rows.
    """

    matrix: tuple[tuple[float, ...], ...]
    groups: tuple[GroupCoverage, ...]


def stated_covariance(paths: Sequence[Path], dispersion_mm: float, group_share: float) -> StatedCovariance:
    """The covariance that follows from files of rows: their mean second moment, scaled until the bound holds.

    Args:
        paths: files of rows, one a group; groups count alike.
        dispersion_mm: dispersion at which the covariance is to be four times as large.
        group_share: of the cases of each group at least so many lie below the 90 % bound over the heart, and nine of
            ten of all cases.

    Raises:
        UsageError: a file without rows.
        UnreadableInputError: a damaged file.
    """
    groups = [Residuals.of(path, dispersion_mm) for path in paths]
    moment = np.mean([group.second_moment for group in groups], axis=0)
    ratios = [group.ratios(moment) for group in groups]
    least = max(float(np.quantile(group, group_share)) for group in ratios)
    factor = max(float(np.quantile(np.concatenate(ratios), LEVEL)), least)
    coverage = [
        GroupCoverage(
            path.stem, len(ratio), float(np.mean(ratio <= factor)), float(np.median(factor * group.rms_mm / ratio))
        )
        for path, group, ratio in zip(paths, groups, ratios, strict=True)
    ]
    covariance = moment * factor**2
    matrix = tuple(tuple(round(float(value), _CARD_DIGITS) for value in row) for row in covariance)
    return StatedCovariance(matrix, tuple(coverage))
