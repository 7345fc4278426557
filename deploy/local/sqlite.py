"""One SQLite file as a party's store: no server, the party's own process writes it."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteFile:
    """A file of its own in `directory`, which is made by `prepare`; the party makes the file."""

    directory: Path

    @property
    def url(self) -> str:
        """Where its party finds it."""
        return f"sqlite://{quote(str(self.directory.absolute() / 'store.db'))}"

    def prepare(self) -> None:
        """Make the directory, this user's only."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
