"""The command line that is interrupted while it is still being loaded."""

import subprocess
import sys
from pathlib import Path

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

@cli.app.command()
def wait() -> None:
    os.kill(os.getpid(), signal.SIGINT)

sys.argv = ["countersign", "wait"]
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
