"""The house rules that a program can check."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.architecture.house import NOT_SHIPPED, PURE, ROOT, imports, packages, sources, tree

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
DRAWERS = frozenset({"base", "common", "helper", "helpers", "manager", "misc", "shared", "util", "utils"})
LEFTOVER = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "<<<<" + "<<<")))
EVERYTHING = (*packages(), *NOT_SHIPPED)


def _python(*arguments: str, given: str = "", optimise: str = "") -> CompletedProcess[str]:
    """Run this Python in the house."""
    environment = {**os.environ, "PYTHONOPTIMIZE": optimise}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def _tracked() -> list[Path]:
    """Every file of the repository that git knows, or all sources where it is no repository."""
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = git.stdout.split("\0") if git.returncode == 0 else [str(path) for path in sources(*EVERYTHING)]
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_ruff_is_content() -> None:
    """Names, import order, likely mistakes; no clock, randomness or environment in a pure package."""
    ruff = _python("-m", "ruff", "check", "--no-cache", "--output-format", "concise", ".")
    assert ruff.returncode == 0, ruff.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mypy_is_content() -> None:
    """Every type fits, strictly."""
    mypy = _python("-m", "mypy")
    assert mypy.returncode == 0, mypy.stdout


@pytest.mark.parametrize("asked", ["import time", "import random", "from os import environ, urandom"])
@pytest.mark.parametrize("package", PURE)
def test_a_planted_question_to_the_world_is_seen(package: str, asked: str) -> None:
    """Ruff's configuration bans clock, randomness and environment in each pure package."""
    file = f"{package}/planted.py"
    ruff = _python("-m", "ruff", "check", "--select", "TID251", "--stdin-filename", file, "-", given=asked)
    assert ruff.returncode == 1
    assert "TID251" in ruff.stdout


def test_only_deploy_reads_the_environment() -> None:
    """No other package asks for an environment variable."""
    readers = [
        f"{path}:{node.lineno}"
        for path in sources(*(name for name in packages() if name != "deploy"))
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "getenvb")
    ]
    assert not readers


def test_files_and_functions_fit_on_their_pages() -> None:
    """No file has more than 400 lines, no function more than 50."""
    too_long = []
    for path in sources(*EVERYTHING):
        lines = len((ROOT / path).read_text().splitlines())
        if lines > FILE_LINES_MAX:
            too_long.append(f"{path}: {lines} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    too_long.append(f"{path}: {node.name} has {lines} lines")
    assert not too_long, "\n".join(too_long)


def test_there_is_no_drawer() -> None:
    """No module's name says that anything may be put into it."""
    drawers = [str(path) for path in sources(*EVERYTHING) if DRAWERS & set(path.with_suffix("").parts)]
    assert not drawers


def test_every_module_says_what_it_is() -> None:
    """Every file that holds code begins with a docstring."""
    trees = {path: tree(path) for path in sources(*EVERYTHING)}
    assert not [str(path) for path, module in trees.items() if module.body and not ast.get_docstring(module)]


def test_tests_mirror_the_packages() -> None:
    """A unit test lies under the name of the package that it tests."""
    tested = {path.parts[2] for path in sources("tests/unit") if path.name.startswith("test_")}
    assert tested <= set(packages())


def test_shipped_code_imports_no_test() -> None:
    """Tests never ship, so nothing shipped needs them."""
    for path in sources(*packages()):
        imported = {name.partition(".")[0] for name in imports(path)}
        assert not {"tests", "pytest", "hypothesis"} & imported, path


def test_nothing_is_left_over() -> None:
    """No marker of work to be done, and no address of a package index, is in the repository."""
    found = []
    for path in _tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in LEFTOVER.finditer(text)]
    requirements = (ROOT / "requirements.txt").read_text()
    assert not found
    assert "://" not in requirements
    assert not re.search(r"^-", requirements, re.MULTILINE)


def test_nothing_runs_without_its_assertions() -> None:
    """Under `python -O` the command line and every role refuse to start."""
    assert _python("-c", "import deploy").returncode == 0
    optimised = _python("-c", "import deploy", optimise="1")
    assert optimised.returncode == 1
    assert "assertions" in optimised.stderr
