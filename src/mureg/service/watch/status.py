"""What a store says of itself: one table for programs and for the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mureg import RESEARCH_USE_ONLY
from mureg.files.atomic import writing
from mureg.service.store.folder import STATUS, Store
from mureg.service.store.queue import Queue


def status_of(queue: Queue, not_taken: Mapping[str, str]) -> dict[str, Any]:
    """Every version, what cannot be paired, and damaged files, each with its reason."""
    return {
        "studies": [
            {
                "name": version.name,
                "state": version.state,
                "decision": version.decision,
                "problem": version.problem,
                "exit_code": version.exit_code,
                "attempts": version.attempts,
                "begun": version.begun,
                "ended": version.ended,
            }
            for version in queue.versions()
        ],
        "waiting": [
            {"patient": patient[:8], "reason": reason}
            for patient, reasons in queue.waiting().items()
            for reason in reasons
        ],
        "not_taken": [{"file": path, "reason": reason} for path, reason in not_taken.items()],
        "use": RESEARCH_USE_ONLY,
    }


def write_status(store: Store, queue: Queue, not_taken: Mapping[str, str]) -> None:
    """Write ``status.json`` into the store, whole or not at all."""
    with writing(store.path / STATUS) as scratch:
        scratch.write_text(json.dumps(status_of(queue, not_taken), indent=1) + "\n", "utf-8", "backslashreplace")
