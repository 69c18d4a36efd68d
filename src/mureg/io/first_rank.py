"""Sentences of the first rank: what makes the numbers of a result wrong or circular, whatever else is said of them."""

from __future__ import annotations

FIRST_RANK = "Serious: "
"""How such a sentence begins; `is_first_rank` recognises it."""


def first_rank(sentence: str) -> str:
    """The sentence, marked so that it is recognised wherever notes are ranked."""
    return sentence if is_first_rank(sentence) else FIRST_RANK + sentence


def is_first_rank(note: str) -> bool:
    """Whether a note was marked by `first_rank`."""
    return note.startswith(FIRST_RANK)
