"""Weights by name: those of the package and files; and what their card says against a result."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from mureg.errors import UsageError
from mureg.notes import Note, Rank
from mureg.registration.card import SUFFIX, Card, shipped

SHIPPED = "shipped"
"""The networks of the default registrar, as settings of mureg 0.1.0 name them."""
NEAR_HEART = "near-heart"
DUSFE = "dusfe"
"""Names of the networks of the default registrar, and of the paper's network for the whole field."""


def shipped_names() -> tuple[str, ...]:
    """Names of the weights that come with the package."""
    names = (path.name.removesuffix(SUFFIX) for path in (files("mureg") / "data" / "weights").iterdir())
    # NAME.2 and so on are further networks of NAME
    return tuple(sorted(name for name in names if "." not in name))


def is_name(weights: Path | str) -> bool:
    """Whether weights are named, and not given as a file."""
    words = str(weights)
    return words in (SHIPPED, *shipped_names())


def weights_path(weights: Path | str) -> Path:
    """Path of weights that a setting or an option names: a name of the package, or a file.

    Raises:
        UsageError: a word that is neither a name nor a file of weights.
    """
    words, names = str(weights), shipped_names()
    if words in (SHIPPED, *names):
        return shipped(NEAR_HEART if words == SHIPPED else words)
    path = Path(weights)
    if not (path.suffix or path.exists()):
        raise UsageError(
            f"the weights {words}: neither a name nor a file",
            f"{' or '.join(names)}, or an {SUFFIX} file that mureg train wrote",
            "list the weights with mureg weights, or train some with mureg train",
        )
    return path


def card_notes(card: Card, shift_mm: float, angle_deg: float) -> tuple[Note, ...]:
    """What a card says against a result of its networks; every registrar with networks gives them out.

    Args:
        card: of the networks.
        shift_mm, angle_deg: length of the translation and angle of the largest motion that they predicted at once,
            about the centre of their input.

    Returns:
        Warnings of the first rank: no checksum on the card, or a prediction larger than any motion in training.
    """
    notes = []
    if not card.card_sha256:
        sentence = "the card of the weights holds no checksum: nobody can tell whether it is as training wrote it"
        notes.append(Note(sentence, Rank.CHANGES_ANSWER))
    size = card.motion
    if size is not None and (shift_mm > size.largest_shift_mm or angle_deg > size.largest_angle_deg):
        sentence = (
            f"the network predicted a motion of {shift_mm:.0f} mm and {angle_deg:.0f} degrees; the largest in its "
            f"training were {size.largest_shift_mm:.0f} mm and {size.largest_angle_deg:.0f} degrees"
        )
        notes.append(Note(sentence, Rank.CHANGES_ANSWER))
    return tuple(notes)
