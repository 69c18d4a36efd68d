"""Several processes that train one network, each on its own cases: started by torchrun, joined here."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Share:
    """What one process does in one step.

    Attributes:
        cases: its own; where the last step has fewer cases than processes, one that another process has as well.
        of: cases of all processes together in this step.
        counts: whether its cases count; where they are another's they do not.
    """

    cases: tuple[int, ...]
    of: int
    counts: bool = True


@dataclass(frozen=True)
class Team:
    """The processes of a run.

    Attributes:
        rank: number of this one.
        size: how many there are.
        device: of this one.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this one writes the files and speaks."""
        return self.rank == 0

    def shares(self, order: Sequence[int], batch: int) -> list[Share]:
        """Divide the cases of an epoch.

        Each step takes the next ``batch * size`` cases of the order, the last step the rest, and the processes
        take turns in them. Together they see every case once and none twice.
        """
        steps = []
        for start in range(0, len(order), batch * self.size):
            together = order[start : start + batch * self.size]
            own = tuple(together[self.rank :: self.size])
            steps.append(Share(own or (together[0],), len(together), bool(own)))
        return steps

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module, with gradients averaged over the processes whenever they are computed.

        Batch norm uses the statistics of its own process's cases, as in the paper's batches of 4; see
        `averaged_buffers` for the running ones.
        """
        if self.size == 1:
            return module
        devices = [torch.device(self.device)] if self.device.startswith("cuda") else None
        # buffers are not overwritten by those of one process at every step; torch 2.13 gave the option another name
        parameters = inspect.signature(DistributedDataParallel).parameters
        option = "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"
        settings: dict[str, Any] = {"device_ids": devices, "static_graph": True, option: False}
        return DistributedDataParallel(module, **settings)

    def weight(self, share: Share) -> float:
        """Factor on the sum of a process's losses: the average of the gradients is then that of the mean loss."""
        return self.size / share.of if share.counts else 0.0

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.size == 1:
            return values
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all get the same answer."""
        return flag if self.size == 1 else bool(self.total(torch.tensor(float(flag), device=self.device)))

    def averaged_buffers(self, module: nn.Module) -> None:
        """Give every process the mean of the running statistics (batch norm), so that all hold one network."""
        if self.size == 1:
            return
        for buffer in module.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.size

    def wait(self) -> None:
        """Block until every process has reached this point."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[Team]:
    """Join the processes that torchrun started; alone where it did not.

    Args:
        device: cpu or cuda; of several GPUs each process takes the one with its local number.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(device=device)
        return
    if device.startswith("cuda"):
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    # the others wait while one of them prepares the cases
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=timedelta(hours=12))
    try:
        yield Team(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
