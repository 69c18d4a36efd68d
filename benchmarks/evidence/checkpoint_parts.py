"""Checkpoints of training runs as small files: a machine that is lent for minutes returns no file above its limit.

A checkpoint is a manifest NAME.json and parts NAME.HASH.NUMBER.part, the files of a run one after another. The manifest
is written last and holds the hash of every part, so that a checkpoint is there as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import torch
from reproduction_evidence import MACHINES
from safetensors import safe_open
from safetensors.torch import save

from mureg.errors import UnreadableInputError
from mureg.files.atomic import writing
from mureg.training.checkpoints import STATE, Progress
from mureg.training.folder import BEST, DATA, LAST, SETTINGS
from mureg.training.logs import CSV

PART_BYTES = 16_000_000
"""Largest part: 16 MB."""
_CARDS = tuple(str(Path(weights).with_suffix(".json")) for weights in (BEST, LAST))
_SMALL = (SETTINGS, DATA, CSV, MACHINES)
_MOMENTS, _PROGRESS = "optimiser/", "progress"
_HALVED_FROM = 1000
"""Values of a tensor that a compact checkpoint stores in half precision; statistics of norms and biases stay."""


def pack(run: Path, to: Path, *, finished: bool, compact: bool = False, part_bytes: int = PART_BYTES) -> int:
    """Write the checkpoint of a run, and remove the parts of its former one.

    Args:
        run: folder of the run.
        to: folder of checkpoints.
        finished: the best network is stored, without what going on would need.
        compact: weights in half precision and no moments of the optimiser: 2 bytes a parameter for 12. A run that goes
            on from it is not the run that never stopped, to the bit; its best epoch is one of those after it.
        part_bytes: of each part at most.

    Returns:
        Cases that the run had seen.
    """
    names = [*_SMALL, _CARDS[1]]
    if finished or not compact:
        names += [BEST, _CARDS[0]]
    contents = {name: (run / name).read_bytes() for name in names if (run / name).exists()}
    if not finished:
        contents[STATE] = _compacted(run / STATE) if compact else (run / STATE).read_bytes()
    content = b"".join(contents.values())
    stem = f"{run.name}.{_sha256(content)[:12]}"
    parts = {
        f"{stem}.{number}.part": content[start : start + part_bytes]
        for number, start in enumerate(range(0, len(content), part_bytes))
    }
    samples = int(json.loads(contents[_CARDS[1]])["trained_on"]["samples"])
    manifest = {
        "samples": samples,
        "finished": finished,
        "compact": compact and not finished,
        "files": {name: len(values) for name, values in contents.items()},
        "parts": {name: _sha256(values) for name, values in parts.items()},
    }
    for name, values in parts.items():
        _write(to / name, values)
    _write(to / f"{run.name}.json", (json.dumps(manifest, indent=2) + "\n").encode())
    for path in to.glob(f"{run.name}.*.part"):
        if path.name not in parts:
            path.unlink()
    return samples


def unpack(checkpoints: Path, run: Path, seen: int) -> int:
    """Put the files of a checkpoint into the folder of its run, where it has seen more cases than the run.

    Args:
        checkpoints: folder of checkpoints.
        run: folder of the run.
        seen: cases that the run has seen.

    Returns:
        Cases seen afterwards.

    Raises:
        UnreadableInputError: a part is missing or damaged; the run is left as it was.
    """
    place = checkpoints / f"{run.name}.json"
    if not place.exists():
        return seen
    try:
        manifest = json.loads(place.read_text("utf-8"))
        samples, files, hashes = int(manifest["samples"]), dict(manifest["files"]), dict(manifest["parts"])
    except (ValueError, KeyError, TypeError) as problem:
        raise UnreadableInputError(f"{place.name} is no manifest", "one of a checkpoint", "copy it again") from problem
    if samples <= seen:
        return seen
    content = b"".join(_part(checkpoints / name, sha256) for name, sha256 in hashes.items())
    if len(content) != sum(files.values()) or any(Path(name).name != name for name in files):
        raise UnreadableInputError(
            f"{place.name} does not fit its parts", "those of one call", "copy all of them again"
        )
    start = 0
    for name, size in files.items():
        _write(run / name, content[start : start + size])
        start += size
    return samples


def _part(path: Path, sha256: str) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    if _sha256(content) != sha256:
        raise UnreadableInputError(
            f"the part {path.name} of a checkpoint is {'damaged' if content else 'missing'}",
            "every part that its manifest names",
            "copy all files of the checkpoint again, or remove its manifest to begin anew",
        )
    return content


def _compacted(state: Path) -> bytes:
    """Weights and progress of a state, large tensors in half precision; the best epoch is forgotten."""
    with safe_open(state, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith(_MOMENTS)}  # noqa: SIM118
        progress = Progress(**json.loads(file.metadata()[_PROGRESS]))
    halved = {
        name: values.half() if values.dtype == torch.float32 and values.numel() >= _HALVED_FROM else values
        for name, values in tensors.items()
    }
    progress = replace(progress, best_epoch=0, best_mm=math.inf)
    return save(halved, {_PROGRESS: json.dumps(asdict(progress))})


def _write(path: Path, content: bytes) -> None:
    with writing(path) as scratch:
        scratch.write_bytes(content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
