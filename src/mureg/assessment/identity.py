"""Whether two headers name one person."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from mureg.errors import RefusedError
from mureg.notes import Note, Rank
from mureg.study import PatientIdentity

Comparison = Literal["same", "unknown", "contradictory", "different"]
"""One person; at least one header names no patient; some entries agree and others differ; two persons."""

_PLACEHOLDERS = frozenset(
    [
        "anon",
        "anonym",
        "anonymous",
        "anonymized",
        "anonymised",
        "deidentified",
        "de",
        "identified",
        "removed",
        "deleted",
        "none",
        "null",
        "na",
        "n",
        "a",
        "nobody",
        "no",
        "name",
        "noname",
        "id",
        "noid",
        "unknown",
        "unnamed",
        "patient",
        "test",
    ]
)
"""What de-identification leaves in place of a name or identifier."""


def require_one_patient(
    spect: PatientIdentity | None,
    attenuation: PatientIdentity | None,
    *,
    given: str = "CT",
    allow_different: bool = False,
) -> tuple[Note, ...]:
    """Refuse a SPECT and a CT or map whose headers name two persons; names themselves are never repeated.

    Args:
        spect, attenuation: from the headers; None where there are none (NIfTI, arrays).
        given: CT or attenuation map, for the sentences.
        allow_different: let two persons through with a note of the first rank, for phantoms.

    Returns:
        Notes on entries that do not agree.

    Raises:
        RefusedError: two different persons.
    """
    comparison, entries = compare(spect, attenuation)
    if comparison == "different" and not allow_different:
        raise RefusedError(
            f"the headers of SPECT and {given} name different patients ({entries})",
            "one patient",
            f"choose the {given} of this patient; for a phantom study give --allow-different-patients",
        )
    if comparison == "different":
        sentence = f"the headers of SPECT and {given} name different patients ({entries}), which was allowed"
        return (Note(sentence, Rank.CHANGES_ANSWER),)
    if comparison == "contradictory":
        sentence = (
            f"the headers of SPECT and {given} may name different patients ({entries}): make sure that they are one"
        )
        return (Note(sentence, Rank.CHANGES_ANSWER),)
    return ()


def compare(one: PatientIdentity | None, other: PatientIdentity | None) -> tuple[Comparison, str]:
    """Compare two headers, trimmed and without regard to capitals; also which entries agree and which differ.

    Identifiers count only within one issuer, and placeholders name no patient. Different identifiers are two persons,
    unless name and birth date both agree: one person may have two numbers, and that is contradictory.
    """
    if one is None or other is None:
        return "unknown", ""
    agreement = {
        "identifier": _identifiers_agree(one, other),
        "name": _names_agree(one.name, other.name),
        "birth date": _entries_agree(_digits(one.birth_date), _digits(other.birth_date)),
        "sex": _entries_agree(_sex(one.sex), _sex(other.sex)),
    }
    agree = [entry for entry, same in agreement.items() if same is True]
    differ = [entry for entry, same in agreement.items() if same is False]
    parts = [f"{' and '.join(entries)} {word}" for entries, word in ((differ, "differ"), (agree, "agree")) if entries]
    words = "; ".join(parts)
    if not differ:
        return ("same" if {"identifier", "name"} & set(agree) else "unknown"), words
    person = agreement["name"] is True and agreement["birth date"] is True
    if agreement["identifier"] is False:
        return ("contradictory" if person else "different"), words
    if agreement["name"] is False and agreement["identifier"] is None:
        return ("contradictory" if agreement["birth date"] is True else "different"), words
    if agreement["identifier"] is True and agreement["name"] is False and agreement["birth date"] is False:
        return "different", words
    return "contradictory", words


def _identifiers_agree(one: PatientIdentity, other: PatientIdentity) -> bool | None:
    issuers = _entries_agree(_plain(one.issuer), _plain(other.issuer))
    if issuers is False:
        return None
    return _entries_agree(_without_placeholder(one.identifier), _without_placeholder(other.identifier))


def _names_agree(one: str, other: str) -> bool | None:
    """Names agree where one holds all words of the other: middle names and titles are often left out.

    A name may be written in up to three ways (alphabetic, ideographic, phonetic); the first that both have decides.
    """
    for ways in zip(one.split("="), other.split("="), strict=False):
        words = [set(re.findall(r"\w+", _without_placeholder(name))) for name in ways]
        if all(words):
            return words[0] <= words[1] or words[1] <= words[0]
    return None


def _entries_agree(one: str, other: str) -> bool | None:
    """None where one of them is empty."""
    return one == other if one and other else None


def _without_placeholder(entry: str) -> str:
    """The entry for comparison, "" for a placeholder."""
    plain = _plain(entry)
    words = re.findall(r"[^\W_]+", plain)
    anonymous = all(word in _PLACEHOLDERS or set(word) <= {"0"} or set(word) <= {"x"} for word in words)
    return "" if anonymous else plain


def _plain(entry: str) -> str:
    """Without regard to capitals, spaces, and the ways that one letter can be coded (composed, full width)."""
    return " ".join(unicodedata.normalize("NFKC", entry).replace("\0", " ").split()).casefold()


def _digits(date: str) -> str:
    """A birth date as eight digits, "" for a placeholder: nobody alive was born in 1900 or before."""
    digits = re.sub(r"\D", "", _plain(date))  # YYYYMMDD (PS3.5 6.2, DA)
    return digits if len(digits) == 8 and "1900" < digits[:4] < "2200" else ""


def _sex(sex: str) -> str:
    plain = _plain(sex)
    return plain if plain in ("m", "f") else ""
