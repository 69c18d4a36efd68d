"""The choice of one series among several, by number, description or UID, never by guess."""

from __future__ import annotations

from collections.abc import Sequence

from mureg.errors import UnreadableInputError
from mureg.io.dicom.access import text
from mureg.io.dicom.files import DicomSeries

_MOST_LISTED = 6
"""Series that a refusal names: as many as stay readable; chosen by eye."""


def choose(candidates: Sequence[DicomSeries], name: str | None, what: str) -> DicomSeries:
    """The one candidate, or the one that `name` names by UID, end of the UID, number or description.

    Raises `UnreadableInputError` with the list of candidates where none or several remain.
    """
    matching = list(candidates) if name is None else named(candidates, name)
    if len(matching) == 1:
        return matching[0]
    listed = ", ".join(str(s) for s in candidates[:_MOST_LISTED])
    listed += f" and {len(candidates) - _MOST_LISTED} more" if len(candidates) > _MOST_LISTED else ""
    if name is not None:
        raise UnreadableInputError(
            f"'{name}' names {len(matching)} of these series: {listed}",
            f"exactly one {what}",
            "name it by its number, description or the end of its UID",
        )
    patients = len({text(s.files[0].header, "PatientID") for s in candidates})
    of = f" of {patients} patients" if patients > 1 else ""
    raise UnreadableInputError(
        f"{len(candidates)} {what}{of} found: {listed}",
        f"exactly one {what}",
        "choose one by number, description or the end of its UID",
    )


def named(candidates: Sequence[DicomSeries], search_words: str) -> list[DicomSeries]:
    """Candidates of that number or description; where there is none, of a UID that ends so (4 characters at least)."""
    name = search_words.strip()
    direct = [s for s in candidates if name and (name == s.number or name.lower() == s.description.lower())]
    return direct or [s for s in candidates if len(name.lstrip(".")) >= 4 and s.uid.endswith(name.lstrip("."))]
