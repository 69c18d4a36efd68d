"""Every odd input, and the table of them in docs/reference/inputs.md: ``PYTHONPATH=tests python -m odd.catalogue``."""

from __future__ import annotations

from pathlib import Path

from odd.emissions import EMISSIONS
from odd.entry import Odd
from odd.niftis import NIFTIS
from odd.places import PLACES
from odd.scans import SCANS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "inputs.md"
GROUPS: dict[str, list[Odd]] = {
    "Places and names": PLACES,
    "CT series": SCANS,
    "SPECT and maps in DICOM": EMISSIONS,
    "NIfTI": NIFTIS,
}
CATALOGUE = [odd for group in GROUPS.values() for odd in group]
_SIDES = {"ct": "CT", "mu": "map", "spect": "SPECT"}
_BEGIN, _END = "<!-- tables: made by tests/odd/catalogue.py -->\n", "<!-- end of tables -->\n"


def tables() -> str:
    """The catalogue as tables in Markdown: what is read, with the note it gets, and what is refused, in which words."""
    parts = []
    for title, group in GROUPS.items():
        parts.append(f"## {title}\n")
        read = [(o.name, o.note or "no note") for o in group if o.is_read]
        parts.append(_table(("odd, and read", "words of the note"), read))
        refused = [
            (o.name, _SIDES[o.side], o.says + (f" (exit code {o.code})" if o.code != 4 else ""))
            for o in group
            if not o.is_read
        ]
        parts.append(
            _table(("refused, exit code 4 unless another is named", "given as", "words of the sentence"), refused)
        )
    return "\n".join(parts)


def page(before: str) -> str:
    """The page with its tables made anew."""
    start, rest = before.split(_BEGIN)
    return start + _BEGIN + "\n" + tables() + "\n" + _END + rest.split(_END)[1]


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
