"""Every numeric constant of a module says what it is and where its value comes from."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "mureg"
PARTS = sorted(path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())
"""Rooms and modules of the package."""
NOTES_FOR_TOOLS = ("# noqa", "# fmt:", "# type:")


def comment_lines(source: str) -> tuple[set[int], set[int]]:
    """Numbers of the lines that hold a comment, and of those that hold nothing else; notes for tools are none."""
    anywhere, alone = set(), set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith(NOTES_FOR_TOOLS):
            anywhere.add(token.start[0])
            if token.line[: token.start[1]].strip() == "":
                alone.add(token.start[0])
    return anywhere, alone


def constant_names(statement: ast.stmt) -> list[str]:
    """The names that an assignment gives, where all are in capitals; none of another statement."""
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets = [statement.target]
    else:
        return []
    names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return names if names and all(name.isupper() for name in names) else []


def holds_number(statement: ast.Assign | ast.AnnAssign) -> bool:
    """Whether a number is written in the value; a truth value is none."""
    values = (node.value for node in ast.walk(statement.value or statement) if isinstance(node, ast.Constant))
    return any(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def unexplained(source: str) -> list[str]:
    """Numeric constants of a module with neither a docstring below nor a comment.

    A comment counts on a line of the constant, directly above it, or above the block in which it stands: assignments
    that follow each other without a blank line and without a docstring.
    """
    anywhere, alone = comment_lines(source)
    body = ast.parse(source).body
    found = []
    for place, statement in enumerate(body):
        names = constant_names(statement)
        if not names or not isinstance(statement, ast.Assign | ast.AnnAssign) or not holds_number(statement):
            continue
        below = body[place + 1] if place + 1 < len(body) else None
        has_docstring = (
            isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
        )
        last = statement.end_lineno or statement.lineno
        has_comment = any(line in anywhere for line in range(statement.lineno, last + 1))
        if not (has_docstring or has_comment or _under_comment(body, place, alone)):
            found += names
    return found


def _under_comment(body: list[ast.stmt], place: int, alone: set[int]) -> bool:
    """Whether a comment stands above a statement, or above its block."""
    while True:
        first = body[place].lineno
        if first - 1 in alone:
            return True
        if place == 0 or not constant_names(body[place - 1]) or body[place - 1].end_lineno != first - 1:
            return False
        place -= 1


@pytest.mark.parametrize("part", PARTS)
def test_numeric_constants_say_where_they_come_from(part: str) -> None:
    sources = [PACKAGE / part] if part.endswith(".py") else sorted((PACKAGE / part).rglob("*.py"))
    assert sources
    silent = {str(path.relative_to(PACKAGE)): unexplained(path.read_text(encoding="utf-8")) for path in sources}
    assert {path: names for path, names in silent.items() if names} == {}


def test_a_constant_without_a_word_is_noticed() -> None:
    for source in (
        "A = 1\n",
        "_A, B_2 = -1.0, 2\n",
        "A: Triple = (1.0, 2.0, 3.0)\n",
        "A = f(0.5)\n",
        "# of another block\n\nA = 1\n",
        "B = 1  # of another line\nA = 1\n",
        'B = 1\n"""Of another constant."""\nA = 1\n',
        '# of B alone, whose docstring ends the block\nB = 1\n"""Of B."""\nA = 1\n',
        "A = [1]  # fmt: skip\n",
    ):
        assert unexplained(source), source


def test_comments_and_docstrings_are_accepted_where_they_stand() -> None:
    for source in (
        '"""Module."""\n\nA = 1\n"""Of A."""\n',
        "A = 1  # of A\n",
        "# of A\nA = 1\n",
        "# of both\nB = 2\nA = 1\n",
        "# of both\nB = 'word'\nA = 1\n",
        "A = (\n    1,  # of A\n    2,\n)\n",
        "A = 'word'\nB = True\nShare = Annotated[float, Field(ge=0)]\na = 1\n",
        "def f():\n    A = 1\n",
    ):
        assert unexplained(source) == [], source
