"""Sentences about a study, each with a rank that says what it means for the answer."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Rank(IntEnum):
    """What a note means for the answer; shown in this order everywhere."""

    CHANGES_ANSWER = 1
    """The answer may be wrong because of it: the decision is "review" at best."""
    GUESSED = 2
    """Something was missing or ambiguous, and the usual value was assumed."""
    RECORD = 3
    """What was done with the data; nothing was assumed."""

    @property
    def words(self) -> str:
        """The rank in words, as pages and files show it."""
        return {1: "changes the answer", 2: "was guessed", 3: "for the record"}[self.value]


class Note(str):
    """One sentence with its rank; a plain string counts as `Rank.GUESSED`."""

    rank: Rank

    __slots__ = ("rank",)

    def __new__(cls, sentence: str, rank: Rank = Rank.GUESSED) -> Note:
        """Give a sentence a rank."""
        note = super().__new__(cls, sentence)
        note.rank = rank
        return note

    def __reduce__(self) -> tuple[type[Note], tuple[str, Rank]]:
        """Copies and pickles keep the rank."""
        return Note, (str(self), self.rank)


def rank_of(sentence: str) -> Rank:
    """The rank of a note; of a plain string `Rank.GUESSED`."""
    return sentence.rank if isinstance(sentence, Note) else Rank.GUESSED


def by_rank(sentences: Iterable[str]) -> tuple[Note, ...]:
    """Each sentence once, with its highest rank, the first rank first and otherwise in the order given."""
    highest: dict[str, Rank] = {}
    for sentence in sentences:
        words = str(sentence)
        highest[words] = min(rank_of(sentence), highest.get(words, Rank.RECORD))
    return tuple(Note(words, rank) for words, rank in sorted(highest.items(), key=lambda item: item[1]))
