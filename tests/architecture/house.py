"""The house as it stands on disk: its packages and their files."""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PURE = ("schemas", "protocol", "auditor", "ledger", "learners")
NOT_SHIPPED = ("tests", "benchmarks", "examples", "docs")


def packages() -> tuple[str, ...]:
    """Every top-level package that is shipped, as the directories say."""
    found = (path.parent.name for path in ROOT.glob("*/__init__.py"))
    return tuple(sorted(name for name in found if name not in NOT_SHIPPED))


def sources(*directories: str) -> Iterator[Path]:
    """Every Python file below these directories of the house, relative to it."""
    for directory in directories:
        for path in sorted((ROOT / directory).rglob("*.py")):
            yield path.relative_to(ROOT)


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax."""
    return ast.parse((ROOT / path).read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """The whole names of the modules that a file imports, anywhere in it."""
    yield from imported_by(tree(path))


def imported_by(module: ast.Module) -> Iterator[str]:
    """Likewise, of a file's syntax."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def configuration() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
