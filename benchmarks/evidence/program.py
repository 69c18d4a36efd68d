"""The public command line, run in this process so that its start is not paid for every study."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from mureg.cli import main as mureg

MODES = {"default": (), "quick": ("--fast",)}
"""Options of ``mureg register``."""


def registered(study: Path, output: Path, options: tuple[str, ...]) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON and standard error of ``mureg register`` in this process."""
    arguments = ["register", "--spect", str(study / "spect.dcm"), "--ct", str(study / "ct"), "-o", str(output)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = mureg([*arguments, "--json", "--threads", "1", *options])
    text = out.getvalue().strip()
    return code, json.loads(text) if text else {}, err.getvalue().strip()
