"""Print README with absolute links, for places that show it apart from the repository, such as a package index.

    python scripts/absolute_links.py https://example.org/mureg/blob/v0.1.0 > README.absolute.md

Pictures take the same address with `raw` for `blob`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#|mailto:)([^)\s]+)\)")


def absolute(text: str, address: str) -> str:
    """The text with `address` in front of every relative link; those in blocks of code stay."""

    def replaced(found: re.Match[str]) -> str:
        start = address.replace("/blob/", "/raw/") if found[1] else address
        return f"{found[1]}[{found[2]}]({start.rstrip('/')}/{found[3]})"

    parts = re.split(r"(^```.*?^```)", text, flags=re.S | re.M)
    return "".join(part if part.startswith("```") else LINK.sub(replaced, part) for part in parts)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].startswith("https://"):
        sys.exit("absolute_links: give the address of the files of the repository, https://...")
    readme = Path(__file__).resolve().parents[1] / "README.md"
    sys.stdout.write(absolute(readme.read_text("utf-8"), sys.argv[1]))
