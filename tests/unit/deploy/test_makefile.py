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
    assert _told(*arguments).endswith(f"-m deploy.cli {command}\n")


def test_what_make_demo_made_outside_of_the_checkout_is_cleaned_too() -> None:
    """Before the environment that knows how to stop it."""
    forgets, removes = _told("clean").splitlines()
    assert "deploy.cli demo --forget" in forgets
    assert removes.startswith("rm -rf .venv ")


def _told(*arguments: str) -> str:
    """What make would do."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--dry-run", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
