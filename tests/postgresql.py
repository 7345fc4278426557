"""A real PostgreSQL for tests: on loopback, on a free port, in a directory of its own; a database for each test."""

import secrets
from collections.abc import Mapping
from pathlib import Path

import psycopg

from deploy.local.postgresql import PostgresqlServer
from deploy.local.supervisor import Supervisor
from tests.valkey import free_port


class Postgresql:
    """One server; after `kill` or `stop` it can `start` with the same data.

    Args:
        settings: of the server's configuration; they replace the durable ones that are the default.
    """

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self._supervisor = Supervisor(directory / "run")
        self._settings = settings or {}
        self.server = PostgresqlServer(
            name="postgresql",
            directory=directory / "postgresql",
            log_file=directory / "postgresql.log",
            port=free_port(),
            password="test",
        )

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def port(self) -> int:
        return self.server.port

    def start(self) -> "Postgresql":
        """Start the server and wait until it serves."""
        self._supervisor.stop(self.server.name)
        self.server.prepare()
        with (self.server.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in self._settings.items())
        self._supervisor.start(self.server.service())
        return self

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._supervisor.kill(self.server.name)

    def stop(self) -> None:
        """End it in peace; again, or after `kill`, does nothing."""
        self._supervisor.stop(self.server.name)

    def pid(self) -> int:
        """The server's first process."""
        pid = self._supervisor.pid(self.server.name)
        assert pid is not None, "it does not run"
        return pid

    def database(self) -> str:
        """The URL of a new database."""
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{self.url.rpartition('/')[0]}/{name}"

    def wipe(self) -> str:
        """Lose all that a record store left in the first database, and give its URL: quicker than a new database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            query = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
            for (schema,) in connection.execute(query).fetchall():
                connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
        return self.url

    def drop(self, url: str) -> None:
        """Drop a database that `database` made."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            name = url.rpartition("/")[2]
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
