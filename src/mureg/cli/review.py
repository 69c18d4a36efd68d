"""``mureg review``: look at results on a local page, move the map, accept or reject."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path
from typing import Annotated

import tyro

from mureg import RESEARCH_USE_ONLY
from mureg.cli.common import parse
from mureg.cli.help import Flat
from mureg.cli.messages import Messages
from mureg.errors import RefusedError, UsageError
from mureg.io.worklist.find import find_pairs
from mureg.service.review.network import ProtectedAddress
from mureg.service.review.studies import ReviewStudy, StudyInputs, results_at
from mureg.service.review.users import add_user
from mureg.service.review.verify import notes_of, problems_of
from mureg.service.trail import Trail

TRAIL = "review.sqlite"


@dataclass(frozen=True)
class ReviewOptions:
    """Look at results in the browser, move the map, accept or reject. Research use only.

    Attributes:
        results: results of mureg register, or folders of mureg batch.
        studies: list or folder of studies that mureg batch was given: where SPECT and CT lie.
        spect: SPECT of a single result, as mureg register was given it.
        ct: CT of a single result.
        mu: attenuation map of a single result.
        spect_series: SPECT series in the folder: UID or its end, number, description.
        ct_series: CT or map series in the folder, named the same way.
        reader: name or initials that the page begins with.
        blinded: hide pose and decision of the program until the reader's own are stored.
        names: show the names of the studies (default: numbers).
        trail: file of the trail (default: review.sqlite in the first folder).
        verify: check the trail and the results that it speaks of, then stop.
        export: write the trail as CSV into this new file, then stop.
        table: print how readers and program differ, then stop.
        port: port of the page; 0 for any that is free.
        host: address or name of this computer to serve on (default: 127.0.0.1, this computer alone); another one
            needs the certificate, the key and users.
        certificate: TLS certificate with its chain (PEM), for other computers.
        key: private key of the certificate (PEM, without a password).
        users: file of users who may sign in.
        add_user: add this user to --users, or set another password, which is asked for (or read from standard
            input), then stop.
        no_browser: skip opening the browser; the address is printed.
        idle_minutes: stop after so long without a request.

    Example:
        mureg review results --studies studies.csv --reader AB
    """

    results: tyro.conf.Positional[tuple[Path, ...]] = ()
    studies: Path | None = None
    spect: Path | None = None
    ct: Path | None = None
    mu: Path | None = None
    spect_series: str | None = None
    ct_series: str | None = None
    reader: str = ""
    blinded: bool = False
    names: bool = False
    trail: Path | None = None
    verify: bool = False
    export: Path | None = None
    table: bool = False
    port: int = 0
    host: str = "127.0.0.1"
    certificate: Path | None = None
    key: Path | None = None
    users: Path | None = None
    add_user: str = ""
    no_browser: bool = False
    idle_minutes: float = 60.0
    messages: Annotated[Messages, Flat] = field(default_factory=Messages)


OPTIONS = ReviewOptions


def main(arguments: Sequence[str]) -> int:
    """Parse, find the results, serve until stopped; or check, export or sum up the trail."""
    options = parse("review", arguments, ReviewOptions)
    if options.add_user:
        return _add_user(options)
    _refuse_contradictions(options)
    studies = _studies(options)
    trail = Trail(options.trail or _folder_of(options.results[0]) / TRAIL)
    if options.verify:
        return _verify(options, studies, trail)
    if options.export is not None:
        path = trail.export(options.export)
        options.messages.emit({"file": path.name, "rows": len(trail.rows())}, [f"trail in {path}"])
        return 0
    if options.table:
        from mureg.service.review.table import as_lines, differences

        table = differences(studies, trail)
        options.messages.emit({**table, "use": RESEARCH_USE_ONLY}, [*as_lines(table), RESEARCH_USE_ONLY])
        return 0
    return _serve(options, studies, trail)


def _serve(options: ReviewOptions, studies: tuple[ReviewStudy, ...], trail: Trail) -> int:
    from mureg.service.review.desk import Desk

    try:
        from mureg.service.review.server import serve
    except ModuleNotFoundError as problem:
        raise UsageError(
            f"an installation without {problem.name}", "starlette and uvicorn", "install mureg again, with its packages"
        ) from problem
    network = ProtectedAddress.of(options.host, options.certificate, options.key, options.users)
    desk = Desk(studies, trail, options.reader.strip(), options.blinded, options.names)

    def begun(url: str) -> None:
        count = f"{len(studies)} {'study' if len(studies) == 1 else 'studies'}"
        options.messages.emit(
            {"url": url, "studies": len(studies), "use": RESEARCH_USE_ONLY},
            [f"{count} at {url}", "Ctrl-C stops the page.", RESEARCH_USE_ONLY],
        )
        sys.stdout.flush()

    def opened(url: str) -> None:
        if not options.no_browser and network is None:
            webbrowser.open(url)

    serve(desk, options.port, begun, idle_s=60.0 * options.idle_minutes, network=network, opened=opened)
    return 0


def _add_user(options: ReviewOptions) -> int:
    if options.users is None or options.results:
        raise UsageError(
            "--add-user with results" if options.results else "--add-user without --users",
            "mureg review --add-user NAME --users FILE",
            "correct the command",
        )
    if sys.stdin.isatty():
        password = getpass(f"Password of {options.add_user}: ")
        if getpass("Again: ") != password:
            raise UsageError("two passwords", "the same one twice", "try again")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    is_new = add_user(options.users, options.add_user, password)
    words = f"{'added' if is_new else 'new password for'} {options.add_user} in {options.users.name}"
    options.messages.emit({"user": options.add_user, "new": is_new}, [words])
    return 0


def _verify(options: ReviewOptions, studies: tuple[ReviewStudy, ...], trail: Trail) -> int:
    problems = problems_of(studies, trail)
    rows = trail.rows() if not problems else ()
    last = rows[-1].sha256 if rows else ""
    if problems:
        options.messages.emit({"problems": list(problems)}, [f"problem    {problem}" for problem in problems])
        raise RefusedError(f"{len(problems)} problems in the trail", "a whole chain", "ask who changed the file")
    count = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
    notes = notes_of(studies, trail)
    lines = [f"whole      {count}", f"last hash  {last or 'none'}", *(f"note       {note}" for note in notes)]
    options.messages.emit({"rows": len(rows), "last": last, "notes": list(notes)}, lines)
    return 0


def _refuse_contradictions(options: ReviewOptions) -> None:
    if not options.results:
        raise UsageError("no result", "a result of mureg register, or the folder of a batch", "name it")
    if options.users is not None and options.reader.strip():
        raise UsageError("--reader with --users", "readers who sign in under their own names", "leave --reader out")
    if options.blinded and not options.reader.strip() and options.users is None:
        raise UsageError("--blinded without --reader", "whose answers hide the program's", "give --reader")
    single = any(path is not None for path in (options.spect, options.ct, options.mu))
    if single and options.studies is not None:
        raise UsageError("--studies with --spect, --ct or --mu", "one of the two", "leave one out")
    if single and (options.spect is None or (options.ct is None) == (options.mu is None)):
        raise UsageError("a part of a study", "--spect, and --ct or --mu", "name both")
    if options.idle_minutes <= 0 or not 0 <= options.port < 65536:
        raise UsageError("a port or a time out of range", "--port 0 to 65535, --idle-minutes above 0", "correct it")


def _studies(options: ReviewOptions) -> tuple[ReviewStudy, ...]:
    entries = () if options.studies is None else find_pairs(options.studies)
    studies = results_at(options.results, entries)
    if options.spect is None:
        return studies
    if len(studies) != 1:
        raise UsageError(f"--spect with {len(studies)} results", "a single result", "give --studies for several")
    inputs = StudyInputs(options.spect, options.ct, options.mu, options.spect_series, options.ct_series)
    (study,) = studies
    return (ReviewStudy(study.name, study.folder, study.table, inputs),)


def _folder_of(path: Path) -> Path:
    return path if path.is_dir() else path.parent
