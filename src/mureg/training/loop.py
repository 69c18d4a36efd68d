"""Training, read from top to bottom: every epoch each case once, in an order and with draws that its number decides."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from mureg import __version__
from mureg.errors import RefusedError
from mureg.registration.card import Card
from mureg.registration.card_parts import MotionSize
from mureg.registration.networks import initialised
from mureg.training.batches import Batch, batches, order_of
from mureg.training.checkpoints import STATE, Progress, load_state, save_state
from mureg.training.examples import Examples
from mureg.training.folder import BEST, FOLDER, LAST, begin
from mureg.training.logs import EpochRow, read_log, write_log
from mureg.training.motion_size import motion_size
from mureg.training.parallel import Team
from mureg.training.progress import Pace, Report, Silent, epoch_line
from mureg.training.settings import TrainingSettings, as_table
from mureg.training.validation import Figures, predicted, refuse_unfit, validate
from mureg.training.weights import require_exportable, save_network


@dataclass(frozen=True)
class Trained:
    """What a run came to.

    Attributes:
        folder: of the run; ``best.onnx`` is the network to use.
        progress: epochs, samples, seconds in all sittings, the best epoch and its error over the heart in mm.
        unregistered: figures on the validation set without any registration.
        finished: whether it went as far as the settings ask; otherwise the time given was over.
        rows: of the log.
        n_patients: that were trained on.
    """

    folder: Path
    progress: Progress
    unregistered: Figures
    finished: bool
    rows: tuple[EpochRow, ...]
    n_patients: int = 0


def train(
    settings: TrainingSettings,
    train_set: Examples,
    validation_set: Examples,
    folder: Path,
    *,
    team: Team = Team(),  # noqa: B008 (frozen)
    weights: Mapping[str, Tensor] | None = None,
    minutes: float = math.inf,
    report: Report | None = None,
) -> Trained:
    """Train a network, or go on with a run that was stopped, to the same result as if it had not been.

    Args:
        settings: of the run.
        train_set, validation_set: prepared cases; no patient in both.
        folder: of the run.
        team: the processes that share the work; each gives the same arguments.
        weights: to begin from; random ones, drawn from the seed, when left out.
        minutes: after the first epoch, begin no other that would exceed them; the next call goes on.
        report: receives the progress, from the leading process.

    Raises:
        UsageError: the folder holds another run or is in use; a patient in both sets; nothing to learn; a network
            that cannot be exported as ONNX.
        RefusedError: the loss is no longer a number.
    """
    refuse_unfit(settings, train_set, validation_set)
    require_exportable(settings.network, as_table(settings)["network"], settings.grid.shape)
    report = report if report is not None and team.leads else Silent()
    if not team.leads:
        return _run(settings, train_set, validation_set, folder, team, weights, minutes, report)
    with FOLDER.claimed(folder):
        return _run(settings, train_set, validation_set, folder, team, weights, minutes, report)


def _run(
    settings: TrainingSettings,
    train_set: Examples,
    validation_set: Examples,
    folder: Path,
    team: Team,
    weights: Mapping[str, Tensor] | None,
    minutes: float,
    report: Report,
) -> Trained:
    if team.leads:
        begin(settings, train_set, validation_set, folder)
    team.wait()
    motion = motion_size(train_set, settings.motion, settings.seed)
    train_set, validation_set = train_set.to(team.device), validation_set.to(team.device)
    run = _Run(settings, folder, team, *_network(settings, weights, team.device), motion)
    progress = run.resumed()
    rows = read_log(folder, progress.epoch) if progress.epoch else []
    unregistered = validate(None, validation_set, settings.loss, settings.seed, team)
    n_samples, n_patients = settings.samples_of(len(train_set)), len(set(train_set.patients))
    report.say(
        f"training on {len(train_set)} cases of {n_patients} patients, validating on "
        f"{len(validation_set)} of {len(set(validation_set.patients))}; the error at the scanner position is "
        f"{unregistered.heart_mm:.1f} mm at the heart"
    )
    if progress.epoch:
        report.say(f"going on after epoch {progress.epoch}, {progress.samples} of {n_samples} cases seen")
    began, longest = time.perf_counter(), 0.0
    over = False
    while progress.samples < n_samples and not over:
        start = time.perf_counter()
        progress, row = run.epoch(train_set, validation_set, progress, n_samples, report)
        longest = max(longest, time.perf_counter() - start)
        rows.append(row)
        if team.leads:
            write_log(rows, folder)
            save_state(folder, run.module, run.optimiser, progress)
        report.say(epoch_line(row, unregistered))
        over = team.any(time.perf_counter() - began + longest > 60.0 * minutes)
    if team.leads:
        save_network(folder / LAST, run.module, run.card(train_set, progress, None))
    team.wait()
    return Trained(folder, progress, unregistered, progress.samples >= n_samples, tuple(rows), n_patients)


@dataclass
class _Run:
    """What moves while it runs: the weights and the moments of the optimiser, and nothing else."""

    settings: TrainingSettings
    folder: Path
    team: Team
    module: nn.Module
    optimiser: Optimizer
    motion: MotionSize
    network: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.network = self.team.wrapped(self.module)

    def resumed(self) -> Progress:
        """Go on from the state on disk, where there is one."""
        if not (self.folder / STATE).exists():
            return Progress()
        return load_state(self.folder, self.module, self.optimiser)

    def epoch(
        self, train_set: Examples, validation_set: Examples, before: Progress, n_samples: int, report: Report
    ) -> tuple[Progress, EpochRow]:
        """Every case once (or as many as are still wanted), then validation where it is due."""
        settings, team, number = self.settings, self.team, before.epoch + 1
        start = time.perf_counter()
        rate = settings.optimiser.learning_rate * settings.optimiser.decay**before.epoch
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        order = order_of(len(train_set), settings.seed, number)[: n_samples - before.samples]
        loss, data_s = self._steps(train_set, order, number, before, n_samples, report)
        team.averaged_buffers(self.module)
        trained_s = time.perf_counter() - start
        samples = before.samples + len(order)
        figures = None
        if number % settings.validate_every == 0 or samples >= n_samples:
            figures = validate(  # of every case, in each process
                self.module,
                validation_set,
                settings.loss,
                settings.seed,
                team,
                bf16=settings.bf16,
                ablated=settings.input.ablated,
            )
        progress = replace(before, epoch=number, samples=samples, seconds=before.seconds + time.perf_counter() - start)
        if figures is not None and figures.heart_mm < before.best_mm:
            progress = replace(progress, best_epoch=number, best_mm=figures.heart_mm)
            if team.leads:
                save_network(self.folder / BEST, self.module, self.card(train_set, progress, figures))
        validation_columns = {} if figures is None else asdict(figures)
        return progress, EpochRow(
            number,
            samples,
            round(progress.seconds, 3),
            round(data_s, 3),
            round(len(order) / trained_s, 2),
            rate,
            loss,
            round(time.time(), 3),
            validation_columns.pop("loss", None),
            **validation_columns,
        )

    def _steps(
        self, train_set: Examples, order: list[int], number: int, before: Progress, n_samples: int, report: Report
    ) -> tuple[float, float]:
        """Move the weights once for each batch; the mean loss of all processes' cases, and seconds spent on batches."""
        settings, team = self.settings, self.team
        shares = team.shares(order, settings.batch)
        groups = [share.cases for share in shares]
        stream = batches(train_set, groups, settings.motion, settings.augmentation, settings.seed, number)
        pace = Pace(report, before.samples, n_samples, len(train_set))
        loss_sum = torch.zeros((), dtype=torch.float64, device=team.device)
        data_s, n_seen = 0.0, 0
        self.module.train()
        if settings.fixed_norms:
            for part in self.module.modules():
                part.train(not isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training)
        devices = [team.device] if team.device.startswith("cuda") else []
        with torch.random.fork_rng(devices):  # a network that draws, draws the same after a stop
            # a prime: seeds and epochs below it never meet
            torch.manual_seed(1_000_003 * (1_000_003 * settings.seed + number) + team.rank & 2**63 - 1)
            for share in shares:
                start = time.perf_counter()
                batch = next(stream)
                data_s += time.perf_counter() - start
                losses = self._step(batch, team.weight(share))
                loss_sum += losses * share.counts
                n_seen += share.of
                pace.after(n_seen, losses, len(batch))
        mean = float(team.total(loss_sum)) / len(order)
        if not math.isfinite(mean):
            raise RefusedError(
                f"the loss of epoch {number} is {mean}",
                "a number",
                "lower learning_rate or set clip; the state after the epoch before is kept",
            )
        return mean, data_s

    def _step(self, batch: Batch, weight: float) -> Tensor:
        """One step downhill; the sum of the losses of this process's cases."""
        if self.settings.channels_last:
            batch = replace(
                batch,
                spect=batch.spect.to(memory_format=torch.channels_last_3d),
                mu=batch.mu.to(memory_format=torch.channels_last_3d),
            )
        self.optimiser.zero_grad(set_to_none=True)
        six = predicted(self.network, batch, self.settings.bf16, self.settings.input.ablated)
        losses = self.settings.loss.of(six, batch).sum()
        (losses * weight).backward()  # type: ignore[no-untyped-call]
        if self.settings.optimiser.clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.optimiser.clip)
        self.optimiser.step()
        return losses.detach()

    def card(self, train_set: Examples, progress: Progress, figures: Figures | None) -> Card:
        """What the weights are at this moment."""
        table = as_table(self.settings)
        return Card(
            network=table["network"],
            grid=self.settings.grid,
            ablated=self.settings.input.ablated,
            loss=table["loss"],
            licence=self.settings.licence,
            motion=self.motion,
            trained_on={
                "settings_sha256": self.settings.sha256,
                "data_sha256": train_set.sha256,
                "cases": len(train_set),
                "patients": len(set(train_set.patients)),
                "epochs": progress.epoch,
                "samples": progress.samples,
                "seconds": round(progress.seconds, 1),
                "processes": self.team.size,
                "seed": self.settings.seed,
                "begin_from": self.settings.begin_from,
            },
            validation={} if figures is None else asdict(figures),
            version=__version__,
        )


def _network(
    settings: TrainingSettings, weights: Mapping[str, Tensor] | None, device: str
) -> tuple[nn.Module, Optimizer]:
    module = initialised(settings.network, settings.seed)
    if weights is not None:
        module.load_state_dict(weights)
    module = module.to(device)
    if settings.channels_last:
        module = module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    how = settings.optimiser
    if how.kind == "adam":
        return module, Adam(module.parameters(), how.learning_rate, how.betas)
    return module, AdamW(module.parameters(), how.learning_rate, how.betas, weight_decay=how.weight_decay)
