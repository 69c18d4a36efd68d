"""What a GPU is worth for training: every network's seconds a batch.

    python benchmarks/speed/gpu.py -o gpu.json

Training steps of random images in batches of 4 (forward, L1 on the rigid parameters, backward, Adam), the mean of 8
after 3: the small presets on 32^3 voxels, the paper's configuration on 80 x 80 x 40 in single precision (TF32 in
convolutions, torch's default) and in bfloat16 with channels last, and on 64^3.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from mureg.registration.networks import NETWORKS, NetworkSettings, initialised, preset

BATCH, WARM_UP, STEPS = 4, 3, 8
SIZES = {
    "small, 32^3": ("small", (32, 32, 32), False),
    "paper, 80x80x40": ("paper", (80, 80, 40), False),
    "paper, 80x80x40, bf16": ("paper", (80, 80, 40), True),
    "paper, 64^3": ("paper", (64, 64, 64), False),
}


def sized(kind: str, size: str, shape: tuple[int, int, int]) -> NetworkSettings:
    settings = preset(kind, size)
    return type(settings)(**{**vars(settings), "shape": shape})


def seconds_a_batch(settings: NetworkSettings, bf16: bool) -> float:
    network = initialised(settings, 1).cuda().train()
    pair = [torch.rand(BATCH, 1, *settings.shape, device="cuda") for _ in range(2)]
    if bf16:
        network = network.to(memory_format=torch.channels_last_3d)
        pair = [image.to(memory_format=torch.channels_last_3d) for image in pair]
    six, optimiser = torch.rand(BATCH, 6, device="cuda"), torch.optim.Adam(network.parameters(), 5e-5)
    for step in range(WARM_UP + STEPS):
        if step == WARM_UP:
            torch.cuda.synchronize()
            started = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
            found = network(*pair)
        (found.float() - six).abs().mean().backward()
        optimiser.step()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    answer: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "seconds_a_batch": {}}
    for kind in NETWORKS:
        times = {
            name: round(seconds_a_batch(sized(kind, size, shape), bf16), 4)
            for name, (size, shape, bf16) in SIZES.items()
        }
        answer["seconds_a_batch"][kind] = times
        print(f"{kind:20s}", times, flush=True)
    if options.output:
        options.output.write_text(json.dumps(answer, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
