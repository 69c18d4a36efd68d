"""Cards of networks with other entries, as a program that knows the rule of their checksum would write them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def rewritten(path: Path, **changes) -> Path:
    """A card with changed entries and a checksum that fits; without a checksum for ``card_sha256=None``."""
    table = {**json.loads(path.read_text("utf-8")), **changes}
    stated = table.pop("card_sha256", None)
    if stated is not None:
        text = json.dumps(table, sort_keys=True, separators=(",", ":"))
        table["card_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(table), "utf-8")
    return path
