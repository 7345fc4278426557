"""The examples do what they say: each runs as a user would run it."""

import re
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
    """Money moves between two stores, in one transaction; again where it was run before."""
    directory = str(tmp_path / "new" / "bank")
    assert run_example("transfer.py", directory) == ["oslo 90", "rome 10"]
    assert run_example("transfer.py", directory) == ["oslo 80", "rome 20"]


def test_the_readmes_transaction(tmp_path: Path) -> None:
    """The snippet runs as it stands there, and prints what its last comment says."""
    (snippet,) = re.findall(
        r"```python\n(from countersign\.transactions .*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    told = subprocess.run(
        [sys.executable, "-c", snippet], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert told.stdout.strip() == "[90, 10]", told.stderr
    assert snippet.rstrip().endswith(told.stdout.strip())


@pytest.mark.slow
def test_quickstart(ledger: Pipeline) -> None:
    """Written, read, and checked offline, on a real ledger."""
    ledger.serve()
    said = run_example("quickstart.py", str(ledger.home.client))
    assert said[1] == "both parties signed that color is blue"
    assert said[-1].startswith("checked without any server: object.get")
