"""What a population of virtual patients is drawn from: one TOML file, whole and frozen."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import ConfigDict, Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

from mureg.cohort.images import ImageRange
from mureg.cohort.mixture import MixedRange
from mureg.errors import UsageError
from mureg.files.settings import Table
from mureg.files.validation import validated
from mureg.io.plain_text import read_text
from mureg.simulate.breathing import BreathingRange
from mureg.simulate.ct_anatomy import CtAnatomyRange
from mureg.simulate.ct_scan import CtRange
from mureg.simulate.deviation import CameraRange
from mureg.simulate.measured_breathing import MeasuredBreathingRange
from mureg.simulate.misalignment import MotionRange
from mureg.simulate.orbit import OrbitRange
from mureg.simulate.photons import PhotonScatter
from mureg.simulate.table import TableRange
from mureg.simulate.torso import TorsoRange
from mureg.simulate.tracer import TracerRange

LEVELS = ("easy", "clinical", "hard", "real-ct")
"""The difficulty levels, shipped with the package."""

SHIPPED = (*LEVELS, "wide", "matched", "bank", "population")
"""All populations that come with the package; the last four are for training alone."""

Share = Annotated[float, Field(ge=0, le=1)]


def _kind_of_breathing(value: Any) -> str:
    """Tables without a kind are older than the measured breathing."""
    kind = value.get("kind", "breathing") if isinstance(value, dict) else getattr(value, "kind", "breathing")
    return str(kind)


AnyBreathing = Annotated[
    Annotated[BreathingRange, Tag("breathing")] | Annotated[MeasuredBreathingRange, Tag("measured-breathing")],
    Discriminator(_kind_of_breathing),
]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Placement:
    """Position of the patient in the CT, and motion before the SPECT.

    Attributes:
        motion: motion between CT and SPECT.
        share_without_motion: share of the studies without motion (0 to 1); breathing still differs.
        off_centre_mm: largest distance of the chest (x, y) and of the heart (z) from the centre of the SPECT field in
            the CT (mm).
        roll_deg: largest rotation of the patient about each axis in the CT (degrees).
    """

    motion: MotionRange
    share_without_motion: Share = 0.0
    off_centre_mm: tuple[float, float, float] = (12.0, 12.0, 20.0)
    roll_deg: tuple[float, float, float] = (2.0, 2.0, 3.0)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class CohortSettings:
    """Distributions from which each part of a case is drawn.

    Attributes:
        name: name of the cohort; it begins the names of its cases.
        seed: seed; with the number of a case it decides everything that is drawn.
        anatomy: anatomy: mathematical torsos, real CTs, or both in turn.
        tracer: tracer.
        breathing: breathing: as drawn, or as measured in a 4-D CT.
        placement: placement.
        orbit: SPECT acquisition.
        ct: CT acquisition.
        table: patient table.
        scatter: scatter.
        voxel_mm: voxel size of the simulation (mm); finer than that of the reconstruction.
        studies_per_patient: number of cases that share one anatomy.
        camera: deviation of the camera from the one that the reconstruction assumes (default: none).
        image: images given without projections (default: none; the program reconstructs all).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=40)]
    placement: Placement
    seed: Annotated[int, Field(ge=0)] = 1
    anatomy: Annotated[TorsoRange | CtAnatomyRange | MixedRange, Field(discriminator="kind")] = TorsoRange()
    tracer: TracerRange = TracerRange()
    breathing: AnyBreathing = BreathingRange()
    orbit: OrbitRange = OrbitRange()
    ct: CtRange = CtRange()
    table: TableRange = TableRange()
    scatter: PhotonScatter = PhotonScatter()
    voxel_mm: Annotated[float, Field(gt=1, lt=7)] = 5.1
    studies_per_patient: Annotated[int, Field(ge=1)] = 1
    camera: CameraRange | None = None
    image: ImageRange | None = None
    kind: Literal["cohort"] = "cohort"


def with_drawn_breathing(settings: CohortSettings) -> CohortSettings:
    """The same population with drawn breathing alone: for training when the patient of the 4-D CT is the one tested."""
    if isinstance(settings.breathing, MeasuredBreathingRange):
        return replace(settings, breathing=settings.breathing.drawn)
    return settings


def load_settings(name_or_path: str) -> CohortSettings:
    """Read a shipped population by its name, or a TOML file of one's own.

    Raises:
        UsageError: neither a shipped population nor a readable file, or a setting that does not exist or fit.
    """
    if name_or_path in SHIPPED:
        text = (files("mureg") / "data" / "cohorts" / f"{name_or_path}.toml").read_text(encoding="utf-8")
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise UsageError(
                f"no cohort named {name_or_path!r} and no such file",
                f"one of {', '.join(SHIPPED)}, or the path of a TOML file",
                "start from a cohort.toml that mureg wrote",
            )
        try:
            text = read_text(path)
        except (OSError, UnicodeDecodeError) as problem:
            raise UsageError(
                f"cohort settings {path.name} cannot be read ({str(problem).splitlines()[0]})",
                "a TOML file",
                "start from a cohort.toml that mureg wrote",
            ) from problem
    return from_toml(text, name_or_path)


def from_toml(text: str, where: str = "cohort.toml") -> CohortSettings:
    """Settings from TOML; what it leaves out keeps its default."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise UsageError(
            f"cohort settings {Path(where).name} cannot be used (not TOML: {str(problem).splitlines()[0]})",
            "settings as in a cohort.toml that mureg wrote",
            "correct the file",
        ) from problem
    return validated(CohortSettings, table, f"cohort settings {Path(where).name}")


def as_table(settings: CohortSettings) -> Table:
    """Every setting, defaults included, as a plain table."""
    table: Table = _plain(asdict(settings))
    return table


def as_toml(settings: CohortSettings) -> str:
    """`as_table` as TOML that `from_toml` reads back."""
    return tomli_w.dumps(as_table(settings))


def _plain(value: Any) -> Any:
    """Tuples as lists, nothing that TOML lacks: what is None is left out."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
