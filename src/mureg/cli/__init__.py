"""The command line: one module for each verb, loaded only when that verb is asked for."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import FrameType, ModuleType

from mureg import RESEARCH_USE_ONLY, __version__
from mureg.cli import logs
from mureg.errors import STOPPED_BY_HAND, MuregError, RefusedError
from mureg.files.temporary import own_temporary_folder
from mureg.jobs.cores import keep_freed_memory

VERBS = {
    "demo": "register the sample study of the package and compare with the truth",
    "register": "register a CT or attenuation map to a SPECT study and reconstruct the corrected image",
    "batch": "register many studies from a list or a folder, with a summary page",
    "watch": "register studies as they arrive in a folder, into a store",
    "review": "look at results in the browser, move the map, accept or reject",
    "reconstruct": "reconstruct projections, with attenuation correction where a map is given",
    "inspect": "list the series in a file or folder: geometry, orientation, units, assumptions",
    "settings": "print all algorithm settings as commented TOML",
    "simulate": "simulate a cohort of virtual patients with known truth",
    "evaluate": "compare registrars on virtual patients: errors, images, tables, figures",
    "train": "train a registration network on a cohort or a list of pairs",
    "finetune": "continue training weights on your own patients",
    "weights": "list the networks of the package, or of files, with their cards",
    "doctor": "check the installation: libraries, networks, sample study",
    "export": "write a virtual patient as DICOM",
}

_SHOW_FAULTS = "MUREG_TRACEBACK"
_stopped_by: list[int] = []

_CACHES = {"MPLCONFIGDIR": "matplotlib", "TORCHINDUCTOR_CACHE_DIR": "torch"}

_RESEARCH = ("simulate", "evaluate", "train", "finetune", "export")
"""Verbs whose work needs the packages of the extra ``train``; their help does not."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code (0 ok, 2 usage, 3 refused, 4 unreadable input, 5 some of a batch failed)."""
    verb, *options = sys.argv[1:] if arguments is None else arguments or ["--help"]
    if verb in ("-h", "--help", "help"):
        print(overview())
        return 0
    if verb == "--version":
        print(f"mureg {__version__}")
        return 0
    if verb == "--print-completion":
        return _print_completion(options)
    if verb not in VERBS:
        nearest = ", ".join(get_close_matches(verb, VERBS) or VERBS)
        print(f"mureg: there is no verb {verb!r}; expected one of {nearest}; see mureg --help.", file=sys.stderr)
        return 2
    code = STOPPED_BY_HAND
    try:
        if verb in _RESEARCH and not {"-h", "--help"} & set(options):
            from mureg.cli.training_options import require_research

            require_research(f"mureg {verb}")
        code = _loaded(f"mureg.cli.{verb}").main(options)
    except MuregError as problem:
        refused = "decision refused: " if isinstance(problem, RefusedError) else ""
        print(f"mureg: {refused}{problem}", file=sys.stderr)
        logs.note_refusal(problem)
        code = problem.exit_code
    except KeyboardInterrupt:
        print("mureg: stopped; nothing was written.", file=sys.stderr)
    except Exception as problem:
        logs.note_fault(problem)
        code = 1
        raise
    finally:
        logs.end(code)
    return code


def _print_completion(words: Sequence[str]) -> int:
    """Print the completion script for a shell; see `mureg.cli.completion`."""
    from mureg.cli.completion import SHELLS, script
    from mureg.cli.help import options_of

    if len(words) != 1 or words[0] not in SHELLS:
        print(f"mureg: --print-completion needs a shell; expected one of {', '.join(SHELLS)}.", file=sys.stderr)
        return 2
    classes = {verb: _loaded(f"mureg.cli.{verb}").OPTIONS for verb in VERBS}
    print(script(words[0], {verb: (VERBS[verb], list(options_of(options))) for verb, options in classes.items()}))
    return 0


def _loaded(name: str) -> ModuleType:
    """A module, imported without garbage collection, which takes time and frees nothing that libraries set up."""
    if name not in sys.modules:
        gc.disable()
        try:
            import_module(name)
        finally:
            gc.freeze()
            gc.enable()
    return sys.modules[name]


def overview() -> str:
    """Text of ``mureg --help``."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {sentence}" for verb, sentence in VERBS.items())
    return (
        f"mureg {__version__}: register a CT attenuation map to a cardiac SPECT study, decide whether it had to be\n"
        f"moved, and reconstruct the attenuation-corrected image.\n\n"
        f"usage: mureg VERB [OPTIONS]\n\n{verbs}\n\n"
        "mureg VERB --help               options of a verb, with an example\n"
        "mureg --version                 version\n"
        "mureg --print-completion SHELL  completion script for bash, zsh, fish or powershell\n"
        "Exit codes: 0 done, 2 wrong usage, 3 refused by the safety checks, 4 unreadable input, "
        "5 some of a batch failed.\n"
        f"{RESEARCH_USE_ONLY}"
    )


def entry() -> None:
    """Entry point of the console script ``mureg``; exits with the code of `main`."""
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    stop_as_if_by_hand()
    try:
        code = _ended()
    except KeyboardInterrupt:  # before or after the verb
        code = STOPPED_BY_HAND
    gc.freeze()  # all memory goes back to the system; to search it for garbage first would take a third of a second
    sys.exit(128 + _stopped_by[0] if code == STOPPED_BY_HAND and _stopped_by else code)


def _ended() -> int:
    """Prepare the process, run the verb, and print in one line why nothing could be written or printed."""
    keep_out_of_home()
    keep_freed_memory()
    # waiting threads sleep; with busy waiting everything takes four times as long where another program has a core
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for stream in (sys.stdout, sys.stderr):  # show characters that the terminal lacks as escapes
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the pipe has closed it
        code = 141  # 128 plus signal 13, SIGPIPE, as shells report it
    except OSError as problem:
        reason = f"the system stopped the program ({problem.strerror}); expected room to write"
        print(f"mureg: {reason}; choose another place or free the disk.", file=sys.stderr)
        code = 2
    except Exception as problem:
        if os.environ.get(_SHOW_FAULTS):
            raise
        reason = f"a fault in mureg ({type(problem).__name__}); expected none"
        remedy = f"run it again with --log FILE and report the log, or set {_SHOW_FAULTS}=1 to see the traceback"
        print(f"mureg: {reason}; {remedy}.", file=sys.stderr)
        code = 1
    else:
        return code
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (nothing can be printed any more)
    return code


def stop_as_if_by_hand() -> None:
    """Handle SIGTERM, and SIGHUP where there is one, like Ctrl-C, so that nothing half written stays.

    A signal that is ignored, as by nohup, stays ignored. The exit code is 128 plus the number of the signal, 143 for
    SIGTERM.
    """
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", None)):
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, _frame: FrameType | None) -> None:
    if not _stopped_by:  # a second signal is ignored: files are being deleted
        _stopped_by.append(number)
        raise KeyboardInterrupt


def keep_out_of_home() -> None:
    """Give the process a temporary folder, which is deleted on exit.

    Library caches (matplotlib, torch) and scratch files go there; nothing stays in the user's home. The folder of a
    killed process is deleted by the next one, which sees that its lock is free. The font list that matplotlib made for
    the user is copied, since making one takes a second.
    """
    try:
        folder = own_temporary_folder()
    except (OSError, MuregError):
        return
    caches = {name: place for name, place in _CACHES.items() if name not in os.environ}
    try:
        for name, place in caches.items():
            (folder / place).mkdir()
            os.environ[name] = str(folder / place)
        if "MPLCONFIGDIR" in caches:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matplotlib"
            for font_list in cache.glob("fontlist-*.json"):
                shutil.copy(font_list, folder / _CACHES["MPLCONFIGDIR"])
    except (OSError, RuntimeError):  # the libraries use their own places
        return
