"""Search of the rigid parameters from several starts at once, by a quasi-Newton method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple

Six = Float[np.ndarray, "start 6"]
Cost = Callable[[Six], tuple[Float[np.ndarray, " start"], Six]]

LEVER_MM = 80.0
"""An angle counts as the arc at this distance: about the radius of a chest, so that all parameters are alike in mm."""


@dataclass(frozen=True, eq=False)
class Motions:
    """Rigid motions of fixed points, and how the moved points depend on the parameters.

    Attributes:
        points_mm: [3, point], relative to the centre.
        centre_mm: of the rotation.
    """

    points_mm: Float[np.ndarray, "3 point"]
    centre_mm: Triple

    def moved(self, six: Six) -> tuple[Float[np.ndarray, "3 start point"], Float[np.ndarray, "start 4 3 3"]]:
        """Moved points in mm; and the rotation with its derivatives by the three scaled angles."""
        turns = rotations(six[:, 3:] / LEVER_MM)
        turns[:, 1:] /= LEVER_MM
        shift = six[:, :3] + np.asarray(self.centre_mm)
        rotation = turns[:, 0].astype(np.float32)
        p = self.points_mm.astype(np.float32)
        moved = np.stack(
            [
                rotation[:, k, 0, None] * p[0]
                + rotation[:, k, 1, None] * p[1]
                + rotation[:, k, 2, None] * p[2]
                + shift[:, k, None].astype(np.float32)
                for k in range(3)
            ]
        )
        return moved, turns

    def gradient(self, slopes: Float[np.ndarray, "3 start point"], turns: Float[np.ndarray, "start 4 3 3"]) -> Six:
        """Derivatives of a sum over the points by the parameters, from those by the places of the points."""
        by_shift = slopes.sum(-1, dtype=np.float64).T
        p = self.points_mm
        moments = np.stack([(slopes * p[k].astype(np.float32)).sum(-1, dtype=np.float64) for k in range(3)], axis=-1)
        by_angle = np.einsum("skab,asb->sk", turns[:, 1:], moments)
        return np.concatenate([by_shift, by_angle], axis=1)


def rotations(angles: Float[np.ndarray, "start 3"]) -> Float[np.ndarray, "start 4 3 3"]:
    """``Rz @ Ry @ Rx`` for angles in radians, and its derivatives by each of them."""
    c, s = np.cos(angles), np.sin(angles)
    n = len(angles)
    factors = np.zeros((3, 2, n, 3, 3))
    for axis, (a, b) in enumerate(((1, 2), (2, 0), (0, 1))):
        matrix, slope = factors[axis]
        matrix[:, axis, axis] = 1.0
        matrix[:, a, a] = matrix[:, b, b] = c[:, axis]
        matrix[:, b, a], matrix[:, a, b] = s[:, axis], -s[:, axis]
        slope[:, a, a] = slope[:, b, b] = -s[:, axis]
        slope[:, b, a], slope[:, a, b] = c[:, axis], -c[:, axis]
    x, y, z = factors
    return np.asarray(
        np.stack([z[0] @ y[0] @ x[0], z[0] @ y[0] @ x[1], z[0] @ y[1] @ x[0], z[1] @ y[0] @ x[0]], axis=1)
    )


def to_six(poses: list[RigidTransform], centre_mm: Triple) -> Six:
    """Parameters of poses: mm, and angles as arcs in mm."""
    rows = [np.concatenate(pose.six(centre_mm)) for pose in poses]
    return np.asarray(np.array(rows) * np.array([1.0] * 3 + [LEVER_MM * np.pi / 180.0] * 3))


def to_pose(six: Float[np.ndarray, " 6"], centre_mm: Triple) -> RigidTransform:
    """The inverse of `to_six` for one pose."""
    return RigidTransform.from_six(six[:3], six[3:] / LEVER_MM * 180.0 / np.pi, centre_mm)


def minimise(
    cost: Cost,
    start: Six,
    *,
    # a third of a pixel, about a pixel, and far below any error; chosen
    first_mm: float = 2.0,
    longest_mm: float = 8.0,
    tolerance_mm: float = 0.01,
    iterations: int = 60,
    free: Bool[np.ndarray, " 6"] | None = None,
) -> tuple[Six, Float[np.ndarray, " start"], int]:
    """Local minima of a cost from several starts.

    BFGS with backtracking (Nocedal and Wright, Numerical Optimization, chapters 3 and 6). Every evaluation takes all
    starts that have not ended yet, so that their sums share one pass.

    Args:
        cost: values and gradients for parameters in mm.
        start: one row each.
        first_mm, longest_mm: length of the first step, and of the longest one.
        tolerance_mm: a start has ended when its next step is shorter.
        iterations: largest number of evaluations for each start.
        free: parameters that may change; all if left out.

    Returns:
        Parameters, their costs, and how many evaluations of one start were made in all.
    """
    mask = np.ones(6) if free is None else free.astype(np.float64)
    x = start.copy()
    f, g = cost(x)
    g = g * mask
    n = len(x)
    length = np.linalg.norm(g, axis=1)
    inverse = np.eye(6) * (first_mm / np.maximum(length, 1e-12))[:, None, None]
    fresh = np.ones(n, bool)
    share, active, evaluations = np.ones(n), length > 0, n
    step = _step(inverse, g, longest_mm)
    for _ in range(iterations):
        rows = np.flatnonzero(active)
        if not rows.size:
            break
        move = share[rows, None] * step[rows]
        value, slope = cost(x[rows] + move)
        slope = slope * mask
        evaluations += rows.size
        for k, row in enumerate(rows):
            downhill = float(g[row] @ move[k])
            # sufficient decrease with the usual constant of 1e-4, and interpolation kept to 0.1 to 0.5 of the step
            if value[k] <= f[row] + 1e-4 * downhill:
                change = slope[k] - g[row]
                inverse[row], fresh[row] = _updated(inverse[row], move[k], change, bool(fresh[row]))
                x[row] += move[k]
                f[row], g[row], share[row] = value[k], slope[k], 1.0
                step[row] = _step(inverse[row][None], g[row][None], longest_mm)[0]
                active[row] = np.linalg.norm(step[row]) > tolerance_mm
            else:
                bend = value[k] - f[row] - downhill
                share[row] *= float(np.clip(-0.5 * downhill / bend, 0.1, 0.5)) if bend > 0 else 0.5
                active[row] = share[row] * np.linalg.norm(step[row]) > tolerance_mm
    return x, f, evaluations


def _step(inverse: Float[np.ndarray, "start 6 6"], g: Six, longest_mm: float) -> Six:
    step = -np.einsum("sij,sj->si", inverse, g)
    length = np.linalg.norm(step, axis=1, keepdims=True)
    return np.asarray(step * np.minimum(1.0, longest_mm / np.maximum(length, 1e-12)))


def _updated(
    inverse: Float[np.ndarray, "6 6"], move: Float[np.ndarray, " 6"], change: Float[np.ndarray, " 6"], fresh: bool
) -> tuple[Float[np.ndarray, "6 6"], bool]:
    curvature = float(move @ change)
    # no positive curvature beyond rounding: the update would not stay positive definite
    if curvature <= 1e-10 * float(np.linalg.norm(move) * np.linalg.norm(change)):
        return inverse, fresh
    if fresh:  # the size of the first inverse Hessian, before its first update
        inverse = np.eye(6) * curvature / float(change @ change)
    projector = np.eye(6) - np.outer(move, change) / curvature
    return projector @ inverse @ projector.T + np.outer(move, move) / curvature, False
