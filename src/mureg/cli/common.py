"""What every verb shares: options, devices, settings files, output."""

from __future__ import annotations

import dataclasses
import json
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import SimpleITK as sitk
import torch
import tyro
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.maps import AttenuationMap
from mureg.errors import UsageError, printable
from mureg.io.plain_text import read_text
from mureg.jobs.cores import usable_cores
from mureg.pipeline import Progress as Report
from mureg.recon import Osem
from mureg.registration import REGISTRARS, MutualInformation, NearHeart, ProfileLikelihood, Registrar, registrar_from
from mureg.spect import Physics

T = TypeVar("T")

Flat = tyro.conf.arg(name="")
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


@dataclasses.dataclass(frozen=True)
class Common:
    """Options of every verb.

    Attributes:
        json: print one JSON object on standard output and nothing else there.
        device: where reconstructions run; auto takes a GPU when there is one.
        threads: CPU threads, 0 for as many as this machine lets the process use.
        overwrite: replace results that are already there.
    """

    json: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0
    overwrite: bool = False

    def prepare(self) -> str:
        """Set the thread count and return the device's name."""
        if self.threads < 0:
            raise UsageError(f"--threads {self.threads}", "0 or more", "leave it out to use every core")
        threads = self.threads or usable_cores()
        torch.set_num_threads(threads)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("--device cuda on a machine without a usable GPU", "a CUDA device", "use --device cpu")
        return self.device


@dataclasses.dataclass(frozen=True)
class Algorithms:
    """The settings of every algorithm that can be chosen.

    Attributes:
        mutual_information: settings of the registrar mutual-information.
        near_heart: settings of the registrar near-heart.
        projection: settings of the registrar projection.
        osem: settings of the reconstruction.
        physics: which effects of the camera are modelled.
        attenuation: how the map is made.
        decision: where the decision draws its lines.
    """

    mutual_information: MutualInformation = dataclasses.field(default_factory=MutualInformation)
    near_heart: NearHeart = dataclasses.field(default_factory=NearHeart)
    projection: ProfileLikelihood = dataclasses.field(default_factory=ProfileLikelihood)
    osem: Osem = dataclasses.field(default_factory=Osem)
    physics: Physics = dataclasses.field(default_factory=Physics)
    attenuation: AttenuationMap = dataclasses.field(default_factory=AttenuationMap)
    decision: Thresholds = dataclasses.field(default_factory=Thresholds)

    def registrar(self, kind: str) -> Registrar:
        """The registrar of that kind with its settings; of another package, or by its module, with its own.

        Raises:
            UsageError: no such registrar.
        """
        if kind not in REGISTRARS:
            return registrar_from({"kind": kind})
        chosen: Registrar = getattr(self, _FIELDS[kind])
        return chosen


_KNOWN: dict[str, Any] = {**REGISTRARS, **{c.kind: c for c in (Osem, Physics, AttenuationMap, Thresholds)}}
_FIELDS = {kind: kind.replace("-", "_") for kind in _KNOWN}


def parse(verb: str, arguments: Sequence[str], options: type[T], default: T | None = None) -> T:
    """Parse the options of a verb; on a mistake print what is wrong and exit with 2."""
    return tyro.cli(
        options,
        prog=f"mureg {verb}",
        args=list(arguments),
        default=default if default is not None else tyro.MISSING_NONPROP,
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def algorithms_from(path: Path) -> tuple[str | None, Algorithms]:
    """Read ``settings.toml``: the kind of registrar it names, and the settings.

    Raises:
        UsageError: the file is missing or holds something that is no setting.
    """
    try:
        tables = tomllib.loads(read_text(path))
        found = {
            _FIELDS[table["kind"]]: TypeAdapter(_KNOWN[table["kind"]]).validate_python(table)
            for table in tables.values()
        }
        chosen = next((table["kind"] for table in tables.values() if table["kind"] in REGISTRARS), None)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValidationError) as problem:
        reason = str(problem).splitlines()[0] if not isinstance(problem, ValidationError) else _first_mistake(problem)
        raise UsageError(
            f"settings file {path.name} cannot be used ({reason})",
            "a TOML file with tables such as [registrar] and [reconstructor], as written beside each result",
            "start from a settings.toml that mureg wrote",
        ) from problem
    return chosen, Algorithms(**found)


def _first_mistake(problem: ValidationError) -> str:
    first = problem.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


@contextmanager
def progress(quiet: bool) -> Iterator[Report]:
    """Show the step at work on standard error, on a terminal only."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _step: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda step: bar.update(task, description=step)


@contextmanager
def counting(quiet: bool, doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many are done, and of how many, as a bar on standard error, on a terminal only."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _done, _of: None
        return
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def emit(common: Common, answer: Mapping[str, Any], lines: Sequence[str]) -> None:
    """Print the answer: as JSON when that was asked for, otherwise as lines for people."""
    if common.json:
        json.dump(answer, sys.stdout, indent=2)
        print()
    else:
        print("\n".join(map(printable, lines)))
