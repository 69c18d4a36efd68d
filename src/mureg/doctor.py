"""Whether an installation works: one check, one line, with what to do where something is missing."""

from __future__ import annotations

import platform
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from mureg.errors import MuregError
from mureg.geometry.target_error import target_registration_error_mm
from mureg.io import read_study
from mureg.jobs.cores import machine_cores, thread_count, usable_cores
from mureg.pipeline import examine
from mureg.registration.card import SUFFIX
from mureg.registration.onnx_networks import load_network, runtime
from mureg.sample import load_truth, sample_folder
from mureg.spect import Acquisition

_WRONG_GPU = "GPU results are wrong: use --device cpu"
_MOST_MM = 4.0
"""Twice the 2.0 mm that the default leaves on the sample study; damaged weights or libraries that calculate wrongly
leave more."""

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: of the check.
        state: ok, warn (works, but not as it could) or fail.
        found: in one line.
        remedy: what to do, "" where all is well.
    """

    name: str
    state: State
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """The check as a dictionary of strings, for JSON."""
        return asdict(self)


def checks() -> Iterator[Check]:
    """Every check in turn, the quick ones first; none of them raises and none writes anything."""
    yield from (_guarded(name, check) for name, check in _QUICK.items())
    yield from _sample_offline()


@contextmanager
def closed_network() -> Iterator[list[str]]:
    """Let nothing in this process open a socket while the block lasts; gives the list of the attempts."""
    attempts: list[str] = []
    real = socket.socket

    class Closed(real):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            attempts.append(str(arguments))
            raise OSError("the network is closed during this check")

    socket.socket = Closed  # type: ignore[misc]
    try:
        yield attempts
    finally:
        socket.socket = real  # type: ignore[misc]


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except MuregError as refusal:
        return Check(name, "fail", refusal.found, refusal.remedy)
    except Exception as problem:  # whatever is broken in an installation: reported, not raised
        message = " ".join(str(problem).split())[:200]
        return Check(name, "fail", f"{type(problem).__name__}: {message}", "install mureg again")


def _installation() -> Check:
    text = f"mureg {version('mureg')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return Check("installation", "ok", text)


def _libraries() -> Check:
    absent: list[str] = []
    old: list[str] = []
    fine: list[str] = []
    for line in requires("mureg") or []:
        requirement = re.match(r"([\w.-]+)[^>;]*(?:>=\s*([\d.]+))?", line)
        if requirement is None or "extra ==" in line:
            continue
        name, least = requirement[1], requirement[2] or "0"
        try:
            installed_version = version(name)
        except PackageNotFoundError:
            absent.append(name)
            continue
        (old if _numbers(installed_version) < _numbers(least) else fine).append(f"{name} {installed_version}")
    if absent or old:
        text = "; ".join(f"{what} {', '.join(names)}" for what, names in (("missing", absent), ("old", old)) if names)
        return Check("libraries", "fail", text, "install mureg again, with pip")
    return Check("libraries", "ok", ", ".join(fine))


def _threads() -> Check:
    n_allowed, n_cores, n_used = usable_cores(), machine_cores(), thread_count()
    text = f"{n_used} used of {n_allowed} allowed, {n_cores} in this machine"
    if n_used > n_allowed:
        return Check("threads", "warn", text, f"give --threads {n_allowed}, or fewer")
    return Check("threads", "ok", text)


def _data() -> Check:
    folder = Path(str(files("mureg"))) / "data"
    expected = ("hearts.toml", "cohorts/clinical.toml", "training/small.toml", "sample/truth.json", "sample/spect.dcm")
    absent = [name for name in expected if not (folder / name).is_file()]
    if absent:
        return Check("data", "fail", f"missing: {', '.join(absent)}", "install mureg again")
    return Check("data", "ok", "sample study, cohorts and trainings are there")


def _weights() -> Check:
    weight_files = sorted((Path(str(files("mureg"))) / "data").rglob(f"*{SUFFIX}"))
    if not weight_files:
        return Check("weights", "ok", "this version ships no weights of networks")
    for weights in weight_files:
        if not weights.stem.rpartition(".")[2].isdigit():  # NAME.2.onnx is loaded with NAME.onnx
            load_network(weights)  # refuses weights whose hash is not that on their card
    return Check("weights", "ok", f"{len(weight_files)} file(s), hashes as on their cards")


def _networks() -> Check:
    """Whether the runtime of the networks loads; the sample study is registered with them."""
    return Check("networks", "ok", f"onnxruntime {runtime().__version__}, on the CPU")


def _training() -> Check:
    """PyTorch, which research needs and the clinic does not; where it finds a GPU, one product with a known result."""
    try:
        installed_version = version("torch")
    except PackageNotFoundError:
        return Check("training", "ok", 'PyTorch is not installed; only research needs it: pip install "mureg[train]"')
    try:
        import torch
    except (ImportError, OSError) as problem:
        message = " ".join(str(problem).split())[:120]
        remedy = 'only research needs it; install it again with pip install "mureg[train]"'
        return Check("training", "warn", f"PyTorch {installed_version} cannot be loaded ({message})", remedy)
    if not torch.cuda.is_available():
        return Check("training", "ok", f"PyTorch {installed_version}, on the CPU (no usable GPU)")
    values = torch.arange(64.0).reshape(8, 8)
    exact = torch.equal((values.cuda() @ values.cuda()).cpu(), values @ values)
    text = f"PyTorch {installed_version}, {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return Check("training", "ok", text) if exact else Check("training", "warn", text, _WRONG_GPU)


def _sample_offline() -> Iterator[Check]:
    """Register the sample study as `mureg register` does, with the network closed: two lines."""
    with closed_network() as attempts:
        yield _guarded("sample", _sample)
    if attempts:
        text = f"{len(attempts)} attempt(s) to open a connection"
        yield Check("offline", "fail", text, "report this: mureg must never use a network")
    else:
        yield Check("offline", "ok", "the sample study was run with the network closed; no connection was attempted")


def _sample() -> Check:
    truth, start = load_truth(), time.perf_counter()
    study = read_study(sample_folder() / "spect.dcm", ct=sample_folder() / "ct")
    assert isinstance(study.spect, Acquisition)
    counts = float(study.spect.photopeak_counts.sum())
    assessment = examine(study, correct=False, seek_axis=False)
    error_mm = target_registration_error_mm(
        assessment.registration.ct_from_spect, truth.ct_from_spect, truth.heart_points_mm
    )
    seconds = time.perf_counter() - start
    text = (
        f"the default registrar took {seconds:.0f} s and is {error_mm:.1f} mm off at the heart (at most {_MOST_MM:g})"
    )
    if counts != truth.photopeak_counts:
        return Check("sample", "fail", f"{counts:.0f} counts read of {truth.photopeak_counts}", "install mureg again")
    if not error_mm <= _MOST_MM:
        return Check("sample", "fail", text, "report this, with the output of mureg doctor --json")
    return Check("sample", "ok", text)


def _numbers(words: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", words.split("+")[0])[:3])


_QUICK: dict[str, Callable[[], Check]] = {
    "installation": _installation,
    "libraries": _libraries,
    "threads": _threads,
    "data": _data,
    "weights": _weights,
    "networks": _networks,
    "training": _training,
}
