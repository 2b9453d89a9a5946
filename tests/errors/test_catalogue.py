"""The catalogue of problem types: every code that the sources raise has a description."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import alchemist
from alchemist.errors import PROBLEM_TYPES

CODE_PATTERN = re.compile(r"[a-z]+(-[a-z]+)*")
# The position of the argument `code` in calls that pass it without its name.
POSITIONS = {"CodedMessage": 0, "constraint_info": 0, "at_location": 3}


def raised_codes() -> set[str]:
    files = Path(alchemist.__file__).parent.rglob("*.py")
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    return {text for node in nodes for value in code_values(node) if (text := constant(value))}


def code_values(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the values that the node gives to a key, an argument or an attribute named `code`."""
    match node:
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            yield from (value for key, value in pairs if key and constant(key) == "code")
        case ast.Call():
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            yield from node.args[POSITIONS.get(name, len(node.args)) :][:1]
        case ast.AnnAssign(target=ast.Name(id="code"), value=ast.AST() as value):
            yield value
        case ast.Assign(targets=[ast.Name(id="code")]):
            yield node.value


def constant(node: ast.AST) -> str:
    value = getattr(node, "value", None)
    return value if isinstance(value, str) else ""


def test_every_raised_code_is_in_the_catalogue():
    raised = raised_codes()
    assert {
        "precondition-failed",
        "in-use",
        "too-long",
        "request-in-progress",
        "invalid-cursor",
    } <= raised
    assert raised <= set(PROBLEM_TYPES)


@pytest.mark.parametrize("code", PROBLEM_TYPES)
def test_a_problem_type_is_complete(code):
    problem = PROBLEM_TYPES[code]
    assert CODE_PATTERN.fullmatch(code)
    assert 400 <= problem.status <= 599
    assert problem.description.endswith(".")
    assert problem.description.count("`") % 2 == 0
    assert problem.example
