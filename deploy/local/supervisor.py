"""Starts services, waits until they are healthy, and ends them, whoever started them.

1. A service is known by its pid file in the run directory; nothing else must survive, so anyone may stop it.
2. Only the very process that was started is ever signalled (`ProcessIdentity`), and what carries its mark:
   its children.
3. A service has a deadline to become ready and one to stop; what is too slow is killed, with its children.
4. Its output goes to its log file; when it does not start, the last lines are in the error.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import deploy
from deploy.local.disk import explained
from deploy.local.processes import ProcessIdentity, carrying
from protocol.errors import CountersignError

_MARK = "COUNTERSIGN_SERVICE"
"""Environment variable that a service and its children carry."""
_CHECKOUT = Path(deploy.__file__).parents[1]
"""Where the packages lie, for a Python that does not have them installed."""
_POLL_S = 0.02
_KILLED_DEADLINE_S = 10.0
_LOG_TAIL_LINES = 12
_CAUSES = (
    ("No space left on device", "disk.full"),
    ("Address already in use", "port.taken"),
)
"""What a log may say, and the code that explains it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process that the supervisor runs.

    Attributes:
        name: unique in its run directory; also the name of its pid file.
        argv: the command, its program with the whole path.
        log_file: where standard output and standard error go, appended.
        is_ready: asked again and again until it says yes; an OSError counts as no.
        environment: added to this process's environment.
        directory: where it runs, for a program that would misread the characters of a whole path; by default here.
        ready_deadline_s: how long it may take to become ready.
        stop_deadline_s: how long it may take to end after `stop_signal`.
        stop_signal: what ends it in peace.
    """

    name: str
    argv: tuple[str, ...]
    log_file: Path
    is_ready: Callable[[], bool] = lambda: True
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    ready_deadline_s: float = 60.0
    stop_deadline_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM


class Supervisor:
    """The services of one run directory."""

    def __init__(self, run_directory: Path) -> None:
        """Look after the services whose pid files are in `run_directory`, which need not exist yet."""
        self._directory = run_directory

    def start(self, service: Service) -> None:
        """Start a service and wait until it is ready.

        Raises:
            CountersignError: `stack.running`, `service.failed`, or a more exact cause such as `port.taken`.
        """
        self.launch(service)
        self.wait_ready(service)

    def launch(self, service: Service) -> None:
        """Start a service without waiting for it.

        Raises:
            CountersignError: `stack.running` if it runs already, `service.failed`, `disk.full`, `file.unusable`.
        """
        if self.is_running(service.name):
            raise CountersignError("stack.running", service.name)
        self._kill_marked(service.name)
        mark = secrets.token_hex(8)
        with explained(service.name):
            self._directory.mkdir(parents=True, exist_ok=True)
            service.log_file.parent.mkdir(parents=True, exist_ok=True)
            self._path(service.name, "mark").write_text(mark)
            self._path(service.name, "signal").write_text(str(int(service.stop_signal)))
        pid_file, log_file = str(self._path(service.name, "pid").absolute()), str(service.log_file.absolute())
        started = subprocess.run(
            [sys.executable, "-P", "-m", "deploy.local.launch", pid_file, log_file, *service.argv],
            env={**os.environ, "PYTHONPATH": python_path(_CHECKOUT), **service.environment, _MARK: mark},
            cwd=service.directory,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if started.returncode != 0:
            raise CountersignError("service.failed", f"{service.name}: {started.stderr.strip()}")

    def wait_ready(self, service: Service) -> None:
        """Wait until a launched service is ready; stop it if that never comes.

        Raises:
            CountersignError: `service.failed`, or a more exact cause, with the last lines of its log.
        """
        deadline = time.monotonic() + service.ready_deadline_s
        while self.is_running(service.name):
            with suppress(OSError):  # it does not listen yet
                if service.is_ready():
                    return
            if time.monotonic() > deadline:
                self.stop(service.name, deadline_s=0)
                raise _failure(service, f"was not ready within {service.ready_deadline_s:.0f} s")
            time.sleep(_POLL_S)
        self.stop(service.name, deadline_s=0)
        raise _failure(service, "ended while it started")

    def names(self) -> tuple[str, ...]:
        """Every service that was started and not stopped, running or not, in the order of their starts."""
        started = []
        for path in self._directory.glob("*.pid"):
            with suppress(FileNotFoundError):  # somebody stops it at this moment
                started.append((path.stat().st_mtime_ns, path.stem))
        return tuple(name for _, name in sorted(started))

    def identity(self, name: str) -> ProcessIdentity | None:
        """The process of a service, as its pid file has it; None where there is none."""
        try:
            return ProcessIdentity.from_text(self._path(name, "pid").read_text())
        except FileNotFoundError:
            return None

    def pid(self, name: str) -> int | None:
        """The service's process id, None if it does not run."""
        identity = self.identity(name)
        return identity.pid if identity is not None and identity.is_alive() else None

    def is_running(self, name: str) -> bool:
        """Whether the service's process runs."""
        return self.pid(name) is not None

    def kill(self, name: str) -> None:
        """End a service as a power cut would: SIGKILL, to its children too; its pid file stays."""
        _end(self.identity(name), signal.SIGKILL, _KILLED_DEADLINE_S)
        self._kill_marked(name)

    def stop(self, name: str, *, deadline_s: float = 30.0) -> None:
        """End a service: by its own signal, then SIGKILL after `deadline_s` seconds; then forget it."""
        if deadline_s > 0:
            _end(self.identity(name), self._stop_signal(name), deadline_s)
        self.kill(name)
        for suffix in ("pid", "mark", "signal"):
            self._path(name, suffix).unlink(missing_ok=True)

    def stop_all(self, *, deadline_s: float = 30.0) -> tuple[str, ...]:
        """End every service, the last started first; give their names."""
        stopped = tuple(reversed(self.names()))
        for name in stopped:
            self.stop(name, deadline_s=deadline_s)
        return stopped

    def _stop_signal(self, name: str) -> signal.Signals:
        try:
            return signal.Signals(int(self._path(name, "signal").read_text()))
        except (FileNotFoundError, ValueError):  # a full disk leaves it empty
            return signal.SIGTERM

    def _kill_marked(self, name: str) -> None:
        """End what a service left behind: its children, which carry its mark."""
        try:
            mark = self._path(name, "mark").read_text()
        except FileNotFoundError:
            return
        for identity in carrying(_MARK, mark):
            _end(identity, signal.SIGKILL, _KILLED_DEADLINE_S)

    def _path(self, name: str, suffix: str) -> Path:
        return self._directory / f"{name}.{suffix}"


def _end(identity: ProcessIdentity | None, number: signal.Signals, deadline_s: float) -> None:
    """Signal a process, if it is still the one that is meant, and wait for its end."""
    if identity is None or not identity.is_alive():
        return
    with suppress(ProcessLookupError):  # it ended meanwhile
        os.kill(identity.pid, number)
    deadline = time.monotonic() + deadline_s
    while identity.is_alive() and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def python_path(packages: Path) -> str:
    """The PYTHONPATH with which a service finds our packages here, before whatever the user has on his."""
    paths = [str(packages), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(path for path in paths if path)


def failure_code(said: str) -> str:
    """The code that explains best what a service said as it ended."""
    return next((code for text, code in _CAUSES if text in said), "service.failed")


def _failure(service: Service, what: str) -> CountersignError:
    try:
        lines = service.log_file.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    except OSError:
        lines = []
    tail = "\n".join(lines)
    return CountersignError(failure_code(tail), f"{service.name} {what}; {service.log_file} ends:\n{tail}")
