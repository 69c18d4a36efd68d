"""Two headers, one person or two."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mureg.assessment.identity import compare, require_one_patient
from mureg.errors import RefusedError
from mureg.notes import Rank
from mureg.study import PatientIdentity

JANE = PatientIdentity("4711", "HOSPITAL", "DOE^JANE", "19500102", "F")


@pytest.mark.parametrize(
    "other",
    [
        JANE,
        replace(JANE, identifier=" 4711 "),
        replace(JANE, name="Doe^Jane^^Dr"),
        replace(JANE, issuer=""),
        replace(JANE, birth_date="", sex=""),
        replace(JANE, name="JANE^DOE"),
        replace(JANE, birth_date="19000101"),  # what some consoles write for an unknown date
        replace(JANE, birth_date="00010101"),
        replace(JANE, identifier="\uff14\uff17\uff11\uff11"),  # full width
    ],
)
def test_the_same_person(other) -> None:
    assert compare(JANE, other)[0] == "same"
    assert require_one_patient(JANE, other) == ()


@pytest.mark.parametrize(
    "other",
    [
        replace(JANE, identifier="4712", name="ROE^JANE"),
        replace(JANE, identifier="4712", name="DOE^JOHN", birth_date="19400303", sex="M"),
        PatientIdentity("4712"),
        PatientIdentity("", "", "ROE^RICHARD", "19400303", "M"),
        PatientIdentity("ANON", "", "ROE^RICHARD"),
        replace(JANE, name="ROE^RICHARD", birth_date="19400303"),
    ],
)
def test_two_persons_are_refused_and_let_through_as_a_phantom(other) -> None:
    assert compare(JANE, other)[0] == "different"
    with pytest.raises(RefusedError, match="different patients") as refusal:
        require_one_patient(JANE, other)
    assert refusal.value.exit_code == 3
    for secret in ("4711", "4712", "DOE", "ROE", "1950"):
        assert secret not in str(refusal.value).upper()
    (note,) = require_one_patient(JANE, other, allow_different=True)
    assert note.rank is Rank.CHANGES_ANSWER


@pytest.mark.parametrize(
    "other",
    [
        replace(JANE, identifier="X99"),  # one person with two numbers
        replace(JANE, birth_date="19500201"),
        replace(JANE, sex="M"),
        replace(JANE, name="SMITH^JANE"),  # married
        replace(JANE, identifier="ANONYMOUS", name="SMITH^JANE"),
    ],
)
def test_contradictions_are_warnings_of_the_first_rank(other) -> None:
    assert compare(JANE, other)[0] == "contradictory"
    (note,) = require_one_patient(JANE, other)
    assert note.rank is Rank.CHANGES_ANSWER


@pytest.mark.parametrize("nobody", ["", "0", "000000", "ANON", "anonymous", "Anonymized", "UNKNOWN", "XXXX", "N/A"])
def test_placeholders_name_nobody(nobody) -> None:
    assert compare(JANE, PatientIdentity(nobody, "", nobody))[0] == "unknown"
    assert require_one_patient(PatientIdentity(nobody), PatientIdentity("0")) == ()


@pytest.mark.parametrize("pseudonym", ["ANON-0001", "12", "Patient7"])
def test_numbered_pseudonyms_name_a_person(pseudonym) -> None:
    assert compare(PatientIdentity(pseudonym), PatientIdentity(pseudonym + "8"))[0] == "different"


COMPOSED, DECOMPOSED = "M\u00fcller^Ren\u00e9e", "Mu\u0308ller^Rene\u0301e"


def test_letters_with_marks_are_the_same_however_they_are_coded() -> None:
    assert compare(PatientIdentity(name=COMPOSED), PatientIdentity(name=DECOMPOSED))[0] == "same"


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ("=\u5c71\u7530^\u592a\u90ce", "same"),
        ("Yamada^Tarou", "same"),
        ("=\u9234\u6728^\u4e00\u90ce", "different"),
        ("==\u3084\u307e\u3060^\u305f\u308d\u3046", "unknown"),  # written in no way that both have
    ],
)
def test_a_name_may_be_written_in_several_ways(other, expected) -> None:
    name = PatientIdentity(name="Yamada^Tarou=\u5c71\u7530^\u592a\u90ce")
    assert compare(name, PatientIdentity(name=other))[0] == expected


def test_identifiers_of_two_issuers_are_not_compared() -> None:
    other = PatientIdentity("0815", "OTHER", "DOE^JANE", "19500102", "F")
    assert compare(JANE, other)[0] == "same"


def test_no_headers_prove_nothing() -> None:
    assert compare(None, JANE)[0] == "unknown"
    assert require_one_patient(None, None) == ()


def test_who_it_is_never_reaches_a_representation() -> None:
    assert "4711" not in repr(JANE)
