"""The names that users rely on, and the tree of refusals."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import mureg
from mureg import errors

TREE = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.MuregError)]


@pytest.mark.parametrize("name", mureg.__all__)
def test_every_public_name_is_there(name) -> None:
    assert getattr(mureg, name) is not None


def test_another_name_is_missing_as_python_says_it() -> None:
    with pytest.raises(AttributeError, match="module 'mureg' has no attribute 'no_such_name'"):
        _ = mureg.no_such_name


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, mureg; print([m for m in ('torch', 'numpy', 'SimpleITK', 'scipy') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


@pytest.mark.parametrize("error", TREE)
def test_a_refusal_says_what_was_found_what_was_expected_and_what_to_do(error) -> None:
    refusal = error("a 7.5 mm gap", "2.5 mm", "export the complete series")
    assert str(refusal) == "a 7.5 mm gap; expected 2.5 mm; export the complete series."
    assert refusal.exit_code in (1, 2, 3, 4)
    assert (refusal.exit_code == 1) is (error is errors.MuregError)
