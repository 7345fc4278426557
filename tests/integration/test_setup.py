"""Set-up on a strange machine: what is missing is said, and nothing half done counts as done."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_TOOLS = ("cat", "dirname", "id", "printf", "rm", "sh", "touch")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with what set-up reads."""
    (tmp_path / "deploy").mkdir()
    for name in ("deploy/setup.sh", "Makefile", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def _set_up(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "deploy/setup.sh", *arguments],
        cwd=checkout,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _path_of(directory: Path, *tools: str) -> str:
    """A PATH that has these tools only."""
    directory.mkdir()
    for tool in tools:
        found = shutil.which(tool)
        assert found is not None
        (directory / tool).symlink_to(found)
    return str(directory)


def test_a_machine_without_python_is_told_what_to_do(checkout: Path) -> None:
    """No Python 3.11 under any name: the error says so, and how to name one."""
    told = _set_up(checkout, PATH=_path_of(checkout / "bin", *_TOOLS))
    assert told.returncode == 1
    assert "no Python 3.11 or newer was found" in told.stderr
    assert "make PYTHON=" in told.stderr
    assert not (checkout / ".venv").exists()


def test_an_old_python_is_passed_over(checkout: Path) -> None:
    """A `python3` that is too old, or broken, is not taken."""
    path = _path_of(checkout / "bin", *_TOOLS)
    for name in ("python3", "python"):
        (checkout / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (checkout / "bin" / name).chmod(0o755)
    told = _set_up(checkout, PATH=path)
    assert told.returncode == 1
    assert "no Python 3.11 or newer was found" in told.stderr


def test_the_quicker_build_of_a_version_is_taken(checkout: Path) -> None:
    """A Python that is much slower comes first in the PATH, and the other one of its version is used."""
    slow, quick = checkout / "slow", checkout / "quick"
    for directory in (slow, quick):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory / "venv"], check=True)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (slow / name).write_text(f'#!/bin/sh\nexec {slow}/venv/bin/python -X tracemalloc=25 "$@"\n')
    (slow / name).chmod(0o755)
    (quick / name).symlink_to(quick / "venv" / "bin" / "python")
    tools = _path_of(checkout / "bin", *_TOOLS)
    told = _set_up(
        checkout,
        PATH=f"{slow}:{quick}:{tools}",
        COUNTERSIGN_INSTALLER="pip",
        PIP_INDEX_URL="http://127.0.0.1:1/simple",
        PIP_RETRIES="0",
    )
    assert f"({quick}" in told.stderr, told.stderr


def test_a_package_index_that_does_not_answer_is_said(checkout: Path) -> None:
    """Without the index set-up fails with what to do, and the next run tries again."""
    told = _set_up(
        checkout,
        PYTHON=sys.executable,
        COUNTERSIGN_INSTALLER="pip",
        PIP_INDEX_URL="http://127.0.0.1:1/simple",
        PIP_FIND_LINKS="",
        PIP_NO_CACHE_DIR="1",
        PIP_RETRIES="0",
    )
    assert told.returncode == 1
    assert "the packages could not be installed" in told.stderr
    assert "package index" in told.stderr
    assert not (checkout / ".venv" / ".ready").exists()


def test_a_changed_package_is_refused(checkout: Path) -> None:
    """A package whose hash is not the pinned one is not installed, whoever gives it."""
    wheels = checkout / "wheels"
    wheels.mkdir()
    shutil.copy(_small_wheel(checkout), wheels)
    (checkout / "requirements.txt").write_text(f"pinned==1.0 --hash=sha256:{'0' * 64}\n")
    told = _set_up(
        checkout,
        PYTHON=sys.executable,
        COUNTERSIGN_INSTALLER="pip",
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(wheels),
    )
    assert told.returncode == 1
    assert "DO NOT MATCH THE HASHES" in told.stderr
    assert not (checkout / ".venv" / ".ready").exists()


def _small_wheel(directory: Path) -> Path:
    """A wheel of a package with nothing in it."""
    staged = directory / "staged" / "pinned-1.0.dist-info"
    staged.mkdir(parents=True)
    (staged / "METADATA").write_text("Metadata-Version: 2.1\nName: pinned\nVersion: 1.0\n")
    (staged / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (staged / "RECORD").write_text("")
    archive = shutil.make_archive(str(directory / "pinned"), "zip", staged.parent)
    return Path(archive).rename(directory / "pinned-1.0-py3-none-any.whl")
