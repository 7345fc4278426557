"""What `make` hands to the command line."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (("simulate", "ARGS=--help"), "simulate --help"),
        (("bench", "ARGS=dispersal --help"), "bench dispersal --help"),
        (("bench",), "bench "),
        (("run",), "--help"),
        (("run", "ARGS=status --json"), "status --json"),
    ],
)
def test_arguments_come_through_whole(arguments: tuple[str, ...], command: str) -> None:
    """Asking for help runs nothing; only `make run` alone shows it unasked."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    told = subprocess.run(
        ["make", "--dry-run", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.endswith(f"-m deploy.cli {command}\n")
