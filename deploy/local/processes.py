"""Which process is which: its id *and* its start, so that a reused id is never mistaken for it."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

_STAT_STATE = 0
_STAT_START = 19
"""Places in /proc/<pid>/stat, counted behind the command's closing parenthesis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """One process, never another one that has its id later."""

    pid: int
    start: str
    """When it started, as the system counts it: compared, never calculated with."""

    def to_text(self) -> str:
        """One line for a pid file."""
        return f"{self.pid} {self.start}\n"

    @classmethod
    def from_text(cls, text: str) -> "ProcessIdentity | None":
        """The identity in a pid file; None where the text is none."""
        pid, _, start = text.strip().partition(" ")
        return cls(pid=int(pid), start=start) if pid.isdecimal() and start else None

    def is_alive(self) -> bool:
        """Whether this very process still runs; one that ended and was not reaped does not."""
        return identify(self.pid) == self


def identify(pid: int) -> ProcessIdentity | None:
    """The process that has this id now, if it runs."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _identify_elsewhere(pid)
    except ProcessLookupError:
        return None
    if fields[_STAT_STATE] in "ZX":
        return None
    return ProcessIdentity(pid=pid, start=f"{boot}/{fields[_STAT_START]}")


def _identify_elsewhere(pid: int) -> ProcessIdentity | None:
    """The same on a system without /proc."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return ProcessIdentity(pid=pid, start=f"{process.create_time():.2f}")
    except psutil.NoSuchProcess:
        return None


def carrying(variable: str, value: str) -> tuple[ProcessIdentity, ...]:
    """Every other process whose environment holds `variable` with `value`: a service and its children."""
    found = []
    for process in psutil.process_iter():
        identity = identify(process.pid)
        try:
            if process.pid != os.getpid() and process.environ().get(variable) == value:
                found.append(identity)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another user's
    return tuple(identity for identity in found if identity is not None)
