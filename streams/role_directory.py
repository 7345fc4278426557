"""A role's own directory: its configuration file `role.toml`, and its private key files.

What a role trusts stands here: the ledger_id of its own file counts, whatever another file or a topic says.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from json import dumps
from pathlib import Path
from typing import Any, Self

from protocol.configuration import Epochs, check_epochs
from protocol.contracts.names import is_name
from protocol.errors import CountersignError
from protocol.limits import Limits
from protocol.signing import SigningKey
from storage.record_stores import RealStore, kind_of, open_record_store
from streams.kafka_connection import KafkaConnection
from streams.private_file import replace_private
from streams.replica_places import ReplicaPlace, replica_places

CONFIGURATION_FILE = "role.toml"
STATUS_FILE = "status.json"
"""What its process last said of itself; it is there once one has run."""
PARTITIONS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleConfiguration:
    """What one process of one role is told.

    Attributes:
        directory: of the role; other paths are inside it unless absolute.
        ledger_id: hex; what this role trusts, whatever a file or a topic says.
        public: directory of genesis and configurations.
        bootstrap_servers: of the Kafka cluster.
        topic_prefix: of this ledger's topics.
        partitions: of the topic `requests`.
        store_url: of the party's store, password included: `redis://`, `sqlite://` or `postgresql://`.
        namespace_stores: the URL of the database of each namespace that lies in another one than the rest.
        guard_file: the signing guard, on another disk than the store in earnest.
        port: on loopback, of a role that serves pages or queries; 0 takes a free one.
        kafka: further settings of librdkafka (TLS, SASL).
        replicas: of a learner or replica: a table for each replica whose pieces are on another broker
            (`streams.replica_places`).
    """

    directory: Path
    ledger_id: str
    public: str
    bootstrap_servers: str = ""
    topic_prefix: str = ""
    partitions: int = 4
    store_url: str = ""
    namespace_stores: Mapping[str, str] = field(default_factory=dict)
    guard_file: str = "guard/signing.guard"
    port: int = 0
    kafka: Mapping[str, str] = field(default_factory=dict)
    replicas: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a role's file.

        Raises:
            CountersignError: `config.invalid`, it is missing, is no TOML, or has an unknown or ill-typed
                setting.
        """
        file = directory / CONFIGURATION_FILE
        try:
            values = tomllib.loads(file.read_bytes().decode())
        except OSError as error:
            raise CountersignError("config.invalid", f"{file}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CountersignError("config.invalid", f"{file}: {error}") from error
        for name, value in values.items():
            if name not in _SETTINGS:
                raise CountersignError("config.invalid", f"{file}: unknown setting {name}")
            expected = _SETTINGS[name]
            if type(value) is not expected:
                raise CountersignError(
                    "config.invalid", f"{file}: {name} should be of type {expected.__name__}"
                )
        for name, is_right, wanted in _FORMS:
            if name in values and not is_right(values[name]):
                raise CountersignError("config.invalid", f"{file}: {name} is {wanted}")
        try:
            configuration = cls(directory=directory, **values)
            replica_places(configuration.replicas)
            _check_stores(configuration.namespace_stores, file)
            return configuration
        except TypeError as error:
            raise CountersignError("config.invalid", f"{file}: {error}") from error

    def again(self) -> Self:
        """What the role's file says now; raises as `load`."""
        return self.load(self.directory)

    def save(self) -> None:
        """Write the file, whole or not at all, readable by its owner only: it may hold a password.

        One that says the same already stays as it is, with the comments in it.
        """
        if self._is_written():
            return
        lines: list[str] = []
        table: list[str] = []
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Mapping):
                table += _table((each.name,), value)
            elif each.name != "directory":
                lines.append(f"{each.name} = {_said(value)}")
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_private(self.directory / CONFIGURATION_FILE, "\n".join([*lines, *table, ""]).encode())

    def _is_written(self) -> bool:
        try:
            return self.load(self.directory) == self
        except CountersignError:
            return False

    def path(self, name: str) -> Path:
        """A file of this role."""
        return self.directory / name

    def open_store(self) -> RealStore:
        """The party's store.

        Raises:
            CountersignError: as `open_record_store`.
        """
        return open_record_store(self.store_url, self.namespace_stores)

    def connection(self) -> KafkaConnection:
        """How to reach this ledger's topics."""
        return KafkaConnection(bootstrap=self.bootstrap_servers, prefix=self.topic_prefix, options=self.kafka)

    def places(self) -> dict[int, ReplicaPlace]:
        """The replicas of which this role is told more than the epoch says."""
        return replica_places(self.replicas)

    def epochs(self) -> Epochs:
        """Genesis and configurations, checked against the trusted ledger_id.

        Raises:
            CountersignError: `config.invalid`, or a code of `protocol.configuration`.
        """
        public = self.directory / self.public
        try:
            genesis = (public / "genesis.avro").read_bytes()
            files = sorted(public.glob("configuration-*.avro"), key=lambda file: int(file.stem.split("-")[1]))
            signed = [file.read_bytes() for file in files]
        except (OSError, ValueError) as error:
            raise CountersignError("config.invalid", f"{public}: {error}") from error
        return check_epochs(bytes.fromhex(self.ledger_id), genesis, signed)


_SETTINGS: Mapping[str, type] = {
    each.name: {"int": int, "str": str}.get(getattr(each.type, "__name__", ""), dict)
    for each in fields(RoleConfiguration)
    if each.name != "directory"
}
"""The settings of a role's file, each with its type."""


_FORMS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("ledger_id", lambda value: re.fullmatch("[0-9a-f]{64}", value) is not None, "64 hexadecimal digits"),
    ("topic_prefix", lambda value: re.fullmatch("[A-Za-z0-9._-]{0,100}", value) is not None, "letters, digits, . _ -"),
    ("partitions", lambda value: 1 <= value <= PARTITIONS_MAX, f"a number from 1 to {PARTITIONS_MAX}"),
    ("port", lambda value: 0 <= value <= 65_535, "a number from 0 to 65535"),
)
"""What the values must look like, where their type does not say it."""


def _check_stores(namespace_stores: Mapping[str, Any], file: Path) -> None:
    """Require that each namespace has the URL of a store.

    Raises:
        CountersignError: `config.invalid`.
    """
    for namespace, url in namespace_stores.items():
        if not isinstance(url, str) or not is_name(namespace, Limits()):
            text = f"{file}: namespace_stores: {namespace} is no namespace with a URL"
            raise CountersignError("config.invalid", text)
        kind_of(url)


def _table(path: tuple[str, ...], values: Mapping[str, Any]) -> list[str]:
    """The lines of a table with its inner ones; none of an empty one."""
    single = [f"{_quoted(name)} = {_said(each)}" for name, each in values.items() if not isinstance(each, Mapping)]
    lines = [f"[{'.'.join(map(_quoted, path))}]", *single] if single else []
    for name, inner in values.items():
        if isinstance(inner, Mapping):
            lines += _table((*path, name), inner)
    return lines


def _said(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    """A text as TOML has it, in one line: certificates and keys have several."""
    return dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def load_key(file: Path) -> SigningKey:
    """Read a private key.

    Raises:
        CountersignError: `config.invalid`, the file is missing, unreadable, open to others, or holds no key.
    """
    try:
        return SigningKey.load(read_private(file))
    except ValueError as error:
        raise CountersignError("config.invalid", f"{file}: {error}") from error


def read_private(file: Path) -> bytes:
    """Read a private file; one that others can read is refused.

    Raises:
        CountersignError: `config.invalid`.
    """
    try:
        if file.stat().st_mode & 0o077:
            raise CountersignError(
                "config.invalid", f"{file} can be read by others; make it private: chmod 600"
            )
        return file.read_bytes()
    except FileNotFoundError as error:
        text = f"{file} is not there; a key or secret that was lost has to come from a backup, for no other one will do"
        raise CountersignError("config.invalid", text) from error
    except OSError as error:
        raise CountersignError("config.invalid", f"{file}: {error.strerror}") from error


def key_file(client_directory: Path, entity: str, key_version: int) -> Path:
    """Where a client keeps an entity's private key."""
    return client_directory / "entities" / entity / f"key-{key_version}.pem"
