"""Weights that mureg 0.1.0 wrote, converted: ``python -m mureg.training.convert best.safetensors``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mureg.errors import MuregError, UsageError
from mureg.files.atomic import refuse_existing
from mureg.registration.card import SUFFIX, Card, card_path, weights_files
from mureg.training.weights import OLD, read_network, save_network


def convert(old: Path, new: Path | None = None) -> Card:
    """Write the networks of a .safetensors file as ONNX in half precision, with their card; nothing is replaced.

    Args:
        old: with its card beside it, NAME.safetensors and NAME.json.
        new: ends in .onnx; ``NAME-converted.onnx`` beside `old` if left out, since the old card keeps its name.

    Raises:
        UsageError: not such a file, or one of the new files exists.
        UnreadableInputError: weights or card missing, damaged, or not of each other.
    """
    if old.suffix != OLD:
        raise UsageError(f"{old.name}", f"weights that end in {OLD}", "name the file that mureg 0.1.0 wrote")
    new = new or old.with_name(f"{old.stem}-converted{SUFFIX}")
    module, card = read_network(old)
    refuse_existing([*weights_files(new, 1 + len(card.others)), card_path(new)])
    return save_network(new, module, card)


def main(arguments: Sequence[str]) -> int:
    """Convert the files that are named; the exit code of the first refusal, else 0."""
    for name in arguments:
        try:
            convert(Path(name))
        except MuregError as refusal:
            print(f"mureg: {refusal}", file=sys.stderr)
            return refusal.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
