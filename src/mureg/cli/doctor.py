"""``mureg doctor``: whether this installation works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from mureg import RESEARCH_USE_ONLY
from mureg.cli.common import Common, parse
from mureg.cli.help import Flat
from mureg.cli.messages import Messages
from mureg.cli.progress import progress
from mureg.doctor import Check, checks
from mureg.errors import RefusedError


@dataclass(frozen=True)
class Doctor:
    """Check libraries, threads, data, networks, training, the sample study, and that no network connection is used.

    Writes nothing. Exit code 0 if no check failed, 3 otherwise. Research use only.

    Attributes:
        threads: number of CPU threads; 0 for all that this process may use.

    Example:
        mureg doctor
    """

    threads: int = 0
    messages: Annotated[Messages, Flat] = field(default_factory=Messages)


OPTIONS = Doctor


def main(arguments: Sequence[str]) -> int:
    """Run the checks, print one line for each."""
    options = parse("doctor", arguments, Doctor)
    Common(options.threads).prepare()
    results: list[Check] = []
    with progress(options.messages) as report:
        for check in checks():
            results.append(check)
            report(f"after {check.name}")
    healthy = all(check.state != "fail" for check in results)
    answer = {"healthy": healthy, "checks": [check.as_dict() for check in results], "use": RESEARCH_USE_ONLY}
    verdict = "all checks passed" if healthy else "a check failed: see the lines that begin with fail"
    options.messages.emit(answer, [*map(_line, results), verdict, RESEARCH_USE_ONLY])
    return 0 if healthy else RefusedError.exit_code


def _line(check: Check) -> str:
    remedy = f"; {check.remedy}" if check.remedy else ""
    return f"{check.state:5}{check.name:14}{check.found}{remedy}"
