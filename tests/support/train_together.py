"""One of two processes that train together: ``python -m support.train_together FOLDER``, RANK and WORLD_SIZE set."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from mureg.registration.networks import NETWORKS, initialised
from mureg.training.augment import Augmentation
from mureg.training.batches import batches, order_of
from mureg.training.loop import train
from mureg.training.losses import Displacement
from mureg.training.motion import Redrawn
from mureg.training.parallel import Team, joined
from support.tiny_network import ALL, Tiny
from support.toy_pairs import toy_examples, toy_settings

N, BATCH = 9, 2  # of two processes the last step has one case, for one of them


def gradients(team: Team, batch: int) -> dict[str, torch.Tensor]:
    """The gradient of every step of an epoch, in double precision, and what each process saw."""
    toys = toy_examples(N)
    module = initialised(Tiny(), 5).double()
    network = team.wrapped(module)
    shares = team.shares(order_of(N, 1, 1), batch)
    stream = batches(
        toys, [s.cases for s in shares], Redrawn(range="clinical"), Augmentation(shift_mm=(5.0, 5.0, 5.0)), 1, 1
    )
    found, seen = {}, torch.zeros(N)
    for step, (share, one) in enumerate(zip(shares, stream, strict=True)):
        network.zero_grad(set_to_none=True)
        six = network(one.spect.double(), one.mu.double())
        (Displacement().of(six, one).sum() * team.weight(share)).backward()
        found |= {f"{step}/{name}": p.grad.clone() for name, p in module.named_parameters()}
        if share.counts:
            seen[list(share.cases)] += 1
    return found | {"seen": team.total(seen)}


class NormedTwice(nn.Module):
    """Running statistics that differ from process to process."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(1)
        self.norm.running_mean += value


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    NETWORKS.update(ALL)
    with joined("cpu") as team:
        found = gradients(team, BATCH)
        normed = NormedTwice(float(team.rank))
        team.averaged_buffers(normed)
        trained = train(
            toy_settings(epochs=2, batch=BATCH), toy_examples(N), toy_examples(3, 50), folder / "run", team=team
        )
        told = {
            "rank": team.rank,
            "size": team.size,
            "mean": float(normed.norm.running_mean),
            "any": team.any(team.rank == 1),
            "loss": [row.loss for row in trained.rows],
            "heart_mm": [row.heart_mm for row in trained.rows],
        }
    save_file(found, folder / f"gradients-{told['rank']}.safetensors")
    (folder / f"told-{told['rank']}.json").write_text(json.dumps(told))
