"""From prepared cases to what a network sees: motion and changes drawn case by case, applied to a batch at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.simulate.misalignment import CLINICAL
from mureg.training.augment import Augmentation, Change, faded, recoloured
from mureg.training.examples import Examples
from mureg.training.motion import AnyMotion, Redrawn
from mureg.training.pose import apply, inverse

_ORDER = 2**32 - 1  # the largest of 32 bits, which no case has: the order of an epoch has a chance of its own


@dataclass(frozen=True, eq=False)
class Batch:
    """Some cases as a network sees them; positions in mm from the centre of the grid.

    Attributes:
        spect: divided by its mean.
        mu: in 1/cm, at the scanner position.
        ct_from_spect: the true motion, float64.
        heart_mm: points of the heart in SPECT space.
        liver_mm: points of the liver in SPECT space.
    """

    spect: Float[Tensor, "case 1 x y z"]
    mu: Float[Tensor, "case 1 x y z"]
    ct_from_spect: Float[Tensor, "case 4 4"]
    heart_mm: Float[Tensor, "case point 3"]
    liver_mm: Float[Tensor, "case spot 3"]

    def __len__(self) -> int:
        return len(self.spect)


def order_of(n: int, seed: int, epoch: int) -> list[int]:
    """In which order an epoch sees `n` cases: each once."""
    chance = np.random.default_rng([seed, epoch, _ORDER])
    return [int(index) for index in chance.permutation(n)]


def batches(
    examples: Examples,
    groups: Sequence[Sequence[int]],
    motion: AnyMotion,
    augmentation: Augmentation,
    seed: int,
    epoch: int,
) -> Iterator[Batch]:
    """One batch for each group of cases.

    All chance comes from the seed, the epoch and the number of the case: neither what else is in a batch nor how many
    processes share the work changes what is drawn for a case.
    """
    for group in groups:
        draws = [np.random.default_rng([seed, epoch, index]) for index in group]
        yield batch_of(examples, group, motion, augmentation, draws)


def as_they_are(examples: Examples, group: Sequence[int], seed: int) -> Batch:
    """Cases for validation: never changed, and each with its own motion.

    A pair that is aligned (`Examples.aligned`) has none to be found; it gets one from the clinical range, always the
    same for a seed and the number of the case.
    """
    draws = [np.random.default_rng([seed, _ORDER, index]) for index in group]
    return batch_of(examples, group, Redrawn(CLINICAL), Augmentation(), draws, only_aligned=True)


def batch_of(
    examples: Examples,
    group: Sequence[int],
    motion: AnyMotion,
    augmentation: Augmentation,
    draws: Sequence[np.random.Generator],
    *,
    only_aligned: bool = False,
) -> Batch:
    """Draw for each case of a group, then move, mirror and recolour them.

    Args:
        examples: prepared cases.
        group: numbers of the cases.
        motion, augmentation: what is drawn.
        draws: one generator for each case.
        only_aligned: give a new motion to aligned pairs alone.
    """
    index = torch.as_tensor(list(group), dtype=torch.long)
    own, heart, liver = examples.ct_from_spect[index], examples.heart_mm[index], examples.liver_mm[index]
    identity = torch.eye(4, dtype=torch.float64)
    old_from_new, changes = [], list[Change]()
    for k, (number, chance) in enumerate(zip(group, draws, strict=True)):
        stays = only_aligned and not bool(examples.aligned[number])
        new_motion = None if stays else motion.new_from(own[k], heart[k], examples.half_field_mm, chance)
        old_from_new.append(identity if new_motion is None else new_motion)
        changes.append(augmentation.draw(chance))
    spect_moved, together = torch.stack(old_from_new), torch.stack([change.together for change in changes])
    on_device = index.to(examples.spect.device)
    spect, mu = examples.spect[on_device], examples.mu[on_device]
    if motion.kind == Redrawn.kind or augmentation.moves:
        spect = seen_through(spect, spect_moved @ together, examples.spacing_mm)
        spect = spect / spect.mean((1, 2, 3), keepdim=True).clamp_min(1e-12)
    if augmentation.moves:
        mu = seen_through(mu, together, examples.spacing_mm)
    spect = torch.stack([recoloured(image, change) for image, change in zip(spect, changes, strict=True)])
    if augmentation.mu_fade:
        mu = torch.stack([faded(image, change.mu_fade) for image, change in zip(mu, changes, strict=True)])
    scales = torch.tensor([change.mu_scale for change in changes], device=mu.device, dtype=mu.dtype)
    back = inverse(spect_moved @ together)
    batch = Batch(
        spect[:, None],
        (mu * scales[:, None, None, None])[:, None],
        inverse(together) @ own @ spect_moved @ together,
        apply(back, heart),
        apply(back, liver),
    )
    device = spect.device
    return replace(
        batch,
        ct_from_spect=batch.ct_from_spect.to(device),
        heart_mm=batch.heart_mm.to(device),
        liver_mm=batch.liver_mm.to(device),
    )


def seen_through(
    images: Float[Tensor, "case x y z"], old_from_new: Float[Tensor, "case 4 4"], spacing_mm: float
) -> Float[Tensor, "case x y z"]:
    """Images whose value at a point is that of the old ones at ``old_from_new @ point``, one trilinear interpolation.

    Args:
        images: on a lattice centred on the origin.
        old_from_new: in mm.
        spacing_mm: of the lattice.

    Returns:
        The images; what would lie beyond the lattice repeats its edge, so that no black wedge tells of the motion.
        Images that are not moved come back as they are.
    """
    moved = [k for k, matrix in enumerate(old_from_new) if not torch.equal(matrix, torch.eye(4, dtype=matrix.dtype))]
    if not moved:
        return images
    half = torch.tensor([*(n * spacing_mm / 2 for n in images.shape[1:]), 1.0], dtype=old_from_new.dtype)
    normalised = old_from_new[moved] * half / half[:, None]
    # grid_sample counts the axes from the last one
    theta = normalised[:, :3].clone()
    theta[:, :, :3] = normalised[:, :3, :3].flip(1, 2)
    theta[:, :, 3] = normalised[:, :3, 3].flip(1)
    theta = theta.to(device=images.device, dtype=images.dtype)
    size = [len(moved), 1, *images.shape[1:]]
    places = torch.nn.functional.affine_grid(theta, size, align_corners=False)
    sampled = torch.nn.functional.grid_sample(
        images[moved][:, None], places, mode="bilinear", padding_mode="border", align_corners=False
    )
    result = images.clone()
    result[moved] = sampled[:, 0]
    return result
