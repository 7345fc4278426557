"""What every role's process does at its start and its end.

Its state stands in `status.json` in the role's directory: `standby`, `active`, `stopped` or `halted`, with
the code, what was seen and what to do. Where several processes share a directory it is the active one's, as
long as that lives. Exit codes: 0 stopped as asked, 3 halted by its machine, 4 wrong configuration or a world
that is not there.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.disk import is_full
from deploy.local.processes import ProcessIdentity, identify
from protocol.errors import ERRORS, CountersignError
from storage.effects import Halt
from streams.garbage_collection import collect_rarely
from streams.role_directory import STATUS_FILE, RoleConfiguration
from streams.stage import StopSignal

EXIT_HALTED = 3
EXIT_FAILED = 4

_log = logging.getLogger("countersign")


class RoleStatus:
    """A role's state as others may read it."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / STATUS_FILE

    def write(self, state: str, code: str = "", text: str = "", **more: object) -> None:
        """Replace the state, atomically; only a process that became active replaces another active one's.

        Raises:
            OSError: it cannot be written; the one before stays.
        """
        if state != "active" and self._is_of_another():
            return
        beside = self._file.with_suffix(f".{os.getpid()}")
        said = {"state": state, "pid": os.getpid(), "start": _this_process().start, "code": code, "text": text, **more}
        try:
            beside.write_text(json.dumps(said))
            beside.replace(self._file)
        except OSError:
            beside.unlink(missing_ok=True)
            raise

    def read(self) -> dict[str, object]:
        """The state, empty if the role never ran."""
        try:
            values = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    def active(self) -> ProcessIdentity | None:
        """The process that said here that it is active, if it still runs: not another one that has its id by now."""
        said = self.read()
        process = who_said(said)
        return process if said.get("state") == "active" and process is not None and process.is_alive() else None

    def _is_of_another(self) -> bool:
        """Whether another process, which still runs, has said here that it is active."""
        return self.active() not in (None, _this_process())


def who_said(said: Mapping[str, object]) -> ProcessIdentity | None:
    """The process that said this of itself; it may have ended."""
    pid, start = said.get("pid"), said.get("start")
    return ProcessIdentity(pid=pid, start=start) if isinstance(pid, int) and isinstance(start, str) else None


def _this_process() -> ProcessIdentity:
    identity = identify(os.getpid())
    assert identity is not None, "a process that runs has an identity"
    return identity


Run = Callable[[RoleConfiguration, StopSignal, RoleStatus], Halt | None]


def run_role(run: Run) -> int:
    """Run a role whose directory is the only argument of the command line; give the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    directory = Path(sys.argv[1] if len(sys.argv) == 2 else "").absolute()  # a replica's number is in its name
    if len(sys.argv) != 2 or not directory.is_dir():
        _log.error("one argument is needed, the directory of a role: %s", " ".join(sys.argv[1:]) or "there is none")
        return EXIT_FAILED
    collect_rarely()
    status = RoleStatus(directory)
    stop = StopSignal()
    stop.on_signals()
    try:
        halt = run(RoleConfiguration.load(directory), stop, status)
    except CountersignError as error:
        _halted(status, error.code, error.detail or str(error).removeprefix(f"{error.code}: "))
        return EXIT_FAILED
    except OSError as error:
        if not is_full(error):
            raise
        _halted(status, "disk.full", str(error))
        return EXIT_FAILED
    if halt is None:
        _note(status, "stopped")
        return 0
    _halted(status, halt.code, halt.text)
    return EXIT_HALTED


def _halted(status: RoleStatus, code: str, text: str) -> None:
    """Say why this process ends, and what to do."""
    remedy = ERRORS[code].remedy if code in ERRORS else ""
    _log.error("halted: %s: %s: %s", code, text, remedy)
    _note(status, "halted", code, text, remedy=remedy)


def _note(status: RoleStatus, state: str, code: str = "", text: str = "", **more: object) -> None:
    """Write the last state; where the disk is full the log alone has it, and the exit code stays what it is."""
    try:
        status.write(state, code, text, **more)
    except OSError as error:
        if not is_full(error):
            raise
        _log.warning("that it is %s stands nowhere else: %s", state, error)
