"""Time of the small registration networks beside each other, and what drawing their weights does to the first steps.

    OMP_NUM_THREADS=1 python benchmarks/speed/networks.py

Networks take turns, so that what else the machine does falls on all alike; ratios are medians over the rounds.
"""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import torch

from mureg.registration.networks import NETWORKS, NetworkSettings, initialised, preset

BATCH, ROUNDS, WARM_UP = 4, 15, 2
SIX = torch.tensor([[3.0, -2.0, 1.0, 5.0, -4.0, 8.0]])


def images(settings: NetworkSettings, batch: int) -> list[torch.Tensor]:
    """Smooth random images about as bright as the real ones."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(2, batch, 1, 5, 4, 5, generator=generator)
    spect, mu = (torch.nn.functional.interpolate(image, size=settings.shape, mode="trilinear") for image in coarse)
    return [image.to(memory_format=torch.channels_last_3d) for image in (2 * spect, 0.2 * mu)]


def milliseconds() -> dict[str, list[float]]:
    """Processor time a pair, forward and backward, of every network and round."""
    networks = {kind: initialised(preset(kind, "small"), 1) for kind in NETWORKS}
    spent: dict[str, list[float]] = {kind: [] for kind in networks}
    for _ in range(ROUNDS):
        for kind, network in networks.items():
            network.to(memory_format=torch.channels_last_3d)
            pairs = images(preset(kind, "small"), BATCH)
            start = time.process_time()
            network(*pairs).abs().sum().backward()
            spent[kind].append((time.process_time() - start) / BATCH * 1e3)
    return {kind: times[WARM_UP:] for kind, times in spent.items()}


def error_left(kind: str, weights: str, seed: int, steps: int = 20) -> float:
    """Share of the first error on one pair that is left after some steps of Adam at 0.001."""
    settings = replace(preset(kind, "small"), weights=weights)
    network, pair = initialised(settings, seed), images(settings, 1)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    errors = []
    for _ in range(steps + 1):
        error = (network(*pair) - SIX).abs().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    return errors[-1] / errors[0]


def main() -> None:
    torch.set_num_threads(1)
    spent = milliseconds()
    print(
        "kind, ms a pair (fastest), time relative to densenet; error left after 20 steps (he), (normal), over 3 seeds"
    )
    for kind, times in spent.items():
        ratio = median(a / b for a, b in zip(times, spent["densenet"], strict=True))
        left = [[error_left(kind, weights, seed) for seed in (1, 2, 3)] for weights in ("he", "normal")]
        ranges = [f"{min(one):.2f}-{max(one):.2f}" for one in left]
        print(f"{kind:20s} {min(times):6.1f} {ratio:6.2f}   {ranges[0]}   {ranges[1]}", flush=True)


if __name__ == "__main__":
    main()
