"""What does no input or output and asks no machine about itself computes only: pure packages name nothing else.

The import rules and ruff list what is forbidden, and whatever nobody thought of passes. Here stands what is allowed.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.house import PURE, imported_by, sources, tree

COMPUTES = {
    "__future__", "collections", "collections.abc", "contextlib", "dataclasses", "enum", "functools", "hashlib", "hmac",
    "itertools", "json", "math", "re", "struct", "typing", "zlib",
}  # fmt: skip
PACKAGED: dict[str, tuple[str, ...]] = {
    "importlib": ("protocol/native/__init__.py", "schemas/codec.py"),
    "importlib.metadata": ("protocol/contracts/engine.py",),
    "importlib.resources": ("protocol/contracts/genesis.py",),
    "io": ("schemas/codec.py",),
}
"""Who reads what lies in the packages themselves, and buffers in memory."""

BUILT_IN = {
    "__import__", "breakpoint", "compile", "eval", "exec", "globals", "hash", "id", "input", "locals", "open", "print",
}  # fmt: skip
"""Reads, writes, runs, or is not the same in two processes."""


def questions(path: Path, module: ast.Module) -> Iterator[str]:
    """What a file asks of the world."""
    for name in imported_by(module):
        is_standard = name.partition(".")[0] in sys.stdlib_module_names
        if is_standard and name not in COMPUTES and str(path) not in PACKAGED.get(name, ()):
            yield f"{path} imports {name}"
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in BUILT_IN:
            yield f"{path}:{node.lineno} names {node.id}"


def test_pure_packages_compute_only() -> None:
    """No file of theirs imports or calls anything else."""
    found = [question for path in sources(*PURE) for question in questions(path, tree(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "planted", ["open('x')", "import os", "from pathlib import Path", "f = print", "import gc", "hash('a')"]
)
def test_a_planted_question_is_seen(planted: str) -> None:
    """Also where neither the import rules nor ruff say anything."""
    assert list(questions(Path("auditor/planted.py"), ast.parse(planted)))
