"""The modules of `deploy.compiled_modules` are such that they can be compiled, as far as their text shows it.

Whether they do the same when they are compiled is for the tests of each to show: all pass on both.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.compiled_modules import COMPILED
from tests.architecture.house import ROOT, imports, packages, sources, tree

# Attributes get two underscores before them in C: with the one of a private name these are words of the compiler's own.
WORDS_OF_C = ("_asm", "_complex", "_const", "_imag", "_inline", "_label", "_real", "_signed", "_thread", "_volatile")


def file_of(module: str) -> Path:
    return Path(f"{module.replace('.', '/')}.py")


FILES = {file_of(module): module for module in COMPILED}


def classes(file: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree(file)) if isinstance(node, ast.ClassDef))


def bases(node: ast.ClassDef) -> list[str]:
    return [base.id for base in node.bases if isinstance(base, ast.Name)]


def test_the_list_is_in_order() -> None:
    """Every module stands there once, and exists."""
    houses = ["schemas", "protocol", "storage", "auditor", "ledger", "learners", "streams"]
    assert sorted(set(COMPILED), key=lambda name: (houses.index(name.partition(".")[0]), name)) == list(COMPILED)
    assert [str(file) for file in FILES if not (ROOT / file).is_file()] == []


def test_no_interpreted_class_inherits_from_a_compiled_one() -> None:
    """Such a class cannot be made where its base is compiled; a protocol is no base, it only describes."""
    compiled = {(FILES[file], node.name) for file in FILES for node in classes(file) if "Protocol" not in bases(node)}
    assert ("storage.machine", "Machine") in compiled
    names = {name for _, name in compiled}
    found = [
        f"{file}: {node.name}({base})"
        for file in sources(*packages(), "tests")
        if file not in FILES
        for node in classes(file)
        for base in bases(node)
        if base in names and any((module, base) in compiled for module in imports(file))
    ]
    assert found == []


@pytest.mark.parametrize("file", FILES, ids=COMPILED)
def test_a_module_has_nothing_that_no_compiler_takes(file: Path) -> None:
    """No attribute becomes a word of C, no `NamedTuple` has a field of type `object`, and none is run as a program."""
    attributes = {node.attr for node in ast.walk(tree(file)) if isinstance(node, ast.Attribute)}
    assert attributes.isdisjoint(WORDS_OF_C)
    rows = [node for node in classes(file) if "NamedTuple" in bases(node)]
    fields = [part for node in rows for part in node.body if isinstance(part, ast.AnnAssign)]
    assert [ast.unparse(field) for field in fields if ast.unparse(field.annotation) == "object"] == []
    tests = [node.left for node in ast.walk(tree(file)) if isinstance(node, ast.Compare)]
    assert [test for test in tests if isinstance(test, ast.Name) and test.id == "__name__"] == []
