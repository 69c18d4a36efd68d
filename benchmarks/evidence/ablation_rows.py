"""The rows of benchmarks/evidence/ablations.py: the world they change, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pydantic
from jaxtyping import Float

from mureg.attenuation.maps import AttenuationMaps
from mureg.cohort.settings import CohortSettings, load_settings
from mureg.geometry import Array, Volume
from mureg.simulate.breathing import BreathingRange
from mureg.spect import Acquisition, Physics, SystemModel
from mureg.spect.scatter import SimulatedScatter

SEED = 20251103
"""Of patients that no network has seen: of no cohort but this."""
BASE, NEAR, TRUE, SCANNER = "base", "near", "true", "scanner-position"


def base() -> CohortSettings:
    """The world that the rows change."""
    level = load_settings("clinical")
    return replace(
        level,
        name="ablations",
        seed=SEED,
        placement=replace(level.placement, share_without_motion=0.0),
        breathing=load_settings("easy").breathing,
        orbit=replace(level.orbit, views=(60, 60)),
        anatomy=replace(level.anatomy, arms_down=0.0),
    )


def orbit(**changes: Any) -> Callable[[CohortSettings], CohortSettings]:
    return lambda world: replace(world, orbit=replace(world.orbit, **changes))


def ct(**changes: Any) -> Callable[[CohortSettings], CohortSettings]:
    return lambda world: replace(world, ct=replace(world.ct, **changes))


def breathing(amplitude_mm: float) -> Callable[[CohortSettings], CohortSettings]:
    """The CT's phases as on the level; no creep."""
    settings = BreathingRange(amplitude_mm=(amplitude_mm, amplitude_mm), share_creep=0.0)
    return lambda world: replace(world, breathing=settings)


def arms(world: CohortSettings) -> CohortSettings:
    return replace(world, anatomy=replace(world.anatomy, arms_down=1.0))


@dataclass(frozen=True, eq=False)
class Told:
    """What a registrar is given beside the image."""

    acquisition: Acquisition
    maps: AttenuationMaps


def radius(by_mm: float) -> Callable[[Told], Told]:
    return lambda told: replace(told, acquisition=replace(told.acquisition, radii_mm=told.acquisition.radii_mm + by_mm))


def attenuation(factor: float) -> Callable[[Told], Told]:
    """Body and table alike."""

    def change(told: Told) -> Told:
        maps = told.maps
        table = None if maps.table is None else maps.table.with_values(maps.table.values * factor)
        return replace(
            told, maps=AttenuationMaps(maps.body.with_values(maps.body.values * factor), table, maps.settings)
        )

    return change


def table_moves(told: Told) -> Told:
    """The table made a part of the body."""
    body, table = told.maps.body, told.maps.table
    whole = body if table is None else body.with_values(body.values + table.values)
    return replace(told, maps=AttenuationMaps(whole, None, told.maps.settings))


@dataclass(frozen=True)
class SomeScatter:
    """A share of the scatter that the model expects, in balance with the counts before it is taken."""

    share: float
    model: SimulatedScatter = field(default_factory=SimulatedScatter)
    balanced: bool = False
    refresh_after: tuple[int, ...] = (1, 3)
    kind: str = "some"

    def estimate(self, system: SystemModel, activity: Volume) -> Float[Array, "view row column"]:
        scatter = self.model.estimate(system, activity)
        expected = system.project(activity.values).sum() + scatter.sum()
        return self.share * scatter * (float(system.acquisition.photopeak_counts.sum()) / max(float(expected), 1e-20))


@pydantic.dataclasses.dataclass(frozen=True)
class PhysicsOfSomeScatter(Physics):
    """A camera with more or less scatter than there is."""

    share: float = 1.0

    def system(self, acquisition: Acquisition, mu: Volume | None) -> tuple[SystemModel, tuple[str, ...]]:
        system, notes = super().system(acquisition, mu)
        return replace(system, scatter=SomeScatter(self.share)), notes


@dataclass(frozen=True)
class Variant:
    """One row.

    Attributes:
        words: for the table.
        world: what is changed of the population.
        told: what is changed of that which the registrar is given.
        physics: the camera as the likelihood models it.
        start: of the likelihood: near, true, scanner-position, or the name of another registrar.
        seen: whether it changes what image registrars see.
    """

    words: str
    world: Callable[[CohortSettings], CohortSettings] = lambda world: world
    told: Callable[[Told], Told] = lambda told: told
    physics: Physics = Physics()  # noqa: RUF009 (frozen)
    start: str = NEAR
    seen: bool = False


ROWS: dict[str, Variant] = {
    BASE: Variant("nothing changed", seen=True),
    "start-true": Variant("start: the truth", start=TRUE),
    "start-scanner-position": Variant("start: the scanner position", start=SCANNER),
    "start-mutual-information": Variant("start: mutual information", start="mutual-information"),
    "start-near-heart": Variant("start: the default registrar", start="near-heart"),
    "no-resolution": Variant("no resolution", physics=Physics(resolution=False)),
    "no-scatter": Variant("no scatter", physics=Physics(scatter="none")),
    "scatter-less": Variant("scatter -50 %", physics=PhysicsOfSomeScatter(share=0.5)),
    "scatter-more": Variant("scatter +50 %", physics=PhysicsOfSomeScatter(share=1.5)),
    "mu-less": Variant("attenuation -5 %", told=attenuation(0.95), seen=True),
    "mu-more": Variant("attenuation +5 %", told=attenuation(1.05), seen=True),
    "radius-less": Variant("orbit radius -20 mm", told=radius(-20.0)),
    "radius-more": Variant("orbit radius +20 mm", told=radius(20.0)),
    "views-30": Variant("30 views", orbit(views=(30, 30)), seen=True),
    "views-64": Variant("64 views", orbit(views=(64, 64)), seen=True),
    "arc-360": Variant("a full turn", orbit(arc_deg=360), seen=True),
    "counts-1": Variant("1 million counts", orbit(counts=(1e6, 1e6)), seen=True),
    "counts-2.5": Variant("2.5 million counts", orbit(counts=(2.5e6, 2.5e6)), seen=True),
    "counts-12": Variant("12 million counts", orbit(counts=(12e6, 12e6)), seen=True),
    "breathing-5": Variant("breathing 5 mm", breathing(5.0), seen=True),
    "breathing-10": Variant("breathing 10 mm", breathing(10.0), seen=True),
    "breathing-15": Variant("breathing 15 mm", breathing(15.0), seen=True),
    "breathing-20": Variant("breathing 20 mm", breathing(20.0), seen=True),
    "field-350": Variant("CT field 350 mm wide", ct(field_mm=(350.0, 350.0)), seen=True),
    "coverage-160": Variant("CT 160 mm long", ct(coverage_mm=(160.0, 160.0)), seen=True),
    "arms-down": Variant("arms down", arms, seen=True),
    "table-moves": Variant("table moved with the body", told=table_moves, seen=True),
    "window-scatter": Variant("scatter from the lower window", physics=Physics(scatter="dual-window")),
}
"""Every row by its name."""
