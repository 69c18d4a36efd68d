"""The command line with the network walled off: ``python -m support.walled LOG VERB ...``, attempts are written to LOG.

The wall is an audit hook, so that nothing in the process gets round it, however it asks. Networks to train and cases to
simulate are the small ones of the tests; everything else is what a user runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_OWN_ADDRESS = ("::1", 0)
"""Some libraries ask the computer whether it has IPv6 by binding any port of its own address."""
_WALLED = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


def wall(log: Path) -> None:
    """Refuse every use of a network from now on, and write it down."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.bind" and arguments[1] == _OWN_ADDRESS:
            return
        if event in _WALLED:
            with log.open("a") as file:
                file.write(f"{event} {arguments[1:]}\n")
            raise OSError(f"no network here ({event})")

    sys.addaudithook(watch)


def small() -> None:
    """Put the small networks and the small cases in place of the real ones."""
    from mureg.cli import simulate as verb
    from mureg.cohort import run as runner
    from mureg.registration.networks import NETWORKS
    from support import small_cases
    from support.tiny_network import ALL

    NETWORKS.update(ALL)
    verb.simulate_cohort = lambda *a, **options: runner.simulate_cohort(  # type: ignore[assignment]
        *a, **options, simulate=small_cases.small_case
    )


if __name__ == "__main__":
    wall(Path(sys.argv.pop(1)))
    from mureg.cli import entry, keep_out_of_home

    keep_out_of_home()  # as entry does; before anything below is loaded
    if sys.argv[1] in ("simulate", "train", "finetune"):
        small()
    entry()
