"""`init`: makes a new ledger's keys, its genesis and its first configuration.

On one machine one command does it for everybody. In earnest each party makes its own keys and nonce, and the
genesis and configuration 0 are put together from the public halves and signed by both (docs/operating.md).
"""

import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.home import Home
from deploy.keys import make_key, make_secret
from deploy.local.disk import explained
from deploy.local.settings import STACK_FILE, StackSettings
from deploy.local.stack import LocalStack
from protocol.canonical_json import dumps
from protocol.configuration import TREE, ConfigurationError, Epochs, check_dispersal, check_epochs, ledger_id
from protocol.contracts.engine import engine_version
from protocol.contracts.fingerprint import engine_answers
from protocol.contracts.genesis import genesis_records
from protocol.contracts.registry import RIGHTS
from protocol.errors import CountersignError
from protocol.hashing import HASH_SIZE, ZERO_HASH
from protocol.limits import KIB, Limits
from protocol.signatures import configuration_input
from protocol.signing import Algorithm, SigningKey
from schemas import epoch, evidence, exhibit, feed, order, outcome, piece, receipt, rejection, request, statement
from schemas.carriers import Carrier
from schemas.codec import Message
from schemas.epoch import Administrator, Configuration, Cut, Genesis, GenesisRecord, SignedConfiguration
from storage.record_stores import StoreKind
from storage.views import require_openable
from streams.role_directory import RoleConfiguration

ADMINISTRATOR = "admin"
AUDITOR, LEDGER, LEARNER, CLIENT = "auditor", "ledger", "learner", "client"
VIEWS, DASHBOARD = "views", "dashboard"
KEY_FILE = "key.pem"
SALT_FILE = "salt.secret"

_FORMAT = 1

_PIECE_BYTES = 8 * KIB  # of a piece's message, beside its slice: header, path, the last update's signatures


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLedger:
    """What a new ledger is to be.

    Attributes:
        replicas: n. liars: b, how many of them may lie. silent: c, how many may be silent.
        checksum: that binds blocks: "tree", "simple", or "none", which is for `liars` = 0 only.
        block_updates: updates in a block, the unit of dispersal; 0 for as many as there are replicas.
        partitions: of the topic `requests`.
        algorithm: of all keys.
        limits: of the ledger; its batches are made smaller where a block of so many would not fit into a message.
        store: what the parties' stores on this machine are made of; None: whatever they are started with.
        store_of: the same by namespace, for those that lie in another database; None, too.
    """

    replicas: int = 4
    liars: int = 1
    silent: int = 0
    checksum: str = TREE
    block_updates: int = 0
    partitions: int = 4
    algorithm: Algorithm = "p256"
    limits: Limits = field(default_factory=Limits)
    topic_prefix: str = ""
    store: StoreKind | None = None
    store_of: Mapping[str, StoreKind] | None = None

    @property
    def enough(self) -> int:
        """k: pieces that suffice."""
        return self.replicas - self.liars - self.silent

    def check(self) -> None:
        """Require what a configuration must be.

        Raises:
            ConfigurationError: `epoch.malformed`, `epoch.checksum`.
        """
        check_dispersal(
            n=self.replicas,
            b=self.liars,
            c=self.silent,
            k=self.enough,
            checksum=self.checksum,
            block_updates=self.block_updates or self.replicas,
        )
        fitting_limits(self)


def fitting_limits(new: NewLedger) -> Limits:
    """The limits of a new ledger: batches are halved until a block of the longest decisions makes pieces that fit.

    Raises:
        ConfigurationError: `epoch.malformed`, batches would have to be smaller than a request may be.
    """
    from learners.dispersal import LENGTH_BYTES  # here: every role loads this module, and the parties not the learners

    limits = new.limits
    block_updates = new.block_updates or new.replicas
    longest = (limits.message_bytes - _PIECE_BYTES) * new.enough // block_updates - LENGTH_BYTES
    while limits.decision_bytes > min(longest, limits.message_bytes):
        smaller = replace(
            limits,
            batch_bytes=max(limits.batch_bytes // 2, limits.request_bytes),
            batch_output_bytes=max(limits.batch_output_bytes // 2, limits.request_output_bytes),
        )
        if smaller == limits:
            text = f"pieces of a block of {block_updates} updates would not fit into messages: k is {new.enough}"
            raise ConfigurationError("epoch.malformed", text)
        limits = smaller
    return limits


def replica_role(number: int) -> str:
    """The name of a replica's role."""
    return f"replica-{number}"


def initialize(home: Home, new: NewLedger) -> Epochs:
    """Make keys, genesis, configuration 0 and every role's file.

    Raises:
        CountersignError: `config.exists`; `config.invalid`, it lost its `public/`; `path.refused`; `stack.running`,
            another process makes it; `disk.full`; `file.unusable`, the place cannot be written; `epoch.malformed`,
            `epoch.checksum`, the numbers do not fit.
            What was written by then is taken away.
    """
    new.check()
    require_openable(home.directory)
    with explained(f"making a ledger in {home.directory}"), LocalStack(home.stack).alone():
        if home.exists:
            raise CountersignError("config.exists", str(home.directory))
        home.require_public()
        with _all_or_nothing(home):
            try:
                return _make(home, new)
            except CountersignError as error:
                if error.code != "file.exists":
                    raise
                text = f"{error.detail}, of a ledger that was begun and not finished: remove {home.directory} first"
                raise CountersignError(error.code, text) from error


@contextmanager
def _all_or_nothing(home: Home) -> Iterator[None]:
    """Take away what was made if the rest cannot be made: the next try would find it in its way."""
    before = _parts(home)
    try:
        yield
    except BaseException:
        for each in _parts(home) - before:
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        raise


def _parts(home: Home) -> set[Path]:
    """What lies in a home, and in its stack's directory, which is there before the ledger is."""
    return {*home.directory.iterdir(), *home.stack.iterdir()}


def _make(home: Home, new: NewLedger) -> Epochs:
    auditor_key = make_key(home.role(AUDITOR) / KEY_FILE, new.algorithm)
    make_secret(home.role(AUDITOR) / SALT_FILE)
    ledger_key = make_key(home.role(LEDGER) / KEY_FILE, new.algorithm)
    replica_keys = [
        make_key(home.role(replica_role(i)) / KEY_FILE, new.algorithm) for i in range(new.replicas)
    ]
    administrator_key = make_key(home.key_file(ADMINISTRATOR, 1), new.algorithm)
    genesis = _genesis(auditor_key, ledger_key, administrator_key).to_bytes()
    configuration = _configuration(genesis, new, auditor_key, ledger_key, replica_keys)
    signed = _sign(configuration, auditor_key, ledger_key).to_bytes()
    epochs = check_epochs(ledger_id(genesis), genesis, (signed,))
    home.public.mkdir(parents=True, exist_ok=True)
    (home.public / "configuration-0.avro").write_bytes(signed)
    for name in (AUDITOR, LEDGER, LEARNER, VIEWS, DASHBOARD, CLIENT, *(replica_role(i) for i in range(new.replicas))):
        RoleConfiguration(
            directory=home.role(name),
            ledger_id=epochs.ledger_id.hex(),
            public="../public",
            topic_prefix=new.topic_prefix,
            partitions=new.partitions,
        ).save()
    if new.store is not None or new.store_of:
        home.stack.mkdir(parents=True, exist_ok=True)
        settings = StackSettings(
            broker="", ports={}, passwords={}, store=new.store or StoreKind.REDIS, store_of=new.store_of or {}
        )
        settings.save(home.stack / STACK_FILE)
    (home.public / "genesis.avro").write_bytes(genesis)  # last: from now on the home counts as made
    return epochs


def _genesis(auditor_key: SigningKey, ledger_key: SigningKey, administrator_key: SigningKey) -> Genesis:
    administrators = (Administrator(ADMINISTRATOR, administrator_key.public_key, tuple(sorted(RIGHTS))),)
    return Genesis(
        format=_FORMAT,
        auditor_nonce=secrets.token_bytes(HASH_SIZE),
        auditor_key=auditor_key.public_key,
        ledger_nonce=secrets.token_bytes(HASH_SIZE),
        ledger_key=ledger_key.public_key,
        administrators=administrators,
        records=tuple(
            GenesisRecord(key.namespace, key.key, value) for key, value in genesis_records(administrators)
        ),
    )


def _configuration(
    genesis: bytes,
    new: NewLedger,
    auditor_key: SigningKey,
    ledger_key: SigningKey,
    replica_keys: list[SigningKey],
) -> Configuration:
    limits = fitting_limits(new)
    return Configuration(
        format=_FORMAT,
        ledger_id=ledger_id(genesis),
        epoch=0,
        previous_epoch_hash=ZERO_HASH,
        cut=Cut(sequence=-1, statement_hash=ZERO_HASH, journal_size=0, journal_root=ZERO_HASH),
        auditor_store_id=secrets.token_bytes(HASH_SIZE),
        auditor_key=auditor_key.public_key,
        ledger_key=ledger_key.public_key,
        replica_keys=tuple(key.public_key for key in replica_keys),
        n=new.replicas,
        b=new.liars,
        c=new.silent,
        k=new.enough,
        codec="zfec",
        checksum=new.checksum,
        block_updates=new.block_updates or new.replicas,
        engine_version=engine_version(),
        engine_answers=engine_answers(),
        schemas=accepted_schemas(),
        limits=dumps(limits.to_mapping()),
        window=limits.window_sequences,
        skew_ms=limits.clock_skew_ms,
    )


def accepted_schemas() -> tuple[bytes, ...]:
    """The hash of every schema this version speaks, sorted."""
    modules = (epoch, evidence, exhibit, feed, order, outcome, piece, receipt, rejection, request, statement)
    classes = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Message) and value not in (Message, Carrier)
    }
    return tuple(sorted({message.avro.schema_hash for message in classes}))


def _sign(
    configuration: Configuration, auditor_key: SigningKey, ledger_key: SigningKey
) -> SignedConfiguration:
    body = configuration.to_bytes()
    place = (configuration.ledger_id, configuration.epoch, body)
    return SignedConfiguration(
        configuration=body,
        auditor_signature=auditor_key.sign(configuration_input("auditor", *place)),
        ledger_signature=ledger_key.sign(configuration_input("ledger", *place)),
        previous_auditor_signature=None,
        previous_ledger_signature=None,
    )
