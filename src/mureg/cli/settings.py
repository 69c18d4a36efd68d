"""``mureg settings``: every algorithm setting, as a TOML file with comments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mureg import __version__
from mureg.cli.algorithms import Changes, ReconstructorName, RegistrarName, Tuning
from mureg.cli.common import parse
from mureg.cli.help import Flat
from mureg.cli.messages import Messages
from mureg.cli.settings_text import commented_toml
from mureg.cli.simulate import changed_cohort
from mureg.cli.training_options import require_research
from mureg.comparison import settings as comparison
from mureg.errors import UsageError
from mureg.files.settings import Table

Verb = Literal["register", "evaluate", "train", "simulate"]
# shipped settings of the verbs that need PyTorch
_SHIPPED = {"train": "small", "simulate": "clinical"}


@dataclass(frozen=True)
class SettingsOptions:
    """Print all algorithm settings as commented TOML: meaning, unit, limits and default of each.

    Save the output to a file, edit it, and give it to --settings. Lines that are left out keep their default.

    Attributes:
        verb: register (also for batch and reconstruct), evaluate, train or simulate.
        registrar: registration method (default: combination, or that of --settings).
        reconstructor: reconstruction method (default: osem, or that of --settings).
        settings: start from this TOML file; for train and simulate also a shipped name (small, paper, clinical, hard).
        changes: change one setting, such as physics.resolution=false; repeatable; takes precedence over --settings.

    Example:
        mureg settings register --registrar near-heart > settings.toml
    """

    verb: tyro.conf.Positional[Verb] = "register"
    registrar: RegistrarName = None
    reconstructor: ReconstructorName = None
    settings: str | None = None
    changes: Changes = ()
    messages: Annotated[Messages, Flat] = field(default_factory=Messages)


OPTIONS = SettingsOptions


def main(arguments: Sequence[str]) -> int:
    """Parse the options and print the settings as TOML; returns the exit code."""
    options = parse("settings", arguments, SettingsOptions)
    if options.registrar is not None and options.verb != "register":
        raise UsageError(f"--registrar with {options.verb}", "settings of register", "leave --registrar out")
    if options.reconstructor is not None and options.verb not in ("register", "evaluate"):
        raise UsageError(
            f"--reconstructor with {options.verb}", "settings of register or evaluate", "leave --reconstructor out"
        )
    if options.verb in _SHIPPED:
        require_research(f"mureg settings {options.verb}")
    settings, table = _settings(options)
    head = f"# Settings of mureg {options.verb}, mureg {__version__}; read back with {_READ_BACK[options.verb]}.\n\n"
    plain = json.loads(json.dumps(table, default=str))  # paths as text
    options.messages.emit(plain, [*(head + commented_toml(settings, table)).rstrip().splitlines()])
    return 0


_READ_BACK = {
    "register": "--settings",
    "evaluate": "--settings",
    "train": "mureg train FILE",
    "simulate": "--cohort",
}


def _settings(options: SettingsOptions) -> tuple[Any, Table]:
    """The settings asked for, and the same as a plain table."""
    place = options.settings or _SHIPPED.get(options.verb)
    if options.verb == "train":
        assert place is not None
        from mureg.training.settings import as_table as training_table
        from mureg.training.settings import read_table, settings_from, table_with

        training = settings_from(table_with(read_table(place), options.changes), place)
        return training, training_table(training)
    if options.verb == "simulate":
        assert place is not None
        from mureg.cohort.settings import as_table as cohort_table
        from mureg.cohort.settings import load_settings as load_cohort

        cohort = changed_cohort(load_cohort(place), options.changes)
        return cohort, cohort_table(cohort)
    file = None if place is None else Path(place)
    if options.verb == "evaluate":
        start = comparison.Settings() if file is None else comparison.read_settings(file)
        settings = comparison.changed(start, options.changes, options.reconstructor)
        return settings, comparison.as_table(settings)
    algorithms = Tuning(file, options.changes, options.reconstructor).algorithms(options.registrar)
    return algorithms, algorithms.tables()
