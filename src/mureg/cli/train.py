"""``mureg train``: a network from a cohort of cases with known truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from mureg.cli import train_heart
from mureg.cli.common import Common, Flat, Output, parse
from mureg.cli.training import Sitting, fit
from mureg.errors import UsageError
from mureg.training.settings import Data, TrainingSettings, load_settings


@dataclass(frozen=True)
class Train:
    """Train a registration network; the same command goes on where an earlier run was stopped. Research use only.

    Attributes:
        settings: small, paper, or a TOML file of your own.
        output: folder of the run.
        cohort: folder of a cohort, divided by patient; goes before what the settings name.
        pairs: instead, a CSV file with the columns spect, ct or mu, transform (optional) and patient.
        train: instead, a folder or CSV file for training alone, and
        validation: another for validation.
    """

    settings: tyro.conf.Positional[str]
    output: Output
    cohort: Path | None = None
    pairs: Path | None = None
    train: Path | None = None
    validation: Path | None = None
    sitting: Annotated[Sitting, Flat] = field(default_factory=Sitting)
    common: Annotated[Common, Flat] = field(default_factory=Common)


def main(arguments: Sequence[str]) -> int:
    """Parse, train, say. ``near-heart`` in first place is a verb of its own: `mureg.cli.train_heart`."""
    if arguments[:1] == [train_heart.NAME]:
        return train_heart.main(arguments[1:])
    options = parse("train", arguments, Train)
    if options.settings == train_heart.NAME:
        raise UsageError(
            f"{train_heart.NAME} behind other options",
            f"mureg train {train_heart.NAME} [OPTIONS]",
            "write it in first place",
        )
    settings = load_settings(options.settings)
    return fit(_on(settings, options), options.output, options.sitting, options.common)


def _on(settings: TrainingSettings, options: Train) -> TrainingSettings:
    given = [path for path in (options.cohort, options.pairs, options.train) if path is not None]
    if len(given) > 1 or (options.train is None) != (options.validation is None):
        raise UsageError(
            "options that name the cases in more than one way, or by half",
            "one of --cohort, --pairs, and --train with --validation",
            "leave the others out",
        )
    if not given:
        return settings
    data = settings.data
    if options.train is not None:
        data = Data("", str(options.train), str(options.validation), data.shares, data.split_seed)
    else:
        data = Data(str(given[0]), "", "", data.shares, data.split_seed)
    return replace(settings, data=data)
