"""What is done to images is done to the truth as well: moved, mirrored, recoloured pairs are still pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mureg.geometry import Quantity, RigidTransform, Volume
from mureg.simulate.misalignment import MotionRange
from mureg.training.augment import Augmentation, faded
from mureg.training.batches import as_they_are, batch_of, batches, order_of, seen_through
from mureg.training.examples import Examples, prepared_pair
from mureg.training.motion import AsInTheCase, Redrawn
from mureg.training.pose import apply, matrices, rigid_parameters
from support.phantoms import blobs
from support.toy_pairs import GRID, drawn_motion, toy_examples, toy_pair

SMALL = Redrawn(MotionRange((12.0, 12.0, 12.0), (10.0, 10.0, 10.0)))


@pytest.fixture(scope="module")
def toys() -> Examples:
    return toy_examples(4)


def draws(n: int, seed: int = 5) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, k]) for k in range(n)]


def object_at(points_mm: torch.Tensor) -> torch.Tensor:
    """The toys' object, from the middle of the grid, as a function of space."""
    return torch.from_numpy(blobs(points_mm.numpy(), 14.0))


def lattice_mm() -> torch.Tensor:
    index = np.moveaxis(np.indices(GRID.shape), 0, -1)
    return torch.from_numpy((index - (np.asarray(GRID.shape) - 1) / 2) * GRID.spacing_mm).reshape(1, -1, 3)


def true_pair(batch, k: int, spect_from_object: torch.Tensor) -> float:
    """How well the map at T p shows the object that the SPECT shows at p: 1 where the truth is true.

    Correlation over the lattice of the map in a batch with the object put, in closed form, where the SPECT's own
    placement and the batch's ``ct_from_spect`` say.
    """
    from_map = torch.linalg.inv(batch.ct_from_spect[k] @ spect_from_object)[None]
    expected = object_at(apply(from_map, lattice_mm())[0])
    return float(np.corrcoef(expected, batch.mu[k, 0].double().flatten())[0, 1])


def placed(batch, k: int, spect_from_object: torch.Tensor) -> float:
    """The same for the SPECT alone."""
    expected = object_at(apply(torch.linalg.inv(spect_from_object)[None], lattice_mm())[0])
    return float(np.corrcoef(expected, batch.spect[k, 0].double().flatten())[0, 1])


def test_without_motion_and_changes_a_batch_is_what_was_prepared(toys) -> None:
    batch = batch_of(toys, [2, 0], AsInTheCase(), Augmentation(), draws(2))
    assert torch.equal(batch.spect[:, 0], toys.spect[[2, 0]])
    assert torch.equal(batch.mu[:, 0], toys.mu[[2, 0]])
    torch.testing.assert_close(batch.ct_from_spect, toys.ct_from_spect[[2, 0]])
    torch.testing.assert_close(batch.heart_mm, toys.heart_mm[[2, 0]])


def test_images_seen_through_a_motion_are_those_that_the_volume_resamples(toys) -> None:
    grid = GRID.grid(toy_pair(RigidTransform.identity()).spect.grid)
    through = RigidTransform.from_six((4.0, -7.0, 3.0), (10.0, -5.0, 20.0), grid.centre_mm)
    about_origin = RigidTransform.from_six((4.0, -7.0, 3.0), (10.0, -5.0, 20.0), (0, 0, 0))
    volume = Volume(toys.spect[1].numpy(), grid, Quantity.ACTIVITY).resampled(grid, through)
    found = seen_through(toys.spect[1:2], torch.tensor(about_origin.matrix)[None], GRID.spacing_mm)[0]
    inside = ~volume.outside
    np.testing.assert_allclose(found.numpy()[inside], volume.values[inside], atol=1e-4, rtol=1e-4)
    assert float(found.numpy()[~inside].min()) >= 0.0, "beyond the field the edge is repeated"


def test_a_redrawn_motion_moves_the_spect_and_never_the_map(toys) -> None:
    batch = batch_of(toys, range(4), SMALL, Augmentation(), draws(4))
    assert torch.equal(batch.mu[:, 0], toys.mu)
    assert not torch.allclose(batch.ct_from_spect, toys.ct_from_spect)
    assert (rigid_parameters(batch.ct_from_spect)[:, :3].abs() * 6.8 < 12.0).all(), "the new motion is in the range"
    for k in range(4):
        spect_from_object = torch.linalg.inv(batch.ct_from_spect[k]) @ toys.ct_from_spect[k]
        assert placed(batch, k, spect_from_object) > 0.98
        assert true_pair(batch, k, spect_from_object) > 0.98
        assert true_pair(batch, k, torch.eye(4, dtype=torch.float64)) < 0.97, "the test can tell"


def test_the_hearts_points_go_with_the_spect(toys) -> None:
    batch = batch_of(toys, range(4), SMALL, Augmentation(), draws(4))
    in_ct = apply(batch.ct_from_spect, batch.heart_mm)
    torch.testing.assert_close(in_ct, apply(toys.ct_from_spect, toys.heart_mm)), "the CT's heart stays where it is"


def test_no_redrawn_motion_carries_the_heart_out_of_the_field(toys) -> None:
    far = Redrawn(MotionRange((80.0, 80.0, 80.0), (30.0, 30.0, 30.0)))
    for seed in range(10):
        batch = batch_of(toys, range(4), far, Augmentation(), draws(4, seed))
        assert batch.heart_mm.abs().max() < 60.0


@pytest.mark.parametrize("augmentation", [Augmentation(shift_mm=(15.0, 15.0, 15.0)), Augmentation(flip=True)])
@pytest.mark.parametrize("motion", [AsInTheCase(), SMALL])
def test_both_images_moved_or_mirrored_together_are_still_a_true_pair(toys, augmentation, motion) -> None:
    """The rigid parameters that go with a mirrored pair are those of the mirrored pair."""
    chances, changed = draws(4, 11), 0
    batch = batch_of(toys, range(4), motion, augmentation, chances)
    for k, chance in enumerate(draws(4, 11)):
        drawn = motion.new_from(toys.ct_from_spect[k], toys.heart_mm[k], toys.half_field_mm, chance)
        old_from_new = torch.eye(4, dtype=torch.float64) if drawn is None else drawn
        together = augmentation.draw(chance).together
        spect_from_object = torch.linalg.inv(old_from_new @ together)
        changed += not torch.equal(together, torch.eye(4, dtype=torch.float64))
        assert placed(batch, k, spect_from_object) > 0.97
        assert true_pair(batch, k, spect_from_object) > 0.97
        heart = apply(torch.linalg.inv(spect_from_object)[None], batch.heart_mm[k : k + 1])
        torch.testing.assert_close(heart[0], toys.heart_mm[k]), "points and image went together"
        torch.testing.assert_close(
            matrices(rigid_parameters(batch.ct_from_spect[k : k + 1]))[0], batch.ct_from_spect[k]
        )
    assert changed


def test_mirroring_turns_the_signs_of_one_shift_and_two_angles() -> None:
    pair = prepared_pair(toy_pair(drawn_motion(3)), GRID)
    toy = toy_examples(1, 3)
    mirrored = Augmentation(flip=True)
    tried = (batch_of(toy, [0], AsInTheCase(), mirrored, draws(1, seed)) for seed in range(20))
    batch = next(one for one in tried if not torch.equal(one.mu[0, 0], pair["mu"]))
    before, after = rigid_parameters(toy.ct_from_spect), rigid_parameters(batch.ct_from_spect)
    torch.testing.assert_close(after, before * torch.tensor([-1.0, 1, 1, 1, -1, -1], dtype=torch.float64))
    torch.testing.assert_close(batch.mu[0, 0], pair["mu"].flip(0), atol=1e-6, rtol=1e-4)


def test_colour_changes_leave_the_truth_alone(toys) -> None:
    changes = Augmentation(gain=0.2, gamma=0.3, noise=0.1, mu_scale=0.1)
    batch = batch_of(toys, range(4), AsInTheCase(), changes, draws(4))
    torch.testing.assert_close(batch.ct_from_spect, toys.ct_from_spect)
    scale = batch.mu[:, 0].sum((1, 2, 3)) / toys.mu.sum((1, 2, 3))
    assert ((scale - 1).abs() < 0.1).all()
    assert len(set(scale.tolist())) == 4
    assert (batch.spect >= 0).all()
    assert ((batch.spect.mean((1, 2, 3, 4)) - 1).abs() < 0.25).all()


def test_the_noise_grows_with_the_root_of_the_value() -> None:
    toy = toy_examples(1)
    flat = replace(toy, spect=torch.full((1, 40, 40, 40), 4.0), mu=torch.zeros(1, 40, 40, 40))
    noisy = batch_of(flat, [0], AsInTheCase(), Augmentation(noise=0.1), draws(1)).spect
    assert float(noisy.std()) == pytest.approx(0.1 * 2.0, rel=0.02)
    assert float(noisy.mean()) == pytest.approx(4.0, rel=0.01)


def test_what_is_drawn_for_a_case_depends_on_seed_epoch_and_case_alone(toys) -> None:
    def seen(groups, seed=1, epoch=3):
        found = batches(toys, groups, SMALL, Augmentation(noise=0.1, shift_mm=(5.0, 5.0, 5.0)), seed, epoch)
        return torch.cat([batch.spect for batch in found])

    assert torch.equal(seen([[0, 1, 2, 3]]), seen([[0], [1, 2], [3]]))
    assert torch.equal(seen([[2, 1]]), seen([[0, 1, 2]])[[2, 1]])
    assert not torch.equal(seen([[0]]), seen([[0]], epoch=4))
    assert not torch.equal(seen([[0]]), seen([[0]], seed=2))


def test_an_epoch_sees_each_case_once_in_an_order_of_its_own() -> None:
    assert sorted(order_of(50, 1, 1)) == list(range(50))
    assert order_of(50, 1, 1) == order_of(50, 1, 1)
    assert order_of(50, 1, 1) != order_of(50, 1, 2)
    assert order_of(50, 1, 1) != order_of(50, 2, 1)


def test_validation_gives_a_motion_to_aligned_pairs_alone_and_always_the_same() -> None:
    moved, aligned = toy_examples(3), toy_examples(3, aligned=True)
    torch.testing.assert_close(as_they_are(moved, [0, 1, 2], 1).ct_from_spect, moved.ct_from_spect)
    batch = as_they_are(aligned, [0, 1, 2], 1)
    assert (rigid_parameters(batch.ct_from_spect).abs().sum(1) > 0.1).all()
    assert torch.equal(batch.spect[1:], as_they_are(aligned, [1, 2], 1).spect)
    for k in range(3):
        assert true_pair(batch, k, torch.linalg.inv(batch.ct_from_spect[k])) > 0.97


def test_fat_fades_into_soft_tissue_and_nothing_else_changes() -> None:
    mu = torch.tensor([0.03, 0.137, 0.157, 0.25]).reshape(4, 1, 1)
    half = faded(mu, 0.5).flatten()
    torch.testing.assert_close(half, torch.tensor([0.03, 0.147, 0.157, 0.25]))
    assert faded(mu, 0.0) is mu
    drawn = {Augmentation(mu_fade=1.0).draw(np.random.default_rng(k)).mu_fade for k in range(4)}
    assert len(drawn) == 4
    assert all(0.0 <= share <= 1.0 for share in drawn)
