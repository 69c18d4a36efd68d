"""How well a network does on patients that it is not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mureg.assessment.thresholds import Thresholds
from mureg.errors import UsageError
from mureg.registration.card import UNIT_MM
from mureg.training.batches import Batch, as_they_are
from mureg.training.examples import Examples
from mureg.training.losses import Loss
from mureg.training.motion import AsInTheCase
from mureg.training.parallel import Team
from mureg.training.pose import displacement_mm, matrices, rigid_parameters
from mureg.training.settings import TrainingSettings

PIXEL_MM = Thresholds().action_limit_mm
"""One pixel (6.8 mm): a heart that lies farther off calls for action."""

_AT_ONCE = 8
"""Cases predicted together: twice the paper's batch, since no gradient is kept. Chosen; no figure depends on it."""


@dataclass(frozen=True)
class Figures:
    """Errors over a set of cases.

    Attributes:
        loss: mean over the cases.
        heart_mm, heart_median_mm: target registration error over the heart.
        share_above_pixel: share of cases in which it exceeds 6.8 mm.
        shift_mm, angle_deg: mean absolute error of a component, over cases and axes (the paper's eqs 12 and 13).
    """

    loss: float
    heart_mm: float
    heart_median_mm: float
    share_above_pixel: float
    shift_mm: float
    angle_deg: float


def validate(
    module: nn.Module | None,
    examples: Examples,
    loss: Loss,
    seed: int,
    team: Team,
    *,
    bf16: bool = False,
    ablated: bool = False,
) -> Figures:
    """Errors of a network over every case once, the processes taking turns; of the scanner position for None."""
    rows = torch.zeros(len(examples), 4, dtype=torch.float64, device=team.device)
    own = list(range(len(examples)))[team.rank :: team.size]
    if module is not None:
        module.eval()
    for start in range(0, len(own), _AT_ONCE):
        numbers = own[start : start + _AT_ONCE]
        batch = as_they_are(examples, numbers, seed)
        with torch.inference_mode():
            six = batch.spect.new_zeros(len(batch), 6) if module is None else predicted(module, batch, bf16, ablated)
            rows[numbers] = _errors(six.double(), batch, loss)
    losses, heart, shift, angle = team.total(rows).cpu().unbind(1)
    return Figures(
        float(losses.mean()),
        float(heart.mean()),
        float(heart.quantile(0.5)),
        float((heart > PIXEL_MM).double().mean()),
        float(shift.mean()),
        float(angle.mean()),
    )


def predicted(module: nn.Module, batch: Batch, bf16: bool, ablated: bool = False) -> Float[Tensor, "case 6"]:
    """What a network says of a batch, or of its maps alone, in float32 whatever it computes in."""
    spect = torch.ones_like(batch.spect) if ablated else batch.spect
    with torch.autocast(batch.spect.device.type, torch.bfloat16, enabled=bf16):
        six: Tensor = module(spect, batch.mu)
    return six if six.dtype is torch.float64 else six.float()


def _errors(six: Float[Tensor, "case 6"], batch: Batch, loss: Loss) -> Float[Tensor, "case 4"]:
    apart = (six - rigid_parameters(batch.ct_from_spect)).abs()
    heart = displacement_mm(matrices(six), batch.ct_from_spect, batch.heart_mm)
    return torch.stack((loss.of(six, batch), heart, UNIT_MM * apart[:, :3].mean(1), apart[:, 3:].mean(1)), dim=1)


def refuse_unfit(settings: TrainingSettings, train_set: Examples, validation_set: Examples) -> None:
    """Refuse sets of cases that nothing can be learned or judged from.

    Raises:
        UsageError: a patient in both sets, or no motion to learn.
    """
    patients = set(train_set.patients) & set(validation_set.patients)
    if patients:
        raise UsageError(
            f"{len(patients)} patients are in the sets for training and validation, such as {min(patients)}",
            "no patient in both",
            "divide the cases by patient",
        )
    if isinstance(settings.motion, AsInTheCase) and bool(train_set.aligned.all()):
        raise UsageError(
            "pairs without a transform and motion as in the case",
            "some motion to learn",
            'set kind = "redrawn" under [motion], or give transforms',
        )
