"""What a role's process says to a command line that is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("arguments", [("/nonexistent",), ()])
def test_a_missing_directory_is_named(arguments: tuple[str, ...]) -> None:
    """In one line, with the exit code of a world that is not there."""
    command = [sys.executable, "-m", "deploy.roles.learner", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "the directory of a role" in done.stderr
    assert len(done.stderr.splitlines()) == 1
