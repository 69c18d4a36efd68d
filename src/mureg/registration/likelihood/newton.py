"""One step of Newton's method on an objective that is costly, a little noisy, and has no derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " n"]
Objective = Callable[[Sequence[Vector]], Float[np.ndarray, " points"]]

_LEAST_CURVATURE = 0.1
"""Of an eigenvalue where the diagonal is 1: a step is then at most ten times as long; chosen."""
_SHARES = (1.0, 0.5, 0.25)
"""Of the step that are tried: halving, as in any backtracking search (docs/concepts/profile-likelihood.md)."""


@dataclass(frozen=True, eq=False)
class Step:
    """Where a step led.

    Attributes:
        point: the new point; the old one where nothing higher was found.
        value: of the objective there.
        value_before: at the old point.
        curvature: minus the Hessian at the old point, symmetric, made positive definite.
        evaluations: of the objective.
    """

    point: Vector
    value: float
    value_before: float
    curvature: Float[np.ndarray, "n n"]
    evaluations: int

    @property
    def raised(self) -> bool:
        """Whether a higher value was found."""
        return self.value > self.value_before


def newton_step(
    objective: Objective,
    at: Vector,
    differences: Vector,
    farthest: float = 2.0,
    former: Float[np.ndarray, "n n"] | None = None,
) -> Step:
    """Climb from a point by the Hessian from differences, then a short search along the step.

    The gradient and the diagonal come from central differences, the cross terms from one more point for each pair of
    numbers: ``1 + 2 n + n (n - 1) / 2`` evaluations, exact for a quadratic. With the curvature of a former point the
    cross terms are those of that one, scaled to the new diagonal: ``1 + 2 n`` evaluations. The eigenvalues of the
    curvature, scaled to a diagonal of ones, are kept from falling below 0.1.

    Args:
        objective: takes many points at once; larger is better.
        at: where to start.
        differences: finite difference of each parameter; wide where the objective is rough, narrow near its maximum.
        farthest: no number changes by more than so many of its differences.
        former: curvature at a former point.
    """
    n = len(at)
    along = np.diag(differences)
    pairs = [(i, j) for i in range(n) for j in range(i)] if former is None else []
    points = [at, *(at + along[k] for k in range(n)), *(at - along[k] for k in range(n))]
    points += [at + along[i] + along[j] for i, j in pairs]
    values = objective(points)
    middle, above, below, corners = values[0], values[1 : n + 1], values[n + 1 : 2 * n + 1], values[2 * n + 1 :]
    gradient = (above - below) / (2 * differences)
    curvature = np.diag((2 * middle - above - below) / differences**2)
    if former is not None:
        # a diagonal that is not positive says nothing about the scale
        scale = np.sqrt(np.where(np.diag(curvature) > 0, np.diag(curvature), np.diag(former)) / np.diag(former))
        curvature = former * np.outer(scale, scale)
    for (i, j), value in zip(pairs, corners, strict=True):
        curvature[i, j] = curvature[j, i] = (above[i] + above[j] - middle - value) / (differences[i] * differences[j])
    curvature = _positive(curvature)
    step = np.clip(np.linalg.solve(curvature, gradient), -farthest * differences, farthest * differences)
    candidates = [at + share * step for share in _SHARES]
    heights = objective(candidates)
    best = int(np.argmax(heights))
    is_higher = heights[best] > middle
    return Step(
        candidates[best] if is_higher else np.array(at),
        float(heights[best] if is_higher else middle),
        float(middle),
        curvature,
        len(points) + len(candidates),
    )


def _positive(curvature: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    scale = np.sqrt(np.abs(np.diag(curvature))) + 1e-9
    eigenvalues, vectors = np.linalg.eigh(curvature / np.outer(scale, scale))
    floored = (vectors * np.maximum(eigenvalues, _LEAST_CURVATURE)) @ vectors.T
    result: Float[np.ndarray, "n n"] = floored * np.outer(scale, scale)
    return result
