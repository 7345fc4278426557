"""The command line: what it loads, and that it is interrupted while it is still being loaded."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from deploy.application import OFTEN, application

ROOT = Path(__file__).parents[3]
_INTERRUPTS_ITSELF = """
import os, runpy, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "deploy.application":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["countersign", "--help"]
runpy.run_module("deploy.cli", run_name="__main__")
"""
_INTERRUPTED_COMMAND = """
import os, signal, sys
from deploy import cli
from deploy.commands import ledger

def interrupt(_: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)

ledger.ledger_status = interrupt
sys.argv = ["countersign", "status"]
cli.main()
"""


def _run(program: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_an_interrupt_while_it_is_loaded_is_told_in_a_word() -> None:
    """No stack of calls out of the imports; the usual exit code."""
    assert _run(_INTERRUPTS_ITSELF) == (130, "interrupted\n")


def test_an_interrupted_command_says_so() -> None:
    """Whatever it was doing."""
    assert _run(_INTERRUPTED_COMMAND) == (130, "interrupted\n")


def test_what_is_called_often_loads_no_store_and_no_simulation() -> None:
    """Each of these commands answers sooner than the others are loaded."""
    heavy = _run(_LOADS.format(words=["status", "--help"]))[1].splitlines()[-1]
    assert heavy == "[]"
    assert "redis" in _run(_LOADS.format(words=["--help"]))[1].splitlines()[-1], "the search finds nothing"


_LOADS = """
import sys
from deploy import cli
sys.argv = ["countersign", *{words!r}]
try:
    cli.main()
finally:
    print([name for name in ("redis", "psycopg", "duckdb", "streams.simulation") if name in sys.modules])
"""


def test_every_command_is_called_often_or_loaded_when_it_is_called() -> None:
    """None is forgotten, and each that is called alone is there."""
    whole = set(get_command(application()).commands)  # type: ignore[attr-defined]  # it is a group
    assert whole - {"bench", "simulate"} == OFTEN
    for name in whole:
        assert name in get_command(application([name, "--help"])).commands  # type: ignore[attr-defined]


def test_the_version_is_told() -> None:
    """That of the package."""
    done = CliRunner().invoke(application(), ["--version"])
    assert (done.exit_code, done.output) == (0, f"countersign {version('countersign')}\n")
