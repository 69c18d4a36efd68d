"""Batches of motions against the one rigid transform."""

from __future__ import annotations

import numpy as np
import torch

from mureg.geometry import RigidTransform
from mureg.registration.networks import UNIT_MM
from mureg.training.pose import apply, displacement_mm, inverse, matrices, rigid_parameters

SIX = torch.from_numpy(np.random.default_rng(1).uniform(-9.0, 9.0, (5, 6)) * (1, 1, 1, 5, 5, 5))
RIGID = [RigidTransform.from_six(UNIT_MM * six[:3], six[3:], (0, 0, 0)) for six in SIX.numpy()]


def test_rigid_parameters_make_the_same_matrix_as_the_rigid_transform() -> None:
    for found, expected in zip(matrices(SIX).numpy(), RIGID, strict=True):
        np.testing.assert_allclose(found, expected.matrix, atol=1e-12)


def test_they_come_back_from_it() -> None:
    torch.testing.assert_close(rigid_parameters(matrices(SIX)), SIX)


def test_points_and_the_way_back() -> None:
    points = torch.from_numpy(np.random.default_rng(2).normal(0, 50, (5, 7, 3)))
    moved = apply(matrices(SIX), points)
    for k, rigid in enumerate(RIGID):
        np.testing.assert_allclose(moved[k], rigid.apply(points[k].numpy()), atol=1e-10)
    torch.testing.assert_close(apply(inverse(matrices(SIX)), moved), points)
    mirror = torch.diag(torch.tensor((-1.0, 1, 1, 1), dtype=torch.float64)).expand(5, 4, 4)
    mirrored = mirror @ matrices(SIX)
    torch.testing.assert_close(inverse(mirrored) @ mirrored, torch.eye(4, dtype=torch.float64).expand(5, 4, 4))


def test_a_shift_displaces_every_point_by_its_length() -> None:
    shift = torch.tensor([[3.0, 0.0, 4.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    points = torch.randn(1, 9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = displacement_mm(matrices(shift), matrices(torch.zeros_like(shift)), points)
    torch.testing.assert_close(found, torch.tensor([5.0 * UNIT_MM], dtype=torch.float64))


def test_the_gradient_is_that_of_finite_differences() -> None:
    six = SIX[:2].clone().requires_grad_()
    points = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 30
    assert torch.autograd.gradcheck(lambda s: displacement_mm(matrices(s), matrices(SIX[1:3]), points), six)
