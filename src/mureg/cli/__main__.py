"""``python -m mureg.cli``."""

from mureg.cli import entry

entry()
