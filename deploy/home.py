"""Where a deployment keeps what.

A deployment's *home* holds one directory per role with its `role.toml`, keys and data. On one machine they
stand side by side; in earnest each directory lives with its own party, and only `public/` is copied to all.

    public/     genesis and configurations        client/      entities' keys
    auditor/    key, salt, signing guard          ledger/      key, signing guard
    replica-0/  key                               learner/     its views
    views/, dashboard/  for eyes only
    stack/      the local Kafka and Valkeys, logs and pid files
"""

import os
from pathlib import Path

from protocol.contracts.names import is_name
from protocol.errors import CountersignError
from protocol.limits import Limits
from streams.role_directory import STATUS_FILE, RoleConfiguration, key_file


class Home:
    """The directories of a deployment."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(os.path.expanduser(directory)).absolute()  # of --home=~/ledger a shell makes nothing

    @property
    def public(self) -> Path:
        """Genesis and configurations: the same for all."""
        return self.directory / "public"

    @property
    def client(self) -> Path:
        """The entities' keys."""
        return self.directory / "client"

    @property
    def stack(self) -> Path:
        """The local Kafka and Valkeys, logs and pid files of all processes."""
        return self.directory / "stack"

    @property
    def exists(self) -> bool:
        """Whether `init` has been here."""
        return (self.public / "genesis.avro").exists()

    def require_public(self) -> None:
        """Require that a ledger that has run here still has its genesis, whose absence would pass for no ledger.

        Raises:
            CountersignError: `config.invalid`.
        """
        if not self.exists and any(self.directory.glob(f"*/{STATUS_FILE}")):
            text = f"{self.public / 'genesis.avro'} is not there, of a ledger that has run: bring public/ back"
            raise CountersignError("config.invalid", f"{text}; whoever has a part of this ledger has the same files")

    def role(self, name: str) -> Path:
        """The directory of a role: "auditor", "ledger", "replica-0", "learner", "client"."""
        return self.directory / name

    def load(self, name: str) -> RoleConfiguration:
        """A role's configuration.

        Raises:
            CountersignError: `config.missing` where `init` has not been, else as `require_public` and
                `RoleConfiguration.load`.
        """
        self.require_public()
        if not self.exists:
            raise CountersignError("config.missing", str(self.directory))
        return RoleConfiguration.load(self.role(name))

    def key_file(self, entity: str, key_version: int) -> Path:
        """Where an entity's private key is kept.

        Raises:
            CountersignError: `name.refused`: what is no name may lead anywhere.
        """
        if not is_name(entity, Limits()):
            raise CountersignError("name.refused", repr(entity))
        return key_file(self.client, entity, key_version)
