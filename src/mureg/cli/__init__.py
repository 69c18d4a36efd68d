"""The command line: one module for each verb, loaded only when that verb is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from mureg import RESEARCH_USE_ONLY, __version__
from mureg.errors import MuregError

VERBS = {
    "demo": "run everything on the sample study that comes with mureg and compare with the truth",
    "register": "lay a CT or attenuation map onto a SPECT study and reconstruct the corrected heart",
    "reconstruct": "reconstruct projections, with attenuation correction where a map is given",
    "inspect": "say what a file or folder holds: series, geometry, orientation, units, guesses",
    "simulate": "make a cohort of virtual patients with known truth, on one machine or on a cluster",
    "evaluate": "compare registrars on virtual patients: errors, images, polar maps, tables and figures",
    "train": "train a registration network on a cohort or on a list of pairs; goes on where it was stopped",
    "finetune": "go on training weights on your own patients",
    "export": "write a simulated case as DICOM, as a hospital would have it",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code (0 ok, 2 usage, 3 refused, 4 unreadable input, 5 some of a batch failed)."""
    verb, *rest = sys.argv[1:] if arguments is None else arguments or ["--help"]
    if verb in ("-h", "--help", "help"):
        print(overview())
        return 0
    if verb == "--version":
        print(f"mureg {__version__}")
        return 0
    if verb not in VERBS:
        print(f"mureg: found no verb {verb!r}; expected one of {', '.join(VERBS)}; see mureg --help.", file=sys.stderr)
        return 2
    try:
        code: int = import_module(f"mureg.cli.{verb}").main(rest)
    except MuregError as problem:
        print(f"mureg: {problem}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("mureg: stopped; nothing was written.", file=sys.stderr)
        return 130
    return code


def overview() -> str:
    """What ``mureg --help`` prints."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {says}" for verb, says in VERBS.items())
    return (
        f"mureg {__version__}: lays a CT attenuation map onto a cardiac SPECT and reconstructs the corrected heart.\n\n"
        f"usage: mureg VERB [OPTIONS]\n\n{verbs}\n\n"
        "mureg VERB --help lists the options of a verb; mureg --version prints the version.\n"
        "Exit codes: 0 done, 2 wrong usage, 3 refused by the safety checks, 4 unreadable input, "
        "5 some of a batch failed.\n"
        f"{RESEARCH_USE_ONLY}"
    )


def entry() -> None:
    """The console script."""
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (nothing more can be said)
        sys.exit(141)
