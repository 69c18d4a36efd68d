"""``mureg train``: a network from a cohort of cases with known truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mureg.cli import train_heart
from mureg.cli.algorithms import Changes
from mureg.cli.common import Common, Output, parse
from mureg.cli.help import Flat
from mureg.cli.training_options import Sitting
from mureg.errors import UsageError

if TYPE_CHECKING:  # it needs PyTorch
    from mureg.training.settings import TrainingSettings


@dataclass(frozen=True)
class Train:
    """Train a registration network. The same command continues a run that was stopped. Research use only.

    Attributes:
        settings: training settings: small, paper, or a TOML file; or near-heart, which has options of its own.
        output: folder of the run.
        cohort: folder of a cohort, divided by patient; takes precedence over the settings.
        pairs: CSV list instead of a cohort (columns spect, ct or mu, optional transform, patient).
        train: cohort folder or CSV list for training alone; give --validation too.
        validation: cohort folder or CSV list for validation.
        changes: change one setting, such as epochs=20; repeatable.

    Example:
        mureg train small --cohort clinical -o runs/first --set epochs=20
    """

    settings: tyro.conf.Positional[str]
    output: Output
    cohort: Path | None = None
    pairs: Path | None = None
    train: Path | None = None
    validation: Path | None = None
    changes: Changes = ()
    sitting: Annotated[Sitting, Flat] = field(default_factory=Sitting)
    common: Annotated[Common, Flat] = field(default_factory=Common)


OPTIONS = Train


def main(arguments: Sequence[str]) -> int:
    """Parse, train, report. ``near-heart`` in first place has options of its own: `mureg.cli.train_heart`."""
    if arguments[:1] == [train_heart.NAME]:
        return train_heart.main(arguments[1:])
    options = parse("train", arguments, Train)
    if options.settings == train_heart.NAME:
        raise UsageError(
            f"{train_heart.NAME} after other options",
            f"mureg train {train_heart.NAME} [OPTIONS]",
            "write it in first place",
        )
    from mureg.cli.training import fit
    from mureg.training.settings import read_table, settings_from, table_with

    settings = settings_from(table_with(read_table(options.settings), options.changes), options.settings)
    return fit(_on(settings, options), options.output, options.sitting, options.common)


def _on(settings: TrainingSettings, options: Train) -> TrainingSettings:
    from mureg.training.settings import Data

    paths = [path for path in (options.cohort, options.pairs, options.train) if path is not None]
    if len(paths) > 1 or (options.train is None) != (options.validation is None):
        raise UsageError(
            "options that name the cases in more than one way, or --train without --validation",
            "one of --cohort, --pairs, and --train with --validation",
            "leave the others out",
        )
    if not paths:
        return settings
    data = settings.data
    if options.train is not None:
        data = Data("", str(options.train), str(options.validation), data.shares, data.split_seed)
    else:
        data = Data(str(paths[0]), "", "", data.shares, data.split_seed)
    return replace(settings, data=data)
