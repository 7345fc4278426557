"""The examples do what they say: each runs as a user would run it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline import Pipeline

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.timeout(300)]


def run_example(name: str, *arguments: str) -> list[str]:
    """What an example prints."""
    told = subprocess.run(
        [sys.executable, f"examples/{name}", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.splitlines()


def test_transfer(tmp_path: Path) -> None:
    """Money moves between two stores, in one transaction."""
    assert run_example("transfer.py", str(tmp_path)) == ["oslo 90", "rome 10"]


@pytest.mark.slow
def test_quickstart(ledger: Pipeline) -> None:
    """Written, read, and checked offline, on a real ledger."""
    ledger.serve()
    said = run_example("quickstart.py", str(ledger.home.client))
    assert said[1] == "both parties signed that color is blue"
    assert said[-1].startswith("checked without any server: object.get")
