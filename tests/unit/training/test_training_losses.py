"""What the losses say of errors that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mureg.registration.networks import UNIT_MM
from mureg.training.batches import Batch
from mureg.training.losses import LOSSES, Displacement, RigidParameters
from mureg.training.pose import matrices

TRUE = torch.tensor([[1.0, -2.0, 3.0, 4.0, 5.0, -6.0], [0.5, 0.0, 1.0, 0.0, 10.0, 20.0]], dtype=torch.float64)
CHANCE = torch.Generator().manual_seed(3)
BATCH = Batch(
    torch.ones(2, 1, 4, 4, 4),
    torch.ones(2, 1, 4, 4, 4),
    matrices(TRUE),
    30 * torch.randn(2, 64, 3, dtype=torch.float64, generator=CHANCE),
    90 + 30 * torch.randn(2, 32, 3, dtype=torch.float64, generator=CHANCE),
)


@pytest.mark.parametrize("kind", sorted(LOSSES))
def test_nothing_is_lost_on_the_truth_and_something_on_anything_else(kind) -> None:
    loss = LOSSES[kind]()
    assert loss.kind == kind
    assert loss.of(TRUE, BATCH).abs().max() < 1e-6
    assert (loss.of(TRUE + 0.1, BATCH) > 1e-2).all()


def test_the_papers_loss_adds_voxels_and_degrees() -> None:
    off = torch.tensor([[0.6, 0, 0, 0, 0, -6.0], [0, 0, 0, 3.0, 0, 0]], dtype=torch.float64)
    np.testing.assert_allclose(RigidParameters().of(TRUE + off, BATCH), (1.1, 0.5))


def test_a_shift_loses_its_length_in_mm_at_heart_and_liver() -> None:
    off = torch.tensor([[0, 0, 2.0, 0, 0, 0]], dtype=torch.float64)
    np.testing.assert_allclose(Displacement(liver=0.7).of(TRUE + off, BATCH), 2.0 * UNIT_MM)


def test_a_rotation_loses_more_the_farther_the_organ_is() -> None:
    off = torch.tensor([[0, 0, 0, 0, 0, 5.0]], dtype=torch.float64)
    alone, with_liver = (Displacement(liver=weight).of(TRUE + off, BATCH) for weight in (0.0, 1.0))
    assert (with_liver > 1.3 * alone).all()


def test_the_weight_of_the_liver_is_a_weight() -> None:
    off = torch.tensor([[0.3, 0, 0, 0, 0, 5.0]], dtype=torch.float64)
    heart, even, heavy = (Displacement(liver=weight).of(TRUE + off, BATCH) for weight in (0.0, 1.0, 1e9))
    torch.testing.assert_close(even, (heart + heavy) / 2)
