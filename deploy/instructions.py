"""Commands as a user is to type them: with the program as he reaches it, and on the home that he works on.

What a text tells to type stands in backticks and begins with `countersign`; every one of these commands takes
`--home`. So what an error's remedy says works as it is printed, wherever it is printed.
"""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

DEFAULT_HOME = Path(os.path.expanduser(os.environ.get("COUNTERSIGN_HOME") or "~/.countersign"))
"""Where commands work that are told nothing else."""

_PROGRAM = "countersign"
_TOLD = re.compile(rf"`{_PROGRAM} ([^`]+)`")


def instruction(words: str, home: Path = DEFAULT_HOME) -> str:
    """How one types a command of the command line.

    Args:
        words: the command and its arguments.
        home: which it is to work on.
    """
    place = "" if home.absolute() == DEFAULT_HOME.absolute() else f" --home {shlex.quote(str(home))}"
    return f"{_program()} {words}{place}"


def with_instructions(text: str, home: Path = DEFAULT_HOME) -> str:
    """A text in which every command is as one types it."""
    return _TOLD.sub(lambda found: f"`{instruction(found[1], home)}`", text)


def _program() -> str:
    """What starts this very program: its name where the shell finds it, else its place."""
    program = Path(sys.executable).with_name(_PROGRAM)
    found = shutil.which(_PROGRAM)
    if not program.exists() or (found is not None and Path(found).absolute() == program):
        return _PROGRAM
    here = Path.cwd()
    return shlex.quote(str(program.relative_to(here) if program.is_relative_to(here) else program))
