"""What a GPU is worth: every network's seconds a batch, reconstruction and registration beside the processor's.

    python benchmarks/speed/gpu.py -o gpu.json

Training steps of random images in batches of 4 (forward, L1 on the six numbers, backward, Adam), the mean of 8 after 3:
the small presets on 32^3 voxels, the paper's configuration on 80 x 80 x 40 in single precision (TF32 in convolutions,
torch's default) and in bfloat16 with channels last, and on 64^3. Then the sample study: seconds of each step on the
processor and on the GPU, second run each, and how far the two corrected images are apart.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from mureg.io import read_study
from mureg.pipeline import StudySettings, examine
from mureg.registration import MutualInformation, ProfileLikelihood
from mureg.registration.networks import NETWORKS, NetworkSettings, initialised, preset
from mureg.sample import sample_folder

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


def sample() -> dict[str, Any]:
    study = read_study(sample_folder() / "spect.dcm", ct=sample_folder() / "ct")
    start = MutualInformation(starts=1)
    found: dict[str, Any] = {}
    images, shifts = {}, {}
    for device in ("cpu", "cuda"):
        for _ in range(2):
            outcome = examine(study, StudySettings(start), device=device)
            by_projections = examine(
                study, StudySettings(ProfileLikelihood(mutual_information=start)), device=device, correct=False
            )
        assert outcome.spect_corrected is not None
        images[device] = outcome.spect_corrected.values.cpu()
        shifts[device] = by_projections.registration.shift_mm
        found[device] = {
            **outcome.provenance.seconds,
            "registration by the projections": by_projections.provenance.seconds["registration"],
        }
    off = (images["cuda"] - images["cpu"]).norm() / images["cpu"].norm()
    return {"seconds": found, "images_apart": float(off), "shifts_mm": shifts}


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
    answer["sample"] = sample()
    print(json.dumps(answer["sample"], indent=2))
    if options.output:
        options.output.write_text(json.dumps(answer, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
