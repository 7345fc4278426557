"""The table of attacks is true: every test it names is there, every test here is in it, and the page is up to date."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.attacks.page import PAGE, page
from tests.attacks.table import TABLE

TESTS = Path(__file__).parents[1]
NAMED = sorted({test for attacks in TABLE.values() for attack in attacks for test in attack.tests})


@cache
def functions(file: str) -> frozenset[str]:
    """The tests in a file."""
    module = ast.parse((TESTS / file).read_text())
    defined = (node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in defined if name.startswith("test_"))


@pytest.mark.parametrize("test", NAMED)
def test_every_named_test_exists(test: str) -> None:
    file, _, name = test.partition("::")
    assert name in functions(file)


def test_every_attack_has_a_test() -> None:
    assert all(attack.tests for attacks in TABLE.values() for attack in attacks)


def test_every_test_of_an_attack_is_in_the_table() -> None:
    """But for those that only show that the lies of their file are authentic, and this file."""
    here = {
        f"attacks/{path.name}::{name}"
        for path in (TESTS / "attacks").glob("test_*.py")
        for name in functions(f"attacks/{path.name}")
        if path.name != "test_table.py" and not name.startswith("test_the_lies_of_this_file")
    }
    assert here <= set(NAMED)


def test_the_page_is_up_to_date() -> None:
    """`make docs` would change nothing."""
    assert PAGE.read_text() == page(), "run `make docs`"
